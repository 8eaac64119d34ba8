#include <catch2/catch.hpp>

#include "tcp/recovery/loss_recovery.hpp"
#include "tcp/recovery/rtt.hpp"
#include "tests/support/tcp_app.hpp"

namespace sluice::tcp {
namespace {

using namespace support;
using telemetry::Counter;

constexpr std::uint32_t kMss = 1448;

/// Segments that carry octets.
std::vector<SentSegment> data_of(const std::vector<SentSegment>& segments) {
  std::vector<SentSegment> data;
  for (const SentSegment& segment : segments)
    if (!segment.payload.empty()) data.push_back(segment);
  return data;
}

}  // namespace

//= rfc6298#2.2 MUST-1 test
//= rfc6298#2.3 MUST-1, MUST-2, MUST-3, SHLD-1 test
//= rfc6298#1 MUST-1 test
TEST_CASE("SRTT, RTTVAR and RTO follow RFC 6298's formulas", "[tcp][recovery][rfc6298]") {
  EngineConfig config;
  Tcb block{};
  on_rtt_sample(block, config, Duration::from_ms(100));
  CHECK(block.srtt_us8 / 8 == 100'000);
  CHECK(block.rttvar_us4 / 4 == 50'000);
  CHECK(block.rto_us == 300'000);  // SRTT + 4 RTTVAR
  on_rtt_sample(block, config, Duration::from_ms(200));
  CHECK(block.rttvar_us4 / 4 == 62'500);  // 3/4 * 50 + 1/4 * |100 - 200|
  CHECK(block.srtt_us8 / 8 == 112'500);   // 7/8 * 100 + 1/8 * 200
  CHECK(block.rto_us == 362'500);

  SECTION("RTO is 200 ms at least and rto_max at most, and doubles with each retransmission") {
    Tcb fast{};
    for (int i = 0; i < 50; ++i) on_rtt_sample(fast, config, Duration::from_us(50));
    CHECK(fast.rto_us == 200'000);
    CHECK(retransmission_timeout(fast, config) == Duration::from_ms(200));
    fast.backoff = 3;
    CHECK(retransmission_timeout(fast, config) == Duration::from_ms(1600));
    fast.backoff = 16;
    CHECK(retransmission_timeout(fast, config) == config.rto_max);
    Tcb slow{};
    on_rtt_sample(slow, config, Duration::from_s(250));
    CHECK(slow.rto_us == static_cast<std::uint32_t>(config.rto_max.us()));
  }
}

TEST_CASE("min_rtt is a minimum over five minutes", "[tcp][recovery][rfc8985]") {
  Tcb block{};
  note_min_rtt(block, 20'000, 0);
  note_min_rtt(block, 30'000, 1'000);
  CHECK(block.min_rtt_us == 20'000);
  note_min_rtt(block, 10'000, 2'000);
  CHECK(block.min_rtt_us == 10'000);
  note_min_rtt(block, 30'000, 200'000);
  CHECK(block.min_rtt_us == 10'000);
  note_min_rtt(block, 30'000, 400'000);
  CHECK(block.min_rtt_us == 30'000);
}

TEST_CASE("without SACK, fast retransmit, partial and full ACKs go as RFC 6582 walks",
          "[tcp][recovery][rfc6582]") {
  EngineConfig config = TcpRig::small_config();
  config.nodelay = true;
  TcpRig rig(config);
  TcpPeer peer(rig, {.window = 65535, .sack = false});
  const ConnHandle connection = establish(rig, peer);
  const Tcb& block = *find_tcb(rig.ctx(), connection);
  const wire::SeqNum first = peer.una;
  send_octets(rig, connection, pattern(12 * kMss));
  const auto flight = data_of(peer.read());
  REQUIRE(flight.size() == 10);  // the initial window
  const auto ack_up_to = [&](std::uint32_t segments) {
    peer.una = first + segments * kMss;
    peer.acknowledge();
    return data_of(rig.take_sent());
  };

  // Segments 1 and 4 are lost. 0 arrives.
  CHECK(ack_up_to(1).size() == 2);  // slow start: 10, 11
  CHECK(ack_up_to(1).empty());
  CHECK(ack_up_to(1).empty());
  const auto again = ack_up_to(1);  // the third duplicate
  REQUIRE(again.size() == 1);
  CHECK(again[0].header.seq == first + kMss);
  CHECK(rig.metrics().of(Counter::kFastRetransmits) == 1);
  const std::uint32_t ssthresh = 11 * kMss / 2;
  CHECK(block.ssthresh == ssthresh);
  CHECK(ack_up_to(1).empty());  // PRR: one segment out for two delivered

  const auto hole = ack_up_to(4);  // partial: 1 came, 4 is lost too
  REQUIRE(hole.size() == 1);
  CHECK(hole[0].header.seq == first + 4 * kMss);
  CHECK(rig.metrics().of(Counter::kFastRetransmits) == 1);

  CHECK(ack_up_to(12).empty());  // full
  CHECK(block.cwnd == ssthresh);
  CHECK(flight_size(block) == 0);
  CHECK(rig.metrics().of(Counter::kRtoFired) == 0);
  CHECK(rig.metrics().of(Counter::kRetransmittedSegments) == 2);
  require_nothing_left(rig);
}

//= rfc5681#3 MUST-1 test
//= rfc2018#5.1 MUST-1 test
TEST_CASE("the first two duplicate ACKs let one new segment out each", "[tcp][recovery][rfc3042]") {
  EngineConfig config = TcpRig::small_config();
  config.nodelay = true;
  TcpRig rig(config);
  TcpPeer peer(rig, {.window = 65535, .sack = false});
  const ConnHandle connection = establish(rig, peer);
  send_octets(rig, connection, pattern(20 * kMss));
  const wire::SeqNum una = peer.una;
  REQUIRE(data_of(peer.read()).size() == 10);
  peer.una = una;
  for (int i = 0; i < 2; ++i) {
    peer.acknowledge();
    const auto sent = data_of(rig.take_sent());
    REQUIRE(sent.size() == 1);
    CHECK(sent[0].header.seq == una + static_cast<std::uint32_t>(10 + i) * kMss);
  }
  require_nothing_left(rig);
}

//= rfc5681#3.1 MUST-1, MUST-8, MUST-9 test
//= rfc9293#3.8.2 MUST-19 test
TEST_CASE("after a timeout everything is sent again in slow start, from one segment",
          "[tcp][recovery][rfc5681]") {
  EngineConfig config = TcpRig::small_config();
  config.nodelay = true;
  TcpRig rig(config);
  TcpPeer peer(rig, {.window = 65535});
  const ConnHandle connection = establish(rig, peer);
  const Tcb& block = *find_tcb(rig.ctx(), connection);
  const wire::SeqNum una = peer.una;
  send_octets(rig, connection, pattern(10 * kMss));
  REQUIRE(data_of(rig.take_sent()).size() == 10);
  REQUIRE(
      rig.run_to([&] { return rig.metrics().of(Counter::kRtoFired) == 1; }, Duration::from_s(5)));
  auto sent = data_of(peer.read());  // its timestamp is what the peer echoes
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].header.seq == una);
  CHECK(block.cwnd == kMss);
  CHECK(block.ssthresh == 5 * kMss);
  peer.una = una + kMss;
  peer.acknowledge();
  sent = data_of(rig.take_sent());
  REQUIRE(sent.size() == 2);
  CHECK(sent[0].header.seq == una + kMss);
  CHECK(sent[1].header.seq == una + 2 * kMss);
  require_nothing_left(rig);
}

TEST_CASE("SACKs of single octets leave no more runs than there are segments, and a bound",
          "[tcp][recovery][rfc2018]") {
  // CVE-2019-11478: a peer made each segment a queue of its own, and every ACK a walk over them.
  EngineConfig config = TcpRig::small_config();
  config.nodelay = true;
  config.initial_window_segments = 64;
  TcpRig rig(config);
  TcpPeer peer(rig, {.window = 65535, .mss = 512});
  const ConnHandle connection = establish(rig, peer);
  const wire::SeqNum una = peer.una;
  send_octets(rig, connection, pattern(40 * 500));
  REQUIRE(data_of(peer.read()).size() == 40);
  peer.una = una;
  Tcb& block = *find_tcb(rig.ctx(), connection);
  const SendRecord& record = *rig.ctx().send_record(block);
  REQUIRE(record.run_count == 1);
  for (std::uint32_t octet = 501; octet < 20'000; octet += 2) {
    PeerSegment ack = peer.segment(wire::kAck);
    ack.options.sack_count = 1;
    ack.options.sack[0] = {una + octet, una + octet + 1};
    peer.give(ack);
  }
  CHECK(record.run_count == 1);  // no block held a whole segment
  CHECK(record.sacked == 0);
  for (std::uint32_t segment = 1; segment < 39; segment += 2) {
    PeerSegment ack = peer.segment(wire::kAck);
    ack.options.sack_count = 1;
    ack.options.sack[0] = {una + segment * 500 - 10, una + segment * 500 + 510};
    peer.give(ack);
    CHECK(record.run_count <= 40);
  }
  CHECK(record.sacked == 19 * 500);
  require_nothing_left(rig);
}

TEST_CASE("one burst of send() leaves the buffers that receiving needs", "[tcp][api]") {
  EngineConfig config = TcpRig::small_config();
  config.send_buffer_bytes = 1 << 20;
  TcpRig rig(config);
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  rig.ctx().spare_buffers = 3;
  const auto taken = send(rig.ctx(), connection, std::span<const std::byte>(pattern(100'000)));
  REQUIRE(taken.has_value());
  CHECK(*taken > 0);
  CHECK(*taken <= 3 * 2048);
  CHECK(rig.ctx().is_low_on_buffers());
  rig.ctx().spare_buffers = 100;
  require_nothing_left(rig);
}

}  // namespace sluice::tcp
