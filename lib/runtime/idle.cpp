#include "runtime/idle.hpp"

#include <rte_pause.h>
#include <sched.h>

#include <algorithm>

namespace sluice::runtime {

IdlePolicy::Action IdlePolicy::on_idle(Instant now, Instant deadline, Instant& sleep_until) {
  const std::uint32_t round = idle_rounds_;
  if (round == 0) idle_since_ = now;
  if (limits_.max_sleep == Duration::zero() || round < limits_.spin_rounds) {
    if (limits_.max_sleep != Duration::zero()) ++idle_rounds_;
    return Action::kSpin;
  }
  if (round - limits_.spin_rounds < limits_.yield_rounds) {
    ++idle_rounds_;
    sleep_ = kFirstSleep;
    return Action::kYield;
  }
  if (limits_.yield_rounds == 0 && round == limits_.spin_rounds) {
    sleep_ = kFirstSleep;
    ++idle_rounds_;
  }
  sleep_until = std::min(now + sleep_, deadline);
  const bool is_calm = now - idle_since_ >= kCalmAfter;
  sleep_ =
      std::min(sleep_ * 2, is_calm ? limits_.max_sleep : std::min(limits_.max_sleep, kBriskSleep));
  return sleep_until <= now ? Action::kSpin : Action::kSleep;
}

std::optional<Instant> IdlePolicy::pause(const Clock& clock, Instant now, Instant deadline) {
  // Nothing comes in by itself while virtual time stands: go on to what is due, in steps that
  // exit_when_idle can count.
  if (clock.is_virtual()) return std::min(deadline, now + Duration::from_ms(1));
  Instant until;
  switch (on_idle(now, deadline, until)) {
    case Action::kSpin:
      rte_pause();
      return std::nullopt;
    case Action::kYield:
      ::sched_yield();
      return std::nullopt;
    case Action::kSleep:
      return until;
  }
  return std::nullopt;
}

}  // namespace sluice::runtime
