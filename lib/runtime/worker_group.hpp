#pragma once

#include <atomic>

namespace sluice::runtime {

/// What the workers of a runtime must agree on. Touched when a worker changes its state, never for
/// a frame.
struct WorkerGroup {
  explicit WorkerGroup(unsigned workers) : count(workers), serving(workers), sending(workers) {}

  const unsigned count;
  std::atomic<unsigned> idle{0};  ///< Have had no frame for `exit_when_idle`.
  std::atomic<unsigned> serving;  ///< Have connections left. All poll until none has.
  std::atomic<unsigned> sending;  ///< May still hand over frames to be transmitted.
};

}  // namespace sluice::runtime
