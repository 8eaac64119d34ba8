// RFC 6298 and 5681: what a lost SYN costs, how the timer backs off, and when an ACK is due.

#include <catch2/catch.hpp>

#include "tcp/recovery/rtt.hpp"
#include "tests/support/tcp_app.hpp"

namespace sluice::tcp {
namespace {

using namespace support;
using telemetry::Counter;
using wire::kAck;

constexpr std::uint32_t kMss = 1448;

}  // namespace

//= rfc5681#3.1 MUST-4 test
//= rfc6298#5.7 MUST-1 test
TEST_CASE("after a lost SYN-ACK one segment is sent, and the RTO is three seconds",
          "[tcp][recovery][rfc5681][rfc6298]") {
  TcpRig rig;
  TcpPeer peer(rig, {.window = 65535, .timestamps = false});
  const ListenerHandle listener = listen_on(rig, 80);
  peer.send_syn();
  rig.run_for(Duration::from_ms(1100));
  CHECK(peer.read().size() == 2);
  peer.acknowledge();
  const ConnHandle connection = accept_on(rig, listener);
  const Instant start = rig.now();
  send_octets(rig, connection, pattern(10 * 1460));
  CHECK(rig.take_sent().size() == 1);
  REQUIRE(
      rig.run_to([&] { return rig.metrics().of(Counter::kRtoFired) == 1; }, Duration::from_s(10)));
  CHECK((rig.now() - start).ms() >= 3000);
  CHECK(rig.take_sent().size() == 1);
  require_nothing_left(rig);
}

//= rfc6298#4 MUST-1 test
TEST_CASE("a round-trip time that never varies leaves the clock's grain in the RTO",
          "[tcp][recovery][rfc6298]") {
  EngineConfig config;
  config.rto_min = Duration::from_us(1);
  Tcb block{};
  for (int i = 0; i < 200; ++i) on_rtt_sample(block, config, Duration::from_ms(40));
  CHECK(block.rttvar_us4 < 1000);
  CHECK(block.rto_us == 41'000);  // G is a tick of 1 ms
}

//= rfc6298#5 MUST-1 test
//= rfc6298#5.5 MUST-1 test
//= rfc9293#3.8.2 MUST-19 test
TEST_CASE("a segment is never sent again before its RTO, which doubles each time",
          "[tcp][recovery][rfc6298]") {
  TcpRig rig;
  TcpPeer peer(rig);
  const ListenerHandle listener = listen_on(rig, 80);
  peer.send_syn();
  static_cast<void>(peer.read());
  rig.run_for(Duration::from_ms(100));
  peer.acknowledge();
  const ConnHandle connection = accept_on(rig, listener);
  const std::int64_t rto = find_tcb(rig.ctx(), connection)->rto_us / 1000;
  CHECK(rto == 300);
  send_octets(rig, connection, pattern(10));
  rig.run_for(Duration::from_s(60));
  const auto sent = rig.take_sent();
  // A probe of the tail may come between the first two; from then on each gap is twice the last.
  std::vector<std::int64_t> gaps;
  for (std::size_t i = 1; i < sent.size(); ++i) gaps.push_back((sent[i].at - sent[i - 1].at).ms());
  REQUIRE(gaps.size() >= 5);
  CHECK((sent.back().at - sent.front().at).ms() >= rto * 31);
  for (std::size_t i = gaps.size() - 3; i < gaps.size(); ++i) {
    CHECK(gaps[i] >= 2 * gaps[i - 1]);
    CHECK(gaps[i] <= 2 * gaps[i - 1] + 2);
  }
  require_nothing_left(rig);
}

//= rfc5681#3.2 MUST-1, SHLD-4 test
TEST_CASE("what the first two duplicate ACKs let out leaves cwnd alone",
          "[tcp][recovery][rfc5681][rfc3042]") {
  EngineConfig config = TcpRig::small_config();
  config.nodelay = true;
  TcpRig rig(config);
  TcpPeer peer(rig, {.window = 65535, .sack = false});
  const ConnHandle connection = establish(rig, peer);
  const Tcb& block = *find_tcb(rig.ctx(), connection);
  const wire::SeqNum una = peer.una;
  send_octets(rig, connection, pattern(20 * kMss));
  static_cast<void>(peer.read());
  const std::uint32_t cwnd = block.cwnd;
  const wire::SeqNum nxt = block.snd.nxt;
  peer.una = una;
  for (std::uint32_t i = 1; i <= 2; ++i) {
    peer.acknowledge();
    CHECK(block.snd.nxt == nxt + i * kMss);
    CHECK(block.cwnd == cwnd);
  }
  require_nothing_left(rig);
}

//= rfc5681#4.2 MUST-3 test
TEST_CASE("no segment, in order, behind a gap or old, is answered by more than one ACK",
          "[tcp][input][rfc5681]") {
  TcpRig rig;
  TcpPeer peer(rig);
  establish(rig, peer);
  const auto give = [&](std::uint32_t offset, std::size_t count) {
    PeerSegment segment = peer.segment(kAck, count);
    segment.seq = peer.nxt + offset;
    segment.payload = pattern(count, offset);
    peer.give(segment);
    return rig.take_sent().size();
  };
  CHECK(give(kMss, kMss) == 1);      // behind a gap
  CHECK(give(kMss, kMss) == 1);      // again
  CHECK(give(3 * kMss, kMss) == 1);  // another gap
  CHECK(give(0, kMss) == 1);         // fills the first
  CHECK(give(0, kMss) == 1);         // old
  CHECK(give(1'000'000, 10) == 1);   // outside the window
  CHECK(give(2 * kMss, kMss) == 1);  // fills the second
  rig.run_for(Duration::from_ms(500));
  CHECK(rig.take_sent().empty());
  require_nothing_left(rig);
}

//= rfc5961#4.2 MUST-1 test
TEST_CASE("a SYN is challenged though it lacks the timestamp agreed upon",
          "[tcp][input][rfc5961]") {
  TcpRig rig;
  TcpPeer peer(rig);
  establish(rig, peer);
  PeerSegment syn = peer.segment(wire::kSyn);  // the peer came up again, without timestamps
  syn.options.has_timestamps = false;
  syn.seq = peer.nxt + 123'456'789;
  peer.give(syn);
  CHECK(rig.take_sent().size() == 1);
  require_nothing_left(rig);
}

//= rfc9293#3.8.4 MUST-26 test
TEST_CASE("keep-alives do not end a connection whose octets are being sent again",
          "[tcp][timer][rfc9293]") {
  EngineConfig config = TcpRig::small_config();
  config.keepalive = true;
  config.keepalive_idle = Duration::from_s(60);
  config.keepalive_interval = Duration::from_s(10);
  config.keepalive_count = 3;
  config.user_timeout = Duration::from_s(900);
  TcpRig rig(config);
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  send_octets(rig, connection, pattern(10));
  rig.run_for(Duration::from_s(200));
  CHECK(rig.metrics().of(telemetry::Counter::kKeepaliveProbes) == 0);
  CHECK(find_tcb(rig.ctx(), connection) != nullptr);
  require_nothing_left(rig);
}

}  // namespace sluice::tcp
