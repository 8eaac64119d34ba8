#pragma once

// The part of every subcommand's command line that is the same: --instance, --json, --help.

#include <cxxopts.hpp>
#include <optional>
#include <string>

#include "apps/ctl/command.hpp"

namespace sluice::ctl {

/// Options of a subcommand, with the common ones already in.
cxxopts::Options make_options(std::string_view command, std::string_view summary,
                              std::string_view positional);

/// Parses, prints the help if asked for (then empty: exit 0). Throws UsageError.
std::optional<cxxopts::ParseResult> parse(cxxopts::Options& options, std::string_view command,
                                          Arguments arguments, Streams streams);

/// The instance that was named; empty if none was.
std::string chosen_instance(const cxxopts::ParseResult& parsed);

}  // namespace sluice::ctl
