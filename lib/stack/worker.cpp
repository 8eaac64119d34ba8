#include "sluice/worker.hpp"

#include "stack/impl.hpp"
#include "tcp/congestion/controller.hpp"

namespace sluice {
namespace {

using stack::HandlerPool;
using stack::StreamApp;
using stack::WorkerTimer;

static_assert(static_cast<int>(SynCookies::kAlways) == static_cast<int>(tcp::CookieMode::kAlways));

std::optional<tcp::CookieMode> cookie_mode_of(const ListenOptions& options) {
  if (!options.syn_cookies) return std::nullopt;
  return static_cast<tcp::CookieMode>(*options.syn_cookies);
}

Result<ListenerHandle, Error> listen_with(stack::Stack::Impl& impl, const ListenOptions& options) {
  if (options.address && !impl.network.path_to(*options.address, *options.address) &&
      !impl.network.addresses().is_ours(*options.address))
    return fail(Error::kInvalidArgument);
  const auto congestion = tcp::algorithm_of(options.congestion);
  if (!options.congestion.empty() && !congestion) return fail(Error::kInvalidArgument);
  return tcp::listen(impl.engine.context(), {.address = options.address.value_or(IpAddr{}),
                                             .port = options.port,
                                             .syn_backlog = options.syn_backlog,
                                             .accept_backlog = options.accept_backlog,
                                             .congestion = congestion,
                                             .syn_cookies = cookie_mode_of(options),
                                             .is_traced = options.trace});
}

}  // namespace

unsigned Worker::index() const {
  return stack_ == nullptr ? 0 : stack_->impl().worker;
}

Instant Worker::now() const {
  return stack_ == nullptr ? Instant{} : stack_->impl().engine.context().now;
}

Result<Listener, Error> Worker::listen(const ListenOptions& options, ListenerHandler& handler) {
  if (stack_ == nullptr) return fail(Error::kStaleHandle);
  auto& impl = stack_->impl();
  const auto handle = listen_with(impl, options);
  if (!handle) return fail(handle.error());
  impl.listeners[handle->index] = {&handler, nullptr};
  return Listener(stack_, *handle);
}

Result<Listener, Error> Worker::listen(const ListenOptions& options,
                                       std::unique_ptr<HandlerFactory> factory) {
  if (stack_ == nullptr) return fail(Error::kStaleHandle);
  if (factory == nullptr) return fail(Error::kInvalidArgument);
  auto pool = std::make_unique<HandlerPool>(
      std::move(factory), stack_->impl().config.tcp.max_connections);  // setup: listeners are few
  return stack_->listen(options, std::move(pool));
}

Result<Stream, Error> Worker::connect(const ConnectOptions& options, StreamHandler* handler) {
  if (stack_ == nullptr) return fail(Error::kStaleHandle);
  auto& impl = stack_->impl();
  const auto congestion = tcp::algorithm_of(options.congestion);
  if (!options.congestion.empty() && !congestion) return fail(Error::kInvalidArgument);
  const auto connection = tcp::open(
      impl.engine.context(), {.remote = options.remote,
                              .local = options.local_address.value_or(
                                  options.remote.address.is_v4() ? IpAddr(Ipv4Addr{}) : IpAddr{}),
                              .local_port = options.local_port,
                              .congestion = congestion,
                              .is_traced = options.trace});
  if (!connection) return fail(connection.error());
  impl.streams[connection->index] = StreamApp::borrowed(handler);
  return impl.stream(connection->index);
}

Result<TimerHandle, Error> Worker::set_timer(Duration delay, TimerHandler& handler) {
  constexpr Duration kLongest = Duration::from_s(2'000'000);  // ticks are 31 bits of milliseconds
  if (stack_ == nullptr) return fail(Error::kStaleHandle);
  if (delay < Duration::zero() || delay > kLongest) return fail(Error::kInvalidArgument);
  auto& impl = stack_->impl();
  const std::uint32_t index = impl.timers.take();
  if (index == Slab<WorkerTimer>::kNone) return fail(Error::kNoBuffers);
  WorkerTimer& timer = impl.timers[index];
  timer.node = TimerNode{};
  timer.handler = &handler;
  impl.timer_wheel.arm(index, impl.engine.context().tick_after(delay));
  return TimerHandle{index, timer.generation};
}

void Worker::set_round_handler(RoundHandler* handler) {
  if (stack_ == nullptr) return;
  auto& impl = stack_->impl();
  impl.round_handler = handler;
  impl.round_due = handler == nullptr ? Instant::never() : now();
}

bool Worker::is_draining() const {
  return stack_ != nullptr && stack_->impl().engine.context().is_draining;
}

Result<void, Error> Worker::post(unsigned to, const Message& message) {
  if (stack_ == nullptr) return fail(Error::kStaleHandle);
  stack::PostOffice* const office = stack_->impl().post_office;
  return office == nullptr ? fail(Error::kInvalidArgument) : office->post(to, message);
}

Result<void, Error> Worker::set_message_handler(MessageHandler* handler) {
  if (stack_ == nullptr) return fail(Error::kStaleHandle);
  stack_->impl().message_handler = handler;
  return {};
}

void MessageHandler::on_post_room(Worker, unsigned) {}

void Worker::cancel_timer(TimerHandle timer) {
  if (stack_ == nullptr) return;
  auto& impl = stack_->impl();
  if (timer.index >= impl.timers.high_water()) return;
  WorkerTimer& at = impl.timers[timer.index];
  if (at.generation != timer.generation || !at.node.is_linked()) return;
  impl.timer_wheel.cancel(timer.index);
  ++at.generation;
  impl.timers.release(timer.index);
}

}  // namespace sluice

namespace sluice::stack {

Result<Listener, Error> Stack::listen(const ListenOptions& options,
                                      std::unique_ptr<HandlerPool> pool) {
  const auto handle = listen_with(*impl_, options);
  if (!handle) return fail(handle.error());
  impl_->listeners[handle->index] = {nullptr, std::move(pool)};
  return Listener(this, *handle);
}

bool Stack::unlisten(Port port, const std::optional<IpAddr>& address) {
  const tcp::ListenTable& listeners = impl_->engine.context().listeners;
  const IpAddr wanted = address.value_or(IpAddr{});
  const std::uint16_t found = listeners.find(wanted, port);
  if (found == ListenerHandle::kNone || listeners[found].address != wanted) return false;
  return Listener(this, {found, listeners[found].generation}).close().has_value();
}

}  // namespace sluice::stack
