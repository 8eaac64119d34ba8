#pragma once

// What a correct stack would do with a forged frame, told from its records just before it gets the
// frame: RFC 9293 with RFC 5961, 7323 and 5927, written anew and apart from the engine.

#include <cstdint>

#include "tcp/tcb.hpp"
#include "telemetry/region.hpp"
#include "tests/support/packet_builder.hpp"

namespace sluice::sim {

enum class Belief : std::uint8_t {
  kNo,           ///< It must change nothing that an application or the peer notices.
  kYes,          ///< Every number fits: nobody can tell it from the peer's own.
  kSimultaneous  ///< A SYN while connecting: RFC 9293 3.10.7.3 takes any. Only the port was secret.
};

/// A connection as its host names it.
struct Tuple {
  Ipv4Addr local;
  Ipv4Addr remote;
  std::uint16_t local_port = 0;
  std::uint16_t remote_port = 0;
};
/// Of the host that receives `frame`, a TCP segment.
Tuple tuple_at_receiver(const support::ParsedFrame& frame);

/// Null if there is none. What is in TIME-WAIT is none.
const tcp::Tcb* find_connection(telemetry::StateRegion& region, const Tuple& tuple);
const tcp::HalfOpen* find_half_open(telemetry::StateRegion& region, const Tuple& tuple);

/// `frame` is TCP, or an ICMP error that quotes TCP; anything else is not believed.
Belief belief_in(telemetry::StateRegion& region, const support::ParsedFrame& frame);

}  // namespace sluice::sim
