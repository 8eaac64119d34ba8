#pragma once

// What an operator may change at the gate of a running server (sluicectl gate
// deny|allow|forget|prefixes).

#include <functional>
#include <string>
#include <vector>

#include "runtime/control_socket.hpp"
#include "runtime/source_filter.hpp"

namespace sluice::runtime {

/// What the commands stand on; all outlives them.
struct GateCommandDeps {
  SourceFilter& filter;
  /// Returns once the workers have the newest filter, or will not have it soon. Gives how many lack
  /// it.
  std::function<std::size_t()> settle;
  std::function<void(const std::string& line)> log;  ///< One line for each change.
};

/// gate.deny, gate.allow and gate.forget take "prefixes", a list of texts, all or nothing;
/// gate.prefixes takes nothing and gives both lists.
std::vector<ControlCommand> gate_commands(const GateCommandDeps& deps);

}  // namespace sluice::runtime
