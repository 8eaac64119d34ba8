#pragma once

// What the functions of recovery/ act on: the send half of one connection with octets in flight.

#include <cstdint>

#include "base/slab.hpp"
#include "base/timer_wheel.hpp"
#include "tcp/config.hpp"
#include "tcp/records.hpp"
#include "tcp/tcb.hpp"
#include "telemetry/metrics.hpp"

namespace sluice::tcp {

struct SendSide {
  Tcb& block;
  SendRecord& record;
  Slab<SentRun>& runs;
  const EngineConfig& config;
  telemetry::Metrics& metrics;
  Instant now;
  std::uint32_t now_us;  ///< The same, modulo 2^32.
  Tick tick;

  /// SND.NXT - SND.UNA.
  std::uint32_t flight() const { return wire::seq_distance(block.snd.una, block.snd.nxt); }
  std::uint32_t pipe() const { return record.pipe(flight()); }
};

}  // namespace sluice::tcp
