// Faults found in other stacks: none of them may ever be in this one.

#include <catch2/catch.hpp>

#include "tests/support/tcp_app.hpp"

namespace sluice {
namespace {

using namespace support;
using telemetry::Counter;
using telemetry::Outcome;
using telemetry::TimerKind;
using wire::kAck;
using wire::kFin;
using wire::kPsh;
using wire::kRst;

/// The engine sends `count` octets while the peer acknowledges each burst; what the peer got, in
/// order.
std::vector<std::byte> pull(TcpRig& rig, TcpPeer& peer, ConnHandle connection,
                            std::span<const std::byte> octets) {
  std::vector<std::byte> got;
  const wire::SeqNum first = peer.una;
  std::size_t given = 0;
  for (int round = 0; round < 2000 && got.size() < octets.size(); ++round) {
    if (given < octets.size()) given += send_octets(rig, connection, octets.subspan(given));
    for (const SentSegment& segment : peer.read()) {
      REQUIRE(segment.header.seq == first + static_cast<std::uint32_t>(got.size()));
      got.insert(got.end(), segment.payload.begin(), segment.payload.end());
    }
    rig.run_for(Duration::from_ms(10));
    peer.acknowledge();
  }
  return got;
}

}  // namespace

TEST_CASE("100 unanswered SYNs do not wear a listener out", "[tcp][day-one]") {
  tcp::EngineConfig config = TcpRig::small_config();
  config.syn_cookies = GENERATE(tcp::CookieMode::kOff, tcp::CookieMode::kAuto);
  const bool has_cookies = config.syn_cookies == tcp::CookieMode::kAuto;
  TcpRig rig(config);
  listen_on(rig, 80, 8);
  for (std::uint16_t i = 0; i < 100; ++i) {
    TcpPeer dead(rig, {.remote_port = Port{static_cast<std::uint16_t>(1000 + i)}});
    dead.send_syn();
    rig.run_for(Duration::from_ms(700));
  }
  CHECK(rig.ctx().half_opens.used() <= 8);
  CHECK((rig.metrics().of(Outcome::kSynQueueFull) > 0) == !has_cookies);
  CHECK((rig.metrics().of(Outcome::kSynCookieSent) > 0) == has_cookies);
  rig.run_for(Duration::from_s(64));
  CHECK(rig.ctx().half_opens.used() == 0);
  CHECK(rig.ctx().listeners[0].half_open == 0);
  static_cast<void>(rig.take_sent());

  TcpPeer alive(rig);
  alive.connect();
  REQUIRE(rig.find(alive.flow()) != nullptr);
  CHECK(rig.find(alive.flow())->state == tcp::State::kEstablished);
  require_nothing_left(rig);
}

TEST_CASE("a data offset beyond the segment is one counted drop", "[tcp][day-one]") {
  TcpRig rig;
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  wire::TcpHeader header;
  header.source = peer.flow().remote_port;
  header.destination = peer.flow().local_port;
  header.seq = peer.nxt;
  header.ack = peer.una;
  header.flags = kAck;
  std::vector<std::byte> octets(wire::tcp_header_length(header));
  wire::emit_tcp(header, octets);
  for (const unsigned words : {0u, 1u, 4u, 6u, 15u}) {
    octets[12] = static_cast<std::byte>(words << 4);
    rig.receive_octets(peer.flow(), octets);
  }
  CHECK(rig.metrics().of(Outcome::kTcpDataOffset) == 5);
  octets.resize(19);
  rig.receive_octets(peer.flow(), octets);
  CHECK(rig.metrics().of(Outcome::kTcpTruncated) == 1);
  CHECK(rig.take_sent().empty());
  CHECK(tcp::find_tcb(rig.ctx(), connection)->state == tcp::State::kEstablished);
  require_nothing_left(rig);
}

TEST_CASE("a FIN on an out-of-order segment takes effect when the gap is filled, and not before",
          "[tcp][day-one]") {
  TcpRig rig;
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  const PeerSegment first = peer.segment(kAck, 100);
  peer.nxt += 100;
  const PeerSegment last = peer.segment(kAck | kFin, 50);
  peer.give(last);
  CHECK(tcp::find_tcb(rig.ctx(), connection)->state == tcp::State::kEstablished);
  CHECK(read_octets(rig, connection).empty());
  peer.give(last);  // and again
  static_cast<void>(peer.read());
  peer.give(first);
  CHECK(tcp::find_tcb(rig.ctx(), connection)->state == tcp::State::kCloseWait);
  const auto answer = peer.read();
  REQUIRE(answer.size() == 1);
  CHECK(answer[0].header.ack == peer.nxt + 50 + 1);
  CHECK(read_octets(rig, connection) == pattern(150));
  const auto end = tcp::receive(rig.ctx(), connection);
  REQUIRE(!end.has_value());
  CHECK(end.error() == Error::kEndOfStream);
  require_nothing_left(rig);
}

//= rfc9293#3.8.6 MUST-35 test
//= rfc9293#3.8.6.1 MUST-36, MUST-37 test
TEST_CASE("a window update that is lost after a zero window is made good by persist probes",
          "[tcp][day-one]") {
  TcpRig rig;
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  peer.window = 0;
  peer.acknowledge();
  send_octets(rig, connection, pattern(2 * 1448));
  CHECK(peer.read().empty());
  // For an hour the peer only says that its window is shut: the connection lives.
  for (int minute = 0; minute < 60; ++minute) {
    rig.run_for(Duration::from_s(60));
    const auto probes = peer.read();
    for (const SentSegment& probe : probes) CHECK(probe.payload.size() <= 1);
    peer.una = probes.empty() ? peer.una : probes[0].header.seq;  // it takes no octet
    if (!probes.empty()) peer.acknowledge();
  }
  CHECK(rig.metrics().of(TimerKind::kPersist) > 20);
  REQUIRE(tcp::find_tcb(rig.ctx(), connection) != nullptr);
  // The update is lost; the answer to the next probe brings the same news.
  peer.window = 8192;
  rig.run_for(Duration::from_s(121));
  const auto probes = peer.read();
  REQUIRE(!probes.empty());
  peer.una = probes[0].header.seq;
  peer.acknowledge();
  std::size_t octets = 0;
  for (const SentSegment& segment : peer.read()) octets += segment.payload.size();
  CHECK(octets == 2 * 1448);
  require_nothing_left(rig);
}

TEST_CASE("an old segment does not shrink the send window", "[tcp][day-one]") {
  TcpRig rig;
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  PeerSegment old = peer.segment(kAck, 10);
  old.window = 100;
  peer.send(kAck, 10);
  peer.window = 9000;
  peer.send(kAck, 10);
  CHECK(tcp::find_tcb(rig.ctx(), connection)->snd.wnd == 9000);
  peer.give(old);  // overtaken, or sent twice
  CHECK(tcp::find_tcb(rig.ctx(), connection)->snd.wnd == 9000);

  // The same SEQ with an ACK below SND.UNA: it is no news at all, whatever WL2 is.
  send_octets(rig, connection, pattern(100));
  PeerSegment before = peer.segment(kAck);
  before.window = 200;
  static_cast<void>(peer.read());
  peer.acknowledge();
  peer.give(before);
  CHECK(tcp::find_tcb(rig.ctx(), connection)->snd.wnd == 9000);
  require_nothing_left(rig);
}

//= rfc5961#3.2 MUST-1, MUST-2, MUST-3 test
TEST_CASE("a RST behind a gap is challenged; the one at RCV.NXT then frees what was kept",
          "[tcp][day-one]") {
  TcpRig rig;
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  PeerSegment ahead = peer.segment(kAck, 100);
  ahead.seq += 100;
  peer.give(ahead);
  static_cast<void>(peer.read());
  PeerSegment reset = peer.segment(kRst);
  reset.seq = ahead.seq + 100;
  peer.give(reset);
  const auto challenge = peer.read();
  REQUIRE(challenge.size() == 1);
  CHECK(challenge[0].header.ack == peer.nxt);
  CHECK(tcp::find_tcb(rig.ctx(), connection)->state == tcp::State::kEstablished);
  CHECK(rig.ctx().reassembly_segments == 1);
  reset.seq = challenge[0].header.ack;
  peer.give(reset);
  CHECK(tcp::find_tcb(rig.ctx(), connection) == nullptr);
  CHECK(rig.ctx().reassembly_segments == 0);
  require_nothing_left(rig);
}

//= rfc9293#3.1 MUST-1, REC-1 test
TEST_CASE("sequence numbers, timestamps and a window of 1 GB may wrap in mid-stream",
          "[tcp][day-one]") {
  const tcp::FlowKey flow{Ipv4Addr::from_octets(10, 0, 0, 2), Ipv4Addr::from_octets(10, 0, 0, 1),
                          Port{80}, Port{40000}};
  TcpRig rig(TcpRig::small_config(), time_of_iss(flow, wire::SeqNum{0u - 50'000}));
  TcpPeer peer(rig, {.iss = wire::SeqNum{0u - 30'000}, .window = 65535, .window_scale = 14});
  const auto now_ms = static_cast<std::uint32_t>(rig.now().ns() / 1'000'000);
  peer.ts_skew = 0u - now_ms - 0xfffffff0u - 100;  // its clock passes 2^32 in 100 ms
  const ConnHandle connection = establish(rig, peer);
  const auto octets = pattern(100'000);
  CHECK(pull(rig, peer, connection, octets) == octets);

  std::vector<std::byte> got;
  for (int i = 0; i < 100; ++i) {
    peer.send(kAck | kPsh, 1000);
    rig.run_for(Duration::from_ms(5));
    const auto more = read_octets(rig, connection);
    got.insert(got.end(), more.begin(), more.end());
  }
  CHECK(got == pattern(100'000));
  CHECK(rig.metrics().of(Outcome::kPawsRejected) == 0);
  CHECK(rig.metrics().of(Counter::kRetransmittedSegments) == 0);
  require_nothing_left(rig);
}

TEST_CASE("a pure ACK that repeats the ACK but opens the window is an update and no duplicate",
          "[tcp][day-one]") {
  tcp::EngineConfig config = TcpRig::small_config();
  config.nodelay = true;
  TcpRig rig(config);
  TcpPeer peer(rig, {.window = 2000});
  const ConnHandle connection = establish(rig, peer);
  send_octets(rig, connection, pattern(6000));
  const wire::SeqNum una = peer.una;
  const auto first = peer.read();
  REQUIRE(!first.empty());
  const wire::SeqNum sent = peer.una;
  CHECK(wire::seq_distance(una, sent) <= 2000);
  peer.una = una;  // nothing is acknowledged
  for (const std::uint16_t window :
       {std::uint16_t{4000}, std::uint16_t{5000}, std::uint16_t{6000}, std::uint16_t{7000}}) {
    peer.window = window;
    peer.acknowledge();
  }
  CHECK(rig.metrics().of(Counter::kDuplicateAcks) == 0);
  CHECK(rig.metrics().of(Counter::kFastRetransmits) == 0);
  peer.una = sent;
  std::size_t octets = 0;
  for (const SentSegment& segment : peer.read()) octets += segment.payload.size();
  CHECK(octets + wire::seq_distance(una, sent) == 6000);
  require_nothing_left(rig);
}

TEST_CASE("syn_backlog counts half-open entries, not established connections", "[tcp][day-one]") {
  TcpRig rig;
  listen_on(rig, 80, 2, 10);
  for (std::uint16_t i = 0; i < 8; ++i) {
    TcpPeer peer(rig, {.remote_port = Port{static_cast<std::uint16_t>(2000 + i)}});
    peer.connect();
    CHECK(rig.find(peer.flow()) != nullptr);
  }
  CHECK(rig.ctx().listeners[0].half_open == 0);
  CHECK(rig.ctx().listeners[0].accept_queued == 8);
  require_nothing_left(rig);
}

//= rfc6298#3 MUST-1, MUST-2, MUST-3 test
//= rfc9293#3.8.1 MUST-18 test
TEST_CASE("the round-trip time is measured without timestamps, and never from what was sent twice",
          "[tcp][day-one]") {
  TcpRig rig;
  TcpPeer peer(rig, {.timestamps = false});
  const ListenerHandle listener = listen_on(rig, 80);
  peer.send_syn();
  static_cast<void>(peer.read());
  rig.run_for(Duration::from_ms(100));
  peer.acknowledge();
  const ConnHandle connection = accept_on(rig, listener);
  const tcp::Tcb& block = *tcp::find_tcb(rig.ctx(), connection);
  CHECK(block.srtt_us8 / 8 == 100'000);
  send_octets(rig, connection, pattern(100));
  static_cast<void>(peer.read());
  rig.run_for(Duration::from_ms(180));
  peer.acknowledge();
  CHECK(block.srtt_us8 / 8 == 110'000);  // 7/8 of 100 ms and 1/8 of 180 ms
  // Karn: the ACK of a retransmission says nothing.
  send_octets(rig, connection, pattern(100));
  rig.run_for(Duration::from_ms(1500));
  CHECK(peer.read().size() >= 2);
  peer.acknowledge();
  CHECK(block.srtt_us8 / 8 == 110'000);
  CHECK(block.min_rtt_us == 100'000);
  require_nothing_left(rig);
}

TEST_CASE("a connection survives that all mbufs are gone, and goes on when they are back",
          "[tcp][day-one]") {
  TcpRig rig;
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  const auto starve = [](rte_mempool& pool) {
    std::vector<packet::PacketPtr> held;
    while (rte_mbuf* const mbuf = rte_pktmbuf_alloc(&pool)) held.emplace_back(mbuf);
    return held;
  };
  SECTION("no control mbuf: nothing can be sent, and nothing is forgotten") {
    auto held = starve(rig.pools().control());
    send_octets(rig, connection, pattern(100));
    peer.send(kAck, 50);
    rig.run_for(Duration::from_s(5));
    CHECK(peer.read().empty());
    CHECK(rig.metrics().of(Counter::kTxNoBuffer) > 0);
    held.clear();
    rig.run_for(Duration::from_s(130));
    const auto sent = peer.read();
    REQUIRE(!sent.empty());
    CHECK(peer.una == sent[0].header.seq + 100);
    CHECK(sent.back().header.ack == peer.nxt);
  }
  SECTION("no receive mbuf: send() says so, and works again later") {
    auto held = starve(rig.pools().receive());
    const auto taken = tcp::send(rig.ctx(), connection, pattern(100));
    REQUIRE(!taken.has_value());
    CHECK(taken.error() == Error::kNoBuffers);
    CHECK(!rig.receive(peer.flow(), peer.segment(kAck, 50)));
    held.clear();
    CHECK(send_octets(rig, connection, pattern(100)) == 100);
  }
  SECTION("no indirect mbuf: large segments wait for one") {
    auto held = starve(rig.pools().indirect());
    send_octets(rig, connection, pattern(2 * 1448));
    CHECK(peer.read().empty());
    const wire::SeqNum una = peer.una;
    held.clear();
    rig.run_for(Duration::from_s(2));
    static_cast<void>(peer.read());
    CHECK(wire::seq_distance(una, peer.una) == 2 * 1448);
  }
  peer.acknowledge();
  peer.send(kAck, 70);
  CHECK(read_octets(rig, connection).size() >= 70);
  CHECK(tcp::find_tcb(rig.ctx(), connection)->state == tcp::State::kEstablished);
  require_nothing_left(rig);
}

TEST_CASE("of many that found no buffer a few at a time are told that there are some",
          "[tcp][day-one]") {
  constexpr std::uint32_t kCount = 48;
  tcp::EngineConfig config = TcpRig::small_config();
  config.max_accept_queue = 64;
  TcpRig rig(config);
  const ListenerHandle listener = listen_on(rig, 80);
  std::vector<ConnHandle> connections;
  for (std::uint32_t i = 0; i < kCount; ++i) {
    TcpPeer peer(rig, {.remote_port = Port{static_cast<std::uint16_t>(40000 + i)}});
    peer.connect();
    connections.push_back(accept_on(rig, listener));
  }
  std::vector<packet::PacketPtr> held;
  while (rte_mbuf* const mbuf = rte_pktmbuf_alloc(&rig.pools().receive())) held.emplace_back(mbuf);
  for (const ConnHandle connection : connections)
    REQUIRE(!tcp::send(rig.ctx(), connection, pattern(100)).has_value());
  held.clear();
  static_cast<void>(rig.take_told());
  std::vector<unsigned> told(kCount);
  unsigned calls = 0;
  while (rig.ctx().starving_left > 0) {
    REQUIRE(++calls < 10);
    tcp::feed_starving(rig.ctx());
    rig.settle();
    const auto events = rig.take_told();
    CHECK(events.size() <= 32);
    for (const ToldEvent& event : events) {
      CHECK((event.mask & app::kWritable) != 0);
      ++told.at(event.index);
    }
  }
  CHECK(calls > 1);
  for (const ConnHandle connection : connections) CHECK(told.at(connection.index) == 1);
  // One that finds none again is told again, once around.
  while (rte_mbuf* const mbuf = rte_pktmbuf_alloc(&rig.pools().receive())) held.emplace_back(mbuf);
  REQUIRE(!tcp::send(rig.ctx(), connections[5], pattern(100)).has_value());
  held.clear();
  for (calls = 0; rig.ctx().starving_left > 0 && calls < 10; ++calls) tcp::feed_starving(rig.ctx());
  rig.settle();
  const auto events = rig.take_told();
  REQUIRE(events.size() == 1);
  CHECK(events[0].index == connections[5].index);
}

}  // namespace sluice
