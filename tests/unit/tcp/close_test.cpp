#include <catch2/catch.hpp>

#include "tcp/handshake/isn.hpp"
#include "tests/support/tcp_app.hpp"

namespace sluice::tcp {
namespace {

using namespace support;
using telemetry::Counter;
using telemetry::Outcome;
using telemetry::TimerKind;
using wire::kAck;
using wire::kFin;
using wire::kRst;
using wire::kSyn;

/// We close first; the peer follows: TIME-WAIT is ours.
void close_to_time_wait(TcpRig& rig, TcpPeer& peer, ConnHandle connection) {
  REQUIRE(close(rig.ctx(), connection).has_value());
  rig.settle();
  static_cast<void>(peer.read());
  peer.send(kFin | kAck);
  static_cast<void>(peer.read());
  REQUIRE(rig.find(peer.flow()) == nullptr);
  REQUIRE(rig.ctx().time_wait4.in_use() == 1);
}

}  // namespace

TEST_CASE("the ACK of the peer's FIN goes with ours, or alone after the delay", "[tcp][close]") {
  TcpRig rig;
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  peer.send(kFin | kAck);
  CHECK(peer.read().empty());
  CHECK(find_tcb(rig.ctx(), connection)->state == State::kCloseWait);
  SECTION("the application closes at once") {
    REQUIRE(close(rig.ctx(), connection).has_value());
    rig.settle();
    const auto sent = peer.read();
    REQUIRE(sent.size() == 1);
    CHECK(sent[0].has(kFin));
    CHECK(sent[0].header.ack == peer.nxt);
    peer.acknowledge();
    CHECK(rig.find(peer.flow()) == nullptr);
  }
  SECTION("the application takes its time") {
    rig.run_for(Duration::from_ms(41));
    const auto sent = peer.read();
    REQUIRE(sent.size() == 1);
    CHECK_FALSE(sent[0].has(kFin));
    CHECK(sent[0].header.ack == peer.nxt);
    rig.run_for(Duration::from_s(10));
    CHECK(peer.read().empty());
  }
  require_nothing_left(rig);
}

TEST_CASE("the peer's FIN behind ours is acknowledged at once", "[tcp][close]") {
  TcpRig rig;
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  REQUIRE(shutdown(rig.ctx(), connection).has_value());
  rig.settle();
  static_cast<void>(peer.read());
  peer.send(kFin | kAck);
  const auto sent = peer.read();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].header.ack == peer.nxt);
  require_nothing_left(rig);
}

