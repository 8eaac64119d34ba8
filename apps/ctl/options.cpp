#include "apps/ctl/options.hpp"

#include <fmt/format.h>

#include <ostream>
#include <vector>

namespace sluice::ctl {

cxxopts::Options make_options(std::string_view command, std::string_view summary,
                              std::string_view positional) {
  cxxopts::Options options(fmt::format("sluicectl {}", command), std::string(summary));
  options.custom_help("[options]");
  options.positional_help(std::string(positional));
  options.set_width(100);
  options.add_options()("instance", "only this instance (default: all that can be read)",
                        cxxopts::value<std::string>(), "NAME");
  options.add_options()("json", "machine-readable output; units are in the names");
  options.add_options()("h,help", "this text");
  return options;
}

std::optional<cxxopts::ParseResult> parse(cxxopts::Options& options, std::string_view command,
                                          Arguments arguments, Streams streams) {
  const std::string program = fmt::format("sluicectl {}", command);
  std::vector<const char*> argv{program.c_str()};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  try {
    cxxopts::ParseResult parsed = options.parse(static_cast<int>(argv.size()), argv.data());
    if (parsed.count("help") != 0) {
      streams.out << options.help({""});
      return std::nullopt;
    }
    if (!parsed.unmatched().empty())
      throw UsageError(fmt::format("{}: what is '{}'? ({} --help)", command,
                                   parsed.unmatched().front(), program));
    return parsed;
  } catch (const cxxopts::exceptions::exception& error) {
    throw UsageError(fmt::format("{}: {} ({} --help)", command, error.what(), program));
  }
}

std::string chosen_instance(const cxxopts::ParseResult& parsed) {
  return parsed.count("instance") != 0 ? parsed["instance"].as<std::string>() : std::string();
}

}  // namespace sluice::ctl
