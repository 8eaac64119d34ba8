#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
// toml++ keeps non-ASCII diagnostics and streams that nobody here needs.
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include "runtime/config.hpp"
#include "sluice/runtime.hpp"

namespace sluice::runtime {
namespace {

[[noreturn]] void refuse(const std::string& path, std::uint32_t line, const std::string& text) {
  throw SetupError(fmt::format("{}:{}: {}", path, line, text), 2);
}

std::uint32_t line_of(const toml::node& node) {
  return node.source().begin.line;
}

/// As it stands in the file, about.
std::string written(const toml::node& node) {
  if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
  if (const auto* number = node.as_integer()) return std::to_string(number->get());
  if (const auto* number = node.as_floating_point()) return fmt::format("{}", number->get());
  if (const auto* text = node.as_string()) return fmt::format("\"{}\"", text->get());
  if (node.is_array()) return "a list";
  return node.is_table() ? "a section" : "a date or time";
}

/// Nullopt for what no key takes by itself.
std::optional<Value> value_of(const toml::node& node) {
  if (const auto* flag = node.as_boolean()) return Value(flag->get());
  if (const auto* number = node.as_integer()) return Value(number->get());
  if (const auto* text = node.as_string()) return Value(text->get());
  return std::nullopt;
}

/// One file on its way into a Config.
class Reading {
 public:
  Reading(const std::string& path, Config& config) : path_(path), config_(config) {}

  void read(const Key& key, const toml::node& node) {
    if (const auto* list = std::get_if<ListField>(&key.field)) return read(key, *list, node);
    const auto value = value_of(node);
    if (!value || set(key, config_, *value)) refuse_value(key, node);
  }

 private:
  void read(const Key& key, const ListField& list, const toml::node& node) {
    const toml::array* const items = node.as_array();
    if (items == nullptr) refuse_value(key, node, "a list of ");
    list.clear(config_);
    for (const toml::node& item : *items) {
      const auto* const text = item.as_string();
      const auto* const number = item.as_integer();
      const bool is_taken =
          list.is_numeric ? number != nullptr && list.add(config_, std::to_string(number->get()))
                          : text != nullptr && list.add(config_, text->get());
      if (!is_taken) refuse_value(key, item);
    }
  }

  [[noreturn]] void refuse_value(const Key& key, const toml::node& node,
                                 std::string_view kind = "") const {
    // A secret with a slip of the pen is nearly the secret: it does not belong in a log.
    const bool is_secret = key.name == "gate.fleet_key";
    refuse(path_, line_of(node),
           fmt::format("{}: expected {}{}{}", key.name, kind, range_of(key),
                       is_secret ? std::string() : ", not " + written(node)));
  }

  const std::string& path_;
  Config& config_;
};

toml::table parse(const std::string& path) {
  std::ifstream stream(path);
  const int error = stream ? 0 : errno;
  std::error_code ignored;
  if (error != 0 || std::filesystem::is_directory(path, ignored))
    throw SetupError(fmt::format("{}: {}: give --config a file that can be read, or leave it out",
                                 path.empty() ? "--config \"\"" : path,
                                 std::strerror(error != 0 ? error : EISDIR)),
                     2);
  try {
    return toml::parse(stream, path);
  } catch (const toml::parse_error& problem) {
    refuse(path, problem.source().begin.line, std::string(problem.description()));
  }
}

bool is_in_key(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.';
}

/// The line of the first key that `problem` names and the file has.
std::optional<std::uint32_t> line_behind(const std::string& problem, const FileKeys& file) {
  for (auto at = problem.begin(); at != problem.end();) {
    const auto start = std::find_if(at, problem.end(), is_in_key);
    at = std::find_if_not(start, problem.end(), is_in_key);
    const auto found = file.lines.find(std::string_view(start, at));
    if (found != file.lines.end()) return found->second;
  }
  return std::nullopt;
}

}  // namespace

FileKeys load_file(const std::string& path, Config& config) {
  const toml::table document = parse(path);
  // A profile first, wherever it stands: the keys beside it are to win. It is judged in its turn.
  constexpr std::string_view kProfile = "tcp.profile";
  Config scratch;
  if (const auto profile = document["tcp"]["profile"].value<std::string>())
    static_cast<void>(set(*find_key(kProfile), config, *profile));
  FileKeys file{path, {}};
  for (const auto& [section, content] : document) {
    const toml::table* table = content.as_table();
    if (table == nullptr)
      refuse(path, section.source().begin.line,
             fmt::format("'{}' stands outside of a section", section.str()));
    const std::string prefix = std::string(section.str()) + '.';
    if (std::none_of(keys().begin(), keys().end(),
                     [&](const Key& key) { return key.name.starts_with(prefix); }))
      refuse(path, line_of(*table), fmt::format("no such section: [{}]", section.str()));
    for (const auto& [name, node] : *table) {
      const std::uint32_t line = name.source().begin.line;
      const std::string full = prefix + std::string(name.str());
      const Key* const key = find_key(full);
      if (key == nullptr) refuse(path, line, fmt::format("no such key: {}", full));
      Reading(path, full == kProfile ? scratch : config).read(*key, node);
      file.lines[full] = line;
    }
  }
  return file;
}

void refuse_contradiction(const Config& config, const FileKeys& file) {
  const auto problem = contradiction(config);
  if (!problem) return;
  if (const auto line = line_behind(*problem, file)) refuse(file.path, *line, *problem);
  throw SetupError(*problem, 2);
}

}  // namespace sluice::runtime
