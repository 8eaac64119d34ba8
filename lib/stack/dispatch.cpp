// Events to callbacks: after the burst, never from inside the engine. What a callback causes joins
// the next round, so a handler may do anything, to itself too.

#include <algorithm>
#include <utility>

#include "base/fetch_ahead.hpp"
#include "stack/impl.hpp"
#include "stack/rx_chain.hpp"

namespace sluice::stack {

using tcp::Context;
using tcp::Tcb;

void Stack::Impl::dispatch() {
  dispatch_listeners();
  Context& ctx = engine.context();
  for (std::uint32_t count = ctx.events.size(); count > 0 && !ctx.events.is_empty(); --count) {
    const std::uint32_t index = ctx.events.pop();
    if (!ctx.events.is_empty()) fetch_ahead(&streams[ctx.events.first()]);
    dispatch_stream(index);
  }
}

void Stack::Impl::dispatch_listeners() {
  Context& ctx = engine.context();
  std::uint64_t due = std::exchange(ctx.acceptable_listeners, 0);
  for (; due != 0; due &= due - 1)
    for (auto index = static_cast<std::size_t>(__builtin_ctzll(due)); index < listeners.size();
         index += 64)
      dispatch_listener(static_cast<std::uint16_t>(index));
}

void Stack::Impl::dispatch_listener(std::uint16_t index) {
  const tcp::ListenerRecord& record = engine.context().listeners[index];
  if (!record.is_open || record.is_paused || record.accept_queued == 0) return;
  ListenerApp& app = listeners[index];
  if (app.push != nullptr) {
    accept_all(index);
  } else if (app.pull != nullptr) {
    app.pull->on_acceptable(Listener(&self, {index, record.generation}));
  }
}

void Stack::Impl::accept_all(std::uint16_t index) {
  Context& ctx = engine.context();
  const ListenerHandle handle{index, ctx.listeners[index].generation};
  HandlerPool& pool = *listeners[index].push;
  while (ctx.listeners[index].accept_queued > 0) {
    StreamHandler* const handler = pool.make();
    if (handler ==
        nullptr) {  // as many handlers as connections: only while closed ones are on their way out
      ctx.note_acceptable(index);
      return;
    }
    const auto connection = tcp::accept(ctx, handle);
    if (!connection) {
      pool.destroy(handler);
      return;
    }
    streams[connection->index] = StreamApp::pooled(handler);
  }
}

void Stack::Impl::dispatch_stream(std::uint32_t index) {
  Context& ctx = engine.context();
  Tcb& block = ctx.touch(index);
  block.clear(tcp::kEventPending);
  const std::uint8_t mask = std::exchange(block.event_mask, std::uint8_t{0});
  const Stream at = stream(index);
  // Each call may replace the handler, or close or abort the stream: ask again before the next.
  const auto handler = [&]() -> StreamHandler* {
    return block.has(tcp::kOrphan) ? nullptr : streams[index].handler();
  };
  const auto wants = [&](std::uint8_t event) {
    return (mask & event) != 0 && handler() != nullptr;
  };
  const bool was_refused = block.has(tcp::kReadRefused) && (mask & app::kWritable) != 0;
  if (wants(app::kOpened)) handler()->on_open(at);
  if (wants(app::kUrgent)) handler()->on_urgent(at);
  if (wants(app::kWritable)) handler()->on_writable(at);
  if ((wants(app::kReadable) || (was_refused && handler() != nullptr)) &&
      !block.has(tcp::kReadPaused)) {
    block.clear(tcp::kReadRefused);
    handler()->on_readable(at);
  }
  if (wants(app::kTimer)) handler()->on_timer(at);
  if ((mask & app::kClosed) != 0 && !deliver_closed(index)) {
    ctx.touch(index).event_mask |= app::kClosed;  // receive() or close() brings it back
    // Nothing else will come to offer anew what the handler has left.
    if (handler() != nullptr && block.has(tcp::kReadRefused) && !block.has(tcp::kReadPaused))
      ctx.notify(index, app::kReadable);
    return;
  }
  ctx.release_if_done(index);
}

bool Stack::Impl::deliver_closed(std::uint32_t index) {
  Context& ctx = engine.context();
  Tcb& block = ctx.touch(index);
  if (block.has(tcp::kClosedDelivered)) return true;
  if (ctx.has_unread(block)) return false;
  if (StreamHandler* const handler = streams[index].handler())
    handler->on_closed(stream(index), static_cast<CloseReason>(block.close_reason));
  free_handler(index);
  ctx.touch(index).set(tcp::kClosedDelivered);
  return true;
}

void Stack::Impl::free_handler(std::uint32_t index) {
  const StreamApp app = std::exchange(streams[index], StreamApp());
  if (app.is_pooled()) destroy_pooled(app.handler());
}

void Stack::Impl::destroy_pooled(StreamHandler* handler) {
  for (ListenerApp& app : listeners)
    if (app.push != nullptr && app.push->holds(handler)) return app.push->destroy(handler);
  const auto pool = std::find_if(retired.begin(), retired.end(),
                                 [&](const auto& candidate) { return candidate->holds(handler); });
  SLUICE_ASSERT(pool != retired.end());
  (*pool)->destroy(handler);
  if ((*pool)->in_use() == 0) retired.erase(pool);
}

}  // namespace sluice::stack

namespace sluice {

void StreamHandler::on_readable(Stream stream) {
  if (stream.stack_ == nullptr) return;
  stack::Stack::Impl& impl = stream.stack_->impl();
  tcp::Context& ctx = impl.engine.context();
  const std::uint32_t index = stream.handle_.index;
  // As read() would: dispatch_stream() has just seen the TCB.
  const tcp::Tcb* const block = tcp::find_tcb(ctx, stream.handle_);
  if (block == nullptr || block->has(tcp::kOrphan)) return;
  if (ctx.has_ready(*block)) {
    RxData data = stack::RxChain::wrap(stream.stack_, stream.handle_, tcp::take_ready(ctx, index));
    const StreamHandler* const before = impl.streams[index].handler();
    const std::size_t offered = data.size();
    on_data(stream, data);
    if (!data.empty()) stream.unread(std::move(data), offered);
    if (StreamHandler* const now = stream.handler(); now != before) {
      // Replaced, and perhaps destroyed: what is left is for the new one, in the next round.
      if (now != nullptr) static_cast<void>(stream.set_handler(now));
      return;
    }
  }
  if (stream.take_end_of_stream()) on_peer_closed(stream);
}

}  // namespace sluice
