#include "runtime/command_line.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string_view>
#include <vector>
// A vdev string has commas of its own: a repeated flag is the only way to give several values.
#define CXXOPTS_VECTOR_DELIMITER '\0'
#include <cxxopts.hpp>

#include "runtime/join.hpp"

namespace sluice::runtime {
namespace {

/// A flag with its own name for a key of the file.
struct Alias {
  const char* flag;
  const char* key;
  const char* argument;
};

constexpr Alias kAliases[] = {
    {"device", "device.devices", "DEVICE"},
    {"address", "interface.addresses", "A.B.C.D[-E.F.G.H]/LEN"},
    {"gateway", "interface.gateway", "A.B.C.D"},
    {"listen", "runtime.listen", "PORT"},
    {"workers", "runtime.workers", "N"},
    {"instance", "runtime.instance", "NAME"},
    {"eal", "dpdk.eal_args", "ARGS"},
    {"pcap", "device.pcap", "FILE"},
    {"mac", "device.mac", "MAC"},
    {"mtu", "device.mtu", "OCTETS"},
    {"time-wait", "tcp.time_wait", "TIME"},
    {"drain-timeout", "runtime.drain_timeout", "TIME"},
    {"exit-when-idle", "runtime.exit_when_idle", "TIME"},
    {"replay-seed", "runtime.replay_seed", "NUMBER"},
    {"idle", "runtime.idle", "MODE"},
};

bool is_list(const Key& key) {
  return std::holds_alternative<ListField>(key.field);
}

bool is_flag_of_ours(std::string_view name) {
  constexpr std::string_view kOthers[] = {"config", "set", "help", "help-config", "version"};
  return std::find(std::begin(kOthers), std::end(kOthers), name) != std::end(kOthers) ||
         std::any_of(std::begin(kAliases), std::end(kAliases),
                     [&](const Alias& alias) { return alias.flag == name; });
}

std::string help_of(const Alias& alias, const Config& defaults) {
  const Key& key = *find_key(alias.key);
  return fmt::format("{}{} [{}; {}] (default: {})", key.doc, is_list(key) ? " Repeatable." : "",
                     key.unit, range_of(key), render(key, defaults));
}

cxxopts::Options make_options(const ProgramInfo& program, const Config& defaults) {
  cxxopts::Options options(program.name, program.summary);
  options.custom_help("[OPTION...]").positional_help("").set_width(100);
  auto add = options.add_options();
  add("config", "Configuration file (TOML); flags override it", cxxopts::value<std::string>(),
      "FILE");
  for (const Alias& alias : kAliases)
    add(alias.flag, help_of(alias, defaults), cxxopts::value<std::vector<std::string>>(),
        alias.argument);
  add("set", "Any key of the configuration file, e.g. tcp.rto_min=100ms. Repeatable.",
      cxxopts::value<std::vector<std::string>>(), "KEY=VALUE");
  add("help", "This text, and exit");
  add("help-config", "Every key of the configuration file with unit, range and default, and exit");
  add("version", "Version, and exit");
  auto own = options.add_options(program.name);
  for (const ProgramOption& option : program.options) {
    if (is_flag_of_ours(option.name))
      throw SetupError(fmt::format("--{}: {} and Sluice both have such a flag; give the program's "
                                   "another name",
                                   option.name, program.name),
                       2);
    auto value = cxxopts::value<std::string>();
    if (!option.bare_value.empty()) value->implicit_value(option.bare_value);
    own(option.name,
        option.help + (option.default_value.empty()
                           ? std::string()
                           : fmt::format(" (default: {})", option.default_value)),
        value, option.argument);
  }
  return options;
}

/// A configuration on its way from file and flags.
struct Settings {
  Config& config;
  FileKeys file;
};

void apply_flag(const std::string& shown, const Key& key, const std::vector<std::string>& values,
                Settings& settings) {
  // Flags replace what the file says: a list starts anew with the first of them.
  if (const auto* list = std::get_if<ListField>(&key.field)) list->clear(settings.config);
  if (const auto said = settings.file.lines.find(key.name); said != settings.file.lines.end())
    settings.file.lines.erase(said);
  for (const std::string& value : values)
    if (const auto problem = set_from_text(key, settings.config, value))
      throw SetupError(fmt::format("{} {}: {}", shown, value.empty() ? "\"\"" : value, *problem),
                       2);
}

void apply_assignments(const std::vector<std::string>& assignments, Settings& settings) {
  // Several of one list key add up, as several flags do.
  std::map<std::string, std::vector<std::string>> values;
  for (const std::string& assignment : assignments) {
    const std::size_t equals = assignment.find('=');
    const std::string name = assignment.substr(0, equals);
    if (find_key(name) == nullptr)
      throw SetupError(fmt::format("--set {}: no such key; expected SECTION.KEY=VALUE, see "
                                   "--help-config",
                                   assignment),
                       2);
    if (equals == std::string::npos)
      throw SetupError(fmt::format("--set {0}: \"=VALUE\" is missing; expected {0}=VALUE, {1}",
                                   name, range_of(*find_key(name))),
                       2);
    values[name].push_back(assignment.substr(equals + 1));
  }
  for (const auto& [name, texts] : values)
    apply_flag("--set " + name, *find_key(name), texts, settings);
}

std::string default_ports_note(const ProgramInfo& program) {
  std::vector<std::string> ports;
  ports.reserve(program.default_ports.size());
  for (const Port port : program.default_ports) ports.push_back(std::to_string(port.value));
  if (ports.empty()) return {};
  return fmt::format("\nWithout --listen it serves port {}.\n", join(ports, ", "));
}

/// How a program that serves ends, and what it exits with.
constexpr const char* kEndNote =
    "\nSIGTERM or SIGINT drains: no new connections, FIN to idle ones, RST after --drain-timeout; "
    "a second\none resets at once.\n"
    "Exit code: 0: every connection ended by itself; 3: some had to be reset; 1: set-up or the "
    "program\nfailed; 2: a mistake in flags or configuration.\n";

/// A program's own options first: they are what its user came for.
std::string help_text(const cxxopts::Options& options, const ProgramInfo& program) {
  std::vector<std::string> groups = {""};
  if (!program.options.empty()) groups.insert(groups.begin(), program.name);
  return options.help(groups) + default_ports_note(program) +
         (program.default_ports.empty() ? "" : kEndNote) + program.notes;
}

}  // namespace

CommandLine parse_command_line(int argc, const char* const* argv, const ProgramInfo& program) {
  CommandLine line;
  Settings settings{line.config, {}};
  apply_assignments(program.config_defaults, settings);
  cxxopts::Options options = make_options(program, line.config);
  try {
    const cxxopts::ParseResult flags = options.parse(argc, argv);
    if (flags.count("help") != 0) {
      line.print = help_text(options, program);
      return line;
    }
    if (flags.count("version") != 0) {
      line.print = fmt::format("{} {}\n", program.name, SLUICE_VERSION);
      return line;
    }
    if (flags.count("help-config") != 0) {
      line.print = annotated_defaults();
      return line;
    }
    if (!flags.unmatched().empty())
      throw SetupError(fmt::format("'{}': no such argument, see --help", flags.unmatched()[0]), 2);
    if (flags.count("config") != 0) {
      line.file = flags["config"].as<std::string>();
      settings.file = load_file(line.file, line.config);
    }
    for (const Alias& alias : kAliases)
      if (flags.count(alias.flag) != 0)
        apply_flag(fmt::format("--{}", alias.flag), *find_key(alias.key),
                   flags[alias.flag].as<std::vector<std::string>>(), settings);
    if (flags.count("set") != 0)
      apply_assignments(flags["set"].as<std::vector<std::string>>(), settings);
    for (const ProgramOption& option : program.options)
      line.options[option.name] = flags.count(option.name) != 0
                                      ? flags[option.name].as<std::string>()
                                      : option.default_value;
  } catch (const cxxopts::exceptions::exception& error) {
    throw SetupError(fmt::format("{}, see --help", error.what()), 2);
  }
  refuse_contradiction(line.config, settings.file);
  if (line.config.listen.empty()) line.config.listen = program.default_ports;
  return line;
}

}  // namespace sluice::runtime
