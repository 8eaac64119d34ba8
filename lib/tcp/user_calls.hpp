#pragma once

// The user's calls (RFC 9293 3.9.1, 3.10): OPEN is in handshake/open.hpp, the rest here. All answer
// kStaleHandle for a connection that is gone, and all but abort() kClosing for one that the
// application has let go of by close() or abort().

#include <optional>
#include <span>

#include "tcp/context.hpp"

namespace sluice::tcp {

/// The TCB of a handle; null if it is stale.
inline Tcb* find_tcb(Context& ctx, ConnHandle handle) {
  if (handle.index >= ctx.tcbs.high_water()) return nullptr;
  Tcb& block = ctx.tcb(handle.index);
  return block.generation == handle.generation && !block.has(kClosedDelivered) ? &block : nullptr;
}
/// Why a connection is none to call upon: of a TCB that is null, or let go of by its application.
inline Error reason_not_owned(const Tcb* block) {
  return block == nullptr ? Error::kStaleHandle : Error::kClosing;
}
inline ConnHandle handle_of(const Context& ctx, std::uint32_t index) {
  return {index, ctx.tcbs[index].generation};
}

/// SEND of octets that are copied. Gives how many were taken; fewer (down to 0) when the send
/// buffer is full: app::kWritable follows.
Result<std::size_t, Error> send(Context& ctx, ConnHandle handle, std::span<const std::byte> octets);
/// SEND of octets whose buffers change hands. `chain` keeps what was not taken.
Result<std::size_t, Error> send(Context& ctx, ConnHandle handle, packet::PacketChain& chain);

/// RECEIVE: all octets in order. They stay charged to the receive buffer until credit().
Result<packet::PacketChain, Error> receive(Context& ctx, ConnHandle handle);
/// The same of a connection with octets ready (ctx.has_ready()), which somebody owns.
packet::PacketChain take_ready(Context& ctx, std::uint32_t index);
/// Puts octets that receive() gave back to the front of the queue.
void unreceive(Context& ctx, ConnHandle handle, packet::PacketChain chain);
/// Octets from the first that receive() has not given up to the urgent pointer, come or still to
/// come; 0: nothing urgent is left.
std::uint32_t urgent_bytes(const Context& ctx, const Tcb& block);
/// `bytes` of what receive() gave were freed: the window may open.
void credit(Context& ctx, ConnHandle handle, std::uint32_t bytes);
/// `bytes` that came by another connection are kept with this one's: credit() gives them up.
void charge(Context& ctx, ConnHandle handle, std::uint32_t bytes);

/// CLOSE as the RFC means it: no more to send; receiving goes on.
Result<void, Error> shutdown(Context& ctx, ConnHandle handle);
/// The application is done both ways; unread octets make it a reset (RFC 1122 4.2.2.13).
Result<void, Error> close(Context& ctx, ConnHandle handle);
Result<void, Error> abort(Context& ctx, ConnHandle handle, CloseReason reason);

/// Takes the oldest connection off an accept queue. kWouldBlock: none, or paused.
Result<ConnHandle, Error> accept(Context& ctx, ListenerHandle handle);
/// LISTEN. kAddressInUse, kTooManyListeners, kInvalidArgument (port 0).
struct ListenRequest {
  IpAddr address;  ///< Unspecified: any of ours.
  Port port;
  std::uint32_t syn_backlog = 0;
  std::uint32_t accept_backlog = 0;
  std::optional<Algorithm> congestion = {};    ///< None: the route's or the config's.
  std::optional<CookieMode> syn_cookies = {};  ///< None: the config's.
  bool is_traced = false;
};
Result<ListenerHandle, Error> listen(Context& ctx, const ListenRequest& request);
/// Half-open entries go silently, waiting connections are reset, accepted ones stay.
Result<void, Error> close_listener(Context& ctx, ListenerHandle handle);

/// Buffers are back: app::kWritable to connections whose send() found none, a few of them, in turn.
/// Looks at a bounded part of the table; to be called again while `starving_left`.
void feed_starving(Context& ctx);

/// FIN to connections that have nothing queued, unread or half done, at most `budget` looked at
/// from where the last call stopped.
void drain_idle(Context& ctx, std::uint32_t budget, std::uint32_t& cursor);

}  // namespace sluice::tcp
