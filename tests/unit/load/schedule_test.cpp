#include "apps/load/schedule.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

namespace load {
namespace {

using sluice::Duration;
using sluice::Instant;

const Instant kStart = Instant::from_ns(5'000'000'000);

std::vector<std::int64_t> all_due(Arrivals& arrivals) {
  std::vector<std::int64_t> due;
  for (arrivals.begin(kStart); !arrivals.is_over(); arrivals.advance())
    due.push_back((arrivals.next() - kStart).ns());
  return due;
}

TEST_CASE("an even rate is due at equal distances, the first at once", "[load][schedule]") {
  const std::vector<Phase> phases = {{Duration::from_s(1), 1000, 1000}};
  Arrivals arrivals(phases, Spacing::kEven, {}, 1);
  const auto due = all_due(arrivals);
  REQUIRE(due.size() == 1000);
  for (std::size_t i = 0; i < due.size(); ++i)
    CHECK(std::abs(due[i] - static_cast<std::int64_t>(i) * 1'000'000) <= 1);
  CHECK(arrivals.next().is_never());
}

TEST_CASE("workers take turns, so that together they are even", "[load][schedule]") {
  const std::vector<Phase> phases = {{Duration::from_s(1), 900, 900}, {Duration::from_s(2), 7, 91}};
  Arrivals alone(phases, Spacing::kEven, {}, 1);
  std::vector<std::int64_t> together;
  for (unsigned worker = 0; worker < 3; ++worker) {
    Arrivals share(phases, Spacing::kEven, {worker, 3}, 1);
    const auto due = all_due(share);
    together.insert(together.end(), due.begin(), due.end());
  }
  std::sort(together.begin(), together.end());
  CHECK(together == all_due(alone));
}

TEST_CASE("a ramp makes as many requests as its rates enclose", "[load][schedule]") {
  for (const auto& [from, to] : {std::pair{0.0, 1000.0}, {1000.0, 0.0}, {100.0, 900.0}}) {
    const std::vector<Phase> phases = {{Duration::from_s(4), from, to}};
    CHECK(expected_requests(phases[0]) == Approx(2000));
    Arrivals arrivals(phases, Spacing::kEven, {}, 1);
    const auto due = all_due(arrivals);
    REQUIRE(due.size() == 2000);
    CHECK(std::is_sorted(due.begin(), due.end()));
    CHECK(due.back() <= 4'000'000'000);
    // Up to time t there are from t + (to - from) t^2 / 2T.
    for (const double t : {1.0, 2.0, 3.5}) {
      const auto count =
          std::lower_bound(due.begin(), due.end(), std::int64_t(t * 1e9)) - due.begin();
      CHECK(static_cast<double>(count) == Approx(from * t + (to - from) * t * t / 8).margin(1));
    }
  }
}

TEST_CASE("phases follow each other, and each begins anew", "[load][schedule]") {
  const std::vector<Phase> phases = {{Duration::from_s(1), 10, 10, true},
                                     {Duration::from_s(1), 0, 0},
                                     {Duration::from_s(2), 5, 5}};
  Arrivals arrivals(phases, Spacing::kEven, {}, 1);
  std::vector<unsigned> of_phase(3);
  std::int64_t first_of_last = 0;
  for (arrivals.begin(kStart); !arrivals.is_over(); arrivals.advance())
    if (++of_phase[arrivals.phase()] == 1) first_of_last = (arrivals.next() - kStart).ns();
  CHECK(of_phase == std::vector<unsigned>{10, 0, 10});
  CHECK(first_of_last == 2'000'000'000);
}

TEST_CASE("skipping to a phase says how many requests were left", "[load][schedule]") {
  const std::vector<Phase> phases = {{Duration::from_s(1), 10, 10}, {Duration::from_s(1), 20, 20}};
  Arrivals arrivals(phases, Spacing::kEven, {1, 3}, 1);  // its ordinals: 1, 4, 7; 1, 4, ... 19
  arrivals.begin(kStart);
  arrivals.advance();
  CHECK(arrivals.skip_to(0) == 0);
  CHECK(arrivals.skip_to(1) == 2);
  CHECK(arrivals.phase() == 1);
  CHECK(arrivals.next() == kStart + Duration::from_ms(1050));
  CHECK(arrivals.skip_to(2) == 7);
  CHECK(arrivals.is_over());
  CHECK(arrivals.skip_to(3) == 0);
}

TEST_CASE("random arrivals have the rate asked for, and the variance of strangers",
          "[load][schedule]") {
  const std::vector<Phase> phases = {{Duration::from_s(10), 5000, 5000}};
  Arrivals arrivals(phases, Spacing::kPoisson, {}, 42);
  const auto due = all_due(arrivals);
  // 50,000 expected with a deviation of 224.
  CHECK(static_cast<double>(due.size()) == Approx(50'000).margin(1000));
  double sum = 0, squares = 0;
  for (std::size_t i = 1; i < due.size(); ++i) {
    const auto gap = static_cast<double>(due[i] - due[i - 1]);
    sum += gap;
    squares += gap * gap;
  }
  const auto count = static_cast<double>(due.size() - 1);
  const double mean = sum / count;
  CHECK(std::sqrt(squares / count - mean * mean) == Approx(mean).epsilon(0.03));

  Arrivals again(phases, Spacing::kPoisson, {}, 42), other(phases, Spacing::kPoisson, {}, 43);
  CHECK(all_due(again) == due);
  CHECK(all_due(other) != due);
}

}  // namespace
}  // namespace load
