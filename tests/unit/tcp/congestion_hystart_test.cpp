#include <catch2/catch.hpp>

#include "tcp/congestion/cubic.hpp"
#include "tcp/congestion/hystart.hpp"
#include "tests/unit/tcp/congestion_link.hpp"

namespace sluice::tcp {
namespace {

using testing::Flow;
using testing::Link;
constexpr std::uint32_t kMss = Flow::kMss;

/// Slow start of CUBIC, round by round: eight ACKs of one segment, then one that ends the round.
struct Rounds {
  Flow flow{Algorithm::kCubic};
  std::uint32_t now_us = 0;

  Rounds() { flow.block.cwnd = 100 * kMss; }
  const HyStart& hystart() const { return flow.as<Cubic::State>().hystart; }

  void ack(std::uint32_t octets, std::uint32_t rtt_us, AckEvent event = {}) {
    event.rtt_us = rtt_us;
    flow.ack_limited(octets, now_us += 1'000, event);
  }
  /// `samples` ACKs with this RTT, then the round ends.
  void round(std::uint32_t rtt_us, int samples = 8) {
    for (int i = 0; i < samples - 1; ++i) ack(kMss, rtt_us);
    flow.block.snd.una = SeqNum(hystart().window_end);
    ack(kMss, rtt_us);
  }
};

}  // namespace

TEST_CASE("HyStart++: an ACK adds what it acknowledged, eight segments at most without pacing",
          "[tcp][congestion][rfc9406]") {
  Rounds rounds;
  std::uint32_t before = rounds.flow.block.cwnd;
  rounds.ack(3 * kMss, 10'000);
  CHECK(rounds.flow.block.cwnd - before == 3 * kMss);
  before = rounds.flow.block.cwnd;
  rounds.ack(40 * kMss, 10'000);
  CHECK(rounds.flow.block.cwnd - before == 8 * kMss);
  before = rounds.flow.block.cwnd;
  rounds.ack(40 * kMss, 10'000, {.is_paced = true});
  CHECK(rounds.flow.block.cwnd - before == 40 * kMss);
}

TEST_CASE(
    "HyStart++: a rise of an eighth of the RTT, within 4 and 16 ms, begins conservative slow start",
    "[tcp][congestion][rfc9406]") {
  struct Case {
    std::uint32_t last, now;
    bool begins;
  };
  const auto c = GENERATE(Case{8'000, 11'999, false}, Case{8'000, 12'000, true},
                          Case{80'000, 89'999, false}, Case{80'000, 90'000, true},
                          Case{400'000, 415'999, false}, Case{400'000, 416'000, true});
  Rounds rounds;
  rounds.round(c.last);
  rounds.round(c.last);
  CHECK_FALSE(rounds.hystart().is_in_css);
  for (int i = 0; i < 7; ++i) rounds.ack(kMss, c.now);
  CHECK_FALSE(rounds.hystart().is_in_css);  // seven samples are too few
  rounds.ack(kMss, c.now);
  CHECK(rounds.hystart().is_in_css == c.begins);
  CHECK(rounds.flow.block.ssthresh == kInitialSsthresh);
}

TEST_CASE("HyStart++: conservative slow start grows by a quarter and ends after five rounds",
          "[tcp][congestion][rfc9406]") {
  Rounds rounds;
  rounds.round(20'000);
  rounds.round(20'000);
  for (int i = 0; i < 8; ++i) rounds.ack(kMss, 30'000);
  REQUIRE(rounds.hystart().is_in_css);
  const std::uint32_t before = rounds.flow.block.cwnd;
  rounds.ack(4 * kMss, 30'000);
  CHECK(rounds.flow.block.cwnd - before == kMss);

  for (int i = 1; i < 5; ++i) {  // the round that it began in is the first
    rounds.round(30'000);
    CHECK(rounds.flow.block.ssthresh == kInitialSsthresh);
  }
  rounds.round(30'000);
  CHECK(rounds.flow.block.ssthresh == rounds.flow.block.cwnd);
  // The first loss-free exit: a plateau at the present window (RFC 9438 4.10).
  const std::uint32_t plateau = rounds.flow.block.cwnd;
  rounds.ack(kMss, 30'000);
  CHECK(rounds.flow.as<Cubic::State>().stage.w_max == plateau);
  CHECK(rounds.flow.as<Cubic::State>().stage.k == 0);
  CHECK(rounds.flow.as<Cubic::State>().stage.cwnd_prior == plateau);
}

TEST_CASE("HyStart++: slow start resumes when the RTT falls below that of the rise",
          "[tcp][congestion][rfc9406]") {
  Rounds rounds;
  rounds.round(20'000);
  rounds.round(20'000);
  rounds.round(30'000);
  REQUIRE(rounds.hystart().is_in_css);
  SECTION("it does not fall") {
    for (int i = 0; i < 8; ++i) rounds.ack(kMss, 30'000);
    CHECK(rounds.hystart().is_in_css);
  }
  SECTION("it falls: growth is whole again, and a later rise counts its rounds anew") {
    for (int i = 0; i < 8; ++i) rounds.ack(kMss, 29'999);
    CHECK_FALSE(rounds.hystart().is_in_css);
    const std::uint32_t before = rounds.flow.block.cwnd;
    rounds.ack(4 * kMss, 29'999);
    CHECK(rounds.flow.block.cwnd - before == 4 * kMss);
    rounds.round(29'999);
    rounds.round(40'000);
    REQUIRE(rounds.hystart().is_in_css);
    CHECK(rounds.flow.block.ssthresh == kInitialSsthresh);
    for (int i = 0; i < 4; ++i) rounds.round(40'000);
    CHECK(rounds.flow.block.ssthresh == rounds.flow.block.cwnd);
  }
}

TEST_CASE("HyStart++ serves the initial slow start only", "[tcp][congestion][rfc9406]") {
  Rounds rounds;
  rounds.flow.lose(1'000, CongestionCause::kTimeout);
  const std::uint32_t before = rounds.flow.block.cwnd;
  rounds.ack(4 * kMss, 20'000);
  CHECK(rounds.flow.block.cwnd - before == kMss);  // RFC 5681 (2)
  for (int i = 0; i < 4; ++i) rounds.round(20'000u + 10'000u * std::uint32_t(i));
  CHECK_FALSE(rounds.hystart().is_in_css);
}

TEST_CASE("HyStart++ ends slow start by the delay of a deep queue before it overflows",
          "[tcp][congestion][rfc9406]") {
  // 100 Mbit/s, 60 ms: a bandwidth-delay product of 750 kB.
  struct Case {
    std::uint64_t buffer;
    double share;  // of what plain slow start loses
  };
  const auto c = GENERATE(Case{6'000'000, 0}, Case{750'000, 0.5});
  const auto lost_by = [&](Algorithm algorithm) {
    Link link(algorithm, {.rate = 12'500'000, .rtt_us = 60'000, .buffer = c.buffer});
    CHECK(link.run_until([&] { return link.flow.block.ssthresh != kInitialSsthresh; }, 9'000'000));
    CHECK(link.flow.block.ssthresh > 750'000);
    link.run_for(700'000);
    return double(link.lost());
  };
  const double plain = lost_by(Algorithm::kNewReno);
  CHECK(plain > 1'000'000);
  CHECK(lost_by(Algorithm::kCubic) <= c.share * plain);
}

}  // namespace sluice::tcp
