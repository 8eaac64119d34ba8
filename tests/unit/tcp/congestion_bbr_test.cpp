#include <catch2/catch.hpp>
#include <cmath>

#include "tcp/congestion/bbr.hpp"
#include "tcp/congestion/bbr_model.hpp"
#include "tests/unit/tcp/congestion_link.hpp"

namespace sluice::tcp {
namespace {

using testing::Flow;
using testing::Link;
using Mode = Bbr::Mode;
constexpr std::uint32_t kMss = Flow::kMss;

/// 100 Mbit/s, 40 ms: a bandwidth-delay product of 500 kB.
constexpr Link::Options kPath{.rate = 12'500'000, .rtt_us = 40'000, .buffer = 1'000'000};
constexpr double kBdp = 500'000;

struct BbrLink : Link {
  explicit BbrLink(Options link = kPath) : Link(Algorithm::kBbr, link) {}
  const Bbr::State& state() const { return flow.as<Bbr::State>(); }
  double max_bw() const {
    return double(std::max(state().max_bw[0], state().max_bw[1])) * Bbr::kRateUnit;
  }
  double pacing() const { return double(flow.controller.pacing_rate(flow.block, flow.state)); }
  bool reaches(Mode mode, std::uint64_t us = 10'000'000) {
    return run_until([&] { return state().mode == mode; }, us);
  }
  double goodput(std::uint64_t us) {
    const std::uint64_t before = delivered();
    run_for(us);
    return double(delivered() - before) * 1e6 / double(us);
  }
};

}  // namespace

TEST_CASE("BBR: the first pacing rate is 2.77 initial windows a round-trip time, or a millisecond",
          "[tcp][congestion][bbr]") {
  Flow flow(Algorithm::kBbr);
  const auto rate = [&] { return double(flow.controller.pacing_rate(flow.block, flow.state)); };
  CHECK(rate() == Approx(2.77 * 14'480 * 1'000).epsilon(0.001));
  flow.block.srtt_us8 = 8 * 50'000;  // the first measurement replaces the guess
  flow.ack(kMss, 50'000);
  CHECK(rate() == Approx(2.77 * 14'480 * 20).epsilon(0.001));
}

TEST_CASE("BBR finds the bandwidth and the round-trip time of a bottleneck in startup",
          "[tcp][congestion][bbr]") {
  struct Case {
    std::uint64_t rate;
    std::uint32_t rtt_us;
  };
  const auto c = GENERATE(Case{8'000, 300'000}, Case{125'000, 100'000}, Case{12'500'000, 40'000},
                          Case{125'000'000, 10'000}, Case{1'250'000'000, 1'000});
  const double bdp = double(c.rate) * c.rtt_us / 1e6;
  BbrLink link({.rate = c.rate, .rtt_us = c.rtt_us, .buffer = std::uint64_t(3 * bdp) + 50'000});
  CHECK(link.state().mode == Mode::kStartup);
  REQUIRE(link.reaches(Mode::kDrain, 100ull * c.rtt_us + 20'000'000));
  CHECK(link.state().full_bw_reached);
  CHECK(std::abs(link.max_bw() / double(c.rate) - 1) < 0.02);
  const double serial = 1e6 * kMss / double(c.rate);  // a segment's time on the link
  CHECK(link.state().min_rtt_us >= c.rtt_us);
  // The least window is four segments: where the path holds less, they queue.
  CHECK(link.state().min_rtt_us <= c.rtt_us + (bdp < 4 * kMss ? 4 : 1) * serial + 2);
  CHECK(link.lost() == 0);
}

TEST_CASE("BBR drains the queue of startup, then probes the bandwidth every two to three seconds",
          "[tcp][congestion][bbr]") {
  BbrLink link;
  REQUIRE(link.reaches(Mode::kDrain));
  CHECK(double(link.queued()) > 0.5 * kBdp);
  CHECK(link.pacing() == Approx(0.5 * 0.99 * link.max_bw()).epsilon(0.02));
  REQUIRE(link.reaches(Mode::kProbeCruise, 200'000));  // by DOWN, which has nothing left to do
  CHECK(link.pipe() < 1.05 * kBdp);
  CHECK(link.pacing() == Approx(0.99 * link.max_bw()).epsilon(0.01));

  // 63 rounds of 40 ms come before two seconds do not: the clock decides here.
  const std::uint64_t since = link.now();
  REQUIRE(link.reaches(Mode::kProbeRefill));
  CHECK(link.now() - since > 1'500'000);
  CHECK(link.now() - since < 3'100'000);
  CHECK(link.pacing() == Approx(0.99 * link.max_bw()).epsilon(0.01));
  REQUIRE(link.reaches(Mode::kProbeUp, 200'000));
  CHECK(link.pacing() == Approx(1.25 * 0.99 * link.max_bw()).epsilon(0.02));
  REQUIRE(link.reaches(Mode::kProbeDown, 1'000'000));
  CHECK(link.pacing() == Approx(0.9 * 0.99 * link.max_bw()).epsilon(0.02));
  CHECK(link.lost() == 0);
}

TEST_CASE("BBR ends drain after three rounds though the queue stands", "[tcp][congestion][bbr]") {
  BbrLink link;
  REQUIRE(link.run_until([&] { return link.state().full_bw_count == 2; }, 2'000'000));
  link.options.rate = 6'000'000;  // less than the pace of drain will be
  REQUIRE(link.reaches(Mode::kDrain));
  REQUIRE(link.run_until([&] { return link.state().mode != Mode::kDrain; }, 2'000'000));
  CHECK(link.pipe() > 1.1 * kBdp);
}

TEST_CASE("BBR: a flow of low round-trip time probes after 63 rounds at the latest",
          "[tcp][congestion][bbr]") {
  BbrLink link({.rate = 125'000'000, .rtt_us = 10'000, .buffer = 4'000'000});
  REQUIRE(link.reaches(Mode::kProbeCruise));
  const std::uint64_t since = link.now();
  REQUIRE(link.reaches(Mode::kProbeRefill));
  CHECK(link.now() - since < 68 * 11'000);
  CHECK(link.now() - since > 55 * 10'000);
}

TEST_CASE("BBR uses the bottleneck and keeps its queue short", "[tcp][congestion][bbr]") {
  BbrLink link;
  link.run_for(3'000'000);
  double queue = 0;
  const std::uint64_t before = link.delivered();
  for (int i = 0; i < 20'000; ++i) {
    link.run_for(1'000);
    queue += double(link.queued()) / 20'000;
  }
  CHECK(double(link.delivered() - before) > 0.93 * 20 * 12.5e6);
  CHECK(queue < 0.25 * kBdp);
  CHECK(std::abs(link.max_bw() / 12.5e6 - 1) < 0.02);
  CHECK(link.lost() == 0);
}

TEST_CASE("BBR probes for the round-trip time every five seconds, for 200 ms with half the window",
          "[tcp][congestion][bbr]") {
  BbrLink link;
  REQUIRE(link.reaches(Mode::kProbeRtt, 6'000'000));
  for (int i = 0; i < 3; ++i) {
    const std::uint64_t since = link.now();
    link.run_for(100'000);
    CHECK(link.state().mode == Mode::kProbeRtt);
    CHECK(link.flow.block.cwnd <= 0.52 * kBdp);
    CHECK(link.pipe() <= 0.52 * kBdp);
    REQUIRE(link.run_until([&] { return link.state().mode != Mode::kProbeRtt; }, 1'000'000));
    CHECK(link.state().mode == Mode::kProbeCruise);
    CHECK(link.now() - since >= 200'000);
    CHECK(link.now() - since <= 400'000);
    CHECK(link.state().min_rtt_us <= 40'000 + 200);
    REQUIRE(link.reaches(Mode::kProbeRtt, 6'000'000));
    CHECK(link.now() - since >= 5'000'000);
    CHECK(link.now() - since <= 5'600'000);
  }
  // The half-empty pipe has not lowered the estimate of the bandwidth.
  CHECK(std::abs(link.max_bw() / 12.5e6 - 1) < 0.02);
}

TEST_CASE("BBR: a round-trip time that rises for good is believed after the filter's ten seconds",
          "[tcp][congestion][bbr]") {
  BbrLink link;
  link.run_for(4'000'000);
  link.options.rtt_us = 80'000;
  link.run_for(22'000'000);
  CHECK(link.state().min_rtt_us >= 80'000);
  CHECK(link.state().min_rtt_us < 82'000);
  CHECK(link.goodput(10'000'000) > 0.9 * 12.5e6);
}

TEST_CASE("BBR: loss of up to two percent does not bound the model, more does",
          "[tcp][congestion][bbr]") {
  SECTION("one percent: the bandwidth is used") {
    Link::Options options = kPath;
    options.loss_permille = 10;
    BbrLink link(options);
    link.run_for(5'000'000);
    CHECK(link.goodput(20'000'000) > 0.75 * 12.5e6);
  }
  SECTION("a CUBIC flow with the same loss is far below") {
    Link::Options options = kPath;
    options.loss_permille = 10;
    Link link(Algorithm::kCubic, options);
    link.run_for(5'000'000);
    const std::uint64_t before = link.delivered();
    link.run_for(20'000'000);
    CHECK(double(link.delivered() - before) < 0.2 * 20 * 12.5e6);
  }
  SECTION("five percent: what is in flight gets a bound") {
    Link::Options options = kPath;
    options.loss_permille = 50;
    BbrLink link(options);
    link.run_for(10'000'000);
    CHECK(link.state().inflight_longterm != Bbr::kInfinite);
  }
}

TEST_CASE("BBR in a shallow buffer bounds what it has in flight by the losses of its probes",
          "[tcp][congestion][bbr]") {
  // A twentieth of the bandwidth-delay product, some 17 segments.
  Link::Options options = kPath;
  options.buffer = 25'000;
  BbrLink link(options);
  link.run_for(10'000'000);
  CHECK(link.state().full_bw_reached);
  CHECK(link.state().inflight_longterm < 1.4 * kBdp);
  const std::uint64_t lost = link.lost();
  const std::uint64_t sent = link.sent();
  CHECK(link.goodput(20'000'000) > 0.85 * 12.5e6);
  CHECK(double(link.lost() - lost) < 0.02 * double(link.sent() - sent));

  // While it cruises it leaves room for others.
  REQUIRE(link.reaches(Mode::kProbeCruise));
  link.run_for(50'000);
  REQUIRE(link.state().mode == Mode::kProbeCruise);
  REQUIRE(link.state().inflight_longterm != Bbr::kInfinite);
  CHECK(link.flow.block.cwnd <= 0.85 * link.state().inflight_longterm + 1);
}

TEST_CASE("BBR: the probe after one that went too high stops at the bound, and a good one goes on",
          "[tcp][congestion][bbr]") {
  Link::Options options = kPath;
  options.buffer = 25'000;
  BbrLink link(options);
  REQUIRE(link.run_until([&] { return link.state().prev_probe_too_high; }, 20'000'000));
  link.options.buffer = 1'000'000;  // the next one will not lose anything
  REQUIRE(link.reaches(Mode::kProbeCruise));
  const std::uint32_t bound = link.state().inflight_longterm;
  REQUIRE(link.run_until([&] { return link.state().prev_probe_precautionary; }, 10'000'000));
  CHECK(link.state().mode == Mode::kProbeDown);
  CHECK(link.pipe() >= 0.9 * bound);
  REQUIRE(link.reaches(Mode::kProbeRefill, 200'000));  // without cruising
  CHECK_FALSE(link.state().prev_probe_precautionary);
}

TEST_CASE("BBR counts the losses that an ACK tells of, too", "[tcp][congestion][bbr]") {
  Flow flow(Algorithm::kBbr);
  flow.ack(kMss, 1'000);
  CHECK_FALSE(flow.as<Bbr::State>().is_loss_in_round);
  flow.ack(kMss, 2'000, {.lost_bytes = kMss});
  CHECK(flow.as<Bbr::State>().is_loss_in_round);
}

TEST_CASE("BBR leaves startup by loss alone when the application limits the samples",
          "[tcp][congestion][bbr]") {
  Link::Options options = kPath;
  options.app_rate = 3'000'000;
  options.loss_permille = 200;
  BbrLink link(options);
  REQUIRE(link.run_until([&] { return link.state().full_bw_reached; }, 5'000'000));
  CHECK(link.state().mode != Mode::kStartup);
  CHECK(link.state().inflight_longterm != Bbr::kInfinite);
}

TEST_CASE("BBR never leaves startup while the application limits it and nothing is lost",
          "[tcp][congestion][bbr]") {
  Link::Options options = kPath;
  options.app_rate = 3'000'000;
  BbrLink link(options);
  for (int i = 0; i < 20; ++i) {
    link.run_for(1'000'000);
    CHECK_FALSE(link.state().full_bw_reached);
    CHECK((link.state().mode == Mode::kStartup || link.state().mode == Mode::kProbeRtt));
  }
  link.options.app_rate = 0;
  REQUIRE(link.run_until([&] { return link.state().full_bw_reached; }, 2'000'000));
  CHECK(std::abs(link.max_bw() / 12.5e6 - 1) < 0.02);
}

TEST_CASE("BBR finds a bandwidth that rose tenfold, and one that fell tenfold",
          "[tcp][congestion][bbr]") {
  Link::Options options = kPath;
  SECTION("rose") {
    options.rate = 1'250'000;
    BbrLink link(options);
    REQUIRE(link.reaches(Mode::kProbeCruise));
    link.options.rate = 12'500'000;
    CHECK(link.run_until([&] { return link.max_bw() > 0.95 * 12.5e6; }, 40'000'000));
  }
  SECTION("rose, after losses had bounded what is in flight") {
    options.rate = 1'250'000;
    options.buffer = 10'000;
    BbrLink link(options);
    REQUIRE(link.run_until([&] { return link.state().inflight_longterm != Bbr::kInfinite; },
                           10'000'000));
    link.options.rate = 12'500'000;
    link.options.buffer = 1'000'000;
    CHECK(link.run_until([&] { return link.max_bw() > 0.9 * 12.5e6; }, 60'000'000));
    CHECK(link.state().inflight_longterm > 0.8 * kBdp);
  }
  SECTION("fell") {
    options.buffer = 250'000;
    BbrLink link(options);
    REQUIRE(link.reaches(Mode::kProbeCruise));
    link.options.rate = 1'250'000;
    link.run_for(2'000'000);  // the losses tell soon, the filter forgets after two cycles
    CHECK(link.state().bandwidth() < 0.3 * 12.5e6 / Bbr::kRateUnit);
    CHECK(link.max_bw() > 0.9 * 12.5e6);
    CHECK(link.run_until([&] { return link.max_bw() < 1.05 * 1.25e6; }, 15'000'000));
    CHECK(link.goodput(5'000'000) > 0.9 * 1.25e6);
  }
}

TEST_CASE(
    "BBR does not probe for the round-trip time after idling, and resumes at the rate it knew",
    "[tcp][congestion][bbr]") {
  BbrLink link;
  REQUIRE(link.reaches(Mode::kProbeCruise));
  link.run_for(100'000);
  const std::uint32_t cwnd = link.flow.block.cwnd;
  link.idle_for(20'000'000);
  CHECK(link.pipe() == 0);
  CHECK(link.state().idle_restart);
  CHECK(link.flow.block.cwnd == cwnd);  // paced: no restart window
  CHECK(link.pacing() == Approx(0.99 * link.max_bw()).epsilon(0.01));
  link.run_for(200'000);
  CHECK(link.state().mode != Mode::kProbeRtt);
  CHECK_FALSE(link.state().idle_restart);
  CHECK(link.goodput(1'000'000) > 0.9 * 12.5e6);
}

TEST_CASE("BBR: a pause shorter than an RTO spares it the probe for the round-trip time too",
          "[tcp][congestion][bbr]") {
  BbrLink link;
  link.run_for(4'900'000);
  REQUIRE(link.state().mode != Mode::kProbeRtt);
  link.pause_for(180'000);
  REQUIRE(link.pipe() == 0);
  link.run_for(45'000);
  CHECK(link.state().probe_rtt_min_us < 41'000);
  CHECK(link.state().mode != Mode::kProbeRtt);
  link.run_for(4'000'000);
  CHECK(link.state().mode != Mode::kProbeRtt);
}

TEST_CASE("BBR: four segments are the least window, even with less than one in the path",
          "[tcp][congestion][bbr]") {
  BbrLink link({.rate = 100'000, .rtt_us = 2'000, .buffer = 30'000});
  link.run_for(3'000'000);
  CHECK(link.flow.block.cwnd >= 4 * kMss);
  CHECK(link.goodput(5'000'000) > 0.95 * 100'000);
  CHECK(std::abs(link.max_bw() / 1e5 - 1) < 0.02);
}

TEST_CASE("BBR gives the window what bunched ACKs need", "[tcp][congestion][bbr]") {
  Link::Options options = kPath;
  options.rtt_us = 10'000;
  options.ack_every_us = 60'000;
  BbrLink link(options);
  link.run_for(5'000'000);
  const double bdp = link.max_bw() * link.state().min_rtt_us / 1e6;
  CHECK(std::max(link.state().extra_acked[0], link.state().extra_acked[1]) > bdp);
  CHECK(link.flow.block.cwnd > 2.5 * bdp);
  CHECK(link.goodput(10'000'000) > 0.9 * 12.5e6);
}

TEST_CASE("BBR: an undone loss episode restores window, bounds and the probe that it ended",
          "[tcp][congestion][bbr]") {
  BbrLink link;
  Flow& flow = link.flow;
  const auto lose = [&](std::uint32_t lost) {
    flow.controller.on_lost(flow.block, flow.state,
                            {.length = kMss,
                             .tx_in_flight = 600'000,
                             .lost = lost,
                             .now_us = std::uint32_t(link.now())});
    flow.block.ssthresh = flow.controller.ssthresh_after_loss(
        flow.block, flow.state,
        {.cause = CongestionCause::kLoss, .flight = 600'000, .now_us = std::uint32_t(link.now())});
  };
  SECTION("in ProbeBW_UP") {
    REQUIRE(link.reaches(Mode::kProbeUp));
    link.run_for(50'000);
    REQUIRE(link.state().mode == Mode::kProbeUp);
    const std::uint32_t cwnd = flow.block.cwnd;
    lose(20'000);
    CHECK(link.state().mode == Mode::kProbeDown);
    CHECK(link.state().prev_probe_too_high);
    CHECK(link.state().inflight_longterm != Bbr::kInfinite);
    flow.block.cwnd = kMss;
    flow.controller.on_undo(flow.block, flow.state);
    CHECK(link.state().mode == Mode::kProbeRefill);
    CHECK(link.state().inflight_longterm == Bbr::kInfinite);
    CHECK(flow.block.cwnd == cwnd);
  }
  SECTION("in ProbeBW_CRUISE: the short-term model goes back too") {
    REQUIRE(link.reaches(Mode::kProbeCruise));
    lose(kMss);
    link.run_for(45'000);
    CHECK(link.state().bw_shortterm != Bbr::kInfinite);
    CHECK(link.state().inflight_shortterm != Bbr::kInfinite);
    flow.controller.on_undo(flow.block, flow.state);
    CHECK(link.state().bw_shortterm == Bbr::kInfinite);
    CHECK(link.state().inflight_shortterm == Bbr::kInfinite);
  }
}

TEST_CASE("BBR takes a mark for congestion: it ends startup and probes", "[tcp][congestion][bbr]") {
  BbrLink link;
  const auto mark = [&] {
    (void)link.flow.controller.ssthresh_after_loss(
        link.flow.block, link.flow.state,
        {.cause = CongestionCause::kEce, .flight = 450'000, .now_us = std::uint32_t(link.now())});
  };
  SECTION("in Startup") {
    link.run_for(60'000);
    mark();
    CHECK(link.state().full_bw_reached);
    link.run_for(100'000);
    CHECK(link.state().mode != Mode::kStartup);
  }
  SECTION("in ProbeBW_UP") {
    REQUIRE(link.reaches(Mode::kProbeUp));
    mark();
    CHECK(link.state().mode == Mode::kProbeDown);
    CHECK(link.state().inflight_longterm == 450'000);
  }
}

TEST_CASE("BBR: after a timeout the window returns when what was in flight is acknowledged",
          "[tcp][congestion][bbr]") {
  BbrLink link;
  REQUIRE(link.reaches(Mode::kProbeCruise));
  Flow& flow = link.flow;
  const std::uint32_t cwnd = flow.block.cwnd;
  flow.block.ssthresh = flow.controller.ssthresh_after_loss(flow.block, flow.state,
                                                            {.cause = CongestionCause::kTimeout,
                                                             .flight = link.pipe(),
                                                             .now_us = std::uint32_t(link.now())});
  flow.block.cwnd = kMss;
  flow.controller.on_timeout(flow.block, flow.state);
  link.run_for(1'000);
  CHECK(flow.block.cwnd < cwnd / 4);
  link.run_for(60'000);
  CHECK(flow.block.cwnd > 0.6 * cwnd);
  CHECK(flow.block.cwnd < 1.05 * cwnd);
}

TEST_CASE("BBR finds what was in flight when losses passed two percent", "[tcp][congestion][bbr]") {
  const auto at = [](std::uint32_t length, std::uint32_t tx_in_flight, std::uint32_t lost) {
    return inflight_at_loss({.length = length, .tx_in_flight = tx_in_flight, .lost = lost});
  };
  // 100,000 before a burst of 10,000 that was lost: 2 % of 100,000 / 0.98 of it make the loss rate.
  CHECK(at(10'000, 110'000, 10'000) == 100'000 + 2'040);
  CHECK(at(10'000, 110'000, 11'000) == 100'000 + 1'020);  // a thousand had been lost before
  CHECK(at(10'000, 110'000, 14'000) == 100'000);          // passed before the burst
  CHECK(at(10'000, 5'000, 20'000) == 0);
}

TEST_CASE("BBR is the same for the same events, and its probes differ between connections",
          "[tcp][congestion][bbr]") {
  const auto wait = [](std::uint32_t offset) {
    BbrLink link;
    link.flow.block.ts_offset = offset;
    CHECK(link.reaches(Mode::kProbeCruise));
    CHECK(link.state().bw_probe_wait_ms >= 2'000);
    CHECK(link.state().bw_probe_wait_ms < 3'000);
    return link.state().bw_probe_wait_ms;
  };
  CHECK(wait(1) == wait(1));
  CHECK((wait(1) != wait(2) || wait(2) != wait(3)));
}

}  // namespace sluice::tcp
