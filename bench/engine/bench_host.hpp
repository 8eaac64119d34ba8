#pragma once

// One stack in memory, without devices: the thing that is measured.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "drivers/dpdk/pool.hpp"
#include "sluice/worker.hpp"
#include "stack/stack.hpp"

namespace sluice::bench {

/// A stack at 10.0.0.2 on one port with checksum offload both ways (as the NICs it is meant for),
/// its peer 10.0.0.1 a static neighbour and the gateway to all others. Its pools are those of a
/// server, with caches. Time moves only by run() and pass().
class BenchHost {
 public:
  static stack::StackConfig default_config();

  /// `name` is that of its pools: one a host.
  explicit BenchHost(const stack::StackConfig& config = default_config(),
                     const std::string& name = "bench");

  Worker worker() { return stack_->worker(); }
  rte_mempool& pool() { return *pools_.get().receive; }
  const telemetry::Metrics& metrics() const { return stack_->metrics(); }

  /// One turn of a poll loop: takes `frames` (and their ownership), answers into `answers`.
  [[gnu::noinline]] void run(std::span<rte_mbuf* const> frames, std::vector<rte_mbuf*>& answers);
  /// TSC cycles spent in run() since the last call.
  std::uint64_t take_cycles() { return std::exchange(cycles_, 0); }
  void pass(Duration time) { now_ = now_ + time; }
  /// What a server's control thread does beside its workers, so that they meet no page fault.
  void populate_ahead() {
    for (GrowingMemory* memory : stack_->growing_memory()) memory->populate_ahead();
  }

 private:
  void turn(std::span<rte_mbuf* const> frames, std::vector<rte_mbuf*>& answers);

  drivers::WorkerPools pools_;
  std::unique_ptr<telemetry::StateRegion> region_;
  std::unique_ptr<stack::Stack> stack_;
  Instant now_ = Instant::from_ns(1'000'000'000);
  std::uint64_t cycles_ = 0;
  unsigned port_ = 0;
};

}  // namespace sluice::bench
