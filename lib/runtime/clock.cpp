#include "runtime/clock.hpp"

#include <time.h>

#include <algorithm>

namespace sluice::runtime {
namespace {

std::int64_t read(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

Instant Clock::now() {
  if (kind_ == Kind::kMonotonic) return Instant::from_ns(read(CLOCK_MONOTONIC));
  virtual_now_ = virtual_now_ + Duration::from_us(1);
  return virtual_now_;
}

void Clock::sleep_until(Instant until) {
  if (kind_ == Kind::kVirtual) {
    virtual_now_ = std::max(virtual_now_, until);
    return;
  }
  const timespec time{static_cast<time_t>(until.ns() / 1'000'000'000),
                      static_cast<long>(until.ns() % 1'000'000'000)};
  static_cast<void>(::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nullptr));
}

std::int64_t Clock::wall_anchor_ns() const {
  if (kind_ == Kind::kVirtual) return 0;
  return read(CLOCK_REALTIME) - read(CLOCK_MONOTONIC);
}

}  // namespace sluice::runtime
