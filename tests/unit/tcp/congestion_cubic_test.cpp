#include <catch2/catch.hpp>
#include <cmath>

#include "tcp/congestion/cubic.hpp"
#include "tests/unit/tcp/congestion_link.hpp"

namespace sluice::tcp {
namespace {

using testing::Flow;
constexpr std::uint32_t kMss = Flow::kMss;

/// A CUBIC flow in congestion avoidance: one ACK for each segment, at an even pace.
struct Steady {
  Flow flow{Algorithm::kCubic};
  double now_us;
  std::uint32_t rtt_us;

  Steady(std::uint32_t segments, std::uint32_t rtt, std::uint32_t start_us = 0xfff00000u)
      : now_us(start_us), rtt_us(rtt) {
    flow.block.cwnd = segments * kMss;
    flow.block.ssthresh = flow.block.cwnd;
    flow.block.srtt_us8 = 8 * rtt_us;
  }
  const Cubic::Stage& stage() const { return flow.as<Cubic::State>().stage; }
  std::uint32_t clock() const { return std::uint32_t(std::uint64_t(now_us)); }
  void ack(AckEvent event = {}) {
    event.rtt_us = rtt_us;
    flow.ack_limited(kMss, clock(), event);
  }
  void run_until(double us) {
    while (now_us < us) {
      now_us += double(rtt_us) * kMss / flow.block.cwnd;
      ack();
    }
  }
};

double w_cubic(double t, double k, double w_max) {
  return 0.4 * std::pow(t - k, 3) + w_max;
}

}  // namespace

TEST_CASE("CUBIC: the curve and K are those of real numbers, to a small part of a segment",
          "[tcp][congestion][rfc9438]") {
  //= rfc9438#5.1 SHLD-1, SHLD-2 test
  const std::uint32_t mss = GENERATE(64u, 536u, 1448u, 8948u, 65495u);
  for (double seconds = -60; seconds <= 60; seconds += 0.37) {
    const auto distance = std::int64_t(std::llround(seconds * 1024));
    const double exact = 0.4 * std::pow(double(distance) / 1024, 3);
    CHECK(std::abs(double(Cubic::curve(distance, mss)) / mss - exact) < 0.02);
  }
  CHECK(Cubic::curve(1 << 30, mss) == Cubic::curve(1 << 18, mss));
  CHECK(Cubic::curve(-(1 << 30), mss) == Cubic::curve(-(1 << 18), mss));

  CHECK(Cubic::time_to_plateau(0, mss) == 0);
  for (std::uint64_t octets = 1; octets <= kMaxWindow; octets = octets * 5 / 3 + 1) {
    const double exact = std::cbrt(double(octets) / mss / 0.4);
    CHECK(std::abs(Cubic::time_to_plateau(std::uint32_t(octets), mss) / 1024.0 - exact) < 0.001);
  }
}

TEST_CASE("CUBIC: after a loss cwnd follows W_cubic within 0.3 segments for twelve seconds",
          "[tcp][congestion][rfc9438]") {
  //= rfc9438#4.4 MUST-1 test
  //= rfc9438#4.5 MUST-1 test
  const std::uint32_t rtt_us = GENERATE(20'000u, 50'000u, 100'000u);
  Steady steady(1'000, rtt_us);
  steady.flow.lose(steady.clock());
  //= rfc9438#4.6 MUST-1, SHLD-1 test
  CHECK(steady.flow.segments() == Approx(700).margin(0.01));
  const double start = steady.now_us;
  const double k = std::cbrt(300 / 0.4);
  for (double t = 2 * rtt_us / 1e6 + 0.1; t < 12; t += 0.1) {
    steady.run_until(start + t * 1e6);
    const double passed = (steady.now_us - start) / 1e6;
    if (steady.stage().w_est > w_cubic(passed, k, 1'000) * kMss) {  // Reno overtakes in the end
      CHECK(passed > 9.9);
      break;
    }
    CHECK(std::abs(steady.flow.segments() - w_cubic(passed, k, 1'000)) < 0.3);
  }
  CHECK(steady.stage().k / 1024.0 == Approx(k).margin(0.001));
  CHECK(steady.stage().w_max == 1'000 * kMss);
}

TEST_CASE("CUBIC: growth is at most by half in a round-trip time", "[tcp][congestion][rfc9438]") {
  Steady steady(100, 200'000);
  steady.ack();
  steady.now_us += 100e6;  // far out on the convex part
  for (int round = 0; round < 5; ++round) {
    const std::uint32_t before = steady.flow.block.cwnd;
    for (std::uint32_t i = 0; i < before / kMss; ++i) steady.ack();
    CHECK(steady.flow.block.cwnd > before + before / 5);
    CHECK(steady.flow.block.cwnd <= std::uint32_t(before * std::exp(0.5)));
  }
}

TEST_CASE("CUBIC: in small networks cwnd is Reno's estimate, with alpha 9/17 and then 1",
          "[tcp][congestion][rfc9438]") {
  //= rfc9438#4.3 SHLD-1, SHLD-2 test
  Steady steady(20, 10'000);
  steady.flow.lose(steady.clock());
  double expected = 14;
  CHECK(steady.flow.segments() == Approx(14).margin(0.001));
  for (int i = 0; i < 2'000; ++i) {
    steady.now_us += 500;
    expected += (expected >= 20 ? 1.0 : 9.0 / 17) / steady.flow.segments();
    steady.ack();
    CHECK(std::abs(steady.flow.segments() - expected) < 0.05);
  }
  CHECK(expected > 40);
}

TEST_CASE("CUBIC: a loss below W_max lowers W_max further", "[tcp][congestion][rfc9438]") {
  //= rfc9438#4.7 SHLD-1 test
  Steady steady(1'000, 50'000);
  steady.flow.lose(steady.clock());
  CHECK(steady.stage().w_max == 1'000 * kMss);
  steady.flow.block.cwnd = 800 * kMss;
  steady.flow.lose(steady.clock());
  CHECK(steady.stage().w_max == 680 * kMss);  // 800 (1 + 0.7) / 2
  CHECK(steady.stage().cwnd_prior == 800 * kMss);
  CHECK(steady.flow.block.cwnd == 560 * kMss);
  steady.ack();
  CHECK(steady.stage().k / 1024.0 == Approx(std::cbrt(120 / 0.4)).margin(0.01));
  steady.flow.block.cwnd = 900 * kMss;
  steady.flow.lose(steady.clock());
  CHECK(steady.stage().w_max == 900 * kMss);
}

TEST_CASE("CUBIC: the decrease is of what is in flight, not of cwnd",
          "[tcp][congestion][rfc9438]") {
  //= rfc9438#4.6 MUST-2 test
  Steady steady(1'000, 50'000);
  CHECK(steady.flow.controller.ssthresh_after_loss(
            steady.flow.block, steady.flow.state,
            {.cause = CongestionCause::kLoss, .flight = 100 * kMss, .now_us = steady.clock()}) ==
        70 * kMss);
}

TEST_CASE("CUBIC: marks take cwnd down to one segment, losses to two",
          "[tcp][congestion][rfc9438]") {
  //= rfc9438#4.6 MUST-4 test
  Steady steady(2, 50'000);
  steady.flow.lose(steady.clock(), CongestionCause::kLoss);
  CHECK(steady.flow.block.cwnd == 2 * kMss);
  steady.flow.lose(steady.clock(), CongestionCause::kEce);
  CHECK(steady.flow.block.cwnd == 2 * kMss * 7 / 10);
  steady.flow.lose(steady.clock(), CongestionCause::kEce);
  CHECK(steady.flow.block.cwnd == kMss);
  CHECK(steady.flow.block.ssthresh == 2 * kMss);
}

TEST_CASE("CUBIC: time that the application or idleness left unused does not move the curve",
          "[tcp][congestion][rfc9438]") {
  //= rfc9438#4.2 MUST-1 test
  const bool is_idle = GENERATE(true, false);
  Steady steady(1'000, 50'000);
  Steady busy(1'000, 50'000);
  steady.flow.lose(steady.clock());
  busy.flow.lose(busy.clock());
  const double start = steady.now_us;
  steady.run_until(start + 3e6);
  busy.run_until(start + 3e6);
  REQUIRE(steady.flow.block.cwnd == busy.flow.block.cwnd);
  if (is_idle) {
    // All is acknowledged; half an hour later it goes on.
    const AckEvent last{.now_us = steady.clock(), .is_window_limited = true};
    steady.flow.controller.on_ack(steady.flow.block, steady.flow.state, last);
    steady.now_us += 1'800e6;
    steady.now_us += steady.rtt_us;
    steady.ack();
    busy.now_us += busy.rtt_us;
    busy.ack();
  } else {
    for (int i = 0; i < 600; ++i) {
      steady.now_us += 3e6;
      steady.flow.ack(kMss, steady.clock());
    }
  }
  CHECK(std::abs(double(steady.flow.block.cwnd) - busy.flow.block.cwnd) <= kMss / 100.0);
  steady.run_until(steady.now_us + 3e6);
  busy.run_until(busy.now_us + 3e6);
  CHECK(std::abs(steady.flow.segments() - busy.flow.segments()) < 0.1);
}

TEST_CASE("CUBIC: after a timeout the plateau is where congestion avoidance begins",
          "[tcp][congestion][rfc9438]") {
  //= rfc9438#4.8 SHLD-1 test
  Steady steady(1'000, 50'000);
  steady.flow.lose(steady.clock());
  steady.run_until(steady.now_us + 1e6);
  const std::uint32_t before = steady.flow.block.cwnd;
  steady.flow.lose(steady.clock(), CongestionCause::kTimeout);
  CHECK(steady.flow.block.cwnd == kMss);
  //= rfc9438#4.10 MUST-1, SHLD-1 test
  CHECK(steady.flow.block.ssthresh == std::uint32_t(std::uint64_t{before} * 7 / 10));
  while (steady.flow.block.cwnd < steady.flow.block.ssthresh) {
    const std::uint32_t cwnd = steady.flow.block.cwnd;
    steady.now_us += 100;
    steady.ack();
    CHECK(steady.flow.block.cwnd == cwnd + kMss);
  }
  const double start = steady.now_us + 100;
  const double plateau = steady.flow.segments();
  steady.now_us = start;
  steady.ack();
  CHECK(steady.stage().k == 0);
  CHECK(steady.stage().w_max == std::uint32_t(std::lround(plateau * kMss)));
  CHECK(steady.stage().w_est >= std::uint32_t(plateau * kMss));
  steady.run_until(start + 8e6);
  CHECK(std::abs(steady.flow.segments() - w_cubic(8, 0, plateau)) < 1.0);

  SECTION("and the next loss is an ordinary one") {
    steady.flow.lose(steady.clock());
    steady.ack();
    CHECK(steady.stage().k != 0);
  }
}

TEST_CASE("CUBIC: an undone event leaves no trace", "[tcp][congestion][rfc9438]") {
  const auto cause = GENERATE(CongestionCause::kLoss, CongestionCause::kTimeout);
  Steady steady(1'000, 50'000);
  steady.flow.lose(steady.clock());
  steady.run_until(steady.now_us + 2e6);
  const Cubic::Stage before = steady.stage();
  const std::uint32_t cwnd = steady.flow.block.cwnd;
  const std::uint32_t ssthresh = steady.flow.block.ssthresh;
  steady.flow.lose(steady.clock(), cause);
  steady.now_us += 60'000;
  steady.ack();
  steady.flow.block.ssthresh = ssthresh;

  SECTION("in time") {
    steady.flow.block.cwnd = cwnd;
    steady.flow.controller.on_undo(steady.flow.block, steady.flow.state);
    CHECK(steady.stage().w_max == before.w_max);
    CHECK(steady.stage().cwnd_prior == before.cwnd_prior);
    CHECK(steady.stage().k == before.k);
    CHECK(steady.stage().epoch_us == before.epoch_us);
    CHECK(steady.stage().w_est == before.w_est);
    steady.ack();
    CHECK(steady.stage().epoch_us == before.epoch_us);  // the stage goes on
  }
  SECTION("so late that cwnd is beyond already: the new values stay") {
    //= rfc9438#4.9.2 SHLD-1 test
    const Cubic::Stage now = steady.stage();
    steady.flow.block.cwnd = cwnd + kMss;
    steady.flow.controller.on_undo(steady.flow.block, steady.flow.state);
    CHECK(steady.stage().w_max == now.w_max);
    CHECK(steady.stage().cwnd_prior == now.cwnd_prior);
  }
}

TEST_CASE(
    "CUBIC: a timeout undone before congestion avoidance began leaves the plateau of the loss",
    "[tcp][congestion][rfc9438]") {
  Steady steady(1'000, 50'000);
  steady.flow.lose(steady.clock());
  const std::uint32_t cwnd = steady.flow.block.cwnd;
  steady.flow.lose(steady.clock(), CongestionCause::kTimeout);
  steady.flow.block.cwnd = steady.flow.block.ssthresh = cwnd;
  steady.flow.controller.on_undo(steady.flow.block, steady.flow.state);
  steady.ack();
  CHECK(steady.stage().w_max == 1'000 * kMss);
  CHECK(steady.stage().k / 1024.0 == Approx(std::cbrt(300 / 0.4)).margin(0.01));
}

TEST_CASE("CUBIC: the slow start after idling ends in a stage that begins there, not in a jump",
          "[tcp][congestion][rfc9438]") {
  Steady steady(100, 10'000);
  steady.flow.lose(steady.clock());
  steady.run_until(steady.now_us + 5e6);
  REQUIRE(steady.flow.block.cwnd > steady.flow.block.ssthresh + 50 * kMss);
  steady.now_us += 10e6;
  steady.flow.block.cwnd = 10 * kMss;
  steady.flow.controller.on_idle_restart(steady.flow.block, steady.flow.state, steady.clock());
  for (int i = 0; i < 70; ++i) {
    const std::uint32_t before = steady.flow.block.cwnd;
    steady.now_us += 100;
    steady.ack();
    CHECK(steady.flow.block.cwnd <= before + kMss);
  }
  CHECK(steady.flow.block.cwnd > 70 * kMss);
  CHECK(steady.flow.block.cwnd < 73 * kMss);
}

TEST_CASE("CUBIC: a stage longer than the clock's half turn neither shrinks nor wraps",
          "[tcp][congestion][rfc9438]") {
  Steady steady(10, 50'000, 12'345);
  steady.ack();
  for (int i = 0; i < 100; ++i) {
    const std::uint32_t before = steady.flow.block.cwnd;
    steady.now_us += 100e6;
    for (int j = 0; j < 3; ++j) steady.ack();
    CHECK((steady.flow.block.cwnd > before || before == kMaxWindow));
    steady.flow.block.cwnd = std::min(steady.flow.block.cwnd, 1'000 * kMss);
    steady.flow.block.ssthresh = kMss;
  }
}

}  // namespace sluice::tcp
