// Strangers who do not see a connection's segments and send in its peer's name, and the limits on
// what they can make us send.

#include <algorithm>
#include <catch2/catch.hpp>
#include <deque>

#include "base/rng.hpp"
#include "tests/support/tcp_app.hpp"

namespace sluice::tcp {
namespace {

using namespace support;
using telemetry::Counter;
using telemetry::Outcome;
using wire::kAck;
using wire::kFin;
using wire::kRst;
using wire::kSyn;

/// So many peers, each with a connection that waits on the accept queue of port 80.
std::deque<TcpPeer> make_crowd(TcpRig& rig, std::uint16_t count) {
  std::deque<TcpPeer> crowd;
  for (std::uint16_t i = 0; i < count; ++i) {
    crowd.emplace_back(
        rig, TcpPeer::Options{.remote_port = Port{static_cast<std::uint16_t>(20'000 + i)}});
    crowd.back().connect();
  }
  static_cast<void>(rig.take_sent());
  return crowd;
}

EngineConfig crowded_config() {
  EngineConfig config = TcpRig::small_config();
  config.max_connections = config.max_in_flight = config.max_accept_queue = 512;
  return config;
}

/// How many of `guesses` an attacker gets right who holds a guess for right if his count is below
/// the middle of the highest and the lowest of all, in per cent.
std::size_t percent_right(const std::vector<bool>& guesses,
                          const std::vector<std::size_t>& counts) {
  const auto [lowest, highest] = std::minmax_element(counts.begin(), counts.end());
  const std::size_t middle = (*lowest + *highest + 1) / 2;
  std::size_t right = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) right += (counts[i] < middle) == guesses[i];
  return right * 100 / counts.size();
}

}  // namespace

//= rfc5961#7 SHLD-1, SHLD-3 test
TEST_CASE("an off-path attacker learns nothing by counting his own challenge ACKs",
          "[tcp][rfc5961][off-path]") {
  TcpRig rig(crowded_config());
  listen_on(rig, 80);
  TcpPeer victim(rig);
  victim.connect();
  std::deque<TcpPeer> own = make_crowd(rig, 310);  // 1,550 a second: more than any draw
  PeerSegment forged = victim.segment(kRst);
  Rng coin(7);
  std::vector<bool> guesses;
  std::vector<std::size_t> counts;
  for (int round = 0; round < 60; ++round) {
    rig.run_for(Duration::from_ms(1100));
    static_cast<void>(rig.take_sent());
    // A sequence number in the victim's window is challenged, one outside is not.
    guesses.push_back(coin.chance(1, 2));
    forged.seq = guesses.back() ? victim.nxt + 500 : victim.nxt + 500'000'000;
    for (int i = 0; i < 50; ++i) rig.receive(victim.flow(), forged);
    CHECK(rig.take_sent().size() == (guesses.back() ? 5 : 0));
    for (int i = 0; i < 5; ++i) {
      for (TcpPeer& peer : own) {
        PeerSegment provocation = peer.segment(kRst);
        provocation.seq = peer.nxt + 500;
        peer.give(provocation);
      }
    }
    counts.push_back(rig.take_sent().size());
  }
  const std::size_t right = percent_right(guesses, counts);
  INFO(right);
  CHECK(right >= 35);
  CHECK(right <= 65);
  require_nothing_left(rig);
}

TEST_CASE("the RSTs left for a stranger do not tell whether another host's connection exists",
          "[tcp][off-path]") {
  EngineConfig config = TcpRig::small_config();
  config.reset_limit = {100, 100};
  TcpRig rig(config);
  listen_on(rig, 80);
  TcpPeer victim(rig);
  victim.connect();
  static_cast<void>(rig.take_sent());
  Rng coin(7);
  std::vector<bool> guesses;
  std::vector<std::size_t> counts;
  for (int round = 0; round < 100; ++round) {
    rig.run_for(Duration::from_ms(1100));
    static_cast<void>(rig.take_sent());
    // Right: there is a connection. Wrong: each of the forged segments is a stray.
    guesses.push_back(coin.chance(1, 2));
    FlowKey flow = victim.flow();
    if (!guesses.back()) flow.remote_port = Port{1024};
    PeerSegment forged = victim.segment(kAck);
    forged.seq = victim.nxt + 500'000'000;
    for (int i = 0; i < 300; ++i) rig.receive(flow, forged);
    CHECK(rig.take_sent().size() == 5);
    for (std::uint16_t port = 0; port < 160; ++port) {
      flow.remote_port = Port{static_cast<std::uint16_t>(30'000 + port)};
      rig.receive(flow, forged);
    }
    counts.push_back(rig.take_sent().size());
  }
  const std::size_t right = percent_right(guesses, counts);
  INFO(right);
  CHECK(right >= 35);
  CHECK(right <= 65);
  require_nothing_left(rig);
}

TEST_CASE("one 4-tuple is answered by five RSTs a second at most", "[tcp][off-path]") {
  TcpRig rig;
  TcpPeer one(rig, {.local_port = Port{9}}), two(rig, {.local_port = Port{10}});
  for (int i = 0; i < 50; ++i) one.give(one.segment(kAck));
  CHECK(rig.take_sent().size() == 5);
  CHECK(rig.metrics().of(Outcome::kStraySilenced) == 45);
  two.give(two.segment(kAck));
  CHECK(rig.take_sent().size() == 1);
  rig.run_for(Duration::from_s(1));
  one.give(one.segment(kAck));
  CHECK(rig.take_sent().size() == 1);
  require_nothing_left(rig);
}

TEST_CASE("a half-open entry and one of TIME-WAIT are sent one challenge ACK each half second",
          "[tcp][rfc5961][off-path]") {
  TcpRig rig;
  TcpPeer peer(rig);
  PeerSegment provocation{.flags = kAck};
  SECTION("half-open") {
    listen_on(rig, 80);
    peer.send_syn();
    static_cast<void>(peer.read());
    provocation = peer.segment(kRst);
    provocation.seq = peer.nxt + 500;
  }
  SECTION("TIME-WAIT") {
    const ConnHandle connection = establish(rig, peer);
    close(rig.ctx(), connection);
    rig.settle();
    static_cast<void>(peer.read());
    peer.send(kAck | kFin);
    static_cast<void>(peer.read());
    REQUIRE(rig.ctx().connections == 0);
    provocation = peer.segment(kAck);
    provocation.seq = peer.nxt - 5000;
  }
  for (int i = 0; i < 50; ++i) peer.give(provocation);
  CHECK(rig.take_sent().size() == 1);
  CHECK(rig.metrics().of(Counter::kChallengeAcksSent) == 1);
  CHECK(rig.metrics().of(Counter::kChallengeAcksLimited) == 49);
  rig.run_for(Duration::from_ms(520));
  for (int i = 0; i < 50; ++i) peer.give(provocation);
  CHECK(rig.take_sent().size() == 1);
  require_nothing_left(rig);
}

TEST_CASE("a keepalive probe is answered though strangers used up the connection's challenge ACKs",
          "[tcp][off-path]") {
  EngineConfig config = TcpRig::small_config();
  config.challenge_limit = {0, 1};
  TcpRig rig(config);
  TcpPeer peer(rig);
  establish(rig, peer);
  PeerSegment forged = peer.segment(kAck);
  forged.seq = peer.nxt - 30'000;
  for (int i = 0; i < 1000; ++i) peer.give(forged);
  CHECK(rig.take_sent().size() == 5);
  PeerSegment probe = peer.segment(kAck);
  probe.seq = peer.nxt - 1;
  peer.give(probe);
  const auto answer = rig.take_sent();
  REQUIRE(answer.size() == 1);
  CHECK(answer[0].header.ack == peer.nxt);
  // Not without end: two ends that see each other's ACKs there would never stop.
  for (int i = 0; i < 50; ++i) peer.give(probe);
  CHECK(rig.take_sent().size() == 4);
  require_nothing_left(rig);
}

TEST_CASE("octets and FIN outside the window are always acknowledged, with every budget empty",
          "[tcp][off-path]") {
  EngineConfig config = TcpRig::small_config();
  config.challenge_limit = config.reset_limit = {0, 1};
  TcpRig rig(config);
  TcpPeer peer(rig);
  establish(rig, peer);
  for (int i = 0; i < 50; ++i) {
    PeerSegment late = peer.segment(kAck);
    late.seq = peer.nxt - 5000;
    peer.give(late);  // empties the connection's own budget, too
  }
  static_cast<void>(rig.take_sent());
  const auto is_acknowledged = [&](std::uint8_t flags, std::size_t payload, std::int32_t distance) {
    PeerSegment segment = peer.segment(flags, payload);
    segment.seq = peer.nxt + static_cast<std::uint32_t>(distance);
    peer.give(segment);
    const auto sent = rig.take_sent();
    return sent.size() == 1 && sent[0].header.ack == peer.nxt && sent[0].payload.empty();
  };
  for (int i = 0; i < 50; ++i) {
    CHECK(is_acknowledged(kAck, 100, -100));         // our ACK was lost
    CHECK(is_acknowledged(kAck, 100, 100'000'000));  // it believes us elsewhere
    CHECK(is_acknowledged(kAck | kFin, 0, -300));
    CHECK(is_acknowledged(kAck | kFin, 0, 100'000'000));
  }
  require_nothing_left(rig);
}

namespace {

/// Two engines, a link of 1 ms between them, and a connection that one has opened to the other.
struct TwoEnds {
  EngineConfig config = [] {
    EngineConfig unlimited = TcpRig::small_config();
    unlimited.challenge_limit = {1'000'000, 1'000'000};  // the connection's own limits must do
    return unlimited;
  }();
  TcpRig left{config}, right{config};
  std::size_t crossed = 0;

  void carry(TcpRig& from, TcpRig& to) {
    for (const SentSegment& sent : from.take_sent()) {
      ++crossed;
      const FlowKey flow{sent.flow.remote, sent.flow.local, sent.flow.remote_port,
                         sent.flow.local_port};
      to.receive(flow, {.flags = sent.header.flags,
                        .seq = sent.header.seq,
                        .ack = sent.header.ack,
                        .payload = sent.payload,
                        .window = sent.header.window,
                        .urgent = sent.header.urgent_pointer,
                        .options = sent.header.options});
    }
  }
  void run_for(Duration time) {
    for (std::int64_t ms = 0; ms < time.ms(); ++ms) {
      left.run_for(Duration::from_ms(1));
      right.run_for(Duration::from_ms(1));
      carry(left, right);
      carry(right, left);
    }
  }
};

}  // namespace

TEST_CASE("two ends that disagree about every number do not answer each other for ever",
          "[tcp][off-path]") {
  TwoEnds ends;
  listen_on(ends.right, 80);
  const auto handle = open(
      ends.left.ctx(),
      {.remote = {Ipv4Addr::from_octets(10, 0, 0, 1), Port{80}}, .local = {}, .local_port = {}});
  REQUIRE(handle.has_value());
  ends.run_for(Duration::from_ms(10));
  Tcb* const left = find_tcb(ends.left.ctx(), *handle);
  REQUIRE(left->state == State::kEstablished);
  const FlowKey mirrored{Ipv4Addr::from_octets(10, 0, 0, 1), Ipv4Addr::from_octets(10, 0, 0, 2),
                         Port{80}, Port{left->key.local_port}};
  Tcb* const right = ends.right.find(mirrored);
  REQUIRE(right != nullptr);
  const auto confuse = [](Tcb& block, std::uint32_t by) {
    block.rcv.nxt += by;
    block.rcv.adv += by;
    block.rcv.last_ack += by;
  };
  SECTION("each sees the other's segments far below its window") {
    confuse(*left, 10'000'000);
    confuse(*right, 10'000'000);
  }
  SECTION("each sees them far above") {
    confuse(*left, 0u - 10'000'000);
    confuse(*right, 0u - 10'000'000);
  }
  SECTION("each sees them as keepalive probes") {
    confuse(*left, 1);
    confuse(*right, 1);
  }
  ends.crossed = 0;
  static_cast<void>(send(ends.left.ctx(), *handle, pattern(10)));
  ends.left.settle();
  ends.run_for(Duration::from_s(10));
  // Retransmissions, each with its answer, and the five ACKs a second of either end.
  INFO(ends.crossed);
  CHECK(ends.crossed > 5);
  CHECK(ends.crossed <= 2 * 11 * 5 + 2 * 12);
}

TEST_CASE("a report that a segment was too large is believed only of one that can have been",
          "[tcp][icmp][rfc5927]") {
  TcpRig rig;
  TcpPeer peer(rig, {.window = 65535});
  const ConnHandle connection = establish(rig, peer);
  const wire::SeqNum una = peer.una;
  const std::uint16_t mss = find_tcb(rig.ctx(), connection)->snd_mss;
  const auto report = [&](wire::SeqNum seq, std::uint16_t mtu) {
    const bool is_believed = rig.engine().on_icmp_error(
        {.kind = IcmpErrorKind::kFragmentationNeeded, .flow = peer.flow(), .seq = seq, .mtu = mtu},
        rig.now());
    rig.settle();
    return is_believed;
  };
  const auto mss_now = [&] { return find_tcb(rig.ctx(), connection)->snd_mss; };
  CHECK(!report(una, 600));  // nothing is in flight
  send_octets(rig, connection, pattern(200));
  static_cast<void>(peer.read());
  CHECK(!report(una, 600));  // 252 octets pass there
  CHECK(mss_now() == mss);
  peer.acknowledge();
  const wire::SeqNum large = peer.una;
  send_octets(rig, connection, pattern(3u * mss));
  static_cast<void>(peer.read());
  for (const std::uint16_t mtu : {std::uint16_t{1}, std::uint16_t{20}, std::uint16_t{67}})
    CHECK(!report(large, mtu));     // no IPv4 link is so small
  CHECK(!report(large - 1, 1280));  // acknowledged before
  CHECK(!report(peer.una, 1280));   // not sent yet
  CHECK(!report(large + 5'000'000, 1280));
  CHECK(mss_now() == mss);
  CHECK(report(large, 1500));  // as large as ours are: nothing to do
  CHECK(mss_now() == mss);
  CHECK(report(large, 1280));
  CHECK(mss_now() == 1280 - 40 - 12);
  CHECK(report(large, 68));  // never below what is credible
  CHECK(mss_now() == 552 - 40 - 12);
  require_nothing_left(rig);
}

TEST_CASE("the ports that one peer sees do not tell how many connections others got",
          "[tcp][handshake][rfc6056]") {
  EngineConfig config = TcpRig::small_config();
  config.max_connections = config.max_in_flight = 512;
  TcpRig rig(config);
  Rng rng(3);
  const auto port_to = [&](Ipv4Addr address) {
    const auto handle =
        open(rig.ctx(), {.remote = {address, Port{443}}, .local = {}, .local_port = {}});
    REQUIRE(handle.has_value());
    return static_cast<std::uint32_t>(find_tcb(rig.ctx(), *handle)->key.local_port) - 32'768u;
  };
  const Ipv4Addr watcher = Ipv4Addr::from_octets(203, 0, 113, 1);
  const std::uint32_t count = 60'999 - 32'768 + 1;
  std::uint32_t last = port_to(watcher);
  for (int i = 0; i < 40; ++i) {
    for (std::uint64_t others = rng.below(8); others > 0; --others)
      port_to(Ipv4Addr::from_octets(198, 51, 100, static_cast<std::uint8_t>(1 + rng.below(5))));
    const std::uint32_t next = port_to(watcher);
    CHECK(next == (last + 1) % count);
    last = next;
  }
  rig.settle();
  static_cast<void>(rig.take_sent());
  require_nothing_left(rig);
}

TEST_CASE("a SYN that comes again and again is answered within its prefix's cap", "[tcp][gate]") {
  EngineConfig config = TcpRig::small_config();
  config.syn_ack_prefix_limit = {1, 4};
  TcpRig rig(config);
  listen_on(rig, 80);
  TcpPeer peer(rig);
  for (int i = 0; i < 20; ++i) peer.send_syn();
  CHECK(rig.take_sent().size() == 4);
  CHECK(rig.metrics().of(Outcome::kSynQueued) == 1);
  CHECK(rig.metrics().of(Outcome::kSynDuplicate) == 3);
  CHECK(rig.metrics().of(Outcome::kSynPrefixLimited) == 16);
  require_nothing_left(rig);
}

TEST_CASE("accept queues of all listeners together hold no more than the cap", "[tcp][gate]") {
  EngineConfig config = TcpRig::small_config();
  config.max_accept_queue = 3;
  TcpRig rig(config);
  const ListenerHandle one = listen_on(rig, 80), two = listen_on(rig, 81);
  std::deque<TcpPeer> peers;
  for (std::uint16_t i = 0; i < 4; ++i) {
    peers.emplace_back(
        rig, TcpPeer::Options{.local_port = Port{i < 2 ? std::uint16_t{80} : std::uint16_t{81}},
                              .remote_port = Port{static_cast<std::uint16_t>(40'000 + i)}});
    peers.back().connect();
  }
  CHECK(rig.metrics().of(Outcome::kAcceptQueueFull) == 1);
  CHECK(rig.ctx().listeners[one.index].accept_queued == 2);
  CHECK(rig.ctx().listeners[two.index].accept_queued == 1);
  accept_on(rig, one);
  peers.back().acknowledge();  // its next segment gets the place
  CHECK(rig.ctx().listeners[two.index].accept_queued == 2);
  REQUIRE(close_listener(rig.ctx(), two).has_value());
  rig.settle();
  CHECK(rig.ctx().accept_queued == 1);
  require_nothing_left(rig);
}

TEST_CASE("a backlog of 0, or above the cap, is the cap, and readers see it", "[tcp][gate]") {
  const EngineConfig config = TcpRig::small_config();
  TcpRig rig(config);
  const auto record = [&](std::uint16_t port, std::uint32_t backlog) {
    return rig.ctx().listeners[listen_on(rig, port, backlog, backlog).index];
  };
  for (const std::uint32_t backlog : {0u, 1'000'000u, 0xffffffffu}) {
    const auto listener = record(static_cast<std::uint16_t>(80 + backlog % 7), backlog);
    CHECK(listener.syn_backlog == config.max_half_open);
    CHECK(listener.accept_backlog == config.max_accept_queue);
  }
  CHECK(record(90, 5).syn_backlog == 5);
  require_nothing_left(rig);
}

TEST_CASE("a half-open entry outlives ICMP errors and is counted until its RST",
          "[tcp][gate][rfc5927]") {
  TcpRig rig;
  const ListenerHandle listener = listen_on(rig, 80, 1, 8);
  TcpPeer peer(rig), next(rig, {.remote_port = Port{40001}});
  peer.send_syn();
  const wire::SeqNum iss = peer.read().at(0).header.seq;
  for (const IcmpErrorKind kind : {IcmpErrorKind::kHostUnreachable, IcmpErrorKind::kPortUnreachable,
                                   IcmpErrorKind::kFragmentationNeeded}) {
    CHECK(rig.engine().on_icmp_error({.kind = kind, .flow = peer.flow(), .seq = iss}, rig.now()));
    CHECK(!rig.engine().on_icmp_error({.kind = kind, .flow = peer.flow(), .seq = iss + 1},
                                      rig.now()));
  }
  CHECK(rig.ctx().listeners[listener.index].half_open == 1);
  peer.send_syn();  // again: the same entry
  CHECK(rig.ctx().listeners[listener.index].half_open == 1);
  CHECK(rig.take_sent().size() == 1);
  peer.nxt = peer.iss() + 1;
  peer.give(peer.segment(kRst));
  CHECK(rig.ctx().listeners[listener.index].half_open == 0);
  next.connect();
  CHECK(rig.ctx().listeners[listener.index].half_open == 0);  // a connection does not count
  CHECK(rig.ctx().listeners[listener.index].accept_queued == 1);
  require_nothing_left(rig);
}

}  // namespace sluice::tcp
