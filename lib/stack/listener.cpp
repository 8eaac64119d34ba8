// The public Listener and Worker: handle calls translated to the engine's user calls.

#include "sluice/listener.hpp"

#include "stack/impl.hpp"
#include "tcp/handshake/listen.hpp"

namespace sluice {
namespace {

tcp::ListenerRecord* record_of(stack::Stack* stack, ListenerHandle handle) {
  return stack == nullptr ? nullptr : stack->impl().engine.context().listeners.get(handle);
}

}  // namespace

Result<Stream, Error> Listener::accept(StreamHandler* handler) {
  if (record_of(stack_, handle_) == nullptr) return fail(Error::kStaleHandle);
  auto& impl = stack_->impl();
  const auto connection = tcp::accept(impl.engine.context(), handle_);
  if (!connection) return fail(connection.error());
  impl.streams[connection->index] = stack::StreamApp::borrowed(handler);
  return impl.stream(connection->index);
}

Result<void, Error> Listener::pause_accepting() {
  tcp::ListenerRecord* const record = record_of(stack_, handle_);
  if (record == nullptr) return fail(Error::kStaleHandle);
  record->version.begin_write();
  record->is_paused = 1;
  record->version.end_write();
  return {};
}

Result<void, Error> Listener::resume_accepting() {
  tcp::ListenerRecord* const record = record_of(stack_, handle_);
  if (record == nullptr) return fail(Error::kStaleHandle);
  record->version.begin_write();
  record->is_paused = 0;
  record->version.end_write();
  if (record->accept_queued > 0) stack_->impl().engine.context().note_acceptable(handle_.index);
  return {};
}

Result<void, Error> Listener::close() {
  if (record_of(stack_, handle_) == nullptr) return fail(Error::kStaleHandle);
  auto& impl = stack_->impl();
  auto& app = impl.listeners[handle_.index];
  if (app.push != nullptr && app.push->in_use() > 0) impl.retired.push_back(std::move(app.push));
  app = {};
  return tcp::close_listener(impl.engine.context(), handle_);
}

Result<ListenerInfo, Error> Listener::info() const {
  const tcp::ListenerRecord* const record = record_of(stack_, handle_);
  if (record == nullptr) return fail(Error::kStaleHandle);
  const tcp::Context& ctx = stack_->impl().engine.context();
  return ListenerInfo{.local = {record->address, Port{record->port}},
                      .half_open = record->half_open,
                      .syn_backlog = tcp::syn_backlog_of(ctx, *record),
                      .accept_queued = record->accept_queued,
                      .accept_backlog = tcp::accept_backlog_of(ctx, *record),
                      .is_paused = record->is_paused != 0};
}

Worker Listener::worker() const {
  return Worker(stack_);
}

}  // namespace sluice
