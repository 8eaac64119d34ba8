#include "runtime/waker.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace sluice::runtime {

static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));

void Waker::wait(Instant until) {
  const timespec time{static_cast<time_t>(until.ns() / 1'000'000'000),
                      static_cast<long>(until.ns() % 1'000'000'000)};
  // FUTEX_WAIT_BITSET takes an absolute time of CLOCK_MONOTONIC.
  static_cast<void>(::syscall(SYS_futex, &state_, FUTEX_WAIT_BITSET_PRIVATE, kAsleep, &time,
                              nullptr, FUTEX_BITSET_MATCH_ANY));
}

void Waker::end_wait() {
  static_cast<void>(::syscall(SYS_futex, &state_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0));
}

}  // namespace sluice::runtime
