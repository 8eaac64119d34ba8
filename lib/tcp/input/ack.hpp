#pragma once

#include "tcp/context.hpp"

namespace sluice::tcp {

/// Step 5 for the synchronized states: an acceptable ACK (SND.UNA - MAX.SND.WND =< SEG.ACK =<
/// SND.NXT) moves the left edge, the send window, the congestion window and the timers.
void take_ack(Context& ctx, std::uint32_t index, const Segment& segment);

/// The send window from a segment that completes a handshake: SND.WND, WL1, WL2.
void set_send_window(Tcb& block, const Segment& segment, std::uint32_t window);

}  // namespace sluice::tcp
