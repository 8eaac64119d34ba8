#pragma once

// Delivery rate: how many octets arrived between the sending of a segment and its ACK.

#include "tcp/recovery/ack_outcome.hpp"
#include "tcp/recovery/send_side.hpp"

namespace sluice::tcp {

/// Completes out.rate from what the ACK delivered. No sample if the interval is shorter than the
/// path: acknowledgments then came squeezed together.
void finish_rate_sample(SendSide& side, AckOutcome& out);

/// The application has nothing more to send though the network would take it: samples of what is
/// sent until this is delivered are lower bounds.
inline void note_app_limited(SendSide& side) {
  side.record.app_limited_until = side.record.delivered + side.pipe();
  if (side.record.app_limited_until == 0) side.record.app_limited_until = 1;
}

}  // namespace sluice::tcp
