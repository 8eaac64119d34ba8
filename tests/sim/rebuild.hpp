#pragma once

// A TCP frame that was taken apart, put together again after a change.

#include "tests/support/packet_builder.hpp"

namespace sluice::sim {

/// Lengths and checksums are right again. Precondition: `frame` holds a TCP segment.
inline support::Octets rebuild(const support::ParsedFrame& frame) {
  support::TcpFrame out;
  out.ethernet = frame.ethernet;
  out.ip = *frame.ip;
  out.ip.total_length = 0;  // follows from the payload
  out.tcp = *frame.tcp;
  out.payload = frame.payload;
  return support::build(out);
}

}  // namespace sluice::sim
