#pragma once

#include <cstdint>

#include "tcp/context.hpp"

namespace sluice::tcp {

/// Octets that may still come: RCV.NXT up to the right edge advertised.
inline std::uint32_t receive_window(const Tcb& block) {
  return wire::seq_offset(block.rcv.nxt, block.rcv.adv) > 0
             ? wire::seq_distance(block.rcv.nxt, block.rcv.adv)
             : 0;
}

/// SND.NXT, but no further than the peer's right edge: a probe's octet that was not taken, or a
/// window that shrank, leaves SND.NXT where the peer must refuse the segment, its ACK or RST
/// included. Two ends with shut windows would never again hear each other.
inline SeqNum acceptable_seq(const Tcb& block) {
  return wire::seq_min(block.snd.nxt, block.snd.una + block.snd.wnd);
}

/// Moves the right edge as far as buffer and silly-window avoidance allow, never to the left, and
/// gives the header's window field (scaled).
std::uint16_t advertise_window(Context& ctx, Tcb& block);

/// Octets were read: is the peer to be told now that there is room again?
bool is_window_update_due(const Context& ctx, const Tcb& block);

/// The application has read and freed octets: if a sender fills the buffer within a round trip, it
/// is made larger, within the connection's and the worker's limits (dynamic right-sizing).
void grow_receive_buffer(Context& ctx, std::uint32_t index);

/// The window scale that our receive buffer asks for.
std::uint8_t window_scale_for(const EngineConfig& config);

}  // namespace sluice::tcp
