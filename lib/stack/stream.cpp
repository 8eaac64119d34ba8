// The public Stream: handle calls translated to the engine's user calls.

#include "sluice/stream.hpp"

#include <cstring>

#include "stack/impl.hpp"
#include "stack/rx_chain.hpp"
#include "tcp/congestion/controller.hpp"
#include "tcp/handshake/established.hpp"
#include "tcp/output/window.hpp"
#include "tcp/recovery/loss_recovery.hpp"
#include "tcp/recovery/rack.hpp"
#include "tcp/recovery/rtt.hpp"
#include "tcp/timer/loss_timer.hpp"
#include "tcp/timer/tcp_timers.hpp"

namespace sluice {
namespace {

using stack::Stack;
using tcp::Context;
using tcp::Tcb;

Context* context_of(Stack* stack) {
  return stack == nullptr ? nullptr : &stack->impl().engine.context();
}

/// The TCB of a stream whose application has not heard of its end.
Tcb* found(Context* ctx, ConnHandle handle) {
  return ctx == nullptr ? nullptr : tcp::find_tcb(*ctx, handle);
}

/// The TCB of a live stream that the application still owns.
Tcb* owned(Context* ctx, ConnHandle handle) {
  Tcb* const block = found(ctx, handle);
  if (block == nullptr || block->has(tcp::kOrphan)) return nullptr;
  return &ctx->touch(handle.index);
}

template <class Change>
Result<void, Error> change(Stack* stack, ConnHandle handle, Change&& apply) {
  Context* const ctx = context_of(stack);
  const Tcb* const block = found(ctx, handle);
  if (block == nullptr || block->has(tcp::kOrphan)) return fail(tcp::reason_not_owned(block));
  apply(*ctx, ctx->touch(handle.index));
  return {};
}

}  // namespace

Result<RxData, Error> Stream::read() {
  Context* const ctx = context_of(stack_);
  if (ctx == nullptr) return fail(Error::kStaleHandle);
  auto chain = tcp::receive(*ctx, handle_);
  if (!chain) return fail(chain.error());
  return stack::RxChain::wrap(stack_, handle_, std::move(*chain));
}

void Stream::unread(RxData data, std::size_t offered) {
  Context* const ctx = context_of(stack_);
  Tcb* const block = owned(ctx, handle_);
  if (block == nullptr) return;
  // A connection that is over offers the rest at once, or nothing would ever bring it back; and a
  // handler that takes nothing then (it cannot send any more, say) must not keep the record for
  // ever.
  const bool is_over = block->has(tcp::kDetached) && !block->has(tcp::kReadPaused);
  if (is_over && data.size() == offered) {
    // Octets are missing: nothing is to be called the end of the stream.
    block->set(tcp::kEndDelivered);
    if (static_cast<CloseReason>(block->close_reason) == CloseReason::kNormal)
      block->close_reason = static_cast<std::uint8_t>(CloseReason::kAborted);
    ctx->notify(handle_.index, app::kClosed);
    return;
  }
  block->set(tcp::kReadRefused);
  tcp::unreceive(*ctx, handle_, stack::RxChain::take_charged_to(data, stack_, handle_));
  if (is_over) ctx->notify(handle_.index, app::kReadable);
}

bool Stream::take_end_of_stream() {
  Context* const ctx = context_of(stack_);
  Tcb* const block = owned(ctx, handle_);
  if (block == nullptr || !block->has(tcp::kFinReceived) || block->has(tcp::kEndDelivered) ||
      ctx->has_ready(*block))
    return false;
  const auto end = tcp::receive(*ctx, handle_);
  return !end && end.error() == Error::kEndOfStream;
}

Result<std::size_t, Error> Stream::send(std::span<const std::byte> octets) {
  Context* const ctx = context_of(stack_);
  if (ctx == nullptr) return fail(Error::kStaleHandle);
  return tcp::send(*ctx, handle_, octets);
}

// Not by the one above, which would be inlined, and its Result be put together from pieces.
Result<std::size_t, Error> Stream::send(std::string_view text) {
  Context* const ctx = context_of(stack_);
  if (ctx == nullptr) return fail(Error::kStaleHandle);
  return tcp::send(*ctx, handle_, std::as_bytes(std::span(text.data(), text.size())));
}

Result<std::size_t, Error> Stream::send(RxData& data) {
  Context* const ctx = context_of(stack_);
  if (ctx == nullptr) return fail(Error::kStaleHandle);
  stack::RxChain::Loan loan(data);
  return tcp::send(*ctx, handle_, loan.chain);
}

Result<void, Error> Stream::shutdown() {
  Context* const ctx = context_of(stack_);
  return ctx == nullptr ? fail(Error::kStaleHandle) : tcp::shutdown(*ctx, handle_);
}

Result<void, Error> Stream::close() {
  Context* const ctx = context_of(stack_);
  return ctx == nullptr ? fail(Error::kStaleHandle) : tcp::close(*ctx, handle_);
}

Result<void, Error> Stream::abort() {
  Context* const ctx = context_of(stack_);
  return ctx == nullptr ? fail(Error::kStaleHandle)
                        : tcp::abort(*ctx, handle_, CloseReason::kAborted);
}

Result<void, Error> Stream::pause_reading() {
  return change(stack_, handle_, [](Context&, Tcb& block) { block.set(tcp::kReadPaused); });
}

Result<void, Error> Stream::resume_reading() {
  return change(stack_, handle_, [this](Context& ctx, Tcb& block) {
    if (!block.has(tcp::kReadPaused)) return;
    block.clear(tcp::kReadPaused);
    if (ctx.has_unread(block)) ctx.notify(handle_.index, app::kReadable);
  });
}

// Of a stream that was closed or aborted too, which still has on_closed to call.
Result<void, Error> Stream::set_handler(StreamHandler* handler) {
  Context* const ctx = context_of(stack_);
  const Tcb* const block = found(ctx, handle_);
  if (block == nullptr) return fail(Error::kStaleHandle);
  auto& impl = stack_->impl();
  if (impl.streams[handle_.index].handler() == handler) return {};
  impl.free_handler(handle_.index);
  impl.streams[handle_.index] = stack::StreamApp::borrowed(handler);
  if (handler != nullptr && ctx->has_unread(*block)) ctx->notify(handle_.index, app::kReadable);
  if (block->has(tcp::kDetached)) ctx->notify(handle_.index, app::kClosed);
  return {};
}

StreamHandler* Stream::handler() const {
  Context* const ctx = context_of(stack_);
  if (found(ctx, handle_) == nullptr) return nullptr;
  return stack_->impl().streams[handle_.index].handler();
}

//= rfc9293#3.7.4 MUST-17
Result<void, Error> Stream::set_nodelay(std::optional<bool> nodelay) {
  return change(stack_, handle_, [&](Context& ctx, Tcb& block) {
    block.clear(tcp::kNodelay | tcp::kNodelaySet);
    if (nodelay) block.set(tcp::kNodelaySet | (*nodelay ? tcp::kNodelay : 0u));
    if (tcp::is_synchronized(block.state))
      ctx.want_output(handle_.index);  // what Nagle held may go
  });
}

//= rfc9293#3.8.3 MUST-21
Result<void, Error> Stream::set_user_timeout(Duration limit) {
  if (limit < Duration::zero() || limit > Duration::from_s(1'000'000))
    return fail(Error::kInvalidArgument);
  return change(stack_, handle_, [&](Context& ctx, Tcb& block) {
    block.user_timeout = tcp::pack_float16(ticks_in(limit));
    tcp::restart_user_timeout(ctx, handle_.index);
  });
}

//= rfc9293#3.8.4 MUST-24
Result<void, Error> Stream::set_keepalive(bool on) {
  return change(stack_, handle_, [&](Context& ctx, Tcb& block) {
    if (!on) {
      block.clear(tcp::kKeepaliveOn);
      ctx.disarm(block, tcp::kTimerKeepalive);
      return;
    }
    block.set(tcp::kKeepaliveOn);
    if (tcp::is_synchronized(block.state) && !block.has(tcp::kDetached))
      tcp::restart_keepalive(ctx, handle_.index);
  });
}

Result<void, Error> Stream::set_congestion(std::string_view name) {
  const auto algorithm = tcp::algorithm_of(name);
  if (!algorithm) return fail(Error::kInvalidArgument);
  return change(stack_, handle_,
                [&](Context& ctx, Tcb& block) { tcp::use_algorithm(ctx, block, *algorithm); });
}

Result<void, Error> Stream::set_pacing(std::optional<bool> pacing) {
  return change(stack_, handle_, [&](Context& ctx, Tcb& block) {
    block.clear(tcp::kPaced | tcp::kPacedSet);
    if (pacing) block.set(tcp::kPacedSet | (*pacing ? tcp::kPaced : 0u));
    tcp::settle_pacing(ctx, block);
  });
}

Result<void, Error> Stream::set_dscp(std::uint8_t dscp) {
  if (dscp > 63) return fail(Error::kInvalidArgument);
  return change(stack_, handle_, [&](Context&, Tcb& block) {
    //= rfc9293#3.9.1.9 MUST-48, SHLD-21
    block.traffic_class = static_cast<std::uint8_t>(dscp << 2);
  });
}

Result<void, Error> Stream::set_timer(Duration delay) {
  if (delay < Duration::zero()) return fail(Error::kInvalidArgument);
  constexpr Duration kLongest = Duration::from_s(2'000'000);  // ticks are 31 bits of milliseconds
  return change(stack_, handle_, [&](Context& ctx, Tcb& block) {
    ctx.disarm(block, tcp::kTimerApplication);
    if (delay > kLongest || block.has(tcp::kDetached)) return;
    ctx.arm(handle_.index, tcp::kTimerApplication, ctx.tick_after(delay));
  });
}

Result<void, Error> Stream::set_trace(bool on) {
  return change(stack_, handle_, [&](Context&, Tcb& block) {
    on ? block.set(tcp::kTraced) : block.clear(tcp::kTraced);
  });
}

Result<StreamInfo, Error> Stream::info() const {
  Context* const ctx = context_of(stack_);
  const Tcb* const known = found(ctx, handle_);
  if (known == nullptr) return fail(Error::kStaleHandle);
  const Tcb& block = *known;
  const tcp::TcbTotals& totals = ctx->totals[handle_.index];
  const tcp::FlowKey flow = ctx->flow_of(block);
  const tcp::ReceiveRecord* const record =
      block.receive_record == tcp::kNoIndex ? nullptr : &ctx->receives.slab[block.receive_record];
  StreamInfo info;
  info.local = {flow.local, flow.local_port};
  info.remote = {flow.remote, flow.remote_port};
  info.state = tcp::to_string(block.state);
  info.srtt = Duration::from_us(block.srtt_us8 / 8);
  info.rttvar = Duration::from_us(block.rttvar_us4 / 4);
  info.min_rtt = Duration::from_us(block.min_rtt_us);
  info.rto = tcp::retransmission_timeout(block, ctx->config);
  info.mss = block.snd_mss;
  info.cwnd_bytes = block.cwnd;
  info.ssthresh_bytes = block.ssthresh;
  info.send_window_bytes = block.snd.wnd;
  info.receive_window_bytes = tcp::receive_window(block);
  info.unacked_bytes = tcp::flight_size(block);
  info.send_queued_bytes = totals.send_queued;
  info.receive_queued_bytes = record == nullptr ? 0 : record->ready.bytes();
  info.bytes_received = totals.bytes_received;
  info.bytes_acked = totals.bytes_acked;
  info.retransmitted_segments = totals.retransmitted_segments;
  info.lost_segments = totals.lost_segments;
  info.undone_reductions = block.undone;
  info.congestion = tcp::controller_of(block).name();
  info.pacing_rate = tcp::unpack_float16(block.pacing_rate);
  info.delivery_rate = tcp::unpack_float16(block.delivery_rate);
  info.reordering_window = Duration::from_us(tcp::reorder_window_us(block));
  info.has_reordering = block.has(tcp::kReorderingSeen);
  info.has_ecn = (block.ecn & tcp::kEcnOk) != 0;
  info.urgent_bytes = tcp::urgent_bytes(*ctx, block);
  info.soft_error = static_cast<SoftError>(block.soft_error);
  return info;
}

bool Stream::is_stale() const {
  return found(context_of(stack_), handle_) == nullptr;
}

Worker Stream::worker() const {
  return Worker(stack_);
}

}  // namespace sluice
