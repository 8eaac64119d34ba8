#include <catch2/catch.hpp>
#include <cmath>

#include "tcp/congestion/dctcp.hpp"
#include "tests/unit/tcp/congestion_link.hpp"

namespace sluice::tcp {
namespace {

using testing::Flow;
using testing::Link;
constexpr std::uint32_t kMss = Flow::kMss;

double alpha(const Flow& flow) {
  return double(flow.as<Dctcp::State>().alpha) / Dctcp::kWhole;
}

/// Acknowledges one observation window, its first `marked` ACKs with a mark. Its number of ACKs.
std::uint32_t observe(Flow& flow, std::uint32_t marked) {
  const SeqNum end(flow.as<Dctcp::State>().window_end);
  // The ACK that passes the end ends the window.
  const std::uint32_t acks = wire::seq_distance(flow.block.snd.una, end) / kMss + 1;
  for (std::uint32_t i = 0; i < acks; ++i) {
    flow.block.cwnd = 10 * kMss;
    flow.ack(kMss, 1'000, {.has_ece = i < marked});
  }
  return acks;
}

}  // namespace

TEST_CASE("DCTCP: alpha starts at 1 and follows the share of marked octets with a gain of 1/16",
          "[tcp][congestion][rfc8257]") {
  Flow flow(Algorithm::kDctcp);
  CHECK(alpha(flow) == 1.0);
  observe(flow, 1'000);
  CHECK(alpha(flow) == 1.0);
  double expected = 1.0;
  for (const std::uint32_t marked : {0u, 0u, 3u, 10u, 0u, 5u, 1u, 0u, 0u, 7u}) {
    const double acks = observe(flow, marked);
    CHECK(acks == 11);
    expected = expected * 15 / 16 + marked / acks / 16;
    CHECK(std::abs(alpha(flow) - expected) < 1e-5);
  }
}

TEST_CASE("DCTCP: without marks alpha decays to nothing, with all marked it returns to 1",
          "[tcp][congestion][rfc8257]") {
  Flow flow(Algorithm::kDctcp);
  for (int i = 0; i < 400; ++i) observe(flow, 0);
  CHECK(flow.as<Dctcp::State>().alpha == 0);
  for (int i = 0; i < 400; ++i) observe(flow, 1'000);
  CHECK(alpha(flow) > 0.9999);
  CHECK(alpha(flow) <= 1.0);
}

TEST_CASE("DCTCP: marks cut by alpha / 2, loss and timeouts by half",
          "[tcp][congestion][rfc8257]") {
  Flow flow(Algorithm::kDctcp);
  const auto ssthresh = [&](CongestionCause cause) {
    flow.block.cwnd = 100 * kMss;
    return flow.controller.ssthresh_after_loss(flow.block, flow.state,
                                               {.cause = cause, .flight = 100 * kMss, .now_us = 0});
  };
  CHECK(ssthresh(CongestionCause::kEce) == 50 * kMss);  // alpha is 1
  for (int i = 0; i < 16; ++i) observe(flow, 0);
  const double share = alpha(flow);
  CHECK(share == Approx(std::pow(15.0 / 16, 16)).margin(0.001));
  CHECK(ssthresh(CongestionCause::kEce) == Approx(100 * kMss * (1 - share / 2)).margin(2));
  CHECK(ssthresh(CongestionCause::kLoss) == 50 * kMss);
  CHECK(ssthresh(CongestionCause::kTimeout) == 50 * kMss);
  flow.block.cwnd = kMss;
  CHECK(flow.controller.ssthresh_after_loss(
            flow.block, flow.state, {.cause = CongestionCause::kEce, .flight = kMss}) == 2 * kMss);
}

TEST_CASE("DCTCP keeps the queue near the marking threshold and the link busy",
          "[tcp][congestion][rfc8257]") {
  // 1 Gbit/s, 100 us: a bandwidth-delay product of 12.5 kB; marks from 20 kB on.
  Link link(Algorithm::kDctcp,
            {.rate = 125'000'000, .rtt_us = 200, .buffer = 1'000'000, .mark_at = 20'000});
  link.run_for(100'000);
  const std::uint64_t before = link.delivered();
  std::uint64_t greatest = 0;
  for (int i = 0; i < 1'000; ++i) {
    link.run_for(200);
    greatest = std::max(greatest, link.queued());
  }
  CHECK(double(link.delivered() - before) > 0.97 * 0.2 * 125'000'000);
  CHECK(greatest < 45'000);
  CHECK(link.lost() == 0);
  CHECK(alpha(link.flow) < 0.5);
}

}  // namespace sluice::tcp
