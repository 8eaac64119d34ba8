#pragma once

#include <time.h>

namespace sluice::bench {

/// Seconds that this thread has run: on a shared machine the time of others does not count.
inline double cpu_seconds() {
  timespec at{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
  return static_cast<double>(at.tv_sec) + 1e-9 * static_cast<double>(at.tv_nsec);
}

}  // namespace sluice::bench
