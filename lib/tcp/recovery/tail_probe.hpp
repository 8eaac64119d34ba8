#pragma once

// Tail loss probes (RFC 8985 7): when the last segments of a flight are lost nothing comes back, so
// after two round trips one more segment is sent, for its ACK to say what is missing.

#include <cstdint>

#include "tcp/recovery/ack_outcome.hpp"
#include "tcp/recovery/send_side.hpp"

namespace sluice::tcp {

/// A probe is to be armed instead of the RTO: nothing is known to be lost, none is out, and a round
/// trip was measured since the last one, for probes must not keep SRTT from following the path.
bool may_probe_tail(const SendSide& side);
/// PTO, from the last sending or acknowledgment, once a round trip was measured.
std::uint32_t probe_timeout_us(const SendSide& side);
/// A probe went out. Before it: SND.NXT may be beyond for new octets.
void note_tail_probe(SendSide& side, bool is_resent);
/// What this ACK says of a probe that is out. True: it repaired a loss, which counts as a
/// congestion event.
bool judge_tail_probe(SendSide& side, const AckOutcome& out);

}  // namespace sluice::tcp
