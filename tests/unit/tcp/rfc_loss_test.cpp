// RFC 8985, 5681 and 9438: what RACK, tail probes, limited transmit and marks may do and may not.

#include <catch2/catch.hpp>

#include "tcp/recovery/loss_recovery.hpp"
#include "tcp/recovery/rack.hpp"
#include "tests/support/tcp_app.hpp"

namespace sluice::tcp {
namespace {

using namespace support;
using telemetry::Counter;
using wire::kAck;
using wire::kCwr;
using wire::kEce;
using wire::kSyn;

constexpr std::uint32_t kMss = 1448;

EngineConfig without_nagle() {
  EngineConfig config = TcpRig::small_config();
  config.nodelay = true;
  return config;
}

/// A connection of `listener` whose handshake took 100 ms; `peer` has read all.
ConnHandle connect_slowly(TcpRig& rig, TcpPeer& peer, ListenerHandle listener,
                          std::uint8_t syn_flags = kSyn) {
  PeerSegment syn = peer.segment(syn_flags);
  syn.options = peer.syn_options();
  peer.give(syn);
  peer.nxt = peer.iss() + 1;
  static_cast<void>(peer.read());
  rig.run_for(Duration::from_ms(100));
  peer.acknowledge();
  const ConnHandle handle = accept_on(rig, listener);
  static_cast<void>(peer.read());
  return handle;
}

/// An ACK of `ack` that SACKs [left, right).
void give_sack(TcpPeer& peer, wire::SeqNum ack, wire::SeqNum left, wire::SeqNum right) {
  PeerSegment segment = peer.segment(kAck);
  segment.ack = ack;
  segment.options.sack_count = 1;
  segment.options.sack[0] = {left, right};
  peer.give(segment);
}

void give_ack(TcpPeer& peer, wire::SeqNum ack, std::uint8_t flags = kAck) {
  PeerSegment segment = peer.segment(flags);
  segment.ack = ack;
  peer.give(segment);
}

}  // namespace

//= rfc8985#3.3.2 SHLD-2, MUST-1, SHLD-4 test
TEST_CASE("the reordering window is a quarter of min_rtt, times what D-SACKs say, and SRTT at most",
          "[tcp][recovery][rfc8985]") {
  Tcb block{};
  block.min_rtt_us = 20'000;
  block.srtt_us8 = 8 * 30'000;
  CHECK(reorder_window_us(block) == 5'000);
  block.reorder_window_mult = 5;
  CHECK(reorder_window_us(block) == 25'000);
  for (const int mult : {6, 7, 100, 255}) {
    block.reorder_window_mult = static_cast<std::uint8_t>(mult);
    CHECK(reorder_window_us(block) == 30'000);
  }
  block.min_rtt_us = 0xffff'ffff;
  CHECK(reorder_window_us(block) == 30'000);
}

//= rfc8985#4 MUST-1 test
TEST_CASE("there is no tail probe without SACK", "[tcp][recovery][rfc8985]") {
  const bool has_sack = GENERATE(true, false);
  TcpRig rig;
  TcpPeer peer(rig, {.window = 65535, .sack = has_sack});
  const ConnHandle connection = connect_slowly(rig, peer, listen_on(rig, 80));
  send_octets(rig, connection, pattern(3 * kMss));
  rig.run_for(Duration::from_ms(310));
  CHECK(rig.metrics().of(Counter::kTailLossProbes) == (has_sack ? 1 : 0));
  CHECK(rig.metrics().of(Counter::kRtoFired) == (has_sack ? 0 : 1));
  require_nothing_left(rig);
}

//= rfc8985#4 MUST-2 test
TEST_CASE("a SACK marks its own connection's segments", "[tcp][recovery][rfc8985]") {
  TcpRig rig;
  const ListenerHandle listener = listen_on(rig, 80);
  TcpPeer first(rig, {.window = 65535}), second(rig, {.remote_port = Port{40001}, .window = 65535});
  const ConnHandle one = connect_slowly(rig, first, listener);
  const ConnHandle two = connect_slowly(rig, second, listener);
  const wire::SeqNum una = first.una;
  for (const ConnHandle handle : {one, two}) send_octets(rig, handle, pattern(4 * kMss));
  const auto record = [&](ConnHandle handle) {
    return rig.ctx().send_record(*find_tcb(rig.ctx(), handle));
  };
  give_sack(first, una, una + kMss, una + 3 * kMss);
  CHECK(record(one)->sacked == 2 * kMss);
  CHECK(record(two)->sacked == 0);
  give_sack(first, una, una + kMss, una + 4 * kMss);  // what was told before stays
  CHECK(record(one)->sacked == 3 * kMss);
  give_ack(first, una);
  CHECK(record(one)->sacked == 3 * kMss);
  require_nothing_left(rig);
}

//= rfc8985#4 MUST-3 test
TEST_CASE("each segment has the time of its latest sending, to the microsecond",
          "[tcp][recovery][rfc8985]") {
  TcpRig rig(without_nagle());
  TcpPeer peer(rig, {.window = 65535});
  const ConnHandle connection = connect_slowly(rig, peer, listen_on(rig, 80));
  const wire::SeqNum una = peer.una;
  Tcb& block = *find_tcb(rig.ctx(), connection);
  const auto sent_at = [&](std::uint32_t run) { return rig.ctx().runs.slab[run].sent_at_us; };
  send_octets(rig, connection, pattern(kMss));
  rig.run_for(Duration::from_us(137));
  send_octets(rig, connection, pattern(kMss));
  const SendRecord& record = *rig.ctx().send_record(block);
  CHECK(sent_at(record.last_run) - sent_at(record.first_run) == 137);

  const std::uint32_t first_sending = sent_at(record.first_run);
  rig.run_for(Duration::from_ms(100));
  give_sack(peer, una, una + kMss, una + 2 * kMss);
  REQUIRE(rig.run_to([&] { return rig.metrics().of(Counter::kRetransmittedSegments) == 1; },
                     Duration::from_ms(100)));
  CHECK(sent_at(record.first_run) == rig.ctx().now_us());
  CHECK(sent_at(record.first_run) != first_sending);
  require_nothing_left(rig);
}

//= rfc8985#7.3 MUST-1, MUST-2, MUST-3 test
TEST_CASE("no tail probe follows another before a round trip was measured",
          "[tcp][recovery][rfc8985]") {
  TcpRig rig;
  TcpPeer peer(rig, {.window = 65535, .timestamps = false});
  const ConnHandle connection = connect_slowly(rig, peer, listen_on(rig, 80));
  const Tcb& block = *find_tcb(rig.ctx(), connection);
  const auto probes = [&] { return rig.metrics().of(Counter::kTailLossProbes); };
  const auto timeouts = [&] { return rig.metrics().of(Counter::kRtoFired); };
  const auto is_repaired = [&] { return probes() + timeouts() > 0; };

  send_octets(rig, connection, pattern(100));
  REQUIRE(rig.run_to(is_repaired, Duration::from_s(1)));
  CHECK(probes() == 1);
  // It was only slow: both sendings arrive, and neither tells how long the round trip is.
  const wire::SeqNum end = block.snd.nxt;
  give_ack(peer, end);
  give_sack(peer, end, end - 100, end);
  CHECK(block.srtt_us8 / 8 == 100'000);

  send_octets(rig, connection, pattern(100));
  const Instant start = rig.now();
  REQUIRE(rig.run_to([&] { return probes() + timeouts() == 2; }, Duration::from_s(1)));
  CHECK(probes() == 1);
  CHECK(timeouts() == 1);
  CHECK((rig.now() - start).ms() >= 300);  // the RTO, all of it
  give_ack(peer, block.snd.nxt);

  send_octets(rig, connection, pattern(100));
  rig.run_for(Duration::from_ms(150));
  give_ack(peer, block.snd.nxt);  // this one tells
  CHECK(block.srtt_us8 / 8 != 100'000);
  send_octets(rig, connection, pattern(100));
  REQUIRE(rig.run_to([&] { return probes() + timeouts() == 3; }, Duration::from_s(1)));
  CHECK(probes() == 2);
  require_nothing_left(rig);
}

//= rfc8985#7.3 MUST-1, MUST-2 test
TEST_CASE("no tail probe is sent before the connection's first measured round trip",
          "[tcp][recovery][rfc8985]") {
  TcpRig rig;
  TcpPeer peer(rig, {.window = 65535, .timestamps = false});
  const ListenerHandle listener = listen_on(rig, 80);
  peer.send_syn();
  rig.run_for(Duration::from_ms(1100));  // the SYN-ACK goes out again: its ACK measures nothing
  static_cast<void>(peer.read());
  peer.acknowledge();
  const ConnHandle connection = accept_on(rig, listener);
  send_octets(rig, connection, pattern(100));
  REQUIRE(
      rig.run_to([&] { return rig.metrics().of(Counter::kRtoFired) == 1; }, Duration::from_s(10)));
  CHECK(rig.metrics().of(Counter::kTailLossProbes) == 0);
  require_nothing_left(rig);
}

//= rfc5681#3.2 MUST-2 test
TEST_CASE("with SACK only news of what arrived lets new segments out",
          "[tcp][recovery][rfc5681][rfc3042]") {
  TcpRig rig(without_nagle());
  TcpPeer peer(rig, {.window = 65535});
  const ConnHandle connection = connect_slowly(rig, peer, listen_on(rig, 80));
  const wire::SeqNum una = peer.una;
  send_octets(rig, connection, pattern(20 * kMss));
  REQUIRE(rig.take_sent().size() == 10);
  for (int i = 0; i < 4; ++i) {
    give_ack(peer, una);
    CHECK(rig.take_sent().empty());
  }
  for (std::uint32_t told = 1; told <= 2; ++told) {
    give_sack(peer, una, una + kMss, una + (1 + told) * kMss);
    const auto sent = rig.take_sent();
    REQUIRE(sent.size() == 1);
    CHECK(sent[0].header.seq == una + (9 + told) * kMss);
    give_sack(peer, una, una + kMss, una + (1 + told) * kMss);  // no news
    CHECK(rig.take_sent().empty());
  }
  require_nothing_left(rig);
}

//= rfc5681#4.3 MUST-3, MUST-4 test
TEST_CASE("after a recovery cwnd grows from ssthresh by a segment for each round trip",
          "[tcp][recovery][rfc5681]") {
  TcpRig rig(without_nagle());
  TcpPeer peer(rig, {.window = 65535, .timestamps = false});
  const ConnHandle connection = connect_slowly(rig, peer, listen_on(rig, 80));
  const Tcb& block = *find_tcb(rig.ctx(), connection);
  const std::uint32_t mss = block.snd_mss;
  const wire::SeqNum una = peer.una;
  send_octets(rig, connection, pattern(80 * mss));
  rig.run_for(Duration::from_ms(50));
  give_sack(peer, una, una + mss, una + 4 * mss);
  REQUIRE(rig.metrics().of(Counter::kRetransmittedSegments) == 1);
  rig.run_for(Duration::from_ms(50));
  give_ack(peer, block.snd.nxt);
  const std::uint32_t ssthresh = block.ssthresh;
  CHECK(ssthresh == 5 * mss);
  CHECK(block.cwnd == ssthresh);
  for (std::uint32_t round = 1; round <= 6; ++round) {
    rig.run_for(Duration::from_ms(50));
    give_ack(peer, block.snd.nxt);
    CHECK(block.cwnd == ssthresh + round * mss);
  }
  require_nothing_left(rig);
}

//= rfc9438#4.6 MUST-4, MUST-5 test
TEST_CASE("marks that go on at a window of one segment leave one segment for each RTO",
          "[tcp][recovery][rfc9438][rfc3168]") {
  EngineConfig config = without_nagle();
  config.congestion = Algorithm::kCubic;
  config.ecn = EcnMode::kAccept;
  TcpRig rig(config);
  TcpPeer peer(rig, {.window = 65535});
  const ConnHandle connection = connect_slowly(rig, peer, listen_on(rig, 80), kSyn | kEce | kCwr);
  const Tcb& block = *find_tcb(rig.ctx(), connection);
  const auto marked_round = [&] {
    send_octets(rig, connection, pattern(20 * kMss));
    rig.run_for(Duration::from_ms(20));
    static_cast<void>(rig.take_sent());
    give_ack(peer, block.snd.nxt, kAck | kEce);
  };
  for (int i = 0; i < 30 && block.cwnd > kMss; ++i) marked_round();
  REQUIRE(block.cwnd == kMss);
  for (int i = 0; i < 5; ++i) {
    const std::int64_t rto = block.rto_us / 1000;
    const Instant start = rig.now();
    static_cast<void>(rig.take_sent());
    REQUIRE(rig.run_to([&] { return flight_size(block) > 0; }, Duration::from_s(5)));
    CHECK(flight_size(block) == kMss);
    CHECK((rig.now() - start).ms() >= rto);
    give_ack(peer, block.snd.nxt, kAck | kEce);
    CHECK(block.cwnd == kMss);
    CHECK(flight_size(block) == 0);
  }
  require_nothing_left(rig);
}

}  // namespace sluice::tcp
