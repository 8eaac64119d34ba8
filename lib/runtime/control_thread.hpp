#pragma once

// The thread beside the workers, for what may take its time: it writes logs and serves the
// operator's commands, and it makes memory present before a worker needs it. On one of the CPUs
// that EAL leaves to such threads.

#include <pthread.h>

#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "base/reserved_memory.hpp"
#include "runtime/clock.hpp"
#include "runtime/control_socket.hpp"
#include "runtime/gate_log.hpp"
#include "runtime/neighbor_log.hpp"
#include "runtime/orders.hpp"
#include "runtime/overload_log.hpp"
#include "runtime/port_log.hpp"
#include "runtime/reload.hpp"
#include "runtime/source_filter.hpp"
#include "telemetry/region.hpp"

namespace sluice::runtime {

class ControlThread {
 public:
  /// What is referred to outlives the thread.
  struct Deps {
    telemetry::StateRegion& region;
    SourceFilter& source_filter;
    Orders& orders;
    Reloader::Deps reload;
    std::string program;
    std::string instance;
    std::vector<GrowingMemory*> memory;  ///< Populated for a start before the thread runs.
  };
  /// Throws SetupError: no control socket. Without a thread the server runs on, and says so.
  explicit ControlThread(Deps deps);
  ~ControlThread();
  ControlThread(const ControlThread&) = delete;
  ControlThread& operator=(const ControlThread&) = delete;

 private:
  void run();
  void log(const std::string& line) const;
  std::size_t settle();
  void populate();
  std::vector<ControlCommand> commands(Orders& orders);
  Json reload();

  SourceFilter& source_filter_;
  std::string program_;
  Clock clock_{Clock::Kind::kMonotonic};
  GateLog gate_log_;
  NeighborLog neighbor_log_;
  OverloadLog overload_log_;
  PortLog port_log_;
  Reloader reloader_;
  std::optional<ControlSocket> socket_;
  std::vector<GrowingMemory*> memory_;
  std::atomic<bool> is_ending_ = false;
  bool is_running_ = false;
  pthread_t thread_{};
};

}  // namespace sluice::runtime
