#pragma once

// What an ACK or a timer means for the connection's sending: the phases of recovery and their
// edges.
//
//              loss found                      RECOVER acknowledged, or undone
//   kOpen ──────────────────▶ kFastRecovery ─────────────────────────────────▶ kOpen
//     │  ECN echo                  ▲ a retransmission is lost
//     ├─────────▶ kReducing ───────┤                    RFC 5681, 6675, 8985 (what is lost)
//     │  RTO                       │                    RFC 6937bis (how fast)
//     └─────────▶ kTimeout ────────┘                    RFC 5682, 3522, 2883 (was it spurious?)

#include <cstdint>

#include "tcp/recovery/ack_outcome.hpp"
#include "tcp/recovery/send_side.hpp"

namespace sluice::tcp {

/// Octets in flight, as SND.NXT - SND.UNA has it.
inline std::uint32_t flight_size(const Tcb& block) {
  return wire::seq_distance(block.snd.una, block.snd.nxt);
}

/// cwnd, not the application or the peer, was the limit with `flight` octets in flight.
inline bool is_window_limited(const Tcb& block, std::uint32_t flight) {
  // Slow start needs half the window in use to count as limited, for acknowledgments come bunched.
  return block.cwnd < block.ssthresh ? 2 * std::uint64_t{flight} >= block.cwnd
                                     : flight + block.snd_mss > block.cwnd;
}

/// An ACK of a connection with octets in flight. The queue, SND.UNA and the SACK marks are up to
/// date. Decides what is lost, moves between phases and sets cwnd. Gives the microseconds until
/// RACK wants to look again; 0: it does not.
std::uint32_t recover_on_ack(SendSide& side, AckOutcome& out);

/// RACK's reordering timer expired. Gives the same as recover_on_ack().
std::uint32_t recover_on_reorder_timeout(SendSide& side);

/// The retransmission timer expired (before backoff is increased).
void recover_on_timeout(SendSide& side);
/// The same for a connection without a send record: only a FIN is in flight.
void reduce_on_timeout(Tcb& block);

/// Segments larger than the path now takes are to be sent again, and nobody is congested (RFC
/// 1191).
void resend_larger_than(SendSide& side, std::uint32_t segment_size);
/// A shut window opened: what lay beyond its edge, a window probe's octet at least, was refused.
void resend_refused(SendSide& side);

}  // namespace sluice::tcp
