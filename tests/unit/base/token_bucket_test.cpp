#include "base/token_bucket.hpp"

#include <catch2/catch.hpp>

using namespace sluice;

namespace {
int take_all(TokenBucket& bucket, Instant now) {
  int taken = 0;
  while (taken < 1'000'000 && bucket.take(now)) ++taken;
  return taken;
}
}  // namespace

TEST_CASE("a token bucket admits its burst at once, then its rate", "[base][token_bucket]") {
  TokenBucket bucket({.rate_per_s = 100, .burst = 5});
  Instant now = Instant::from_ns(123'456'789);
  REQUIRE(take_all(bucket, now) == 5);
  now = now + Duration::from_ms(9);
  REQUIRE_FALSE(bucket.take(now));
  now = now + Duration::from_ms(1);
  REQUIRE(bucket.take(now));
  REQUIRE_FALSE(bucket.take(now));
}

TEST_CASE("an idle token bucket saves no more than its burst", "[base][token_bucket]") {
  TokenBucket bucket({.rate_per_s = 1'000, .burst = 3});
  REQUIRE(take_all(bucket, Instant::from_ns(1)) == 3);
  REQUIRE(take_all(bucket, Instant::from_ns(1) + Duration::from_s(86'400 * 365)) == 3);
}

TEST_CASE("a token bucket loses no credit when asked often", "[base][token_bucket]") {
  TokenBucket bucket({.rate_per_s = 1, .burst = 1});
  Instant now = Instant::from_ns(1);
  REQUIRE(bucket.take(now));
  int taken = 0;
  for (int i = 0; i < 1'000'000; ++i) {
    now = now + Duration::from_us(10);
    taken += bucket.take(now) ? 1 : 0;
  }
  REQUIRE(taken == 10);
}

TEST_CASE("a rate of zero admits nothing and the greatest rate something", "[base][token_bucket]") {
  TokenBucket none({.rate_per_s = 0, .burst = 10});
  REQUIRE_FALSE(none.take(Instant::from_ns(1) + Duration::from_s(1'000)));
  TokenBucket most({.rate_per_s = 0xffffffff, .burst = 0xffffffff});
  REQUIRE(most.take(Instant::from_ns(1)));
  REQUIRE(most.take(Instant::never()));
}
