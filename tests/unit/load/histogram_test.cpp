#include "apps/load/histogram.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

#include "base/rng.hpp"

namespace load {
namespace {

using sluice::Duration;
using sluice::Rng;

Duration ns(std::int64_t value) {
  return Duration::from_ns(value);
}

/// The value of rank ceil(share * n), as Histogram::quantile has it.
std::int64_t exact_quantile(const std::vector<std::int64_t>& sorted, double share) {
  const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  return sorted[std::max<std::size_t>(rank, 1) - 1];
}

/// From 1 ns to 100 s, each octave as likely.
std::int64_t draw(Rng& rng) {
  const unsigned octave = static_cast<unsigned>(rng.below(36));
  return static_cast<std::int64_t>(std::min<std::uint64_t>(
      (std::uint64_t{1} << octave) + rng.below(std::uint64_t{1} << octave), Histogram<11>::kMost));
}

template <unsigned kDigits>
void check_bounds(double error) {
  Rng rng(7);
  Histogram<kDigits> histogram;
  std::vector<std::int64_t> values;
  for (int i = 0; i < 20'000; ++i) {
    values.push_back(draw(rng));
    histogram.record(ns(values.back()));
  }
  std::sort(values.begin(), values.end());
  for (const double share : {0.0, 0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0}) {
    const std::int64_t exact = exact_quantile(values, share);
    const std::int64_t shown = histogram.quantile(share).ns();
    INFO(share << ": " << exact << " ns, shown as " << shown);
    CHECK(shown >= exact);  // never better than the truth
    CHECK(static_cast<double>(shown - exact) <= error * static_cast<double>(exact));
  }
  CHECK(histogram.count() == values.size());
  CHECK(histogram.least().ns() == values.front());
  CHECK(histogram.most().ns() == values.back());
}

TEST_CASE("quantiles lie at most a thousandth above the truth", "[load][histogram]") {
  check_bounds<11>(0.001);
}

TEST_CASE("with eight binary digits they lie at most a hundredth above it", "[load][histogram]") {
  check_bounds<8>(0.01);
}

TEST_CASE("values that have as many digits as are kept are exact", "[load][histogram]") {
  for (std::int64_t value : {0, 1, 2, 1000, 2047, 2048, 2050, 4096, 4100}) {
    Histogram<11> histogram;
    histogram.record(ns(value));
    CHECK(histogram.quantile(0.5).ns() == value);
  }
  Histogram<11> two;
  two.record(ns(2049));  // shares its bucket with 2048, and is the largest
  two.record(ns(2048));
  CHECK(two.quantile(0.5).ns() == 2049);
}

TEST_CASE("nothing recorded gives zeros", "[load][histogram]") {
  const Histogram<11> histogram;
  CHECK(histogram.is_empty());
  CHECK(histogram.quantile(0.99) == Duration::zero());
  CHECK(histogram.least() == Duration::zero());
  CHECK(histogram.most() == Duration::zero());
  CHECK(histogram.mean_ns() == 0);
}

TEST_CASE("what lies outside counts as the nearest that can be kept", "[load][histogram]") {
  Histogram<11> histogram;
  histogram.record(ns(-5));
  histogram.record(Duration::from_s(1000));
  CHECK(histogram.least().ns() == 0);
  CHECK(histogram.most().ns() == Histogram<11>::kMost);
  CHECK(histogram.quantile(1).ns() == Histogram<11>::kMost);
}

TEST_CASE("merged workers count as one", "[load][histogram]") {
  Rng rng(11);
  Histogram<11> whole, first, second;
  for (int i = 0; i < 5000; ++i) {
    const Duration value = ns(draw(rng));
    whole.record(value);
    (rng.chance(1, 3) ? first : second).record(value);
  }
  first.merge(second);
  CHECK(first.count() == whole.count());
  CHECK(first.least() == whole.least());
  CHECK(first.most() == whole.most());
  CHECK(first.mean_ns() == Approx(whole.mean_ns()));
  for (int permille = 0; permille <= 1000; ++permille)
    CHECK(first.quantile(permille / 1000.0) == whole.quantile(permille / 1000.0));

  first.clear();
  CHECK(first.is_empty());
  first.merge(second);
  CHECK(first.quantile(0.5) == second.quantile(0.5));
  CHECK(first.least() == second.least());
}

TEST_CASE("the correction adds what a closed loop omitted", "[load][histogram]") {
  // One request a millisecond that takes 1 ms, for 100 s; then a pause of 100 s in the server.
  Histogram<11> measured;
  for (int i = 0; i < 100'000; ++i) measured.record(Duration::from_ms(1));
  measured.record(Duration::from_s(100));
  CHECK(measured.quantile(0.99).ms() == 1);

  const auto corrected = measured.corrected(Duration::from_ms(1));
  CHECK(corrected.count() == 200'000);
  CHECK(corrected.quantile(0.5).ms() == 1);
  CHECK(static_cast<double>(corrected.quantile(0.75).ms()) == Approx(50'000).epsilon(0.002));
  CHECK(static_cast<double>(corrected.quantile(0.99).ms()) == Approx(98'000).epsilon(0.002));
}

TEST_CASE("the correction by buckets is that by values", "[load][histogram]") {
  Rng rng(3);
  for (int turn = 0; turn < 30; ++turn) {
    Histogram<11> measured, naive;
    const auto step = static_cast<std::int64_t>(1 + rng.below(20'000));
    for (int i = 0; i < 20; ++i) {
      const std::int64_t value = static_cast<std::int64_t>(rng.below(2048)) << rng.below(8);
      measured.record(ns(value));
    }
    for (int rank = 1; rank <= 20; ++rank) {
      const std::int64_t value = measured.quantile(rank / 20.0).ns();
      for (std::int64_t at = value;; at -= step) {
        naive.record(ns(at));
        if (at < 2 * step) break;
      }
    }
    const auto corrected = measured.corrected(ns(step));
    INFO("step " << step << ", turn " << turn);
    REQUIRE(corrected.count() == naive.count());
    CHECK(corrected.most() == naive.most());
    for (int percent = 0; percent <= 100; ++percent)
      CHECK(corrected.quantile(percent / 100.0) == naive.quantile(percent / 100.0));
  }
  Histogram<11> as_is;
  as_is.record(ns(500));
  CHECK(as_is.corrected(Duration::zero()).count() == 1);
  CHECK(as_is.corrected(ns(600)).count() == 1);
}

}  // namespace
}  // namespace load
