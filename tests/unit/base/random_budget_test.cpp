#include "base/random_budget.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <vector>

#include "base/rng.hpp"

namespace {

using namespace sluice;

constexpr TokenBucket::Limits kLimits{1000, 1000};

HashKey key(std::uint8_t first) {
  HashKey key;
  key.octets[0] = first;
  return key;
}

/// All that is to be had at `now`.
template <class Budget>
std::uint32_t drain(Budget& budget, Instant now) {
  std::uint32_t count = 0;
  while (budget.take(now)) ++count;
  return count;
}

TEST_CASE("a random budget admits its rate on average, and half a burst to one and a half at once",
          "[base][random_budget]") {
  RandomBudget budget({200, 100}, key(1));
  Instant now = Instant::from_ns(77);
  std::uint64_t total = 0;
  std::uint32_t least = 1000, most = 0;
  constexpr int kIntervals = 20'000;
  for (int i = 0; i < kIntervals; ++i) {
    const std::uint32_t count = drain(budget, now);
    CHECK(budget.is_spent(now + Duration::from_ms(499)));
    total += count;
    least = std::min(least, count);
    most = std::max(most, count);
    now = now + Duration::from_ms(500);
  }
  CHECK(least == 50);
  CHECK(most == 149);
  CHECK(total > kIntervals * 99);
  CHECK(total < kIntervals * 101);
}

TEST_CASE("what a random budget has left is lost, and time saves up nothing",
          "[base][random_budget]") {
  RandomBudget budget(kLimits, key(1));
  CHECK(drain(budget, Instant::from_ns(1)) > 0);
  CHECK(drain(budget, Instant::from_ns(3'600'000'000'000)) < 1500);
}

TEST_CASE("a random budget of rate 0 admits nothing, one of burst 1 one at a time",
          "[base][random_budget]") {
  RandomBudget none({0, 100}, key(1)), single({10, 1}, key(1));
  CHECK(drain(none, Instant::from_ns(1'000'000'000)) == 0);
  CHECK(drain(single, Instant::from_ns(1'000'000'000)) == 1);
  CHECK(drain(single, Instant::from_ns(1'099'999'999)) == 0);
  CHECK(drain(single, Instant::from_ns(1'100'000'000)) == 1);
}

TEST_CASE("random budgets of two keys have nothing to do with each other",
          "[base][random_budget]") {
  RandomBudget one(kLimits, key(1)), two(kLimits, key(2));
  int equal = 0;
  for (int second = 1; second <= 1000; ++second) {
    const Instant now = Instant::from_ns(std::int64_t{1'000'000'000} * second);
    if (drain(one, now) == drain(two, now)) ++equal;
  }
  CHECK(equal < 10);
}

/// CVE-2016-5696: in each interval a guess is right or wrong, and a right one makes the victim's
/// connection take five. Who then takes all that is left calls the guess right if it was less than
/// usual. The share of right calls, in per mille.
template <class Budget>
int calls_right(Budget& budget) {
  constexpr int kRounds = 20'000;
  Rng coin(42);
  std::vector<bool> guesses;
  std::vector<std::uint32_t> counts;
  for (int round = 0; round < kRounds; ++round) {
    const Instant now = Instant::from_ns(std::int64_t{2'000'000'000} * (round + 1));
    guesses.push_back(coin.chance(1, 2));
    for (int i = 0; guesses.back() && i < 5; ++i) CHECK(budget.take(now));
    counts.push_back(drain(budget, now));
  }
  std::vector<std::uint32_t> sorted = counts;
  std::sort(sorted.begin(), sorted.end());
  const std::uint32_t usual = (sorted[kRounds / 20] + sorted[kRounds - kRounds / 20]) / 2;
  int right = 0;
  for (int round = 0; round < kRounds; ++round)
    if ((counts[static_cast<std::size_t>(round)] < usual) ==
        guesses[static_cast<std::size_t>(round)])
      ++right;
  return right * 1000 / kRounds;
}

TEST_CASE("who counts what a random budget left cannot tell what others took; a bucket tells it",
          "[base][random_budget]") {
  RandomBudget budget(kLimits, key(1));
  TokenBucket bucket(kLimits);
  CHECK(calls_right(bucket) == 1000);
  const int right = calls_right(budget);
  CHECK(right >= 485);
  CHECK(right <= 515);
}

}  // namespace
