#pragma once

#include <cstdint>

#include "base/time.hpp"

namespace sluice::runtime {

/// Time for one worker: CLOCK_MONOTONIC (vDSO, about 60 cycles, read once a round), or a virtual
/// clock that makes a replay give the same answers each time.
class Clock {
 public:
  enum class Kind : std::uint8_t { kMonotonic, kVirtual };

  explicit Clock(Kind kind) : kind_(kind) {}

  /// Virtual time moves 1 us a call.
  Instant now();
  /// Returns at `until` or a little later; earlier if a signal came (net_tap has one for every
  /// frame that comes in). Virtual time jumps.
  void sleep_until(Instant until);
  bool is_virtual() const { return kind_ == Kind::kVirtual; }
  /// What to add to an Instant's nanoseconds to have the time of day.
  std::int64_t wall_anchor_ns() const;

 private:
  Kind kind_;
  Instant virtual_now_ = Instant::from_ns(1'000'000'000);
};

}  // namespace sluice::runtime
