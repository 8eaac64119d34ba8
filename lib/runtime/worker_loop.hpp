#pragma once

#include <array>
#include <memory>
#include <vector>

#include "packet/port.hpp"
#include "runtime/clock.hpp"
#include "runtime/idle.hpp"
#include "runtime/source_filter.hpp"
#include "runtime/steering.hpp"
#include "runtime/stop.hpp"
#include "stack/stack.hpp"
#include "telemetry/metrics.hpp"

namespace sluice::runtime {

/// Frames moved in one call of a port.
inline constexpr std::size_t kBurst = 32;

struct LoopOptions {
  Duration drain_timeout;
  Duration exit_when_idle;  ///< Zero: never.
  IdlePolicy::Limits idle;
};

/// One worker: the poll loop around a stack and its (port, queue) pairs. Lives on one thread.
class WorkerLoop {
 public:
  /// All borrowed. `metrics` are the stack's own, written by this thread only.
  WorkerLoop(stack::Stack& stack, telemetry::Metrics& metrics, Clock clock,
             const LoopOptions& options);
  ~WorkerLoop();
  WorkerLoop(const WorkerLoop&) = delete;
  WorkerLoop& operator=(const WorkerLoop&) = delete;

  void add_port(packet::PortQueue& queue, unsigned interface_index);
  /// By which the stack gets newer source filters. Borrowed.
  void set_filter_handover(SourceFilter::Handover& handover) { filter_handover_ = &handover; }
  void set_exchange(Exchange exchange) { exchange_ = std::move(exchange); }

  /// Serves until `stop` is raised (raises it itself when idle for long enough), then drains. Gives
  /// how many connections had to be reset.
  std::uint32_t run(StopLevel& stop);

 private:
  struct Port {
    packet::PortQueue* queue;
    unsigned number;  ///< The stack's.
    std::array<rte_mbuf*, kBurst> untaken;
    std::size_t untaken_count = 0;
  };

  bool round(Instant now);
  bool take_handed_frames(Instant now);
  bool transmit(Port& port, Instant now);
  std::uint32_t drain(const StopLevel& stop);
  void flush();

  stack::Stack& stack_;
  telemetry::Metrics& metrics_;
  Clock clock_;
  LoopOptions options_;
  IdlePolicy idle_;
  Exchange exchange_;
  SourceFilter::Handover* filter_handover_ = nullptr;
  std::vector<std::unique_ptr<Port>> ports_;
  std::array<rte_mbuf*, kBurst> frames_{};
  Instant last_frame_;
};

}  // namespace sluice::runtime
