#pragma once

// Puts into words what hosts of the link claimed and the neighbour table refused. A cable loop or
// an attacker repeats it a million times: the log says it once per interval.

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "link/neighbor_record.hpp"
#include "telemetry/region.hpp"

namespace sluice::runtime {

class NeighborLog {
 public:
  static constexpr Duration kInterval = Duration::from_s(60);

  /// Borrows the region.
  explicit NeighborLog(telemetry::StateRegion& region)
      : view_(telemetry::RegionView::over(region)) {}

  /// At most one line for each kind of claim: the first is due at once, the next when there were
  /// more and an interval has passed since the one before.
  std::vector<std::string> due(Instant now);

 private:
  struct Said {
    std::uint64_t count = 0;  ///< Claims up to the last line.
    Instant at{};             ///< When the last line was said.
  };
  /// The sum of all workers' counts, and the last claim of all.
  link::NeighborAlarmRecord read(link::NeighborAlarm alarm) const;

  telemetry::RegionView view_;
  std::array<Said, link::kNeighborAlarms> said_{};
};

}  // namespace sluice::runtime
