#include <catch2/catch.hpp>

#include "tests/support/tcp_app.hpp"

namespace sluice::tcp {
namespace {

using namespace support;
using telemetry::Counter;
using telemetry::Outcome;
using wire::kAck;
using wire::kRst;
using wire::kSyn;
using wire::kUrg;

}  // namespace

//= rfc5961#7 SHLD-2 test
TEST_CASE("a connection sends at most five challenge ACKs a second", "[tcp][rfc5961]") {
  TcpRig rig;
  TcpPeer peer(rig);
  establish(rig, peer);
  rig.run_until(Instant::from_ns(10'000'000'000));
  PeerSegment reset = peer.segment(kRst);
  reset.seq = peer.nxt + 500;
  for (int i = 0; i < 50; ++i) peer.give(reset);
  CHECK(rig.take_sent().size() == 5);
  CHECK(rig.metrics().of(Counter::kChallengeAcksLimited) == 45);
  CHECK(rig.metrics().of(Outcome::kRstChallenged) == 50);
  rig.run_for(Duration::from_s(1));
  for (int i = 0; i < 50; ++i) peer.give(peer.segment(kSyn));
  CHECK(rig.take_sent().size() == 5);
  require_nothing_left(rig);
}

TEST_CASE("challenge ACKs of one connection leave another's alone, under the worker's cap",
          "[tcp][rfc5961]") {
  EngineConfig config = TcpRig::small_config();
  config.challenge_limit = {1, 7};  // four to ten in seven seconds
  TcpRig rig(config);
  TcpPeer one(rig), two(rig, {.remote_port = Port{40001}}),
      three(rig, {.remote_port = Port{40002}});
  establish(rig, one);
  two.connect();
  three.connect();
  static_cast<void>(rig.take_sent());
  const auto provoke = [&](TcpPeer& peer) {
    PeerSegment beyond = peer.segment(kAck);
    beyond.ack = peer.una + 100;
    for (int i = 0; i < 10; ++i) peer.give(beyond);
    return rig.take_sent().size();
  };
  const std::size_t first = provoke(one), rest = provoke(two) + provoke(three);
  CHECK(first >= 4);
  CHECK(first <= 5);
  CHECK(rest <= 10 - first);  // the worker's cap
  CHECK(rig.metrics().of(Counter::kChallengeAcksLimited) == 30 - first - rest);
  require_nothing_left(rig);
}

TEST_CASE("RSTs to strangers are capped, and silent above", "[tcp][rfc9293]") {
  EngineConfig config = TcpRig::small_config();
  config.reset_limit = {10, 4};  // two to five in 400 ms
  TcpRig rig(config);
  const auto answers = [&] {
    for (std::uint16_t port = 1; port <= 20; ++port) {
      TcpPeer stranger(rig, {.local_port = Port{9}, .remote_port = Port{port}});
      stranger.give(stranger.segment(kSyn));
    }
    return rig.take_sent().size();
  };
  const std::size_t first = answers();
  CHECK(first >= 2);
  CHECK(first <= 5);
  CHECK(rig.metrics().of(Outcome::kStrayAnswered) == first);
  CHECK(rig.metrics().of(Outcome::kStraySilenced) == 20 - first);
  CHECK(answers() == 0);
  rig.run_for(Duration::from_ms(400));
  CHECK(answers() >= 2);
  require_nothing_left(rig);
}

//= rfc9293#3.9.2.3 MUST-57, MUST-63 test
TEST_CASE("segments from or to what is no host are dropped", "[tcp][rfc9293]") {
  TcpRig rig;
  listen_on(rig, 80);
  TcpPeer peer(rig);
  for (const Ipv4Addr address : {Ipv4Addr::from_octets(224, 0, 0, 1),
                                 Ipv4Addr::from_octets(255, 255, 255, 255), Ipv4Addr{}}) {
    FlowKey flow = peer.flow();
    flow.remote = address;
    rig.receive(flow, peer.segment(kSyn));
    flow = peer.flow();
    flow.local = address;
    rig.receive(flow, peer.segment(kSyn));
  }
  FlowKey flow = peer.flow();
  flow.remote_port = Port{0};
  rig.receive(flow, peer.segment(kSyn));
  CHECK(rig.metrics().of(Outcome::kTcpAddressInvalid) == 7);
  CHECK(rig.take_sent().empty());
  require_nothing_left(rig);
}

//= rfc9293#3.8.5 MUST-30, MUST-31, MUST-32, MUST-62 test
TEST_CASE("an urgent pointer is told once for each advance, and the octets stay in line",
          "[tcp][rfc6093]") {
  TcpRig rig;
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  const auto give_urgent = [&](std::uint16_t pointer, std::size_t payload) {
    PeerSegment segment = peer.segment(kAck | kUrg, payload);
    segment.urgent = pointer;
    peer.nxt += static_cast<std::uint32_t>(payload);
    peer.give(segment);
    std::uint8_t mask = 0;
    for (const ToldEvent& told : rig.take_told())
      mask = static_cast<std::uint8_t>(mask | told.mask);
    return (mask & app::kUrgent) != 0;
  };
  CHECK(give_urgent(1000, 10));  // far ahead of what came
  CHECK(!give_urgent(990, 10));  // the same place
  CHECK(give_urgent(1500, 10));  // further
  CHECK(!give_urgent(0, 10));    // says nothing
  CHECK(read_octets(rig, connection) == pattern(40));
  CHECK(rig.metrics().of(Counter::kUrgentReceived) == 2);
  require_nothing_left(rig);
}

TEST_CASE("every segment ends in exactly one outcome, whatever its flags", "[tcp]") {
  TcpRig rig;
  TcpPeer peer(rig);
  establish(rig, peer);
  const std::uint64_t before = outcome_total(rig.metrics());
  for (unsigned flags = 0; flags < 256; ++flags) {
    TcpPeer other(rig, {.local_port = Port{flags % 2 == 0 ? std::uint16_t{80} : std::uint16_t{81}},
                        .remote_port = Port{static_cast<std::uint16_t>(1000 + flags)}});
    other.give(other.segment(static_cast<std::uint8_t>(flags), flags % 3));
    other.give(other.segment(static_cast<std::uint8_t>(255 - flags), 0));
    peer.give(peer.segment(static_cast<std::uint8_t>(flags & (0xffu - kRst)), 0));
  }
  CHECK(outcome_total(rig.metrics()) - before == 3 * 256);
  require_nothing_left(rig);
}

}  // namespace sluice::tcp
