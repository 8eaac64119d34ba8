#pragma once

#include <algorithm>

#include "tcp/context.hpp"

namespace sluice::tcp {

/// Step 5 for the synchronized states: an acceptable ACK (SND.UNA - MAX.SND.WND =< SEG.ACK =<
/// SND.NXT) moves the left edge, the send window, the congestion window and the timers.
void take_ack(Context& ctx, std::uint32_t index, const Segment& segment);

/// SND.WND, WL1, WL2 from a segment.
inline void set_send_window(Tcb& block, SeqNum seq, SeqNum ack, std::uint32_t window) {
  block.snd.wnd = window;
  block.snd_max_wnd = std::max(block.snd_max_wnd, window);
  block.snd_wl1 = seq;
  block.snd_wl2 = ack;
}
inline void set_send_window(Tcb& block, const Segment& segment, std::uint32_t window) {
  set_send_window(block, segment.seq(), segment.ack(), window);
}

/// The peer's window counts only from segments that are newer than the last that set it.
inline void update_send_window(Tcb& block, SeqNum seq, SeqNum ack, std::uint32_t window) {
  //= rfc9293#3.10.7.4 SND.WL1 < SEG.SEQ or (SND.WL1 = SEG.SEQ and SND.WL2 =< SEG.ACK)
  if (wire::seq_lt(block.snd_wl1, seq) ||
      (block.snd_wl1 == seq && wire::seq_leq(block.snd_wl2, ack)))
    set_send_window(block, seq, ack, window);
}

/// SND.UNA moves to SEG.ACK.
void advance_una(Context& ctx, std::uint32_t index, SeqNum ack);

}  // namespace sluice::tcp
