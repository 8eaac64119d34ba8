#pragma once

// Puts into words what overload has made go (tcp/overload/), from the counters in the state region.

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "telemetry/metrics.hpp"
#include "telemetry/region.hpp"

namespace sluice::runtime {

/// Compares the counters of all workers with how they were at the last call.
class OverloadLog {
 public:
  /// Borrows the region.
  explicit OverloadLog(telemetry::StateRegion& region);

  /// One line for each worker that has shed something since. However much it was: whoever calls
  /// once in an interval logs a line an interval.
  std::vector<std::string> changes();

 private:
  struct Kind {
    telemetry::Counter counter;
    const char* text;
  };
  static constexpr std::array<Kind, 5> kKinds = {
      {{telemetry::Counter::kShedHalfOpen, "half-open"},
       {telemetry::Counter::kShedOutOfOrder, "queues behind gaps"},
       {telemetry::Counter::kShedOrphan, "orphans"},
       {telemetry::Counter::kShedIdle, "idle"},
       {telemetry::Counter::kShedSlowReader, "slow readers"}}};

  telemetry::RegionView view_;
  std::vector<std::array<std::uint64_t, kKinds.size()>> known_;
};

}  // namespace sluice::runtime
