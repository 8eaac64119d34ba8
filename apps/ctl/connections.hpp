#pragma once

// The rows of `sluicectl conns`: listeners, half-open entries, connections and TIME-WAIT entries of
// a worker, copied out of the region.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "apps/ctl/instances.hpp"
#include "base/address.hpp"
#include "tcp/tcb.hpp"

namespace sluice::ctl {

/// A timer that runs: when it fires next, and how often it did before without success.
struct RunningTimer {
  std::string_view name;
  Duration left;
  std::uint32_t tries = 0;
};

struct ConnectionRow {
  std::string instance;
  std::uint32_t worker = 0;
  bool is_torn = false;  ///< The writer was faster 8 times: fields may not belong together.
  bool is_listener = false;
  std::string state;
  Endpoint local;
  Endpoint foreign;
  std::uint64_t receive_queue = 0;  ///< Octets; a listener's: connections that wait for accept().
  std::uint64_t send_queue = 0;     ///< Octets; a listener's: its accept backlog.
  std::vector<RunningTimer> timers;
  std::optional<std::uint32_t> index;  ///< Of the TCB.

  // What the row was made from; one of them.
  std::optional<tcp::ListenerRecord> listener;
  std::optional<tcp::HalfOpen> half_open;
  std::optional<tcp::Tcb> tcb;
  tcp::TcbTotals totals{};  ///< With `tcb`.
  Tick tick = 0;            ///< Now, for ages.
};

/// All rows of one worker: listeners first, then in the order of a connection's life.
std::vector<ConnectionRow> read_connections(const Instance& instance, std::uint32_t worker);

}  // namespace sluice::ctl
