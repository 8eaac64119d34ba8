#include "tcp/user_calls.hpp"

#include <algorithm>
#include <cstring>
#include <optional>

#include "tcp/handshake/listen.hpp"
#include "tcp/output/control.hpp"
#include "tcp/output/output.hpp"
#include "tcp/output/window.hpp"

namespace sluice::tcp {
namespace {

Error error_of(CloseReason reason) {
  switch (reason) {
    case CloseReason::kNormal:
      return Error::kClosing;
    case CloseReason::kReset:
    case CloseReason::kAborted:
    case CloseReason::kShutdown:
    case CloseReason::kNoResources:
    case CloseReason::kOverload:
      return Error::kReset;
    case CloseReason::kRefused:
      return Error::kRefused;
    case CloseReason::kUnreachable:
      return Error::kUnreachable;
    case CloseReason::kTimedOut:
    case CloseReason::kKeepalive:
      return Error::kTimedOut;
  }
  return Error::kReset;
}

void record_call(Context& ctx, const Tcb& block, telemetry::UserCall call) {
  if (block.has(kTraced) && ctx.recorder.is_enabled())
    ctx.record_detail(telemetry::EventKind::kUserCall, block, static_cast<std::uint8_t>(call));
}

/// Why the connection takes no octets to send; nothing if it does.
std::optional<Error> reason_not_to_send(Context& ctx, ConnHandle handle) {
  const Tcb* const block = find_tcb(ctx, handle);
  if (block == nullptr || block->has(kOrphan)) return reason_not_owned(block);
  if (block->has(kDetached)) return error_of(static_cast<CloseReason>(block->close_reason));
  //= rfc9293#3.10.2
  if (block->has(kFinQueued) || !may_queue_data(block->state)) return Error::kClosing;
  return std::nullopt;
}

std::uint32_t send_room(Context& ctx, Tcb& block) {
  const SendRecord* const record = ctx.send_record(block);
  const std::uint32_t queued = record == nullptr ? 0 : record->queue.bytes();
  const std::uint32_t size = ctx.send_buffer_of(block);
  return size > queued ? size - queued : 0;
}

void note_queued(Context& ctx, std::uint32_t index, std::uint32_t taken, std::size_t offered) {
  Tcb& block = ctx.touch(index);
  ctx.totals[index].send_queued += taken;
  if (taken < offered) block.set(kSendBlocked);
  if (taken > 0) {
    record_call(ctx, block, telemetry::UserCall::kSend);
    if (is_synchronized(block.state)) ctx.want_output(index);
  }
}

/// Copies up to `octets.size()` to the queue's end; stops when mbufs run out.
std::uint32_t append_copy(Context& ctx, SendRecord& record, std::span<const std::byte> octets) {
  std::uint32_t taken = 0;
  while (taken < octets.size()) {
    rte_mbuf* const tail = record.queue.tail();
    const std::size_t room =
        tail != nullptr && packet::is_exclusive(*tail) ? rte_pktmbuf_tailroom(tail) : 0;
    const auto piece = octets.subspan(taken, std::min(room, octets.size() - taken));
    if (!piece.empty() && record.queue.absorb(piece)) {
      taken += static_cast<std::uint32_t>(piece.size());
      continue;
    }
    if (ctx.is_low_on_buffers()) break;
    packet::PacketPtr packet(rte_pktmbuf_alloc(ctx.pools.receive));
    if (!packet) break;
    --ctx.spare_buffers;
    const std::size_t count =
        std::min<std::size_t>(rte_pktmbuf_tailroom(packet.get()), octets.size() - taken);
    std::memcpy(rte_pktmbuf_mtod(packet.get(), std::byte*), octets.data() + taken, count);
    packet->data_len = static_cast<std::uint16_t>(count);
    packet->pkt_len = packet->data_len;
    record.queue.append(std::move(packet));
    taken += static_cast<std::uint32_t>(count);
  }
  return taken;
}

/// No buffers or records for octets that there was room for: the application is told when there
/// are.
Unexpected<Error> starve(Context& ctx, std::uint32_t index) {
  Tcb& block = ctx.tcb(index);
  block.set(kSendBlocked);
  ctx.starving_left = ctx.tcbs.high_water();
  const SendRecord* const record = ctx.send_record(block);
  const bool is_idle =
      record != nullptr && record->queue.is_empty() && block.snd.una == block.snd.nxt;
  if (is_idle && is_synchronized(block.state)) ctx.drop_idle_send_record(block);
  return fail(Error::kNoBuffers);
}

/// A detached connection that was kept for its reader may go when nothing is left to read.
void finish_reading(Context& ctx, std::uint32_t index) {
  Tcb& block = ctx.tcb(index);
  if (block.has(kDetached) && !block.has(kClosedDelivered | kWaitsAccept) && !ctx.has_unread(block))
    ctx.notify(index, app::kClosed);
}

void discard_detached(Context& ctx, std::uint32_t index, CloseReason reason) {
  Tcb& block = ctx.touch(index);
  block.set(kOrphan);
  block.close_reason = static_cast<std::uint8_t>(reason);
  ctx.drop_receive_record(block);
  ctx.notify(index, app::kClosed);
}

void queue_fin(Context& ctx, std::uint32_t index) {
  Tcb& block = ctx.touch(index);
  block.set(kFinQueued);
  //= rfc9293#3.10.4
  if (block.state == State::kEstablished) ctx.transition(index, State::kFinWait1);
  if (block.state == State::kCloseWait) ctx.transition(index, State::kLastAck);
  if (is_synchronized(block.state)) ctx.want_output(index);
}

}  // namespace

Result<std::size_t, Error> send(Context& ctx, ConnHandle handle,
                                std::span<const std::byte> octets) {
  if (const auto reason = reason_not_to_send(ctx, handle)) return fail(*reason);
  Tcb& block = ctx.touch(handle.index);
  const std::size_t wanted = std::min<std::size_t>(octets.size(), send_room(ctx, block));
  std::uint32_t taken = 0;
  if (wanted > 0) {
    SendRecord* const record = ctx.need_send_record(block);
    if (record == nullptr) return starve(ctx, handle.index);
    taken = append_copy(ctx, *record, octets.first(wanted));
    if (taken == 0) return starve(ctx, handle.index);
  }
  note_queued(ctx, handle.index, taken, octets.size());
  return taken;
}

Result<std::size_t, Error> send(Context& ctx, ConnHandle handle, packet::PacketChain& chain) {
  if (const auto reason = reason_not_to_send(ctx, handle)) return fail(*reason);
  Tcb& block = ctx.touch(handle.index);
  const std::uint32_t offered = chain.bytes();
  std::uint32_t wanted = std::min(offered, send_room(ctx, block));
  if (wanted > 0) {
    SendRecord* const record = ctx.need_send_record(block);
    if (record == nullptr) return starve(ctx, handle.index);
    packet::PacketChain front;
    if (wanted == offered) {
      front = std::move(chain);
    } else if (!chain.split_front(wanted, *ctx.pools.indirect, front)) {
      return starve(ctx, handle.index);
    }
    record->queue.append(std::move(front));
  }
  note_queued(ctx, handle.index, wanted, offered);
  return wanted;
}

packet::PacketChain take_ready(Context& ctx, std::uint32_t index) {
  Tcb& block = ctx.touch(index);
  ReceiveRecord& record = *ctx.receive_record(block);
  // Not when the octets before it are taken: they may come back (unreceive).
  if (block.has(kUrgentPending) && wire::seq_leq(block.rcv_up, ctx.first_unread(block)))
    block.clear(kUrgentPending);
  packet::PacketChain octets = std::move(record.ready);
  if (record.is_idle()) ctx.drop_receive_record(block);
  finish_reading(ctx, index);
  return octets;
}

Result<packet::PacketChain, Error> receive(Context& ctx, ConnHandle handle) {
  Tcb* const found = find_tcb(ctx, handle);
  if (found == nullptr || found->has(kOrphan)) return fail(reason_not_owned(found));
  Tcb& block = ctx.touch(handle.index);
  if (ctx.has_ready(block)) return take_ready(ctx, handle.index);
  const auto reason = static_cast<CloseReason>(block.close_reason);
  // After a failure octets before the peer's FIN may be gone: that is no end of the stream.
  if (block.has(kDetached) && reason != CloseReason::kNormal) return fail(error_of(reason));
  //= rfc9293#3.6 MUST-12
  if (block.has(kFinReceived)) {
    block.set(kEndDelivered);
    finish_reading(ctx, handle.index);
    return fail(Error::kEndOfStream);
  }
  if (block.has(kDetached)) return fail(error_of(reason));
  return fail(Error::kWouldBlock);
}

void unreceive(Context& ctx, ConnHandle handle, packet::PacketChain chain) {
  Tcb* const found = find_tcb(ctx, handle);
  if (found == nullptr || found->has(kOrphan) || chain.is_empty()) return;
  Tcb& block = ctx.touch(handle.index);
  ReceiveRecord* const record = ctx.need_receive_record(block);
  if (record == nullptr) {
    // The slab was drained by others since: octets that were acknowledged cannot be kept.
    if (block.has(kDetached)) return discard_detached(ctx, handle.index, CloseReason::kNoResources);
    send_reset(ctx, handle.index);
    ctx.close(handle.index, CloseReason::kNoResources);
    return;
  }
  chain.append(std::move(record->ready));
  record->ready = std::move(chain);
}

std::uint32_t urgent_bytes(const Context& ctx, const Tcb& block) {
  if (!block.has(kUrgentPending)) return 0;
  //= rfc9293#3.8.5 MUST-33
  const SeqNum first = ctx.first_unread(block);
  const SeqNum end = block.has(kFinReceived) ? wire::seq_min(block.rcv_up, block.rcv.nxt - 1)
                                             : block.rcv_up;  // nothing comes behind a FIN
  return wire::seq_gt(end, first) ? wire::seq_distance(first, end) : 0;
}

void credit(Context& ctx, ConnHandle handle, std::uint32_t bytes) {
  Tcb* const found = find_tcb(ctx, handle);
  if (found == nullptr || bytes == 0) return;
  Tcb& block = ctx.touch(handle.index);
  SLUICE_ASSERT(block.receive_charged >= bytes);
  block.receive_charged -= bytes;
  if (block.has(kDetached | kOrphan) || !may_receive_data(block.state)) return;
  grow_receive_buffer(ctx, handle.index);
  //= rfc9293#3.8.6.2.2 MUST-39
  if (is_window_update_due(ctx, block)) {
    block.set(kAckNow);
    ctx.want_output(handle.index);
  }
}

void charge(Context& ctx, ConnHandle handle, std::uint32_t bytes) {
  if (find_tcb(ctx, handle) != nullptr) ctx.touch(handle.index).receive_charged += bytes;
}

Result<void, Error> shutdown(Context& ctx, ConnHandle handle) {
  if (const auto reason = reason_not_to_send(ctx, handle)) return fail(*reason);
  const Tcb& block = ctx.tcb(handle.index);
  if (block.state == State::kSynSent) return fail(Error::kNotConnected);
  record_call(ctx, block, telemetry::UserCall::kShutdown);
  queue_fin(ctx, handle.index);
  return {};
}

Result<void, Error> close(Context& ctx, ConnHandle handle) {
  Tcb* const found = find_tcb(ctx, handle);
  if (found == nullptr || found->has(kOrphan)) return fail(reason_not_owned(found));
  const std::uint32_t index = handle.index;
  Tcb& block = ctx.touch(index);
  record_call(ctx, block, telemetry::UserCall::kClose);
  if (block.has(kDetached)) {
    discard_detached(ctx, index, static_cast<CloseReason>(block.close_reason));
    return {};
  }
  const ReceiveRecord* const record = ctx.receive_record(block);
  //= rfc9293#3.6.1 SHLD-3
  const bool has_unread = record != nullptr && !record->ready.is_empty();
  if (block.state == State::kSynSent || has_unread)
    return abort(ctx, handle, CloseReason::kAborted);
  if (ctx.orphans >= ctx.config.max_orphans) {
    ctx.metrics.count(Counter::kOrphanTimeouts);
    return abort(ctx, handle, CloseReason::kNoResources);
  }
  block.set(kOrphan);
  ++ctx.orphans;
  ctx.disarm(block, kTimerApplication);
  if (block.has(kWaitsAccept)) ctx.accept_remove(index);
  if (!block.has(kFinQueued)) queue_fin(ctx, index);
  if (block.state == State::kFinWait2)
    ctx.arm(index, kTimerLinger, ctx.tick_after(ctx.config.fin_wait_2));
  return {};
}

Result<void, Error> abort(Context& ctx, ConnHandle handle, CloseReason reason) {
  Tcb* const found = find_tcb(ctx, handle);
  if (found == nullptr) return fail(Error::kStaleHandle);
  const std::uint32_t index = handle.index;
  Tcb& block = ctx.touch(index);
  record_call(ctx, block, telemetry::UserCall::kAbort);
  if (block.has(kDetached)) {
    discard_detached(ctx, index, static_cast<CloseReason>(block.close_reason));
    return {};
  }
  //= rfc9293#3.10.5
  //= rfc9293#3.10.5 exception: RST in CLOSING and LAST-ACK too, for what we sent is unacknowledged
  // there
  if (block.state != State::kSynSent) send_reset(ctx, index);
  ctx.close(index, reason);
  // Whoever called has let go: only on_closed is left for it.
  if (find_tcb(ctx, handle) != nullptr) block.set(kOrphan);
  return {};
}

Result<ConnHandle, Error> accept(Context& ctx, ListenerHandle handle) {
  ListenerRecord* const listener = ctx.listeners.get(handle);
  if (listener == nullptr) return fail(Error::kStaleHandle);
  if (listener->is_paused || listener->accept_head == kNoIndex) return fail(Error::kWouldBlock);
  const std::uint32_t index = listener->accept_head;
  ctx.accept_remove(index);
  Tcb& block = ctx.touch(index);
  block.set(kAccepted);
  ++listener->accepted_total;
  ctx.metrics.count(Counter::kAccepted);
  record_call(ctx, block, telemetry::UserCall::kAccept);
  const std::uint8_t waiting = block.event_mask;
  ctx.notify(index, static_cast<std::uint8_t>(waiting | app::kOpened |
                                              (block.has(kDetached) ? app::kClosed : 0)));
  return handle_of(ctx, index);
}

Result<ListenerHandle, Error> listen(Context& ctx, const ListenRequest& request) {
  if (ctx.is_draining) return fail(Error::kDraining);
  if (request.port.value == 0) return fail(Error::kInvalidArgument);
  //= rfc9293#3.9.1.1 MUST-41, MUST-42  only other listeners are looked at
  const std::uint16_t same = ctx.listeners.find(request.address, request.port);
  if (same != ListenerHandle::kNone && ctx.listeners[same].address == request.address)
    return fail(Error::kAddressInUse);
  const ListenerHandle handle = ctx.listeners.open(request.address, request.port);
  if (handle.is_none()) return fail(Error::kTooManyListeners);
  ListenerRecord& listener = ctx.listeners[handle.index];
  listener.version.begin_write();
  // What readers see is what holds: 0, and what lies above the caps, are the caps.
  listener.syn_backlog = request.syn_backlog;
  listener.accept_backlog = request.accept_backlog;
  listener.syn_backlog = syn_backlog_of(ctx, listener);
  listener.accept_backlog = accept_backlog_of(ctx, listener);
  listener.is_traced = request.is_traced ? 1 : 0;
  listener.congestion =
      request.congestion ? static_cast<std::uint8_t>(*request.congestion) : std::uint8_t{0xff};
  listener.cookie_mode =
      static_cast<std::uint8_t>(request.syn_cookies.value_or(ctx.config.syn_cookies));
  listener.version.end_write();
  ctx.gate.begin(handle);
  return handle;
}

Result<void, Error> close_listener(Context& ctx, ListenerHandle handle) {
  ListenerRecord* const listener = ctx.listeners.get(handle);
  if (listener == nullptr) return fail(Error::kStaleHandle);
  for (std::uint32_t index = 0; listener->half_open > 0 && index < ctx.half_opens.high_water();
       ++index)
    if (ctx.half_opens[index].listener == handle.index) ctx.drop_half_open(index);
  while (listener->accept_head != kNoIndex) {
    const std::uint32_t index = listener->accept_head;
    if (ctx.tcb(index).has(kDetached)) {
      ctx.accept_remove(index);
      ctx.touch(index).set(kClosedDelivered);
      ctx.release_if_done(index);
    } else {
      static_cast<void>(abort(ctx, handle_of(ctx, index), CloseReason::kAborted));
    }
  }
  ctx.listeners.close(handle.index);
  return {};
}

void feed_starving(Context& ctx) {
  // Few at a time: of a crowd that is told at once most would find nothing again.
  constexpr std::uint32_t kMostLookedAt = 256, kMostFed = 32;
  std::uint32_t fed = 0;
  for (std::uint32_t budget = kMostLookedAt; budget > 0 && ctx.starving_left > 0 && fed < kMostFed;
       --budget, --ctx.starving_left) {
    if (ctx.starving_cursor >= ctx.tcbs.high_water()) ctx.starving_cursor = 0;
    const std::uint32_t index = ctx.starving_cursor++;
    const Tcb& block = ctx.tcb(index);
    // Those with octets queued hear of room when these are acknowledged.
    if (!block.has(kSendBlocked) || block.has(kDetached) || ctx.totals[index].send_queued > 0)
      continue;
    ctx.touch(index).clear(kSendBlocked);
    ctx.notify(index, app::kWritable);
    ++fed;
  }
}

void drain_idle(Context& ctx, std::uint32_t budget, std::uint32_t& cursor) {
  const std::uint32_t end = ctx.tcbs.high_water();
  for (; budget > 0 && end > 0; --budget, ++cursor) {
    if (cursor >= end) cursor = 0;
    const Tcb& block = ctx.tcb(cursor);
    const bool is_open = block.state == State::kEstablished || block.state == State::kCloseWait;
    const bool is_busy = ctx.totals[cursor].send_queued > 0 || block.snd.una != block.snd.nxt ||
                         ctx.has_unread(block) || block.has(kEventPending);
    if (is_open && !is_busy && !block.has(kDetached | kFinQueued)) queue_fin(ctx, cursor);
  }
}

}  // namespace sluice::tcp
