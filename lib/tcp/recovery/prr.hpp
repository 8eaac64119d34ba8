#pragma once

// Proportional rate reduction (RFC 6937bis): how cwnd comes down to ssthresh over one round trip,
// octet by octet delivered, and how it comes up to it if losses have emptied the pipe.

#include "tcp/recovery/ack_outcome.hpp"
#include "tcp/recovery/send_side.hpp"

namespace sluice::tcp {

/// A congestion event: ssthresh has been set by the algorithm.
void prr_begin(SendSide& side, const AckOutcome& out);
/// Sets cwnd for this ACK. The first one always lets a segment out.
void prr_on_ack(SendSide& side, const AckOutcome& out);
/// Octets went out while reducing.
inline void prr_note_sent(SendRecord& record, std::uint32_t length) {
  record.prr_out += length;
}

}  // namespace sluice::tcp
