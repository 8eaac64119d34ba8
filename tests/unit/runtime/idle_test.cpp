#include "runtime/idle.hpp"

#include <catch2/catch.hpp>
#include <vector>

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

TEST_CASE("a worker that was idle for a while sleeps longer, up to its maximum",
          "[runtime][idle]") {
  const auto sleeps = [](Duration max_sleep) {
    IdlePolicy idle({0, 0, max_sleep});
    std::vector<std::int64_t> us;
    Instant now = kNow, until;
    const Instant end = kNow + Duration::from_ms(150);
    while (now < end && idle.on_idle(now, Instant::never(), until) == IdlePolicy::Action::kSleep) {
      if (us.empty() || us.back() != (until - now).us()) us.push_back((until - now).us());
      if (us.back() > 200) CHECK(now - kNow >= Duration::from_ms(100));
      now = until;
    }
    return us;
  };
  using Us = std::vector<std::int64_t>;
  CHECK(sleeps(Duration::from_ms(1)) == Us{10, 20, 40, 80, 160, 200, 400, 800, 1000});
  CHECK(sleeps(Duration::from_us(100)) == Us{10, 20, 40, 80, 100});

  IdlePolicy idle({0, 0, Duration::from_ms(1)});
  Instant until;
  for (int ms = 0; ms < 200; ++ms)
    idle.on_idle(kNow + Duration::from_ms(ms), Instant::never(), until);
  idle.on_work();
  const Instant later = kNow + Duration::from_s(1);
  idle.on_idle(later, Instant::never(), until);
  CHECK(until == later + Duration::from_us(10));
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
