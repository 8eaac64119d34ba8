#pragma once

#include <array>
#include <memory>
#include <vector>

#include "packet/port.hpp"
#include "runtime/clock.hpp"
#include "runtime/exchange.hpp"
#include "runtime/idle.hpp"
#include "runtime/loop_options.hpp"
#include "runtime/orders.hpp"
#include "runtime/post.hpp"
#include "runtime/remote_queue.hpp"
#include "runtime/source_filter.hpp"
#include "runtime/stop.hpp"
#include "runtime/waker.hpp"
#include "runtime/worker_group.hpp"
#include "stack/port_record.hpp"
#include "stack/stack.hpp"
#include "telemetry/metrics.hpp"

namespace sluice::runtime {

/// One worker: the poll loop around a stack and its (port, queue) pairs. Lives on one thread.
class WorkerLoop {
 public:
  /// All borrowed. `metrics` are the stack's own, written by this thread only.
  WorkerLoop(stack::Stack& stack, telemetry::Metrics& metrics, Clock clock,
             const LoopOptions& options);
  ~WorkerLoop();
  WorkerLoop(const WorkerLoop&) = delete;
  WorkerLoop& operator=(const WorkerLoop&) = delete;

  /// All borrowed.
  struct PortOptions {
    packet::PortQueue& queue;
    unsigned device;  ///< By this number other workers name it.
    stack::PortCounts& counts;
    bool is_polled;  ///< Something comes in by it.
  };
  void add_port(const PortOptions& options);
  /// By which the stack gets newer source filters. Borrowed.
  void set_filter_handover(SourceFilter::Handover& handover) { filter_handover_ = &handover; }
  /// One of the workers of `group`, woken by `waker` (null: it never sleeps). Both borrowed.
  void join(WorkerGroup& group, Waker* waker) {
    group_ = &group;
    waker_ = waker;
  }
  void set_exchange(std::unique_ptr<Exchange> exchange) { exchange_ = std::move(exchange); }
  /// Frames of another worker, to be sent by a queue of this one. Borrowed.
  void add_handover(TxHandover& handover) { handovers_.push_back(&handover); }
  /// By which it is given orders, and its application messages. Borrowed.
  void set_mail(OrderPlace& orders, PostBox& box);

  /// Serves until `stop` is raised (raises it itself when idle for long enough), then drains. Gives
  /// how many connections had to be reset.
  std::uint32_t run(StopLevel& stop);

 private:
  struct Port {
    packet::PortQueue* queue;
    unsigned number;  ///< The stack's.
    unsigned device;
    stack::PortCounts* counts;
    bool is_polled;
    std::array<rte_mbuf*, kBurst> untaken;
    std::size_t untaken_count = 0;
  };

  bool round(Instant now);
  bool take_order(Instant now);
  bool poll(Port& port, Instant now);
  void spread_reassembled(unsigned device, Instant now);
  bool transmit(Port& port, Instant now);
  bool send_for_others(Instant now);
  void rest(Instant now, Instant deadline);
  void stop_if_all_idle(Instant now, StopLevel& stop);
  std::uint32_t drain(const StopLevel& stop);
  void flush();

  stack::Stack& stack_;
  telemetry::Metrics& metrics_;
  Clock clock_;
  LoopOptions options_;
  IdlePolicy idle_;
  WorkerGroup* group_ = nullptr;
  Waker* waker_ = nullptr;
  std::unique_ptr<Exchange> exchange_;  ///< Null: no other worker.
  std::vector<TxHandover*> handovers_;
  SourceFilter::Handover* filter_handover_ = nullptr;
  OrderPlace* orders_ = nullptr;
  PostBox* box_ = nullptr;
  std::vector<std::unique_ptr<Port>> ports_;
  std::vector<unsigned> number_of_device_;  ///< The stack's number of each.
  std::array<rte_mbuf*, kBurst> frames_{};
  Instant last_frame_;
  bool is_idle_ = false;  ///< For so long that it counts in WorkerGroup::idle.
};

}  // namespace sluice::runtime
