#include <catch2/catch.hpp>

#include "tcp/congestion/new_reno.hpp"
#include "tests/unit/tcp/congestion_link.hpp"

namespace sluice::tcp {
namespace {

using testing::Flow;
using testing::Link;
constexpr std::uint32_t kMss = Flow::kMss;

}  // namespace

TEST_CASE("algorithms are found by their names, and each name finds its algorithm",
          "[tcp][congestion]") {
  for (const auto algorithm :
       {Algorithm::kNewReno, Algorithm::kCubic, Algorithm::kDctcp, Algorithm::kBbr})
    CHECK(algorithm_of(controller(algorithm).name()) == algorithm);
  CHECK(algorithm_of("newreno") == Algorithm::kNewReno);
  CHECK(algorithm_of("cubic") == Algorithm::kCubic);
  CHECK(algorithm_of("dctcp") == Algorithm::kDctcp);
  CHECK(algorithm_of("bbr") == Algorithm::kBbr);
  CHECK_FALSE(algorithm_of("reno"));
  CHECK_FALSE(algorithm_of(""));

  CHECK_FALSE(controller(Algorithm::kCubic).traits().owns_window);
  CHECK(controller(Algorithm::kDctcp).traits().needs_ecn);
  CHECK(controller(Algorithm::kBbr).traits().owns_window);
  CHECK(controller(Algorithm::kBbr).traits().is_paced);
}

TEST_CASE("the initial window is ten segments, but no more than 14600 octets or two segments",
          "[tcp][congestion][rfc6928]") {
  CHECK(initial_window(1448, 10) == 14'480);
  CHECK(initial_window(1460, 10) == 14'600);
  CHECK(initial_window(8'948, 10) == 17'896);
  CHECK(initial_window(536, 4) == 2'144);
}

TEST_CASE("NewReno: slow start adds what was acknowledged, one segment an ACK at most",
          "[tcp][congestion][rfc5681]") {
  //= rfc5681#3.1 MUST-1, SHLD-3 test
  Flow flow(Algorithm::kNewReno);
  flow.block.cwnd = 10 * kMss;
  flow.ack_limited(kMss, 1'000);
  CHECK(flow.block.cwnd == 11 * kMss);
  flow.ack_limited(5 * kMss, 1'000);
  CHECK(flow.block.cwnd == 12 * kMss);
  flow.ack_limited(100, 1'000);
  CHECK(flow.block.cwnd == 12 * kMss + 100);
}

TEST_CASE("NewReno: congestion avoidance adds one segment for each window acknowledged",
          "[tcp][congestion][rfc5681]") {
  //= rfc5681#3.1 SHLD-4, SHLD-5, MUST-6, MUST-7 test
  Flow flow(Algorithm::kNewReno);
  flow.block.cwnd = flow.block.ssthresh = 20 * kMss;
  for (int i = 0; i < 19; ++i) flow.ack_limited(kMss, 1'000);
  CHECK(flow.block.cwnd == 20 * kMss);
  flow.ack_limited(kMss, 1'000);
  CHECK(flow.block.cwnd == 21 * kMss);
  for (int i = 0; i < 6; ++i) flow.ack_limited(4 * kMss, 1'000);
  CHECK(flow.block.cwnd == 22 * kMss);  // and three segments towards the next
  for (int i = 0; i < 5; ++i) flow.ack_limited(4 * kMss, 1'000);
  CHECK(flow.block.cwnd == 23 * kMss);
  for (int i = 0; i < 2'000; ++i) flow.ack_limited(1, 1'000);  // ACK splitting gains nothing
  CHECK(flow.block.cwnd == 23 * kMss);
}

TEST_CASE("cwnd driven by loss stands still for an unused window, a mark, recovery, a bare SACK",
          "[tcp][congestion][rfc5681][rfc3168]") {
  const auto algorithm = GENERATE(Algorithm::kNewReno, Algorithm::kCubic, Algorithm::kDctcp);
  const bool is_slow_start = GENERATE(true, false);
  Flow flow(algorithm);
  flow.block.cwnd = 20 * kMss;
  if (!is_slow_start) flow.block.ssthresh = 20 * kMss;
  for (std::uint32_t i = 0; i < 100; ++i) {
    const std::uint32_t now = i * 10'000;
    flow.ack(kMss, now);
    flow.ack_limited(kMss, now, {.has_ece = true});
    flow.ack_limited(kMss, now, {.is_recovering = true});
    flow.ack_limited(0, now);
  }
  CHECK(flow.block.cwnd == 20 * kMss);
  for (std::uint32_t i = 0; i < 100; ++i) flow.ack_limited(kMss, 1'000'000);
  CHECK(flow.block.cwnd > 20 * kMss);
}

TEST_CASE("NewReno: a congestion event halves what is in flight, two segments at least",
          "[tcp][congestion][rfc5681]") {
  //= rfc5681#3.1 MUST-5, MUST-8 test
  Flow flow(Algorithm::kNewReno);
  for (const auto cause :
       {CongestionCause::kLoss, CongestionCause::kEce, CongestionCause::kTimeout}) {
    const auto ssthresh = [&](std::uint32_t flight) {
      return flow.controller.ssthresh_after_loss(flow.block, flow.state,
                                                 {.cause = cause, .flight = flight});
    };
    CHECK(ssthresh(40 * kMss) == 20 * kMss);
    CHECK(ssthresh(3 * kMss) == 2 * kMss);
    CHECK(ssthresh(0) == 2 * kMss);
  }
}

TEST_CASE("NewReno: an undone event gives back the octets counted towards the next segment",
          "[tcp][congestion][rfc5681]") {
  Flow flow(Algorithm::kNewReno);
  flow.block.cwnd = flow.block.ssthresh = 20 * kMss;
  for (int i = 0; i < 19; ++i) flow.ack_limited(kMss, 1'000);
  flow.lose(2'000);
  flow.block.cwnd = flow.block.ssthresh = 20 * kMss;
  SECTION("undone") {
    flow.controller.on_undo(flow.block, flow.state);
    flow.ack_limited(kMss, 3'000);
    CHECK(flow.block.cwnd == 21 * kMss);
  }
  SECTION("not undone") {
    flow.ack_limited(kMss, 3'000);
    CHECK(flow.block.cwnd == 20 * kMss);
  }
}

TEST_CASE("NewReno and CUBIC fill a bottleneck with a buffer of one bandwidth-delay product",
          "[tcp][congestion]") {
  const auto algorithm = GENERATE(Algorithm::kNewReno, Algorithm::kCubic);
  Link link(algorithm, {.rate = 1'250'000, .rtt_us = 40'000, .buffer = 50'000});
  link.run_for(5'000'000);
  const std::uint64_t before = link.delivered();
  link.run_for(20'000'000);
  CHECK(double(link.delivered() - before) > 0.95 * 20 * 1'250'000);
  CHECK(link.lost() * 100 < link.sent());
}

TEST_CASE("no event, however absurd, makes a window of less than a segment or more than 2^30",
          "[tcp][congestion]") {
  const auto algorithm =
      GENERATE(Algorithm::kNewReno, Algorithm::kCubic, Algorithm::kDctcp, Algorithm::kBbr);
  const std::uint64_t seed = GENERATE(1u, 2u, 3u, 4u, 5u, 6u, 7u, 8u);
  CAPTURE(controller(algorithm).name(), seed);
  Rng rng(seed);
  Flow flow(algorithm, 0xffff0000u);
  Tcb& block = flow.block;
  block.snd_mss = static_cast<std::uint16_t>(seed == 1 ? 1 : seed == 2 ? 65'495 : kMss);
  block.cwnd = block.snd_mss;
  const std::uint32_t mss = block.snd_mss;
  const Controller& under_test = flow.controller;
  std::uint32_t now_us = 0xffff0000u;
  const auto any = [&](std::uint32_t greatest) {
    // Small numbers, great ones, and each order between them.
    return static_cast<std::uint32_t>(rng.below((std::uint64_t{greatest} >> rng.below(30)) + 1));
  };
  for (int i = 0; i < 20'000; ++i) {
    now_us += any(0xffffffffu);
    block.srtt_us8 = any(0x7fffffffu);
    block.snd.una += any(kMaxWindow);
    block.snd.nxt = block.snd.una + any(kMaxWindow);
    const CongestionEvent congestion{.cause = static_cast<CongestionCause>(rng.below(3)),
                                     .flight = any(kMaxWindow),
                                     .now_us = now_us};
    switch (rng.below(40)) {
      case 0:
        block.ssthresh = under_test.ssthresh_after_loss(block, flow.state, congestion);
        REQUIRE(block.ssthresh >= 2 * mss);
        if (congestion.cause == CongestionCause::kTimeout) {
          block.cwnd = mss;
          under_test.on_timeout(block, flow.state);
        } else if (!under_test.traits().owns_window) {
          block.cwnd = std::max(mss, std::min(block.ssthresh, kMaxWindow));
        }
        break;
      case 1:
        under_test.on_recovery_end(block, flow.state, now_us);
        break;
      case 2:
        under_test.on_undo(block, flow.state);
        break;
      case 3:
        under_test.on_idle_restart(block, flow.state, now_us);
        break;
      case 4:
        under_test.on_lost(block, flow.state,
                           {.length = any(65'535),
                            .tx_in_flight = any(kMaxWindow),
                            .lost = any(kMaxWindow),
                            .now_us = now_us,
                            .is_app_limited = rng.chance(1, 2)});
        break;
      default: {
        AckEvent event{.acked_bytes = any(kMaxWindow),
                       .delivered_bytes = any(kMaxWindow),
                       .lost_bytes = rng.chance(1, 4) ? any(kMaxWindow) : 0,
                       .flight_before = any(kMaxWindow),
                       .pipe_before = any(kMaxWindow),
                       .pipe = any(kMaxWindow),
                       .rtt_us = any(1u << 28),
                       .now_us = now_us,
                       .delivered_total = any(0xffffffffu),
                       .is_window_limited = rng.chance(3, 4),
                       .has_ece = rng.chance(1, 8),
                       .is_recovering = rng.chance(1, 8),
                       .is_paced = rng.chance(1, 2)};
        event.rate = {.interval_us = any(0xffffffffu),
                      .delivered = any(kMaxWindow),
                      .lost = any(kMaxWindow),
                      .tx_in_flight = any(kMaxWindow),
                      .prior_delivered = any(0xffffffffu),
                      .is_app_limited = rng.chance(1, 4)};
        under_test.on_ack(block, flow.state, event);
      }
    }
    REQUIRE(block.cwnd >= mss);
    REQUIRE(block.cwnd <= kMaxWindow);
    REQUIRE(under_test.pacing_rate(block, flow.state) <= 16ull * 0xffffffffu);
  }
}

}  // namespace sluice::tcp
