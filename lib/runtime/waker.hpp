#pragma once

#include <atomic>
#include <cstdint>

#include "base/time.hpp"

namespace sluice::runtime {

/// Where a worker sleeps so that others can wake it: what was put into its mailboxes before it is
/// asleep, or while it is, ends the sleep. A wake-up takes the kernel some 5 to 50 us.
///
///     worker:  say "asleep" ── look into the mailboxes ── futex wait
///     other:   put it into the mailbox ── say "awake" ── it was asleep: futex wake
///
/// Both say it by one exchange on one word. So either the other's comes later, and it sees that the
/// worker sleeps; or earlier, and the worker sees the mail.
class Waker {
 public:
  /// Worker: until `until`, a wake() or a signal; not at all if `has_news()`.
  template <class HasNews>
  void sleep_until(Instant until, HasNews&& has_news) {
    state_.exchange(kAsleep, std::memory_order_acq_rel);
    if (!has_news()) wait(until);
    state_.store(kAwake, std::memory_order_relaxed);
  }

  /// Others, behind what they have put into a mailbox. About 20 cycles if it is awake.
  void wake() {
    if (state_.exchange(kAwake, std::memory_order_acq_rel) == kAsleep) end_wait();
  }

 private:
  static constexpr std::uint32_t kAwake = 0;
  static constexpr std::uint32_t kAsleep = 1;

  void wait(Instant until);
  void end_wait();

  alignas(64) std::atomic<std::uint32_t> state_ = kAwake;
};

}  // namespace sluice::runtime
