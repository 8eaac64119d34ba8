#pragma once

// RACK (RFC 8985 3 to 6): a segment is lost if one that was sent a reordering window later has been
// delivered. Time, not a count of duplicate ACKs, so lost retransmissions and tails are found too.

#include "tcp/recovery/ack_outcome.hpp"
#include "tcp/recovery/send_side.hpp"

namespace sluice::tcp {

/// `run` was delivered: RACK.segment and the highest sequence number delivered follow; an original
/// below it is reordering.
void rack_note_delivered(SendSide& side, const SentRun& run, const AckOutcome& out);

/// A D-SACK came: the window was too small (6.2 step 4). Once for each round trip.
void rack_widen_window(SendSide& side);
/// A recovery ended: after 16 without a D-SACK the window is small again.
void rack_note_recovery_end(SendSide& side);

/// Microseconds that a segment may come late, once reordering was seen.
std::uint32_t reorder_window_us(const Tcb& block);
/// The same as things stand: none while there is no sign of reordering and loss is likely.
std::uint32_t rack_reorder_window_us(SendSide& side);

/// Marks what is lost. Gives the microseconds until the next segment may be called lost if nothing
/// comes; 0: none waits.
std::uint32_t rack_detect_loss(SendSide& side);
/// The retransmission timer expired: what was sent longer than an RTT and a window ago is lost, and
/// in any case the segment at SND.UNA (6.3).
void rack_mark_timed_out(SendSide& side);

}  // namespace sluice::tcp
