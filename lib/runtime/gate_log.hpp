#pragma once

// Puts into words what changes at the gate. The engine writes records and no text; a thread beside
// the workers reads them as sluicectl would, so that a log that is read slowly stops no worker.

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/neighbor_log.hpp"
#include "runtime/overload_log.hpp"
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

/// Writes the changes, and what neighbours claimed, to standard error twice a second, and what
/// overload has shed once in ten seconds, from its construction to its end, on one of the CPUs that
/// EAL leaves to control threads.
class GateLogThread {
 public:
  GateLogThread(telemetry::StateRegion& region, std::string program);
  ~GateLogThread();
  GateLogThread(const GateLogThread&) = delete;
  GateLogThread& operator=(const GateLogThread&) = delete;

 private:
  void run();
  void print(const std::vector<std::string>& lines) const;

  GateLog log_;
  NeighborLog neighbors_;
  OverloadLog overload_;
  std::string program_;
  std::atomic<bool> is_ending_ = false;
  bool is_running_ = false;
  pthread_t thread_{};
};

}  // namespace sluice::runtime
