#include "tcp/output/window.hpp"

#include <catch2/catch.hpp>

#include "base/rng.hpp"
#include "tests/support/tcp_app.hpp"

namespace sluice::tcp {
namespace {

using namespace support;
using telemetry::Counter;
using telemetry::TimerKind;
using wire::kAck;

constexpr std::uint32_t kMss = 1448;

std::size_t payload_of(const std::vector<SentSegment>& segments) {
  std::size_t octets = 0;
  for (const SentSegment& segment : segments) octets += segment.payload.size();
  return octets;
}

/// Runs until the persist timer has fired once.
void run_to_probe(TcpRig& rig) {
  REQUIRE(
      rig.run_to([&] { return rig.metrics().of(TimerKind::kPersist) == 1; }, Duration::from_s(10)));
}

}  // namespace

//= rfc9293#3.8.6 SHLD-14 test
//= rfc7323#2.4 MUST-2, SHLD-1 test
TEST_CASE("the right edge of the window never moves left by more than its scale rounds away",
          "[tcp][output][window]") {
  const std::uint64_t seed = GENERATE(range(1u, 20u));
  INFO("seed " << seed);
  Rng rng(seed);
  EngineConfig config = TcpRig::small_config();
  config.receive_buffer_bytes = static_cast<std::uint32_t>(20'000 + rng.below(300'000));
  TcpRig rig(config);
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  const std::uint8_t scale = window_scale_for(config);
  wire::SeqNum edge = find_tcb(rig.ctx(), connection)->rcv.adv;
  for (int i = 0; i < 400; ++i) {
    const std::uint32_t room = wire::seq_distance(peer.nxt, edge);
    if (room > 0) peer.send(kAck, 1 + rng.below(std::min(room, kMss)));
    if (rng.chance(1, 5)) read_octets(rig, connection);
    rig.run_for(Duration::from_ms(static_cast<std::int64_t>(rng.below(50))));
    for (const SentSegment& segment : peer.read()) {
      const wire::SeqNum now =
          segment.header.ack + (static_cast<std::uint32_t>(segment.header.window) << scale);
      // RFC 7323 2.4: what is acceptable stays, even where the scaled field cannot say it.
      REQUIRE(wire::seq_gt(now + (1u << scale), edge));
      edge = wire::seq_max(edge, now);
    }
  }
  CHECK(rig.metrics().of(telemetry::Outcome::kOutsideWindow) == 0);
  require_nothing_left(rig);
}

//= rfc9293#3.8.6.2.2 MUST-39 test
TEST_CASE("a receiver does not offer silly windows", "[tcp][output][window][rfc9293]") {
  EngineConfig config = TcpRig::small_config();
  config.receive_buffer_bytes = 10'000;
  TcpRig rig(config);
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  for (int i = 0; i < 10; ++i) peer.send(kAck, 1000);
  rig.run_for(Duration::from_ms(50));
  auto sent = peer.read();
  REQUIRE(!sent.empty());
  CHECK(sent.back().header.window == 0);
  // Less than a segment is read: no update. More: one.
  auto chain = receive(rig.ctx(), connection);
  REQUIRE(chain.has_value());
  chain->drop_front(400);
  credit(rig.ctx(), connection, 400);
  rig.settle();
  CHECK(peer.read().empty());
  chain->drop_front(1600);
  credit(rig.ctx(), connection, 1600);
  rig.settle();
  sent = peer.read();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].header.window == 2000);
  const std::uint32_t rest = chain->bytes();
  chain->clear();
  credit(rig.ctx(), connection, rest);
  require_nothing_left(rig);
}

//= rfc9293#3.8.6.2.1 MUST-38 test
TEST_CASE("a sender does not fill silly windows", "[tcp][output][window][rfc9293]") {
  EngineConfig config = TcpRig::small_config();
  config.nodelay = true;
  TcpRig rig(config);
  TcpPeer peer(rig, {.window = 8000});
  const ConnHandle connection = establish(rig, peer);
  peer.window = 0;
  peer.acknowledge();
  send_octets(rig, connection, pattern(20'000));
  CHECK(peer.read().empty());
  peer.window = 300;  // less than a segment and than half the largest window
  peer.acknowledge();
  CHECK(peer.read().empty());
  peer.window = 1500;
  peer.acknowledge();
  const auto sent = peer.read();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].payload.size() == kMss);
  require_nothing_left(rig);
}

TEST_CASE("a window too small for silly-window avoidance is filled when the persist timer fires",
          "[tcp][output][window]") {
  TcpRig rig;
  TcpPeer peer(rig, {.window = 8000});
  const ConnHandle connection = establish(rig, peer);
  peer.window = 300;
  peer.acknowledge();
  send_octets(rig, connection, pattern(2000));
  CHECK(peer.read().empty());
  run_to_probe(rig);
  CHECK(payload_of(peer.read()) == 300);
  require_nothing_left(rig);
}

