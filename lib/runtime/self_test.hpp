#pragma once

#include <atomic>
#include <cstdint>

#include "stack/port_record.hpp"

namespace sluice::runtime {

/// The start-up test of one port that says by what key and table it spreads flows: do frames come
/// by the queues, and with the hashes, that follow from them? No traffic can be made up, so the
/// first frames of peers answer. Shared by the workers; contended only until the verdict.
class SelfTest {
 public:
  /// `kEnough` flows in a row as predicted are a proof: by chance, on two queues, one in 2^64.
  static constexpr std::uint32_t kEnough = 64;
  /// Frames that came while the port was being set up may lie on any queue.
  static constexpr std::uint32_t kForgiven = 16;

  /// Publishes its verdict in `record`.
  SelfTest(stack::PortRecord& record, stack::PortVerdict verdict);

  stack::PortVerdict verdict() const { return verdict_.load(std::memory_order_relaxed); }
  bool is_pending() const { return verdict() == stack::PortVerdict::kPending; }

  /// One more flow while the test is pending.
  void note_as_predicted();
  void note_not_predicted();

 private:
  void conclude(stack::PortVerdict verdict);

  std::atomic<stack::PortVerdict> verdict_;
  std::atomic<std::uint32_t> in_a_row_ = 0;
  std::atomic<std::uint32_t> failures_ = 0;
  stack::PortRecord& record_;
};

}  // namespace sluice::runtime
