#include "runtime/worker_loop.hpp"

#include <rte_mbuf.h>

#include <algorithm>
#include <optional>

namespace sluice::runtime {
namespace {

/// How long a worker waits, at its end, for ports and other workers.
constexpr Duration kFlushTime = Duration::from_ms(100);
/// While it drains it looks so often whether the others are done.
constexpr Duration kDrainLook = Duration::from_ms(1);

}  // namespace

WorkerLoop::WorkerLoop(stack::Stack& stack, telemetry::Metrics& metrics, Clock clock,
                       const LoopOptions& options)
    : stack_(stack), metrics_(metrics), clock_(clock), options_(options), idle_(options.idle) {}

WorkerLoop::~WorkerLoop() {
  for (const auto& port : ports_)
    rte_pktmbuf_free_bulk(port->untaken.data(), static_cast<unsigned>(port->untaken_count));
}

void WorkerLoop::add_port(const PortOptions& options) {
  const unsigned number = stack_.attach(options.queue.capabilities(), options.queue.mac(), 0);
  ports_.push_back(std::make_unique<Port>(
      Port{&options.queue, number, options.device, &options.counts, options.is_polled, {}, 0}));
  if (options.device >= number_of_device_.size()) number_of_device_.resize(options.device + 1);
  number_of_device_[options.device] = number;
}

void WorkerLoop::set_mail(OrderPlace& orders, PostBox& box) {
  orders_ = &orders;
  box_ = &box;
  stack_.set_post_office(&box);
}

std::uint32_t WorkerLoop::run(StopLevel& stop) {
  Instant now = clock_.now();
  last_frame_ = now;
  while (stop.load(std::memory_order_acquire) == 0) {
    const bool worked = round(now);
    if (options_.exit_when_idle != Duration::zero()) stop_if_all_idle(now, stop);
    if (worked) {
      idle_.on_work();
    } else {
      metrics_.count(telemetry::Counter::kIdleRounds);
      rest(now, stack_.next_deadline());
    }
    // The clock is read once a round: where this one ends, the next begins.
    const Instant next = clock_.now();
    if (worked)
      metrics_.count(telemetry::Counter::kBusyTime, static_cast<std::uint64_t>((next - now).ns()));
    now = next;
  }
  return drain(stop);
}

bool WorkerLoop::round(Instant now) {
  if (filter_handover_ != nullptr)
    filter_handover_->take(
        [this](const ip::PrefixFilter* next) { return stack_.set_prefix_filter(next); });
  bool worked = exchange_ != nullptr &&
                exchange_->take([&](unsigned device, std::span<rte_mbuf* const> frames) {
                  stack_.receive(number_of_device_[device], frames, now);
                  spread_reassembled(device, now);
                });
  if (worked) last_frame_ = now;
  worked |= take_order(now);
  for (const auto& port : ports_)
    if (port->is_polled) worked |= poll(*port, now);
  stack_.advance(now);
  worked |= box_ != nullptr && box_->deliver(stack_);
  for (const auto& port : ports_) worked |= transmit(*port, now);
  worked |= send_for_others(now);
  stack_.publish(now);
  return worked;
}

bool WorkerLoop::take_order(Instant now) {
  if (orders_ == nullptr || !orders_->is_offered()) return false;
  orders_->take({stack_.worker().index(), stack_, options_, now});
  idle_.set_limits(options_.idle);
  return true;
}

bool WorkerLoop::poll(Port& port, Instant now) {
  std::size_t count = port.queue->rx_burst(frames_, now);
  if (count == 0) return false;
  last_frame_ = now;
  telemetry::Metrics::bump(port.counts->received, count);
  if (exchange_ != nullptr)
    count = exchange_->keep_ours(std::span(frames_).first(count), port.device);
  if (count > 0) {
    stack_.receive(port.number, std::span(frames_).first(count), now);
    if (exchange_ != nullptr) spread_reassembled(port.device, now);
  }
  return true;
}

/// The fragments of a datagram meet at one worker; what they make goes to its owner.
void WorkerLoop::spread_reassembled(unsigned device, Instant now) {
  while (std::size_t count = stack_.take_reassembled(frames_)) {
    count = exchange_->keep_ours(std::span(frames_).first(count), device, Origin::kHere);
    if (count > 0) stack_.receive(number_of_device_[device], std::span(frames_).first(count), now);
  }
}

void WorkerLoop::rest(Instant now, Instant deadline) {
  const std::optional<Instant> until = idle_.pause(clock_, now, deadline);
  if (!until) return;
  if (waker_ == nullptr || clock_.is_virtual()) return clock_.sleep_until(*until);
  waker_->sleep_until(*until, [this] {
    return (exchange_ != nullptr && exchange_->has_mail()) ||
           (orders_ != nullptr && orders_->is_offered()) ||
           (box_ != nullptr && box_->has_messages(stack_)) ||
           std::any_of(handovers_.begin(), handovers_.end(),
                       [](const TxHandover* handover) { return handover->has_frames(); });
  });
}

void WorkerLoop::stop_if_all_idle(Instant now, StopLevel& stop) {
  const bool is_idle = now - last_frame_ >= options_.exit_when_idle;
  if (is_idle != is_idle_) {
    is_idle_ = is_idle;
    is_idle ? ++group_->idle : --group_->idle;
  }
  if (is_idle && group_->idle == group_->count) stop.fetch_add(1, std::memory_order_release);
}

bool WorkerLoop::transmit(Port& port, Instant now) {
  bool worked = false;
  for (;;) {
    // What the port left goes first; new frames are taken from the stack only behind it, so a slow
    // port pushes back into send queues instead of growing one here.
    const std::size_t old = port.untaken_count;
    std::size_t count = old;
    count += stack_.transmit(port.number, std::span(port.untaken).subspan(old), now);
    if (count == 0) return worked;
    const std::size_t taken = port.queue->tx_burst(std::span(port.untaken).first(count), now);
    std::copy(port.untaken.begin() + static_cast<std::ptrdiff_t>(taken),
              port.untaken.begin() + static_cast<std::ptrdiff_t>(count), port.untaken.begin());
    port.untaken_count = count - taken;
    if (old > 0) metrics_.count(telemetry::Counter::kTxPortFull, std::min(old, taken));
    worked |= taken > 0;
    if (port.untaken_count > 0 || count < kBurst) return worked;
  }
}

bool WorkerLoop::send_for_others(Instant now) {
  bool worked = false;
  for (TxHandover* const handover : handovers_) worked |= handover->send(now);
  return worked;
}

std::uint32_t WorkerLoop::drain(const StopLevel& stop) {
  const Instant start = clock_.now();
  const Instant deadline = start + options_.drain_timeout;
  stack_.begin_drain(start);
  idle_.on_work();
  // Who is done polls on for the others, whose frames may come in here.
  bool is_serving = true;
  for (;;) {
    const Instant now = clock_.now();
    const bool worked = round(now);
    if (is_serving && stack_.is_drained()) {
      is_serving = false;
      --group_->serving;
    }
    if (group_->serving == 0) break;
    if (now >= deadline || stop.load(std::memory_order_acquire) > 1) break;
    if (worked)
      idle_.on_work();
    else
      rest(now, std::min({deadline, stack_.next_deadline(), now + kDrainLook}));
  }
  if (is_serving) --group_->serving;
  std::uint32_t reset = 0;
  auto telling = stack::Stack::Telling::kEach;
  do {
    reset += stack_.reset_all(clock_.now(), telling);
    flush();
    // A port whose peer is gone takes none of them, ever.
    if (stack_.has_control_waiting()) telling = stack::Stack::Telling::kWhereThereIsRoom;
  } while (!stack_.is_drained());
  if (orders_ != nullptr) orders_->close();
  if (box_ != nullptr) box_->close();
  --group_->sending;
  for (const Instant end = clock_.now() + kFlushTime; clock_.now() < end;)
    if (!send_for_others(clock_.now()) && group_->sending == 0) break;
  return reset;
}

void WorkerLoop::flush() {
  // The last ACKs and RSTs still have to leave; a port that takes none does not keep us.
  const Instant deadline = clock_.now() + kFlushTime;
  for (Instant now = clock_.now(); now < deadline; now = clock_.now()) {
    stack_.advance(now);
    bool waits = false;
    bool worked = send_for_others(now);
    for (const auto& port : ports_) {
      worked |= transmit(*port, now);
      waits |= port->untaken_count > 0;
    }
    if (!worked && !waits) break;
  }
  stack_.publish(clock_.now());
}

}  // namespace sluice::runtime
