#include "tcp/gate/gate_watch.hpp"

#include <catch2/catch.hpp>
#include <memory>

#include "tcp/user_calls.hpp"
#include "tests/support/tcp_rig.hpp"

namespace {

using namespace sluice;
using namespace sluice::tcp;
using support::PeerSegment;
using support::TcpPeer;
using support::TcpRig;
using wire::kAck;
using wire::kRst;
using wire::kSyn;

constexpr Duration kHalfSecond = GateWatch::kStep;

EngineConfig with_cookies(CookieMode mode) {
  EngineConfig config = TcpRig::small_config();
  config.syn_cookies = mode;
  return config;
}

ListenerHandle listen_on(TcpRig& rig, std::uint32_t syn_backlog = 0) {
  const auto listener =
      listen(rig.ctx(),
             {.address = {}, .port = Port{80}, .syn_backlog = syn_backlog, .accept_backlog = 32});
  REQUIRE(listener.has_value());
  return *listener;
}

FlowKey flow_from(std::uint32_t source, std::uint16_t local_port = 80) {
  return {Ipv4Addr::from_octets(10, 0, 0, 2), Ipv4Addr{source}, Port{local_port}, Port{4000}};
}

/// SYNs from as many /24s, within one step.
void flood(TcpRig& rig, std::uint32_t count, std::uint32_t first_prefix = 0) {
  for (std::uint32_t i = 0; i < count; ++i)
    rig.receive(flow_from(0x0b000001 + (first_prefix + i) * 256), {.flags = kSyn});
  rig.take_sent();
}

const GateRecord& record(TcpRig& rig) {
  return rig.ctx().gate.record_of(0);
}
std::uint64_t count_of(TcpRig& rig, Counter counter) {
  return rig.metrics().of(counter);
}

/// What a listener's clients do that a test makes one by one.
struct Clients {
  explicit Clients(TcpRig& rig) : rig_(rig) {}
  TcpPeer& next() {
    peers_.push_back(std::make_unique<TcpPeer>(
        rig_,
        TcpPeer::Options{.remote_port = Port{static_cast<std::uint16_t>(3000 + peers_.size())}}));
    return *peers_.back();
  }
  TcpPeer& operator[](std::size_t index) { return *peers_[index]; }

 private:
  TcpRig& rig_;
  std::vector<std::unique_ptr<TcpPeer>> peers_;
};

}  // namespace

TEST_CASE("the gate's record has what came to a listener in the last second", "[tcp][gate]") {
  TcpRig rig;
  listen_on(rig);
  Clients clients(rig);
  for (int i = 0; i < 5; ++i) clients.next().connect();
  clients.next().send_syn();
  clients[5].read();
  clients[5].send_syn();  // again: the entry knows it
  rig.receive(flow_from(0x0c000001), {.flags = kAck, .seq = wire::SeqNum(1)});
  rig.receive(flow_from(0x0c000001), {.flags = kRst, .seq = wire::SeqNum(1)});
  rig.take_sent();
  rig.run_for(kHalfSecond);
  CHECK(record(rig).syns == 6);
  CHECK(record(rig).by_entry == 5);
  CHECK(record(rig).by_cookie == 0);
  CHECK(record(rig).complete_percent() == 83);
  CHECK(record(rig).prefixes == 1);
  CHECK(record(rig).strays == 2);
  CHECK(record(rig).half_open == 1);
  CHECK(record(rig).syn_backlog == 64);
  CHECK(record(rig).state == GateState::kCalm);
  CHECK(record(rig).second_end == rig.now().ns());
  CHECK_FALSE(record(rig).version.is_being_written());
  rig.run_for(kHalfSecond);
  CHECK(record(rig).syns == 6);  // half a second old
  rig.run_for(kHalfSecond);
  CHECK(record(rig).syns == 0);
  rig.require_clean();
}

TEST_CASE("a flood is an attack within two seconds, and calm returns within seven of its end",
          "[tcp][gate]") {
  TcpRig rig(with_cookies(CookieMode::kAlways));
  listen_on(rig);
  for (std::uint32_t tenth = 0; tenth < 20; ++tenth) {
    flood(rig, 60, tenth * 60);
    rig.run_for(Duration::from_ms(100));
  }
  CHECK(record(rig).state == GateState::kAttack);
  CHECK(record(rig).reason == GateReason::kFloodFromMany);
  CHECK(record(rig).attacks == 1);
  CHECK(count_of(rig, Counter::kGateAttacks) == 1);
  CHECK(record(rig).syns == 600);
  CHECK(record(rig).prefixes > 600 * 0.87);
  CHECK(record(rig).prefixes < 600 * 1.13);
  CHECK(describe(record(rig)) ==
        "of 600 SYNs/s 0 % complete, from " + std::to_string(record(rig).prefixes) + " prefixes");
  // Nothing comes any more: the engine's own deadlines bring the end.
  rig.run_for(Duration::from_s(7));
  CHECK(record(rig).state == GateState::kCalm);
  CHECK(record(rig).reason == GateReason::kNone);
  CHECK(count_of(rig, Counter::kGateStateChanges) == 2);
  CHECK(rig.engine().next_deadline().is_never());
  rig.require_clean();
}

TEST_CASE("with cookies the honest are seen through the flood", "[tcp][gate]") {
  TcpRig rig(with_cookies(CookieMode::kAlways));
  listen_on(rig);
  Clients clients(rig);
  flood(rig, 100);
  for (int i = 0; i < 8; ++i) clients.next().connect();
  rig.run_for(kHalfSecond);
  CHECK(record(rig).syns == 108);
  CHECK(record(rig).by_cookie == 8);
  CHECK(record(rig).by_entry == 0);
  rig.require_clean();
}

