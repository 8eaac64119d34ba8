#pragma once

#include <signal.h>

#include <atomic>

namespace sluice::runtime {

/// How urgently the workers are to stop: 0 serve, 1 drain, 2 or more reset at once.
using StopLevel = std::atomic<int>;

/// While it lives, SIGINT and SIGTERM each raise a StopLevel by one. One at a time in a process:
/// throws SetupError if there is another.
class SignalStop {
 public:
  explicit SignalStop(StopLevel& level);
  ~SignalStop();
  SignalStop(const SignalStop&) = delete;
  SignalStop& operator=(const SignalStop&) = delete;

 private:
  struct sigaction old_interrupt_ {};
  struct sigaction old_terminate_ {};
};

}  // namespace sluice::runtime