//= rfc9293#3.7.4 SHLD-7 test
//= rfc9293#3.9.1.2 MUST-60, SHLD-28 test
TEST_CASE("Nagle holds a short segment until the short one before it is acknowledged",
          "[tcp][output][rfc9293]") {
  TcpRig rig;
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  send_octets(rig, connection, pattern(10));
  CHECK(payload_of(peer.read()) == 10);  // nothing was in flight
  send_octets(rig, connection, pattern(20));
  send_octets(rig, connection, pattern(30));
  CHECK(peer.read().empty());
  SECTION("an ACK releases what has gathered, in one segment") {
    peer.acknowledge();
    const auto sent = peer.read();
    REQUIRE(sent.size() == 1);
    CHECK(sent[0].payload.size() == 50);
  }
  SECTION("a full segment goes at once, its rest waits") {
    send_octets(rig, connection, pattern(kMss));
    const auto sent = peer.read();
    REQUIRE(sent.size() == 1);
    CHECK(sent[0].payload.size() == kMss);
  }
  SECTION("FIN releases it") {
    REQUIRE(shutdown(rig.ctx(), connection).has_value());
    rig.settle();
    const auto sent = peer.read();
    REQUIRE(sent.size() == 1);
    CHECK(sent[0].payload.size() == 50);
    CHECK(sent[0].has(wire::kFin));
  }
  require_nothing_left(rig);
}

//= rfc9293#3.7.4 SHLD-7 test
TEST_CASE("Nagle does not hold the short end of what went out in full segments",
          "[tcp][output][rfc9293]") {
  TcpRig rig;
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  send_octets(rig, connection, pattern(3 * kMss + 100));
  const auto sent = peer.read();
  REQUIRE(sent.size() == 4);  // the peer would delay the ACK of the third
  CHECK(sent[3].payload.size() == 100);
  send_octets(rig, connection, pattern(50));
  CHECK(peer.read().empty());  // behind a short one, again
  peer.acknowledge();
  CHECK(payload_of(peer.read()) == 50);
  require_nothing_left(rig);
}

//= rfc9293#3.8.6.3 MUST-40, SHLD-18, SHLD-19 test
//= rfc5681#4.2 MUST-1, MUST-2, SHLD-1, SHLD-2 test
TEST_CASE("every second full segment is acknowledged, a lone one after the delay",
          "[tcp][output][rfc9293]") {
  TcpRig rig;
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  peer.send(kAck, kMss);
  CHECK(peer.read().empty());
  peer.send(kAck, kMss);
  CHECK(peer.read().size() == 1);
  peer.send(kAck, kMss);
  CHECK(peer.read().empty());
  rig.run_for(Duration::from_ms(39));
  CHECK(peer.read().empty());
  rig.run_for(Duration::from_ms(2));
  const auto sent = peer.read();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].header.ack == peer.nxt);
  CHECK(rig.metrics().of(Counter::kDelayedAcks) == 1);
  // An ACK that rides on octets of ours needs no timer.
  peer.send(kAck, 100);
  send_octets(rig, connection, pattern(10));
  CHECK(peer.read().size() == 1);
  rig.run_for(Duration::from_ms(100));
  CHECK(peer.read().empty());
  CHECK(rig.metrics().of(Counter::kDelayedAcks) == 1);
  require_nothing_left(rig);
}

TEST_CASE("the first full segments of a connection are acknowledged at once", "[tcp][output]") {
  EngineConfig config = TcpRig::small_config();
  config.quick_acks = 3;
  TcpRig rig(config);
  TcpPeer peer(rig);
  establish(rig, peer);
  peer.send(kAck, 100);  // a small one is no sign of slow start
  CHECK(peer.read().empty());
  for (int i = 0; i < 3; ++i) {
    peer.send(kAck, kMss);
    CHECK(peer.read().size() == 1);
  }
  peer.send(kAck, kMss);
  CHECK(peer.read().empty());
  require_nothing_left(rig);
}

TEST_CASE("the window stays as wide as an unscaled field can say", "[tcp][output][rfc9293]") {
  EngineConfig config = TcpRig::small_config();
  config.receive_buffer_bytes = 1 << 20;
  TcpRig rig(config);
  TcpPeer peer(rig, {.window_scale = std::nullopt});
  const ConnHandle connection = establish(rig, peer);
  for (int i = 0; i < 4; ++i) {
    peer.send(kAck, kMss);  // unread, and still there is more room than the field can say
    for (const SentSegment& segment : peer.read()) CHECK(segment.header.window == 65535);
  }
  peer.send(kAck, 1);
  rig.run_for(Duration::from_ms(50));
  const auto sent = peer.read();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].header.window == 65535);
  CHECK(receive_window(*find_tcb(rig.ctx(), connection)) == 65535);
  require_nothing_left(rig);
}

