#pragma once

// What a script's header lines set: the engine's configuration and how the script is judged.

#include <string>

#include "tcp/config.hpp"
#include "tests/script/ast.hpp"

namespace sluice::script {

struct Settings {
  /// The engine's defaults, but for small tables: a script sees what a user sees.
  static Settings defaults();

  tcp::EngineConfig engine;
  std::uint16_t mtu = 1500;
  /// A packet may be this early or late; with `tolerance_percent` of the gap if that is more.
  Duration tolerance = Duration::from_ms(4);
  double tolerance_percent = 12.5;
};

/// Applies the header of `script`. False and `error` for a name or value that does not exist.
bool apply_header(const Script& script, Settings& settings, ScriptError& error);

}  // namespace sluice::script
