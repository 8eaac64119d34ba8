#pragma once

// What an operator may change of a running server's addresses, routes and neighbours (sluicectl
// addr|route|neigh add|del), on all workers or on none.

#include <functional>
#include <string>
#include <vector>

#include "runtime/control_socket.hpp"
#include "runtime/orders.hpp"

namespace sluice::runtime {

/// What the commands stand on; all outlives them.
struct NetworkCommandDeps {
  Orders& orders;
  std::function<void(const std::string& line)> log;  ///< One line for each change.
};

/// Texts and an optional number "interface", the reply is {"workers": N, "changed": N}:
///   addr.add, addr.del    "address" with its prefix length
///   route.add, route.del  "destination", "gateway" (none: on-link; any), "congestion" (add only)
///   neigh.add, neigh.del  "address", "mac" (add only)
std::vector<ControlCommand> network_commands(const NetworkCommandDeps& deps);

}  // namespace sluice::runtime