TEST_CASE("the largest senders of SYNs and of strays are published each second", "[tcp][gate]") {
  TcpRig rig(with_cookies(CookieMode::kAlways));
  listen_on(rig);
  for (std::uint32_t i = 0; i < 300; ++i) {
    rig.receive(flow_from(0xc0000200 + i % 200), {.flags = kSyn});  // 192.0.2.0/24
    if (i % 3 == 0) flood(rig, 1, i);
  }
  // Where nobody listens.
  for (int i = 0; i < 7; ++i)
    rig.receive(flow_from(0xcb007101, 81), {.flags = kAck, .seq = wire::SeqNum(1)});
  rig.take_sent();
  rig.run_for(kHalfSecond * 2);
  const TopPrefixesRecord& top = rig.ctx().gate.top();
  CHECK(top.syns.total == 400);
  CHECK(top.syns.error <= 400 / 33);
  CHECK(to_string(readable_prefix(top.syns.entries[0].prefix)) == "192.0.2.0/24");
  CHECK(top.syns.entries[0].count <= 300);
  CHECK(top.syns.entries[0].count + top.syns.error >= 300);
  CHECK(top.strays.total == 7);
  CHECK(to_string(readable_prefix(top.strays.entries[0].prefix)) == "203.0.113.0/24");
  CHECK(top.strays.entries[0].count == 7);
  // A second without any leaves them to be seen.
  rig.run_for(Duration::from_s(3));
  CHECK(top.syns.total == 400);
  rig.require_clean();
}

TEST_CASE("in a flood the largest senders are told from a sample, as large as they are",
          "[tcp][gate]") {
  TcpRig rig;
  listen_on(rig);
  const auto a_second_of_strays = [&] {
    for (std::uint32_t i = 0; i < 300'000; ++i)
      rig.ctx().gate.note_stray(ListenerHandle::kNone,
                                Ipv4Addr{i % 10 < 3 ? 0xcb007101 : 0x0b000001 + i * 256});
    rig.run_for(kHalfSecond * 2);
  };
  a_second_of_strays();
  a_second_of_strays();
  const TopPrefixList& strays = rig.ctx().gate.top().strays;
  CHECK(strays.total == 300'000);
  CHECK(to_string(readable_prefix(strays.entries[0].prefix)) == "203.0.113.0/24");
  // 90,000 of them: a sample of one in eight is within 3 % of it, the list's error on top.
  CHECK(strays.entries[0].count <= 93'000);
  CHECK(strays.entries[0].count + strays.error >= 87'000);
  CHECK(strays.error <= 300'000 / 33 + 8);
}

TEST_CASE("SYNs that a full backlog refuses are pressure", "[tcp][gate]") {
  TcpRig rig(with_cookies(CookieMode::kOff));
  listen_on(rig, 4);
  for (int step = 0; step < 4; ++step) {
    flood(rig, 12, static_cast<std::uint32_t>(step) * 12);
    rig.run_for(kHalfSecond);
  }
  CHECK(record(rig).syns == 24);
  // All but four, whose place was made by entries that nobody answered.
  CHECK(record(rig).refused == 20);
  CHECK(record(rig).half_open == 4);
  CHECK(record(rig).state == GateState::kAttack);
  CHECK(record(rig).reason == GateReason::kBacklogHeld);
  // Its entries expire, and with them the pressure.
  rig.run_for(rig.ctx().config.half_open_lifetime + Duration::from_s(7));
  CHECK(record(rig).state == GateState::kCalm);
  rig.require_clean();
}

TEST_CASE("SYNs that come while the worker drains are nobody's flood", "[tcp][gate]") {
  TcpRig rig;
  listen_on(rig);
  rig.ctx().is_draining = true;
  for (int step = 0; step < 6; ++step) {
    flood(rig, 200);
    rig.run_for(kHalfSecond);
  }
  CHECK(record(rig).syns == 0);
  CHECK(record(rig).state == GateState::kCalm);
  rig.require_clean();
}

TEST_CASE("a connection that finds the accept queue full has proved itself", "[tcp][gate]") {
  TcpRig rig;
  const auto listener =
      listen(rig.ctx(), {.address = {}, .port = Port{80}, .syn_backlog = 0, .accept_backlog = 1});
  REQUIRE(listener.has_value());
  Clients clients(rig);
  for (int i = 0; i < 3; ++i) clients.next().connect();
  rig.run_for(kHalfSecond);
  CHECK(record(rig).by_entry == 1);
  CHECK(record(rig).unaccepted == 2);
  rig.require_clean();
}

TEST_CASE("a new listener in an old one's place begins calm and empty", "[tcp][gate]") {
  TcpRig rig(with_cookies(CookieMode::kAlways));
  ListenerHandle listener = listen_on(rig);
  for (int step = 0; step < 4; ++step) {
    flood(rig, 300);
    rig.run_for(kHalfSecond);
  }
  CHECK(record(rig).state == GateState::kAttack);
  static_cast<void>(close_listener(rig.ctx(), listener));
  listener = listen_on(rig);
  REQUIRE(listener.index == 0);
  CHECK(record(rig).generation == listener.generation);
  for (int step = 0; step < 4; ++step) {
    CHECK(record(rig).state == GateState::kCalm);
    CHECK(record(rig).syns == 0);
    rig.run_for(kHalfSecond);
  }
  rig.require_clean();
}

TEST_CASE("what comes after a long silence is not spread over it", "[tcp][gate]") {
  TcpRig rig(with_cookies(CookieMode::kAlways));
  listen_on(rig);
  CHECK(rig.engine().next_deadline().is_never());
  rig.run_for(Duration::from_s(100));
  flood(rig, 50);
  rig.run_for(kHalfSecond);
  rig.run_for(kHalfSecond);
  CHECK(record(rig).syns == 50);
  rig.require_clean();
}
