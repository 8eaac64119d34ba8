#pragma once

// Puts into words what changes at the gate. The engine writes records and no text; the control
// thread reads them as sluicectl would, so that a log that is read slowly stops no worker.

#include <cstdint>
#include <string>
#include <vector>

#include "tcp/gate/gate_record.hpp"
#include "tcp/tcb.hpp"
#include "telemetry/region.hpp"

namespace sluice::runtime {

/// Compares the records of all workers with how they were at the last call.
class GateLog {
 public:
  /// Borrows the region.
  explicit GateLog(telemetry::StateRegion& region)
      : view_(telemetry::RegionView::over(region)), workers_(view_.workers()) {}

  /// One line for each listener that changed its state, or began or ended to answer by cookies.
  std::vector<std::string> changes();

 private:
  struct Known {
    std::uint16_t generation = 0;
    tcp::GateState state = tcp::GateState::kCalm;
    bool is_sending_cookies = false;
  };
  void compare(std::uint32_t worker, std::size_t index, const tcp::ListenerRecord& listener,
               const tcp::GateRecord& gate, std::vector<std::string>& lines);
  std::string largest_sender(std::uint32_t worker) const;

  telemetry::RegionView view_;
  std::vector<std::vector<Known>> workers_;
};

}  // namespace sluice::runtime
