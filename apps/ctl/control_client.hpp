#pragma once

// Asks a running server to do something: the other end of its control socket
// (lib/runtime/control_socket.hpp says what goes over it).

#include <nlohmann/json.hpp>

#include "apps/ctl/instances.hpp"

namespace sluice::ctl {

/// The reply of a living instance. Throws std::runtime_error: the server's complaint, or why it
/// cannot be asked and what can be done.
nlohmann::ordered_json ask(const Instance& instance, const nlohmann::ordered_json& request);

/// The instance that a change is meant for: the named one, or the only one that lives. Throws
/// UsageError if several do.
Instance open_for_change(const std::string& name, Streams streams);

}  // namespace sluice::ctl
