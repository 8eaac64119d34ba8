#include "runtime/worker_loop.hpp"

#include <rte_mbuf.h>

#include <algorithm>

namespace sluice::runtime {

WorkerLoop::WorkerLoop(stack::Stack& stack, telemetry::Metrics& metrics, Clock clock,
                       const LoopOptions& options)
    : stack_(stack), metrics_(metrics), clock_(clock), options_(options), idle_(options.idle) {}

WorkerLoop::~WorkerLoop() {
  for (const auto& port : ports_)
    rte_pktmbuf_free_bulk(port->untaken.data(), static_cast<unsigned>(port->untaken_count));
  for (Mailbox* mailbox : exchange_.in)
    if (mailbox != nullptr)
      mailbox->consume_all([](HandedFrame handed) { rte_pktmbuf_free(handed.frame); });
}

void WorkerLoop::add_port(packet::PortQueue& queue, unsigned interface_index) {
  const unsigned number = stack_.attach(queue.capabilities(), queue.mac(), interface_index);
  ports_.push_back(std::make_unique<Port>(Port{&queue, number, {}, 0}));
}

std::uint32_t WorkerLoop::run(StopLevel& stop) {
  last_frame_ = clock_.now();
  while (stop.load(std::memory_order_acquire) == 0) {
    const Instant now = clock_.now();
    if (round(now)) {
      idle_.on_work();
      continue;
    }
    if (options_.exit_when_idle != Duration::zero() && now - last_frame_ >= options_.exit_when_idle)
      stop.fetch_add(1, std::memory_order_release);
    idle_.wait(clock_, now, stack_.next_deadline());
  }
  return drain(stop);
}

bool WorkerLoop::round(Instant now) {
  if (filter_handover_ != nullptr)
    filter_handover_->take(
        [this](const ip::PrefixFilter* next) { return stack_.set_prefix_filter(next); });
  bool worked = !exchange_.is_alone() && take_handed_frames(now);
  for (const auto& port : ports_) {
    const std::size_t count = port->queue->rx_burst(frames_, now);
    if (count == 0) continue;
    worked = true;
    last_frame_ = now;
    const std::span<rte_mbuf* const> frames(frames_.data(), count);
    if (!exchange_.is_alone()) exchange_.hand_on(frames, port->number);
    stack_.receive(port->number, frames, now);
  }
  stack_.advance(now);
  for (const auto& port : ports_) worked |= transmit(*port, now);
  stack_.publish(now);
  return worked;
}

bool WorkerLoop::take_handed_frames(Instant now) {
  bool worked = false;
  for (Mailbox* mailbox : exchange_.in) {
    HandedFrame handed;
    while (mailbox != nullptr && mailbox->pop(handed)) {
      stack_.receive(handed.port, std::span(&handed.frame, 1), now);
      worked = true;
    }
  }
  return worked;
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

std::uint32_t WorkerLoop::drain(const StopLevel& stop) {
  const Instant start = clock_.now();
  const Instant deadline = start + options_.drain_timeout;
  stack_.begin_drain(start);
  idle_.on_work();
  for (;;) {
    const Instant now = clock_.now();
    const bool worked = round(now);
    if (stack_.is_drained()) break;
    if (now >= deadline || stop.load(std::memory_order_acquire) > 1) break;
    if (worked)
      idle_.on_work();
    else
      idle_.wait(clock_, now, std::min(deadline, stack_.next_deadline()));
  }
  std::uint32_t reset = 0;
  do {
    reset += stack_.reset_all(clock_.now());
    flush();
  } while (!stack_.is_drained());
  return reset;
}

void WorkerLoop::flush() {
  // The last ACKs and RSTs still have to leave; a port that takes none does not keep us.
  const Instant deadline = clock_.now() + Duration::from_ms(100);
  for (Instant now = clock_.now(); now < deadline; now = clock_.now()) {
    stack_.advance(now);
    bool waits = false;
    bool worked = false;
    for (const auto& port : ports_) {
      worked |= transmit(*port, now);
      waits |= port->untaken_count > 0;
    }
    if (!worked && !waits) break;
  }
  stack_.publish(clock_.now());
}

}  // namespace sluice::runtime
