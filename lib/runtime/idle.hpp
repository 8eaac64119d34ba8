#pragma once

#include <cstdint>
#include <optional>

#include "base/time.hpp"
#include "runtime/clock.hpp"

namespace sluice::runtime {

/// What a worker does after a round that found nothing: spin, then yield, then sleep ever longer,
/// so that a laptop stays cool and a frame still waits no longer than `max_sleep`. While the last
/// work is less than kCalmAfter ago, more is likely: then no longer than kBriskSleep either.
class IdlePolicy {
 public:
  struct Limits {
    std::uint32_t spin_rounds = 500;
    std::uint32_t yield_rounds = 50;
    Duration max_sleep = Duration::from_ms(1);  ///< Zero: spins for ever.
  };
  static constexpr Duration kCalmAfter = Duration::from_ms(100);
  static constexpr Duration kBriskSleep = Duration::from_us(200);
  enum class Action : std::uint8_t { kSpin, kYield, kSleep };

  explicit IdlePolicy(Limits limits) : limits_(limits) {}

  void on_work() { idle_rounds_ = 0; }
  void set_limits(Limits limits) { *this = IdlePolicy(limits); }
  /// Decides for one more idle round. `sleep_until` is set for kSleep, and never lies beyond
  /// `deadline`.
  Action on_idle(Instant now, Instant deadline, Instant& sleep_until);
  /// Decides, and spins or yields. Gives until when the worker is to sleep, if that is what it is
  /// to do.
  std::optional<Instant> pause(const Clock& clock, Instant now, Instant deadline);

 private:
  static constexpr Duration kFirstSleep = Duration::from_us(10);

  Limits limits_;
  std::uint32_t idle_rounds_ = 0;
  Instant idle_since_;
  Duration sleep_ = kFirstSleep;
};

}  // namespace sluice::runtime
