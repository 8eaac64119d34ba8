#include <fmt/format.h>

#include <algorithm>
#include <map>
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

/// Nullopt for what no key takes: dates, tables, floats, nested lists.
std::optional<Value> value_of(const toml::node& node) {
  if (const auto* flag = node.as_boolean()) return Value(flag->get());
  if (const auto* number = node.as_integer()) return Value(number->get());
  if (const auto* text = node.as_string()) return Value(text->get());
  const auto* array = node.as_array();
  if (array == nullptr) return std::nullopt;
  std::vector<std::string> items;
  for (const toml::node& item : *array) {
    if (const auto* text = item.as_string())
      items.push_back(text->get());
    else if (const auto* number = item.as_integer())
      items.push_back(std::to_string(number->get()));
    else
      return std::nullopt;
  }
  return Value(std::move(items));
}

}  // namespace

void load_file(const std::string& path, Config& config) {
  toml::table document;
  try {
    document = toml::parse_file(path);
  } catch (const toml::parse_error& error) {
    if (error.source().begin.line == 0)
      throw SetupError(fmt::format("{}: {}", path, error.description()), 2);
    refuse(path, error.source().begin.line, std::string(error.description()));
  }
  // A profile first, wherever it stands: the keys beside it are to win. It is judged in its turn.
  constexpr std::string_view kProfile = "tcp.profile";
  Config scratch;
  if (const auto profile = document["tcp"]["profile"].value<std::string>())
    static_cast<void>(set(*find_key(kProfile), config, *profile));
  std::map<std::string, std::uint32_t, std::less<>> lines;
  for (const auto& [section, content] : document) {
    const toml::table* table = content.as_table();
    if (table == nullptr)
      refuse(path, section.source().begin.line,
             fmt::format("'{}' stands outside of a section", section.str()));
    const std::string prefix = std::string(section.str()) + '.';
    if (std::none_of(keys().begin(), keys().end(),
                     [&](const Key& key) { return key.name.starts_with(prefix); }))
      refuse(path, table->source().begin.line, fmt::format("no such section: [{}]", section.str()));
    for (const auto& [name, node] : *table) {
      const std::uint32_t line = name.source().begin.line;
      const std::string full = prefix + std::string(name.str());
      const Key* const key = find_key(full);
      if (key == nullptr) refuse(path, line, fmt::format("no such key: {}", full));
      const auto value = value_of(node);
      const auto problem = value ? set(*key, full == kProfile ? scratch : config, *value)
                                 : fmt::format("expected {}", range_of(*key));
      if (problem) refuse(path, line, fmt::format("{}: {}", full, *problem));
      lines[full] = line;
    }
  }
  if (const auto problem = contradiction(config)) {
    const auto found = lines.find(problem->substr(0, problem->find(':')));
    refuse(path, found == lines.end() ? 1 : found->second, *problem);
  }
}

}  // namespace sluice::runtime