TEST_CASE("once all has been read the window is half the buffer at least, whatever it may grow to",
          "[tcp][output][window]") {
  EngineConfig config = TcpRig::small_config();
  config.receive_buffer_bytes = GENERATE(2048u, 4096u, 65'535u, 65'536u, 100'000u);
  config.receive_buffer_max_bytes = GENERATE(2048u, 65'536u, 1u << 20, 1u << 28);
  TcpRig rig(config);
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  const Tcb& block = *find_tcb(rig.ctx(), connection);
  for (int i = 0; i < 200 && receive_window(block) > 0; ++i) {
    peer.send(kAck, std::min(receive_window(block), kMss));
    rig.run_for(Duration::from_ms(50));
  }
  CHECK(receive_window(block) == 0);
  static_cast<void>(peer.read());
  read_octets(rig, connection);
  const auto sent = peer.read();
  REQUIRE(sent.size() == 1);
  const std::uint32_t offered = static_cast<std::uint32_t>(sent[0].header.window)
                                << window_scale_for(config);
  CHECK(offered >= config.receive_buffer_bytes / 2);
  require_nothing_left(rig);
}

TEST_CASE("two ends whose window probes were both taken hear each other's ACKs",
          "[tcp][input][window]") {
  TcpRig rig;
  TcpPeer peer(rig, {.window = 8000});
  const ConnHandle connection = establish(rig, peer);
  peer.window = 0;
  peer.acknowledge();
  send_octets(rig, connection, pattern(100));
  run_to_probe(rig);
  const wire::SeqNum una = peer.una;
  PeerSegment below = peer.segment(kAck);  // as if the octet of its own probe was not taken
  peer.send(kAck, 1);                      // that probe: it is
  CHECK(payload_of(peer.read()) == 1);     // our probe: it is taken, too
  below.ack = una + 1;
  below.window = 8000;
  SECTION("news beside an octet that was taken: its ACK and window count, and it is answered") {
    peer.give(below);
    CHECK(find_tcb(rig.ctx(), connection)->snd.una == una + 1);
    const auto sent = peer.read();
    CHECK(payload_of(sent) == 99);
    CHECK(sent.back().header.ack == peer.nxt);
  }
  SECTION("the probe again: its octet is no news, its ACK is") {
    below.payload = pattern(1);
    peer.give(below);
    CHECK(payload_of(peer.read()) == 99);
    CHECK(find_tcb(rig.ctx(), connection)->rcv.nxt == peer.nxt);
  }
  SECTION("two octets below the window: an old duplicate") {
    below.seq = below.seq - 1;
    peer.give(below);
    CHECK(find_tcb(rig.ctx(), connection)->snd.una == una);
  }
  SECTION("an ACK of what was not sent is no news") {
    below.ack = una + 2;
    peer.give(below);
    CHECK(find_tcb(rig.ctx(), connection)->snd.una == una);
    CHECK(find_tcb(rig.ctx(), connection)->snd.wnd == 0);
  }
  SECTION("an ACK of nothing new leaves the window as it was") {
    below.ack = una;
    peer.give(below);
    CHECK(find_tcb(rig.ctx(), connection)->snd.wnd == 0);
  }
  require_nothing_left(rig);
}

TEST_CASE("a segment older than the one that set the send window does not set it",
          "[tcp][input][window]") {
  TcpRig rig;
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  const auto window = [&] { return find_tcb(rig.ctx(), connection)->snd.wnd; };
  PeerSegment ahead = peer.segment(kAck, 10);
  ahead.seq = ahead.seq + 100;
  ahead.window = 9000;
  peer.give(ahead);
  CHECK(window() == 9000);
  peer.window = 100;
  peer.send(kAck, 50);  // in order, and still sent before the one behind the gap
  CHECK(window() == 9000);
  peer.send(kAck, 50);  // fills the gap
  CHECK(window() == 9000);
  peer.nxt = ahead.seq + 10;
  peer.send(kAck, 10);
  CHECK(window() == 100);
  require_nothing_left(rig);
}

//= rfc9293#3.8.6.1 MUST-37, SHLD-30 test
TEST_CASE("persist probes back off and a peer that answers is never given up",
          "[tcp][output][rfc9293]") {
  EngineConfig config = TcpRig::small_config();
  config.user_timeout = Duration::from_s(30);
  TcpRig rig(config);
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  peer.window = 0;
  peer.acknowledge();
  send_octets(rig, connection, pattern(100));
  const wire::SeqNum una = peer.una;
  SECTION("it answers") {
    for (int i = 0; i < 300; ++i) {
      rig.run_for(Duration::from_s(1));
      if (!rig.take_sent().empty()) peer.acknowledge();
      peer.una = una;
    }
    REQUIRE(find_tcb(rig.ctx(), connection) != nullptr);
    CHECK(rig.metrics().of(TimerKind::kPersist) < 40);
  }
  SECTION("it is silent: the user timeout ends it") {
    rig.run_for(Duration::from_s(40));
    CHECK(find_tcb(rig.ctx(), connection) == nullptr);
    const auto told = rig.take_told();
    REQUIRE(!told.empty());
    CHECK(told.back().reason == CloseReason::kTimedOut);
  }
  require_nothing_left(rig);
}

}  // namespace sluice::tcp
