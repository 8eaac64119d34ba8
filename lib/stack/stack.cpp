#include "stack/stack.hpp"

#include <algorithm>

#include "stack/impl.hpp"
#include "tcp/output/control.hpp"

namespace sluice::stack {
namespace {

tcp::Keys keys_of(const Secrets& secrets) {
  return {secrets.flow_table, secrets.first_numbers, secrets.ports, secrets.cookies};
}

}  // namespace

void Stack::plan_state(const StackConfig& config, unsigned worker,
                       std::vector<telemetry::SectionPlan>& plan) {
  plan.push_back({telemetry::SectionKind::kWorkerInfo, worker, sizeof(telemetry::WorkerInfo), 1});
  Network::plan(config, worker, plan);
  tcp::Engine::plan_state(config.tcp, worker, plan);
}

Stack::Impl::Impl(Stack& stack, const StackConfig& stack_config, const StackDeps& deps, Instant now)
    : self(stack),
      config(stack_config),
      worker(deps.worker),
      pools(deps.pools),
      metrics(deps.region.section<telemetry::Metrics>(telemetry::SectionKind::kMetrics,
                                                      deps.worker)[0]),
      info(deps.region.section<telemetry::WorkerInfo>(telemetry::SectionKind::kWorkerInfo,
                                                      deps.worker)[0]),
      rng(deps.seed),
      network(config, deps.region, deps.worker, rng, now),
      egress(config, {.network = network, .pools = pools, .metrics = metrics, .rng = rng}),
      ingress(config, {.network = network, .egress = egress, .pools = pools, .metrics = metrics}),
      engine(config.tcp,
             {.region = deps.region,
              .worker = deps.worker,
              .pools = pools,
              .paths = network,
              .keys = keys_of(deps.secrets),
              .seed = rng.next()},
             now),
      stream_memory(std::size_t{config.tcp.max_connections} * sizeof(StreamApp)),
      streams(reinterpret_cast<StreamApp*>(stream_memory.data()), config.tcp.max_connections),
      listeners(config.tcp.max_listeners),
      timer_memory(kWorkerTimers),
      timers(timer_memory),
      timer_wheel(TimerNodes{timer_memory.data()}, tick_at(now)),
      inbound(kBurst),
      errors(kBurst),
      outbound(kBurst) {
  network.set_home(deps.home);
  config.announces = config.announces && deps.worker == 0;
  if (config.announces) egress.announce(now);
}

Stack::Impl::~Impl() {
  const std::uint32_t used = engine.context().tcbs.high_water();
  for (std::uint32_t index = 0; index < used; ++index) free_handler(index);
}

Stack::Stack(const StackConfig& config, const StackDeps& deps, Instant now)
    : impl_(std::make_unique<Impl>(*this, config, deps, now)) {}  // setup: once a worker

Stack::~Stack() = default;

unsigned Stack::attach(const packet::PortCapabilities& capabilities, const MacAddr& mac,
                       unsigned interface_index) {
  return impl_->egress.attach(capabilities, mac, interface_index);
}

const ip::PrefixFilter* Stack::set_prefix_filter(const ip::PrefixFilter* filter) {
  return impl_->ingress.set_prefix_filter(filter);
}

Result<void, ChangeError> Stack::change(const NetworkChange& change, ChangeUndo& undo,
                                        Instant now) {
  const auto result = impl_->egress.change(change, undo, now);
  if (result && change.kind == NetworkChange::Kind::kAddAddress && impl_->config.announces)
    impl_->egress.announce(now);
  impl_->hand_reports_to_engine(now);
  return result;
}

void Stack::revert(const ChangeUndo& undo, Instant now) {
  impl_->egress.revert(undo, now);
  impl_->hand_reports_to_engine(now);
}

void Stack::reconfigure(const StackConfig& next) {
  StackConfig& config = impl_->config;
  config.receive_low_watermark_pkts = next.receive_low_watermark_pkts;
  config.tcp = next.tcp;
  impl_->engine.reconfigure(next.tcp);
  impl_->egress.set_ttl(next.ttl);
  impl_->ingress.set_icmp_limits({.error = next.icmp_error_limit, .echo = next.echo_limit});
  impl_->network.neighbors().set_options(neighbor_options(next));
}

void Stack::set_post_office(PostOffice* office) {
  impl_->post_office = office;
}
MessageHandler* Stack::message_handler() const {
  return impl_->message_handler;
}

void Stack::Impl::count_spare_buffers() {
  const std::uint32_t free = packet::available(*pools.receive);
  const std::uint32_t low = config.receive_low_watermark_pkts;
  engine.context().spare_buffers = free > low ? free - low : 0;
}

/// Somebody's send() found no buffer or record, and there are some now.
bool Stack::Impl::can_feed() const {
  const tcp::Context& ctx = engine.context();
  return ctx.starving_left > 0 && !ctx.is_low_on_buffers() && !ctx.sends.slab.is_full();
}

void Stack::receive(unsigned port, std::span<rte_mbuf* const> frames, Instant now) {
  Impl& my = *impl_;
  // Asking a mempool costs a sum over its caches: once a burst, not once a packet.
  my.count_spare_buffers();
  while (!frames.empty()) {
    const auto chunk = frames.first(std::min(frames.size(), Impl::kBurst));
    frames = frames.subspan(chunk.size());
    const Ingress::Yield yield = my.ingress.process(port, chunk, now, my.inbound, my.errors);
    my.engine.receive(std::span(my.inbound).first(yield.segments), now);
    for (std::size_t i = 0; i < yield.errors; ++i) {
      const bool is_matched = my.engine.on_icmp_error(my.errors[i], now);
      my.metrics.count(is_matched ? telemetry::Outcome::kIcmpErrorDelivered
                                  : telemetry::Outcome::kIcmpErrorUnmatched);
    }
  }
}

std::size_t Stack::take_reassembled(std::span<rte_mbuf*> out) {
  return impl_->ingress.take_reassembled(out);
}

void Stack::advance(Instant now) {
  Impl& my = *impl_;
  my.ingress.advance(now);
  tcp::Context& ctx = my.engine.context();
  // While nothing arrives, only this sees that buffers came back: send() would refuse for ever, and
  // connections would be shed for nothing.
  if (ctx.is_low_on_buffers() || my.engine.overload().pressure() != tcp::Pressure::kCalm)
    my.count_spare_buffers();
  const auto feed = [&] {
    if (my.can_feed()) tcp::feed_starving(ctx);
  };
  my.egress.advance(now);
  my.hand_reports_to_engine(now);
  my.engine.advance(now);
  feed();  // behind the timers, which may have freed what was lacking
  my.timer_wheel.advance(ctx.tick, Impl::kWorkerTimers, [&](std::uint32_t index) {
    WorkerTimer& timer = my.timers[index];
    TimerHandler* const handler = timer.handler;
    ++timer.generation;
    my.timers.release(index);
    my.metrics.count(telemetry::TimerKind::kApplication);
    handler->on_timer();
  });
  if (ctx.is_draining) tcp::drain_idle(ctx, 4096, my.drain_cursor);
  const bool was_full = ctx.sends.slab.is_full();
  my.dispatch();
  if (was_full) feed();  // an application let go: nothing else would wake the worker
  if (my.round_handler != nullptr) my.round_due = my.round_handler->on_round(now);
}

std::size_t Stack::transmit(unsigned port, std::span<rte_mbuf*> out, Instant now) {
  Impl& my = *impl_;
  for (;;) {
    // The engine is asked only for what the queues can take: a full port slows the connections.
    const std::size_t room = std::min(my.egress.room(), Impl::kBurst);
    if (room == 0 || !my.engine.has_output()) break;
    const auto filled = my.engine.transmit(std::span(my.outbound).first(room), now);
    for (std::size_t i = 0; i < filled.packets; ++i) my.egress.send(std::move(my.outbound[i]), now);
    if (filled.segments < room) break;
  }
  my.hand_reports_to_engine(now);
  return my.egress.fill(port, out);
}

void Stack::Impl::hand_reports_to_engine(Instant now) {
  for (const tcp::IcmpError& report : egress.reports()) engine.on_icmp_error(report, now);
  egress.clear_reports();
}

Instant Stack::next_deadline() const {
  const Impl& my = *impl_;
  Instant next = std::min({my.engine.next_deadline(), my.egress.next_deadline(),
                           my.ingress.next_deadline(), my.round_due});
  Tick when;
  if (my.timer_wheel.next_event(when)) {
    const tcp::Context& ctx = my.engine.context();
    next = std::min(next, start_of_tick(ctx.now, when));
  }
  return has_work() || my.can_feed() ? my.engine.context().now : next;
}

bool Stack::has_work() const {
  const Impl& my = *impl_;
  const tcp::Context& ctx = my.engine.context();
  return my.engine.has_output() || my.egress.has_frames() || !ctx.events.is_empty() ||
         ctx.acceptable_listeners != 0;
}

void Stack::publish(Instant now) {
  Impl& my = *impl_;
  tcp::Context& ctx = my.engine.context();
  ctx.publish();
  const std::size_t faulted =
      my.stream_memory.use(sizeof(StreamApp) * std::size_t{ctx.tcbs.high_water()});
  if (faulted != 0) my.metrics.count(telemetry::Counter::kPagesFaulted, faulted);
  static_assert(sizeof(SeqVersion) == sizeof my.info.version);
  SeqVersion& version = reinterpret_cast<SeqVersion&>(my.info.version);
  version.begin_write();
  my.info.tick = tick_at(now);
  my.info.last_round = now.ns();
  my.info.tcbs_in_use = ctx.tcbs.used();
  my.info.half_open_in_use = ctx.half_opens.used();
  my.info.time_wait_in_use = ctx.time_wait4.in_use() + ctx.time_wait6.in_use();
  my.info.receive_mbufs_free = packet::available(*my.pools.receive);
  my.info.control_mbufs_free = packet::available(*my.pools.control);
  my.info.draining = ctx.is_draining ? 1 : 0;
  version.end_write();
}

void Stack::begin_drain(Instant now) {
  tcp::Context& ctx = impl_->engine.context();
  ctx.set_now(now);
  ctx.is_draining = true;
}

bool Stack::is_drained() const {
  return impl_->engine.context().connections == 0;
}

bool Stack::has_control_waiting() const {
  return !impl_->engine.context().control.is_empty();
}

std::uint32_t Stack::reset_all(Instant now, Telling telling) {
  tcp::Context& ctx = impl_->engine.context();
  ctx.set_now(now);
  std::uint32_t count = 0;
  for (std::uint32_t index = 0; index < ctx.tcbs.high_water(); ++index) {
    if (telling == Telling::kEach && ctx.control.is_full()) break;
    const tcp::Tcb& block = ctx.tcb(index);
    if (block.state == tcp::State::kClosed || block.has(tcp::kDetached)) continue;
    static_cast<void>(tcp::abort(ctx, tcp::handle_of(ctx, index), CloseReason::kShutdown));
    ++count;
  }
  return count;
}

Worker Stack::worker() {
  return Worker(this);
}
std::vector<GrowingMemory*> Stack::growing_memory() {
  const auto memory = impl_->engine.context().growing_memory();
  std::vector<GrowingMemory*> all(memory.begin(), memory.end());
  all.push_back(&impl_->stream_memory);
  return all;
}

const telemetry::Metrics& Stack::metrics() const {
  return impl_->metrics;
}

}  // namespace sluice::stack
