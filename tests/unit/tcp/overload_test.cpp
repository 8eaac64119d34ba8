#include "tcp/overload/overload.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

#include "tests/unit/tcp/crowd.hpp"

namespace sluice::tcp {
namespace {

using namespace support;
using namespace testing;
using telemetry::Counter;
using telemetry::Outcome;
using wire::kAck;

EngineConfig config_of(std::uint32_t connections) {
  EngineConfig config = TcpRig::small_config();
  config.max_connections = connections;
  config.max_in_flight = 256;
  config.fin_wait_2 = Duration::from_s(600);
  return config;
}

constexpr Duration kIdleAge = Duration::from_s(60);

/// One of each, all of them long at it: the table is far from full.
struct Offenders {
  explicit Offenders(Crowd& crowd)
      : small(crowd.connect(Manner::kCrumbs)),
        large(crowd.connect(Manner::kZeroWindow)),
        idle(crowd.connect()),
        orphan(crowd.connect()),
        busy(crowd.connect()) {
    REQUIRE(crowd.send(small, 20'000) == 20'000);
    crowd.run_for(Duration::from_s(5));  // the slower of the two
    REQUIRE(crowd.send(large, 100'000) == 100'000);
    REQUIRE(close(crowd.rig.ctx(), orphan.handle).has_value());
    crowd.rig.settle();
    for (int i = 0; i < 700; ++i) {
      work(crowd);
      crowd.run_for(Duration::from_ms(100));
    }
    REQUIRE(orphan.has_fin);
    REQUIRE(crowd.rig.find(orphan.peer.flow())->state == State::kFinWait2);
  }
  void work(Crowd& crowd) { CHECK(crowd.send(busy, 5000) == 5000); }

  Client& small;
  Client& large;
  Client& idle;
  Client& orphan;
  Client& busy;
};

}  // namespace

TEST_CASE("a watermark's level ends a good way above where it began", "[tcp][overload]") {
  Watermark mark(320);
  CHECK_FALSE(mark.measure(41));
  CHECK(mark.level() == Pressure::kCalm);
  CHECK(mark.missing(Pressure::kPressed) == 0);
  CHECK(mark.measure(40));
  CHECK(mark.level() == Pressure::kPressed);
  CHECK(mark.missing(Pressure::kPressed) == 41);
  CHECK(mark.missing(Pressure::kFull) == 0);
  CHECK_FALSE(mark.measure(80));
  CHECK(mark.level() == Pressure::kPressed);
  CHECK(mark.measure(10));
  CHECK(mark.level() == Pressure::kFull);
  CHECK(mark.missing(Pressure::kFull) == 11);
  CHECK(mark.missing(Pressure::kPressed) == 71);
  CHECK_FALSE(mark.measure(20));
  CHECK(mark.level() == Pressure::kFull);
  CHECK_FALSE(mark.measure(21));
  CHECK(mark.level() == Pressure::kPressed);
  CHECK_FALSE(mark.measure(81));
  CHECK(mark.level() == Pressure::kCalm);
  // The smallest of tables: full when nothing is free, calm when something is.
  Watermark tiny(2);
  CHECK_FALSE(tiny.measure(1));
  CHECK(tiny.measure(0));
  CHECK(tiny.level() == Pressure::kFull);
  CHECK(tiny.missing(Pressure::kFull) == 1);
  CHECK_FALSE(tiny.measure(1));
  CHECK(tiny.level() == Pressure::kCalm);
}

TEST_CASE("nobody is shed while there is room", "[tcp][overload]") {
  Crowd crowd(config_of(64));
  Offenders offenders(crowd);
  crowd.connect_many(50);  // nine free: one more than is pressed
  crowd.run_for(Duration::from_s(600));
  CHECK(crowd.shed() == 0);
  CHECK(crowd.count(Counter::kOverloadPressed) == 0);
  CHECK_FALSE(offenders.large.reset);
  CHECK_FALSE(offenders.idle.reset);
  CHECK(crowd.rig.engine().overload().examined() == 0);
  require_nothing_left(crowd.rig);
}

TEST_CASE("a table that is nearly full sheds orphans and nothing alive", "[tcp][overload]") {
  Crowd crowd(config_of(64));
  Offenders offenders(crowd);
  crowd.connect_many(51);
  crowd.run_for(Duration::from_s(1));
  CHECK(crowd.resets == std::vector<const Client*>{&offenders.orphan});
  CHECK(crowd.count(Counter::kShedOrphan) == 1);
  CHECK(crowd.count(Counter::kOverloadPressed) == 1);
  // Peers have their time to answer a FIN.
  REQUIRE(close(crowd.rig.ctx(), crowd.clients.back().handle).has_value());
  crowd.run_for(Duration::from_s(4));
  CHECK(crowd.shed() == 1);
  crowd.run_for(Duration::from_s(2));
  CHECK(crowd.resets.back() == &crowd.clients.back());
  crowd.run_for(kIdleAge * 3);
  CHECK(crowd.shed() == 2);
  require_nothing_left(crowd.rig);
}

TEST_CASE("a full table sheds orphans, then the idle, then slow readers by what they hold",
          "[tcp][overload]") {
  Crowd crowd(config_of(64));
  Offenders offenders(crowd);
  crowd.connect_many(57);  // two free: full
  offenders.work(crowd);
  crowd.run_for(Duration::from_ms(100));
  // Five free are enough again. The smaller holder is not needed.
  CHECK(crowd.resets ==
        std::vector<const Client*>{&offenders.orphan, &offenders.idle, &offenders.large});
  CHECK(crowd.told(offenders.idle) == CloseReason::kOverload);
  CHECK(crowd.told(offenders.large) == CloseReason::kOverload);
  // It must take the RST, though a probe has carried SND.NXT beyond its window.
  CHECK(offenders.large.reset == offenders.large.peer.una);

  // Three more, and it is full again: the next who comes finds room all the same.
  crowd.connect_many(3);
  crowd.run_for(Duration::from_ms(100));
  CHECK(crowd.resets.size() == 4);
  CHECK(crowd.resets.back() == &offenders.small);
  CHECK(offenders.small.reset == offenders.small.peer.una);
  CHECK(crowd.connect().is_open);
  crowd.connect_many(2);

  // Now all are young or busy, and nobody goes for them.
  offenders.work(crowd);
  crowd.run_for(Duration::from_s(10));
  CHECK_FALSE(crowd.connect().is_open);
  CHECK(crowd.resets.size() == 4);
  CHECK_FALSE(offenders.busy.reset);
  CHECK(crowd.count(Counter::kShedOrphan) == 1);
  CHECK(crowd.count(Counter::kShedIdle) == 1);
  CHECK(crowd.count(Counter::kShedSlowReader) == 2);
  require_nothing_left(crowd.rig);
}

TEST_CASE("of idle connections the longest idle goes first, and none before its age",
          "[tcp][overload]") {
  Crowd crowd(config_of(16));
  for (int i = 0; i < 16; ++i) {
    REQUIRE(crowd.connect().is_open);
    crowd.run_for(Duration::from_s(1));
  }
  crowd.run_for(kIdleAge - Duration::from_ms(16'100));
  CHECK(crowd.resets.empty());
  crowd.run_for(Duration::from_ms(500));
  CHECK(crowd.resets == std::vector<const Client*>{&crowd.clients[0]});
  // Two that are free end the fullness of so small a table.
  crowd.run_for(Duration::from_s(300));
  CHECK(crowd.resets == std::vector<const Client*>{&crowd.clients[0], &crowd.clients[1]});
  require_nothing_left(crowd.rig);
}

TEST_CASE("what waits to be accepted is not idle", "[tcp][overload]") {
  Crowd crowd(config_of(16));
  for (int i = 0; i < 16; ++i) static_cast<void>(crowd.knock());
  crowd.run_for(kIdleAge * 2);
  CHECK(crowd.rig.ctx().tcbs.is_full());
  CHECK(crowd.shed() == 0);
  require_nothing_left(crowd.rig);
}

TEST_CASE("a connection with octets that the application has not read, or keeps, is not idle",
          "[tcp][overload]") {
  Crowd crowd(config_of(16));
  crowd.connect_many(16);
  for (Client& client : crowd.clients) client.peer.send(kAck, 100);
  crowd.run_for(kIdleAge * 2);
  CHECK(crowd.shed() == 0);
  auto kept = receive(crowd.rig.ctx(), crowd.clients[3].handle);
  REQUIRE(kept.has_value());
  read_octets(crowd.rig, crowd.clients[7].handle);
  crowd.run_for(Duration::from_s(1));
  CHECK(crowd.resets == std::vector<const Client*>{&crowd.clients[7]});
  *kept = {};
  require_nothing_left(crowd.rig);
}

TEST_CASE("ages of 0 keep the idle and the slow", "[tcp][overload]") {
  EngineConfig config = config_of(16);
  config.overload_idle_age = config.overload_slow_grace = Duration::zero();
  Crowd crowd(config);
  Client& holder = crowd.connect(Manner::kZeroWindow);
  REQUIRE(crowd.send(holder, 50'000) == 50'000);
  crowd.connect_many(15);
  crowd.run_for(Duration::from_s(600));
  CHECK(crowd.count(Counter::kOverloadFull) == 1);
  CHECK(crowd.shed() == 0);
  require_nothing_left(crowd.rig);
}

TEST_CASE("who takes its share, or all there is, is no slow reader", "[tcp][overload]") {
  EngineConfig config = config_of(16);
  config.overload_slow_rate = 100;  // 3000 octets in the grace
  Crowd crowd(config);
  Client& above = crowd.connect(Manner::kZeroWindow);
  Client& below = crowd.connect(Manner::kZeroWindow);
  Client& trickle = crowd.connect();
  for (Client* const each : {&above, &below}) REQUIRE(crowd.send(*each, 100'000) == 100'000);
  crowd.connect_many(13);
  for (int second = 0; second < 50; ++second) {
    crowd.take(above, 130);
    crowd.take(below, 70);
    CHECK(crowd.send(trickle, 1) == 1);
    crowd.run_for(Duration::from_s(1));
  }
  CHECK(crowd.resets == std::vector<const Client*>{&below});
  require_nothing_left(crowd.rig);
}

TEST_CASE("what waits is timed from when it began to wait", "[tcp][overload]") {
  EngineConfig config = config_of(16);
  config.congestion = Algorithm::kBbr;  // keeps its record while nothing is queued
  Crowd crowd(config);
  Client& client = crowd.connect();
  REQUIRE(crowd.send(client, 1000) == 1000);
  crowd.connect_many(15);
  crowd.run_for(Duration::from_s(40));
  REQUIRE(crowd.rig.find(client.peer.flow())->send_record != kNoIndex);
  client.manner = Manner::kSilent;
  REQUIRE(crowd.send(client, 1000) == 1000);
  crowd.run_for(Duration::from_s(15));
  CHECK(crowd.resets.empty());
  for (Client& each : crowd.clients)
    if (&each != &client) each.peer.acknowledge();
  crowd.run_for(Duration::from_ms(15'100));
  CHECK(crowd.resets == std::vector<const Client*>{&client});
  require_nothing_left(crowd.rig);
}

TEST_CASE("a peer that goes on acknowledging nothing but crumbs is slow with a wide window too",
          "[tcp][overload]") {
  Crowd crowd(config_of(16));
  Client& client = crowd.connect(Manner::kSilent);
  REQUIRE(crowd.send(client, 100'000) == 100'000);
  crowd.connect_many(15);
  for (int i = 0; i < 320; ++i) {
    client.peer.una += 1;
    client.peer.acknowledge();
    crowd.run_for(Duration::from_ms(100));
  }
  CHECK(crowd.resets == std::vector<const Client*>{&client});
  require_nothing_left(crowd.rig);
}

TEST_CASE("short of buffers, holders of buffers go and the idle stay", "[tcp][overload]") {
  Crowd crowd(config_of(64));
  Offenders offenders(crowd);
  crowd.rig.ctx().spare_buffers = 60;  // of 2048
  crowd.run_for(Duration::from_ms(100));
  CHECK(crowd.resets == std::vector<const Client*>{&offenders.large, &offenders.small});
  CHECK(crowd.count(Counter::kOverloadFull) == 1);
  crowd.rig.ctx().spare_buffers = 2000;
  crowd.run_for(Duration::from_ms(100));
  CHECK(crowd.rig.engine().overload().pressure() == Pressure::kCalm);
  CHECK_FALSE(offenders.orphan.reset);
  require_nothing_left(crowd.rig);
}

TEST_CASE("short of buffers, what lies behind a gap is given up first and comes again",
          "[tcp][overload]") {
  Crowd crowd(config_of(64));
  Client& client = crowd.connect();
  TcpPeer& peer = client.peer;
  const wire::SeqNum begin = peer.nxt;
  peer.nxt += 1000;
  for (int i = 0; i < 5; ++i) peer.send(kAck, 1000);
  crowd.run_for(Duration::from_ms(100));
  REQUIRE(crowd.rig.ctx().reassembly_segments == 5);
  crowd.rig.ctx().spare_buffers = 60;
  crowd.run_for(Duration::from_ms(100));
  CHECK(crowd.rig.ctx().reassembly_segments == 0);
  CHECK(crowd.count(Counter::kShedOutOfOrder) == 1);
  CHECK_FALSE(client.reset);
  crowd.rig.ctx().spare_buffers = 2000;
  peer.nxt = begin;
  for (int i = 0; i < 6; ++i) peer.send(kAck, 1000);
  CHECK(read_octets(crowd.rig, client.handle) == pattern(6000, 0));
  require_nothing_left(crowd.rig);
}

TEST_CASE("an orphan whose client still takes its answer is left to finish", "[tcp][overload]") {
  Crowd crowd(config_of(16));
  Client& reader = crowd.connect(Manner::kZeroWindow);
  Client& holder = crowd.connect(Manner::kZeroWindow);
  for (Client* const each : {&reader, &holder}) {
    REQUIRE(crowd.send(*each, 60'000) == 60'000);
    REQUIRE(close(crowd.rig.ctx(), each->handle).has_value());
    crowd.rig.settle();
  }
  crowd.connect_many(14);
  for (int second = 0; second < 40; ++second) {
    crowd.take(reader, 500);
    crowd.run_for(Duration::from_s(1));
  }
  CHECK(crowd.resets == std::vector<const Client*>{&holder});
  CHECK(crowd.count(Counter::kShedOrphan) == 1);
  require_nothing_left(crowd.rig);
}

TEST_CASE("a step looks at no more than its share, and the order holds over the whole table",
          "[tcp][overload]") {
  constexpr std::uint32_t kSize = 3 * Overload::kExamined;
  Crowd crowd(config_of(kSize));
  // Wherever the hand stands: its first step finds holders, and not both of the idle.
  std::vector<const Client*> idle, holders;
  while (crowd.clients.size() < kSize - 300) {
    Client& client =
        crowd.connect(crowd.clients.size() % 300 == 50 ? Manner::kZeroWindow : Manner::kHonest);
    if (client.manner == Manner::kZeroWindow) {
      REQUIRE(crowd.send(client, 60'000) == 60'000);
      holders.push_back(&client);
    } else if (crowd.clients.size() == 200 || crowd.clients.size() == 1700) {
      idle.push_back(&client);
    }
  }
  crowd.run_for(kIdleAge - Duration::from_s(5));
  for (Client& each : crowd.clients)
    if (&each != idle[0] && &each != idle[1]) each.peer.acknowledge();
  crowd.connect_many(kSize - static_cast<std::uint32_t>(crowd.clients.size()) - kSize / 32 - 1);
  crowd.run_for(Duration::from_s(6));
  REQUIRE(crowd.shed() == 0);
  crowd.connect_many(1);

  const Overload& overload = crowd.rig.engine().overload();
  for (int tick = 0; tick < 48; ++tick) {
    const std::uint64_t before = overload.examined();
    crowd.rig.run_for(kTickLength);
    REQUIRE(overload.examined() - before <= Overload::kExamined);
    crowd.settle();
  }
  REQUIRE(crowd.resets.size() == idle.size() + holders.size());
  CHECK(std::is_permutation(idle.begin(), idle.end(), crowd.resets.begin()));
  require_nothing_left(crowd.rig);
}

TEST_CASE("a refused SYN makes the oldest half-open entry go whose SYN-ACK was sent again",
          "[tcp][overload][gate]") {
  EngineConfig config = config_of(16);
  config.max_half_open = 4;
  config.syn_cookies = CookieMode::kOff;
  Crowd crowd(config);
  Client& oldest = crowd.knock(Manner::kSilent);
  crowd.run_for(Duration::from_ms(200));
  Client& older = crowd.knock(Manner::kSilent);
  crowd.run_for(Duration::from_ms(1000));  // both were answered twice
  Client& young = crowd.knock(Manner::kSilent);
  Client& youngest = crowd.knock(Manner::kSilent);
  crowd.run_for(Duration::from_ms(100));
  CHECK(crowd.shed() == 0);  // full, but nobody was refused

  Client& honest = crowd.knock();
  CHECK(crowd.rig.metrics().of(Outcome::kSynQueueFull) == 1);
  crowd.run_for(kTickLength);
  CHECK(crowd.count(Counter::kShedHalfOpen) == 1);
  CHECK_FALSE(crowd.is_known(oldest));
  CHECK(crowd.is_known(older));
  crowd.send_syn(honest);
  crowd.acknowledge(honest);
  CHECK(crowd.rig.find(honest.peer.flow()) != nullptr);

  static_cast<void>(crowd.knock(Manner::kSilent));
  static_cast<void>(crowd.knock());
  static_cast<void>(crowd.knock());
  CHECK(crowd.rig.metrics().of(Outcome::kSynQueueFull) == 3);
  crowd.run_for(kTickLength);
  CHECK(crowd.count(Counter::kShedHalfOpen) == 2);
  CHECK_FALSE(crowd.is_known(older));
  CHECK(crowd.is_known(young));
  CHECK(crowd.is_known(youngest));
  require_nothing_left(crowd.rig);
}

TEST_CASE(
    "half-open entries of other listeners, and those that wait for room in the accept queue, "
    "stay",
    "[tcp][overload][gate]") {
  EngineConfig config = config_of(16);
  config.syn_cookies = CookieMode::kOff;
  TcpRig rig(config);
  listen_on(rig, 80, 3, 1);
  listen_on(rig, 81, 2);
  listen_on(rig, 82, 1);
  std::deque<TcpPeer> peers;
  const auto knock = [&](std::uint16_t port) -> TcpPeer& {
    TcpPeer& peer = peers.emplace_back(
        rig,
        TcpPeer::Options{.local_port = Port{port},
                         .remote_port = Port{static_cast<std::uint16_t>(2000 + peers.size())}});
    peer.send_syn();
    static_cast<void>(peer.read());
    return peer;
  };
  const auto is_known = [&](const TcpPeer& peer) {
    return !rig.ctx().find_flow(peer.flow(), rig.ctx().hash_of(peer.flow())).is_none();
  };
  const TcpPeer& other = knock(81);
  knock(80).acknowledge();  // the accept queue is full
  const TcpPeer& waiting = knock(80);
  peers.back().acknowledge();
  REQUIRE(rig.metrics().of(Outcome::kAcceptQueueFull) == 1);
  const TcpPeer& silent = knock(80);
  rig.run_for(kTickLength * 2);
  const TcpPeer& after = knock(80);
  rig.run_for(Duration::from_ms(1500));
  static_cast<void>(rig.take_sent());
  const TcpPeer& young = knock(82);
  static_cast<void>(knock(80));
  static_cast<void>(knock(82));
  REQUIRE(rig.metrics().of(Outcome::kSynQueueFull) == 2);
  rig.run_for(kTickLength);
  CHECK(rig.metrics().of(Counter::kShedHalfOpen) == 1);
  CHECK_FALSE(is_known(silent));
  for (const TcpPeer* const stays : {&other, &waiting, &after, &young}) CHECK(is_known(*stays));
  require_nothing_left(rig);
}

}  // namespace sluice::tcp
