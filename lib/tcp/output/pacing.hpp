#pragma once

// Sending spread over the round trip instead of in bursts: what BBR needs, and others may have.

#include "tcp/context.hpp"

namespace sluice::tcp {

/// Octets a second at which to send now; 0: not paced.
std::uint64_t pacing_rate(const Tcb& block, const SendRecord& record);

/// The next segment must wait, for pacing or because marks have driven cwnd to its least: the
/// pacing timer is armed for it. The wheel's tick is 1 ms, so up to a millisecond's worth goes out
/// at once.
bool is_held_by_pacing(Context& ctx, std::uint32_t index, SendRecord& record);
/// Segments of one length.
struct PacedSegments {
  std::uint32_t length;  ///< Octets of payload each.
  std::uint32_t count = 1;
};
/// They went out.
void note_paced(Context& ctx, Tcb& block, SendRecord& record, PacedSegments sent);
/// How many segments of `length` octets may go before is_held_by_pacing(), which is false now.
std::uint32_t segments_until_held(const Context& ctx, const Tcb& block, const SendRecord& record,
                                  std::uint32_t length);

}  // namespace sluice::tcp