TEST_CASE("octets flow on the open side of a half-closed connection", "[tcp][close]") {
  TcpRig rig;
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  SECTION("ours is closed: we read") {
    REQUIRE(shutdown(rig.ctx(), connection).has_value());
    rig.settle();
    static_cast<void>(peer.read());
    peer.acknowledge();
    CHECK(find_tcb(rig.ctx(), connection)->state == State::kFinWait2);
    rig.run_for(Duration::from_s(600));  // nobody has closed for good: no limit
    std::vector<std::byte> got;
    for (int i = 0; i < 50; ++i) {
      peer.send(kAck, 1000);
      const auto more = read_octets(rig, connection);
      got.insert(got.end(), more.begin(), more.end());
    }
    CHECK(got == pattern(50'000));
    CHECK(send(rig.ctx(), connection, pattern(1)).error() == Error::kClosing);
  }
  SECTION("the peer's is closed: we send") {
    peer.send(kFin | kAck);
    CHECK(find_tcb(rig.ctx(), connection)->state == State::kCloseWait);
    std::vector<std::byte> got;
    for (int i = 0; i < 50; ++i) {
      send_octets(rig, connection, pattern(1000, static_cast<std::size_t>(i) * 1000));
      for (const SentSegment& segment : peer.read())
        got.insert(got.end(), segment.payload.begin(), segment.payload.end());
      peer.acknowledge();
    }
    CHECK(got == pattern(50'000));
    REQUIRE(close(rig.ctx(), connection).has_value());
    rig.settle();
    CHECK(rig.find(peer.flow())->state == State::kLastAck);
    static_cast<void>(peer.read());
    peer.acknowledge();
    CHECK(rig.find(peer.flow()) == nullptr);
    CHECK(rig.ctx().time_wait4.in_use() == 0);
  }
  require_nothing_left(rig);
}

TEST_CASE("a FIN that acknowledges ours leads from FIN-WAIT-1 straight to TIME-WAIT",
          "[tcp][close]") {
  TcpRig rig;
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  const auto times = [&](State from, State to) {
    return rig.metrics().transitions[static_cast<std::size_t>(from)][static_cast<std::size_t>(to)];
  };
  close_to_time_wait(rig, peer, connection);
  CHECK(times(State::kFinWait1, State::kTimeWait) == 1);
  CHECK(times(State::kFinWait1, State::kFinWait2) == 0);
  require_nothing_left(rig);
}

TEST_CASE("no wait is cut short by the part of a tick that was over when it began",
          "[tcp][close][timer]") {
  TcpRig rig;
  const ListenerHandle listener = listen_on(rig, 80);
  rig.run_for(Duration::from_us(900));
  TcpPeer peer(rig, {.sack = false});  // no tail probe comes before the RTO
  const Duration instant = Duration::from_ns(1);
  // Nothing is sent until `wait` behind `sent`, and a segment within a tick of that: when.
  const auto sent_after = [&](Instant sent, Duration wait) {
    rig.run_until(sent + wait - instant);
    CHECK(peer.read().empty());
    rig.run_for(kTickLength);
    const auto again = peer.read();
    REQUIRE(again.size() == 1);
    return again[0].at;
  };
  const tcp::EngineConfig& config = rig.ctx().config;
  SECTION("a SYN-ACK is sent again") {
    peer.send_syn();
    REQUIRE(peer.read().size() == 1);
    const Instant first = sent_after(rig.now(), config.rto_initial);
    sent_after(first, config.rto_initial * 2);
  }
  SECTION("octets are sent again") {
    peer.connect();
    const ConnHandle connection = accept_on(rig, listener);
    static_cast<void>(peer.read());
    send_octets(rig, connection, pattern(10));
    REQUIRE(peer.read().size() == 1);
    sent_after(rig.now(), config.rto_min);
  }
  SECTION("2 MSL") {
    peer.connect();
    close_to_time_wait(rig, peer, accept_on(rig, listener));
    rig.run_for(config.time_wait - instant);
    CHECK(rig.ctx().time_wait4.in_use() == 1);
    rig.run_for(kTickLength);
    CHECK(rig.ctx().time_wait4.in_use() == 0);
  }
  require_nothing_left(rig);
}

//= rfc9293#3.6.1 MUST-13 test
TEST_CASE("two ends that close at once pass CLOSING to TIME-WAIT", "[tcp][close]") {
  TcpRig rig;
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  REQUIRE(close(rig.ctx(), connection).has_value());
  rig.settle();
  const wire::SeqNum before = peer.una;
  const auto fin = peer.read();
  REQUIRE(fin.size() == 1);
  CHECK(fin[0].has(kFin));
  peer.una = before;  // its FIN was on the way before it saw ours
  peer.send(kFin | kAck);
  CHECK(rig.find(peer.flow())->state == State::kClosing);
  peer.una = before + 1;
  peer.acknowledge();
  CHECK(rig.find(peer.flow()) == nullptr);
  CHECK(rig.ctx().time_wait4.in_use() == 1);
  rig.run_for(rig.ctx().config.time_wait + Duration::from_ms(2));
  CHECK(rig.ctx().time_wait4.in_use() == 0);
  CHECK(rig.metrics().of(TimerKind::kTimeWait) == 1);
  require_nothing_left(rig);
}

TEST_CASE("the peer's FIN again restarts 2 MSL, a RST does not end it", "[tcp][close][rfc1337]") {
  TcpRig rig;
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  close_to_time_wait(rig, peer, connection);
  rig.run_for(Duration::from_s(50));
  PeerSegment fin = peer.segment(kFin | kAck);
  fin.seq = peer.nxt - 1;
  peer.give(fin);
  CHECK(peer.read().size() == 1);
  peer.give(peer.segment(kRst));
  rig.run_for(Duration::from_s(50));
  CHECK(rig.ctx().time_wait4.in_use() == 1);
  rig.run_for(Duration::from_s(11));
  CHECK(rig.ctx().time_wait4.in_use() == 0);
  require_nothing_left(rig);
}

//= rfc9293#3.6.1 SHLD-4, MAY-2 test
TEST_CASE("a SYN reuses a TIME-WAIT entry if it is surely new", "[tcp][close][rfc6191]") {
  const bool has_timestamps = GENERATE(false, true);
  TcpRig rig;
  TcpPeer peer(rig, {.timestamps = has_timestamps});
  const ConnHandle connection = establish(rig, peer);
  close_to_time_wait(rig, peer, connection);
  const wire::SeqNum old_nxt = peer.una, last = peer.nxt;
  rig.run_for(Duration::from_s(1));
  PeerSegment syn = peer.segment(kSyn);
  SECTION("by its ISN") {
    syn.seq = last + 1000;
    peer.give(syn);
    const auto answer = rig.take_sent();
    REQUIRE(answer.size() == 1);
    CHECK(answer[0].has(kSyn));
    CHECK(answer[0].header.ack == syn.seq + 1);
    CHECK(wire::seq_gt(answer[0].header.seq, old_nxt));
    CHECK(rig.metrics().of(Counter::kTimeWaitReused) == 1);
    CHECK(rig.ctx().time_wait4.in_use() == 0);
  }
  SECTION("an old ISN needs a later timestamp") {
    syn.seq = last - 100;
    peer.give(syn);
    const auto answer = rig.take_sent();
    REQUIRE(answer.size() == 1);
    CHECK(answer[0].has(kSyn) == has_timestamps);
  }
  SECTION("an older timestamp forbids it, whatever the ISN") {
    syn.seq = last + 1000;
    syn.options.ts_val -= 10'000;
    peer.give(syn);
    const auto answer = rig.take_sent();
    REQUIRE(answer.size() == 1);
    CHECK(answer[0].has(kSyn) != has_timestamps);
  }
  require_nothing_left(rig);
}

TEST_CASE("a SYN with timestamps reuses a TIME-WAIT entry without, whatever its ISN",
          "[tcp][close][rfc6191]") {
  EngineConfig config = TcpRig::small_config();
  const bool are_used = GENERATE(true, false);
  config.timestamps = are_used;
  TcpRig rig(config);
  TcpPeer peer(rig, {.timestamps = false});
  close_to_time_wait(rig, peer, establish(rig, peer));
  PeerSegment syn = peer.segment(kSyn);
  syn.seq = peer.nxt - 100;
  syn.options.has_timestamps = true;
  syn.options.ts_val = GENERATE(1u, 0x80000000u);
  peer.give(syn);
  const auto answer = rig.take_sent();
  REQUIRE(answer.size() == 1);
  CHECK(answer[0].has(kSyn) == are_used);
  require_nothing_left(rig);
}

TEST_CASE("a SYN without timestamps reuses a TIME-WAIT entry with them by its ISN alone",
          "[tcp][close][rfc6191]") {
  TcpRig rig;
  TcpPeer peer(rig);
  close_to_time_wait(rig, peer, establish(rig, peer));
  PeerSegment syn = peer.segment(kSyn);
  const bool is_newer = GENERATE(true, false);
  syn.seq = is_newer ? peer.nxt + 1 : peer.nxt - 100;
  syn.options.has_timestamps = false;
  peer.give(syn);
  const auto answer = rig.take_sent();
  REQUIRE(answer.size() == 1);
  CHECK(answer[0].has(kSyn) == is_newer);
  require_nothing_left(rig);
}

//= rfc9293#3.6.1 SHLD-4 test
TEST_CASE("a connection that reuses a TIME-WAIT entry begins beyond all that the old one sent",
          "[tcp][close][rfc6191]") {
  TcpRig rig;
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  // Faster than the ISN clock, by far: 250,000 numbers a second.
  for (int i = 0; i < 50; ++i) {
    send_octets(rig, connection, pattern(8000, static_cast<std::size_t>(i) * 8000));
    static_cast<void>(peer.read());
    peer.acknowledge();
  }
  close_to_time_wait(rig, peer, connection);
  const wire::SeqNum old_nxt = peer.una;
  rig.run_for(Duration::from_ms(2));
  REQUIRE(
      wire::seq_lt(initial_sequence_number(rig.ctx().secret_of(peer.flow()), rig.now()), old_nxt));
  PeerSegment syn = peer.segment(kSyn);
  syn.seq = peer.nxt + 1000;
  peer.give(syn);
  const auto answer = rig.take_sent();
  REQUIRE(answer.size() == 1);
  CHECK(answer[0].has(kSyn));
  CHECK(wire::seq_gt(answer[0].header.seq, old_nxt + 65535));
  require_nothing_left(rig);
}

TEST_CASE("a full TIME-WAIT table lets its oldest entry go, and counts it", "[tcp][close]") {
  EngineConfig config = TcpRig::small_config();
  config.max_time_wait = 3;
  TcpRig rig(config);
  const ListenerHandle listener = listen_on(rig, 80);
  std::vector<FlowKey> flows;
  for (std::uint16_t i = 0; i < 5; ++i) {
    TcpPeer peer(rig, {.remote_port = Port{static_cast<std::uint16_t>(2000 + i)}});
    peer.connect();
    const ConnHandle connection = accept_on(rig, listener);
    REQUIRE(close(rig.ctx(), connection).has_value());
    rig.settle();
    static_cast<void>(peer.read());
    peer.send(kFin | kAck);
    static_cast<void>(peer.read());
    flows.push_back(peer.flow());
  }
  CHECK(rig.ctx().time_wait4.in_use() == 3);
  CHECK(rig.metrics().of(Counter::kTimeWaitEvicted) == 2);
  const auto is_known = [&](const FlowKey& flow) {
    return !rig.ctx().find_flow(flow, rig.ctx().hash_of(flow)).is_none();
  };
  CHECK(!is_known(flows[0]));
  CHECK(!is_known(flows[1]));
  CHECK(is_known(flows[2]));
  CHECK(is_known(flows[4]));
  require_nothing_left(rig);
}

//= rfc9293#3.6.1 SHLD-3 test
TEST_CASE("close() with unread octets, and octets after close(), are answered by RST",
          "[tcp][close][rfc1122]") {
  TcpRig rig;
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  SECTION("unread") {
    peer.send(kAck, 10);
    REQUIRE(close(rig.ctx(), connection).has_value());
    rig.settle();
  }
  SECTION("later") {
    REQUIRE(close(rig.ctx(), connection).has_value());
    rig.settle();
    CHECK(!peer.read().back().has(kRst));
    peer.send(kAck, 10);
    CHECK(rig.metrics().of(Outcome::kDataAfterClose) == 1);
  }
  const auto sent = peer.read();
  REQUIRE(!sent.empty());
  CHECK(sent.back().has(kRst));
  CHECK(rig.find(peer.flow()) == nullptr);
  CHECK(find_tcb(rig.ctx(), connection) == nullptr);
  require_nothing_left(rig);
}

TEST_CASE("the RST for data after close() lies where its sender takes it",
          "[tcp][close][rfc5961]") {
  TcpRig rig;
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  send_octets(rig, connection, pattern(1000));  // on its way: the peer has not seen it
  REQUIRE(close(rig.ctx(), connection).has_value());
  rig.settle();
  static_cast<void>(rig.take_sent());
  peer.send(kAck, 10);
  const auto sent = rig.take_sent();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].has(kRst));
  CHECK_FALSE(sent[0].has(kAck));
  CHECK(sent[0].header.seq == peer.una);
  CHECK(sent[0].header.options.has_timestamps);
  require_nothing_left(rig);
}

TEST_CASE("a closed connection that the peer never finishes goes after its limit", "[tcp][close]") {
  TcpRig rig;
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  REQUIRE(close(rig.ctx(), connection).has_value());
  rig.settle();
  static_cast<void>(peer.read());
  peer.acknowledge();
  rig.run_for(rig.ctx().config.fin_wait_2 - Duration::from_ms(5));
  CHECK(rig.find(peer.flow()) != nullptr);
  rig.run_for(Duration::from_ms(10));
  CHECK(rig.find(peer.flow()) == nullptr);
  CHECK(rig.metrics().of(Counter::kOrphanTimeouts) == 1);
  require_nothing_left(rig);
}

TEST_CASE("a closed connection whose peer keeps its window shut ends by the user timeout",
          "[tcp][close]") {
  EngineConfig config = TcpRig::small_config();
  config.user_timeout = Duration::from_s(30);
  TcpRig rig(config);
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  peer.window = 0;
  peer.acknowledge();
  send_octets(rig, connection, pattern(100));
  REQUIRE(close(rig.ctx(), connection).has_value());
  rig.settle();
  const wire::SeqNum una = peer.una;
  const auto live_for = [&](int seconds) {
    for (int i = 0; i < seconds; ++i) {
      rig.run_for(Duration::from_s(1));
      if (!rig.take_sent().empty()) peer.acknowledge();  // it answers every probe
      peer.una = una;
    }
  };
  live_for(25);
  CHECK(rig.find(peer.flow()) != nullptr);
  live_for(40);
  CHECK(rig.find(peer.flow()) == nullptr);
  require_nothing_left(rig);
}

TEST_CASE("above the orphan limit close() is a reset", "[tcp][close]") {
  EngineConfig config = TcpRig::small_config();
  config.max_orphans = 1;
  TcpRig rig(config);
  const ListenerHandle listener = listen_on(rig, 80);
  TcpPeer one(rig), two(rig, {.remote_port = Port{40001}});
  one.connect();
  const ConnHandle first = accept_on(rig, listener);
  two.connect();
  const ConnHandle second = accept_on(rig, listener);
  REQUIRE(close(rig.ctx(), first).has_value());
  rig.settle();
  CHECK(rig.take_sent().back().has(kFin));
  REQUIRE(close(rig.ctx(), second).has_value());
  rig.settle();
  CHECK(rig.take_sent().back().has(kRst));
  require_nothing_left(rig);
}

//= rfc9293#3.8.4 MUST-29, SHLD-12 test
TEST_CASE("keepalive probes a silent peer, and ends the connection after its count",
          "[tcp][timer]") {
  EngineConfig config = TcpRig::small_config();
  config.keepalive = true;
  config.keepalive_idle = Duration::from_s(100);
  config.keepalive_interval = Duration::from_s(10);
  config.keepalive_count = 3;
  TcpRig rig(config);
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  rig.run_for(Duration::from_ms(100'005));
  auto probes = rig.take_sent();
  REQUIRE(probes.size() == 1);
  CHECK(probes[0].header.seq == peer.una - 1);
  CHECK(probes[0].payload.empty());
  SECTION("an answer begins a new idle time") {
    peer.acknowledge();
    rig.run_for(Duration::from_s(99));
    CHECK(rig.take_sent().empty());
    rig.run_for(Duration::from_s(2));
    CHECK(rig.take_sent().size() == 1);
  }
  SECTION("silence") {
    rig.run_for(Duration::from_s(21));
    CHECK(rig.take_sent().size() == 2);
    rig.run_for(Duration::from_s(10));
    const auto told = rig.take_told();
    REQUIRE(!told.empty());
    CHECK(told.back().reason == CloseReason::kKeepalive);
    CHECK(rig.take_sent().back().has(kRst));
    CHECK(find_tcb(rig.ctx(), connection) == nullptr);
  }
  require_nothing_left(rig);
}

//= rfc9293#3.8.3 MUST-20 test
TEST_CASE("octets that stay unacknowledged for the user timeout end the connection",
          "[tcp][timer]") {
  TcpRig rig;
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  find_tcb(rig.ctx(), connection)->user_timeout = pack_float16(5000);
  rig.run_for(Duration::from_s(100));  // nothing in flight: no limit
  send_octets(rig, connection, pattern(10));
  const Instant start = rig.now();
  rig.run_for(Duration::from_ms(4990));
  CHECK(find_tcb(rig.ctx(), connection) != nullptr);
  rig.run_for(Duration::from_ms(20));
  CHECK(find_tcb(rig.ctx(), connection) == nullptr);
  const auto told = rig.take_told();
  REQUIRE(!told.empty());
  CHECK(told.back().reason == CloseReason::kTimedOut);
  const auto sent = rig.take_sent();
  CHECK((sent[1].at - start).ms() >= 200);  // and it was sent again, ever more rarely
  CHECK(sent.size() >= 5);
  require_nothing_left(rig);
}

}  // namespace sluice::tcp
