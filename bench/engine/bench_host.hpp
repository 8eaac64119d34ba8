#pragma once

// One stack in memory, without devices: the thing that is measured.

#include <memory>
#include <span>
#include <vector>

#include "sluice/worker.hpp"
#include "stack/stack.hpp"
#include "tests/support/mbuf_pool.hpp"

namespace sluice::bench {

/// A stack at 10.0.0.2 on one port with checksum offload both ways (as the NICs it is meant for),
/// its peer 10.0.0.1 a static neighbour. Time moves only by run().
class BenchHost {
 public:
  static stack::StackConfig default_config();

  explicit BenchHost(const stack::StackConfig& config = default_config());

  Worker worker() { return stack_->worker(); }
  rte_mempool& pool() { return pools_.receive(); }
  const telemetry::Metrics& metrics() const { return stack_->metrics(); }

  /// One turn of a poll loop: takes `frames` (and their ownership), answers into `answers`.
  [[gnu::noinline]] void run(std::span<rte_mbuf* const> frames, std::vector<rte_mbuf*>& answers);
  void pass(Duration time) { now_ = now_ + time; }

 private:
  support::TestPools pools_;
  std::unique_ptr<telemetry::StateRegion> region_;
  std::unique_ptr<stack::Stack> stack_;
  Instant now_ = Instant::from_ns(1'000'000'000);
  unsigned port_ = 0;
};

}  // namespace sluice::bench
