#include "runtime/idle.hpp"

#include <catch2/catch.hpp>

namespace sluice::runtime {
namespace {

constexpr Instant kNow = Instant::from_ns(1'000'000'000);

TEST_CASE("an idle worker spins, then yields, then sleeps twice as long each time",
          "[runtime][idle]") {
  IdlePolicy idle({2, 1, Duration::from_us(35)});
  Instant until;
  using Action = IdlePolicy::Action;
  CHECK(idle.on_idle(kNow, Instant::never(), until) == Action::kSpin);
  CHECK(idle.on_idle(kNow, Instant::never(), until) == Action::kSpin);
  CHECK(idle.on_idle(kNow, Instant::never(), until) == Action::kYield);
  for (const int us : {10, 20, 35, 35}) {
    CHECK(idle.on_idle(kNow, Instant::never(), until) == Action::kSleep);
    CHECK(until == kNow + Duration::from_us(us));
  }
  idle.on_work();
  CHECK(idle.on_idle(kNow, Instant::never(), until) == Action::kSpin);
}

TEST_CASE("an idle worker never sleeps past the next deadline", "[runtime][idle]") {
  IdlePolicy idle({0, 0, Duration::from_us(200)});
  Instant until;
  const Instant deadline = kNow + Duration::from_us(5);
  CHECK(idle.on_idle(kNow, deadline, until) == IdlePolicy::Action::kSleep);
  CHECK(until == deadline);
  CHECK(idle.on_idle(kNow, kNow, until) == IdlePolicy::Action::kSpin);
}

TEST_CASE("a maximum of zero spins for ever", "[runtime][idle]") {
  IdlePolicy idle({0, 0, Duration::zero()});
  Instant until;
  for (int round = 0; round < 1000; ++round)
    REQUIRE(idle.on_idle(kNow, Instant::never(), until) == IdlePolicy::Action::kSpin);
}

TEST_CASE("virtual time goes on by rounds and jumps to what is due", "[runtime][clock]") {
  Clock a(Clock::Kind::kVirtual);
  Clock b(Clock::Kind::kVirtual);
  CHECK(a.now() == b.now());
  const Instant later = a.now() + Duration::from_s(5);
  a.sleep_until(later);
  CHECK(a.now() > later);
  a.sleep_until(kNow);
  CHECK(a.now() > later);
}

}  // namespace
}  // namespace sluice::runtime
