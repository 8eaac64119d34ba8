#pragma once

// Runs one script against one engine on a virtual clock.

#include <optional>
#include <string>
#include <string_view>

#include "tests/script/ast.hpp"

namespace sluice::script {

/// Where sequence numbers begin: a script must pass wherever they wrap.
struct Isns {
  std::string_view name;
  std::uint32_t ours;  ///< About: the engine's clock-driven ISN is this, or up to 250 less.
  std::uint32_t peers;
};

struct Failure {
  unsigned line = 0;
  std::string text;  ///< What was expected, what came, and the events before, on several lines.
};

/// Runs `script`; nothing if it passes. Ends the process if the engine leaks records or timers.
std::optional<Failure> run(const Script& script, const Isns& isns);

}  // namespace sluice::script
