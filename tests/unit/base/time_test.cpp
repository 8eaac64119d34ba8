#include "base/time.hpp"

#include <catch2/catch.hpp>

using namespace sluice;

TEST_CASE("an instant plus an infinite duration is never", "[base][time]") {
  REQUIRE((Instant::from_ns(5) + Duration::infinite()).is_never());
  REQUIRE((Instant::never() + Duration::from_s(1)).is_never());
  REQUIRE(Instant::from_ns(1LL << 62) < Instant::never());
}

TEST_CASE("durations convert between units by truncation", "[base][time]") {
  constexpr Duration d = Duration::from_us(1'234'567);
  STATIC_REQUIRE(d.ns() == 1'234'567'000);
  STATIC_REQUIRE(d.us() == 1'234'567);
  STATIC_REQUIRE(d.ms() == 1'234);
  STATIC_REQUIRE(d.s() == 1);
  STATIC_REQUIRE(d / Duration::from_ms(100) == 12);
  STATIC_REQUIRE((d * 2 - d) / 1 == d);
}

TEST_CASE("the distance of two instants is signed", "[base][time]") {
  const Instant early = Instant::from_ns(10);
  const Instant late = early + Duration::from_ns(5);
  REQUIRE((late - early) == Duration::from_ns(5));
  REQUIRE((early - late) == Duration::from_ns(-5));
  REQUIRE((late - Duration::from_ns(5)) == early);
}
