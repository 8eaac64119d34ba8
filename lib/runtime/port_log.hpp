#pragma once

// Puts into words how the frames of ports find their workers, from the state region.

#include <string>
#include <vector>

#include "stack/port_record.hpp"
#include "telemetry/region.hpp"

namespace sluice::runtime {

/// "net_tap0: 2 queues, software steering (...)".
std::string describe(const stack::PortRecord& record);

/// Compares the verdicts on ports with how they were at the last call.
class PortLog {
 public:
  /// Borrows the region.
  explicit PortLog(telemetry::StateRegion& region);

  /// A line for every port of a runtime with several workers.
  std::vector<std::string> all() const;
  /// A line for each port whose start-up test has ended since.
  std::vector<std::string> changes();

 private:
  std::vector<stack::PortRecord> read() const;

  telemetry::RegionView view_;
  std::vector<stack::PortRecord> known_;
};

}  // namespace sluice::runtime
