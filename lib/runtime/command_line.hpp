#pragma once

#include <map>
#include <string>

#include "runtime/config.hpp"
#include "sluice/runtime.hpp"

namespace sluice::runtime {

/// What a command line asked for.
struct CommandLine {
  Config config;
  std::string file;                            ///< Of --config; empty: none.
  std::map<std::string, std::string> options;  ///< The program's own, by name.
  std::string print;  ///< Not empty: print this and exit 0 (--help, --version, --help-config).
};

/// Defaults, then --config FILE, then flags. Throws SetupError with exit code 2.
CommandLine parse_command_line(int argc, const char* const* argv, const ProgramInfo& program);

}  // namespace sluice::runtime
