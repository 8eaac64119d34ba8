// What hosts of the link, or forged sources, do to the neighbour table.

#include <catch2/catch.hpp>
#include <cstring>
#include <optional>

#include "base/rng.hpp"
#include "link/arp_input.hpp"
#include "tests/support/require_pools_full.hpp"
#include "tests/unit/link/neighbor_fixture.hpp"

namespace {

using namespace sluice;
using namespace sluice::link;
using Learnt = NeighborTable::Learnt;
using telemetry::Outcome;
using wire::ArpOperation;

NeighborKey far_key(std::uint32_t host) {
  return {0, Ipv4Addr{0x0a010000u + host}};
}

template <std::size_t Capacity>
NeighborTable::Answer send_to(NeighborFixture<Capacity>& fixture, const NeighborKey& key,
                              PacketCause cause) {
  WaitingPacket waiting = fixture.packet(0);
  waiting.cause = cause;
  return fixture.table.resolve(key, waiting, fixture.sink, fixture.now);
}

template <std::size_t Capacity>
void make_reachable(NeighborFixture<Capacity>& fixture, unsigned host) {
  fixture.table.on_request(fixture.key(host), kMacA, fixture.sink, fixture.now);
  REQUIRE(fixture.resolve(host).mac == kMacA);
  REQUIRE(fixture.state_of(host) == NeighborState::kReachable);
}

struct Office : NeighborFixture<16> {
  const MacAddr our_mac{{0x02, 0, 0, 0, 0, 0x02}};
  const Prefix addresses[1] = {{Ipv4Addr::from_octets(10, 0, 0, 2), 24}};
  std::array<NeighborAlarmRecord, kNeighborAlarms> alarms{};

  Outcome hear(const wire::ArpPacket& packet) {
    const ArpContext context{0, our_mac, {&our_mac, 1}, addresses};
    std::optional<wire::ArpPacket> reply;
    const Outcome outcome = on_arp(packet, context, table, sink, now, reply);
    note_alarm(outcome, packet, context, table, alarms, now);
    return outcome;
  }
  const NeighborAlarmRecord& alarm(NeighborAlarm kind) const {
    return alarms[static_cast<std::size_t>(kind)];
  }
};

TEST_CASE("another MAC cannot take over a neighbour's address, in whatever state it is",
          "[link][neighbor]") {
  NeighborFixture fixture;
  make_reachable(fixture, 1);
  const auto claim = [&](Learnt expected) {
    CHECK(fixture.table.on_answer(fixture.key(1), kMacB, fixture.sink, fixture.now) == expected);
    CHECK(fixture.table.on_request(fixture.key(1), kMacB, fixture.sink, fixture.now) == expected);
    CHECK(fixture.table.find(fixture.key(1))->mac == kMacA);
  };
  claim(Learnt::kOtherMac);
  CHECK(fixture.sink.requests.empty());  // It has just been heard: nobody asks it.
  fixture.pass(Duration::from_s(61));
  fixture.resolve(1);
  REQUIRE(fixture.state_of(1) == NeighborState::kProbe);  // Asked, but the known MAC alone.
  claim(Learnt::kOtherMac);
  CHECK(fixture.state_of(1) == NeighborState::kProbe);
  fixture.table.on_answer(fixture.key(1), kMacA, fixture.sink, fixture.now);
  fixture.pass(Duration::from_s(61));
  REQUIRE(fixture.state_of(1) == NeighborState::kStale);
  claim(Learnt::kOtherMac);
}

TEST_CASE("a neighbour that moved and asks us is found in three seconds, for its old MAC is polled",
          "[link][neighbor]") {
  NeighborFixture fixture;
  make_reachable(fixture, 1);
  fixture.pass(Duration::from_s(2));
  for (int i = 0; i < 1000; ++i)
    fixture.table.on_request(fixture.key(1), kMacB, fixture.sink, fixture.now);
  REQUIRE(fixture.sink.requests.size() == 1);
  CHECK(fixture.sink.requests[0].to == kMacA);

  SECTION("the old one answers, and stays; it is polled once a second at most") {
    fixture.table.on_answer(fixture.key(1), kMacA, fixture.sink, fixture.now);
    for (int i = 0; i < 100; ++i) {
      fixture.pass(Duration::from_ms(99));
      fixture.table.on_request(fixture.key(1), kMacB, fixture.sink, fixture.now);
      fixture.table.on_answer(fixture.key(1), kMacA, fixture.sink, fixture.now);
    }
    CHECK(fixture.sink.requests.size() <= 11);
    CHECK(fixture.resolve(1).mac == kMacA);
  }
  SECTION("the old one is silent: everybody is asked, and the new one answers") {
    fixture.pass(Duration::from_ms(3001));
    CHECK(fixture.sink.requests.back().to == MacAddr::broadcast());
    CHECK(fixture.table.on_answer(fixture.key(1), kMacB, fixture.sink, fixture.now) ==
          Learnt::kYes);
    CHECK(fixture.resolve(1).mac == kMacB);
  }
}

TEST_CASE("a gateway's failover is found in three seconds, however the new one makes itself known",
          "[link][neighbor][arp]") {
  Office office;
  make_reachable(office, 1);
  office.pass(Duration::from_s(2));
  const Ipv4Addr gateway = office.key(1).address.v4();
  const Ipv4Addr ours = Ipv4Addr::from_octets(10, 0, 0, 2);
  const Ipv4Addr other = Ipv4Addr::from_octets(10, 0, 0, 77);
  const auto [operation, target] = GENERATE_COPY(
      std::pair{ArpOperation::kRequest, gateway},  // gratuitous, as VRRP and keepalived have it
      std::pair{ArpOperation::kReply, gateway}, std::pair{ArpOperation::kRequest, other},
      std::pair{ArpOperation::kReply, other}, std::pair{ArpOperation::kRequest, ours},
      std::pair{ArpOperation::kReply, ours});
  const wire::ArpPacket claim{operation, kMacB, gateway, MacAddr::broadcast(), target};
  const Instant began = office.now;
  while (office.sink.requests.empty() || office.sink.requests.back().to != MacAddr::broadcast()) {
    CHECK(office.hear(claim) == Outcome::kArpOtherMac);
    CHECK(office.resolve(1).mac == kMacA);  // it teaches nothing
    office.pass(Duration::from_ms(500));
    REQUIRE(office.now - began < Duration::from_s(4));
  }
  CHECK(office.sink.requests.size() == 4);
  CHECK(office.table.on_answer(office.key(1), kMacB, office.sink, office.now) == Learnt::kYes);
  CHECK(office.resolve(1).mac == kMacB);
}

TEST_CASE("requests with forged senders leave room for who is answered", "[link][neighbor]") {
  NeighborFixture<64> fixture;
  for (unsigned host = 1; host <= 10; ++host) make_reachable(fixture, host);
  for (std::uint32_t host = 0; host < 10'000; ++host) {
    fixture.table.on_request(far_key(host), kMacB, fixture.sink, fixture.now);
    if (host % 100 != 0) continue;
    // A client asks for us and is answered; another's SYN came before its request.
    fixture.table.on_request(fixture.key(100), kMacA, fixture.sink, fixture.now);
    CHECK(send_to(fixture, fixture.key(100), PacketCause::kAnswer).mac == kMacA);
    CHECK(send_to(fixture, fixture.key(101), PacketCause::kAnswer).resolution ==
          Resolution::kQueued);
    CHECK(fixture.table.on_answer(fixture.key(101), kMacA, fixture.sink, fixture.now) ==
          Learnt::kYes);
    fixture.table.remove(fixture.key(101), fixture.sink, fixture.now);
    fixture.pass(Duration::from_ms(100));
  }
  for (unsigned host = 1; host <= 10; ++host)
    CHECK(fixture.state_of(host) == NeighborState::kReachable);
}

TEST_CASE("who only asked makes room for a connection, and for an answer", "[link][neighbor]") {
  NeighborFixture<4> fixture;
  const PacketCause cause = GENERATE(PacketCause::kAnswer, PacketCause::kConnection);
  for (unsigned host = 1; host <= 3; ++host) make_reachable(fixture, host);
  fixture.table.on_request(fixture.key(4), kMacA, fixture.sink, fixture.now);
  CHECK(send_to(fixture, fixture.key(5), cause).resolution == Resolution::kQueued);
  CHECK(fixture.state_of(4) == NeighborState::kFree);
  for (unsigned host = 1; host <= 3; ++host)
    CHECK(fixture.state_of(host) == NeighborState::kReachable);
}

TEST_CASE("100,000 answers to forged sources leave neighbours, connections and bounds alone",
          "[link][neighbor]") {
  NeighborTable::Options options;
  options.queue_packets = 4;
  options.pending_total = 32;
  NeighborFixture<64> fixture(options);
  REQUIRE(fixture.table.add_static(fixture.key(99), kMacB, fixture.sink, fixture.now));
  for (unsigned host = 1; host <= 40; ++host) make_reachable(fixture, host);

  std::size_t most_requests_a_second = 0, requests_before = 0;
  for (std::uint32_t host = 0; host < 100'000; ++host) {
    if (host % 10 == 0) fixture.pass(Duration::from_ms(1));
    send_to(fixture, far_key(host), PacketCause::kAnswer);
    REQUIRE(fixture.table.size() <= 41 + 16);
    REQUIRE(fixture.table.waiting() <= 16);
    if (host % 10'000 != 0) continue;
    const std::size_t requests = fixture.sink.requests.size();
    most_requests_a_second = std::max(most_requests_a_second, requests - requests_before);
    requests_before = requests;
    // A connection gets an entry, a place to wait in and its answer all the same.
    const unsigned wanted = 200 + host / 10'000;
    CHECK(fixture.resolve(wanted, 7).resolution == Resolution::kQueued);
    CHECK(fixture.table.on_answer(fixture.key(wanted), kMacA, fixture.sink, fixture.now) ==
          Learnt::kYes);
    fixture.table.remove(fixture.key(wanted), fixture.sink, fixture.now);
    // So does a host that asks for us.
    CHECK(fixture.table.on_request(fixture.key(150), kMacA, fixture.sink, fixture.now) ==
          Learnt::kYes);
    fixture.table.remove(fixture.key(150), fixture.sink, fixture.now);
  }
  for (unsigned host = 1; host <= 40; ++host)
    CHECK(fixture.state_of(host) == NeighborState::kReachable);
  CHECK(fixture.state_of(99) == NeighborState::kStatic);
  CHECK(most_requests_a_second <= 16 * 3 + 1);  // No storm of broadcasts: a share's, thrice.
  fixture.pass(Duration::from_s(5));
  CHECK(fixture.table.waiting() == 0);
  support::require_pools_full(fixture.pools);
}

TEST_CASE("100,000 connects to neighbours that do not exist evict none that is in use",
          "[link][neighbor]") {
  NeighborTable::Options options;
  options.pending_total = 32;
  NeighborFixture<64> fixture(options);
  REQUIRE(fixture.table.add_static(fixture.key(99), kMacB, fixture.sink, fixture.now));
  for (unsigned host = 1; host <= 40; ++host) make_reachable(fixture, host);
  for (std::uint32_t host = 0; host < 100'000; ++host) {
    if (host % 10 == 0) fixture.pass(Duration::from_ms(1));
    send_to(fixture, far_key(host), PacketCause::kConnection);
    REQUIRE(fixture.table.waiting() <= 32);
  }
  for (unsigned host = 1; host <= 40; ++host)
    CHECK(fixture.state_of(host) == NeighborState::kReachable);
  CHECK(fixture.state_of(99) == NeighborState::kStatic);
  CHECK(fixture.sink.requests.size() <= 23 * 3 * 11);
  fixture.pass(Duration::from_s(5));
  support::require_pools_full(fixture.pools);
}

TEST_CASE("an answer takes no connection's place in a neighbour's queue", "[link][neighbor]") {
  NeighborTable::Options options;
  options.queue_packets = 2;
  NeighborFixture fixture(options);
  fixture.resolve(1, 11);
  CHECK(send_to(fixture, fixture.key(1), PacketCause::kAnswer).resolution == Resolution::kQueued);
  CHECK(send_to(fixture, fixture.key(1), PacketCause::kAnswer).resolution ==
        Resolution::kTableFull);
  CHECK(fixture.resolve(1, 12).dropped == 1);
  fixture.table.on_answer(fixture.key(1), kMacA, fixture.sink, fixture.now);
  CHECK(fixture.sink.sent.size() == 2);
  support::require_pools_full(fixture.pools);
}

TEST_CASE("a doubtful neighbour that a connection wants, too, is doubtful no more",
          "[link][neighbor]") {
  NeighborFixture<4> fixture;  // one doubtful entry at most
  REQUIRE(send_to(fixture, far_key(1), PacketCause::kAnswer).resolution == Resolution::kQueued);
  CHECK(send_to(fixture, far_key(2), PacketCause::kAnswer).slot == NeighborTable::kNone);
  CHECK(send_to(fixture, far_key(1), PacketCause::kConnection).resolution == Resolution::kQueued);
  CHECK(send_to(fixture, far_key(2), PacketCause::kAnswer).resolution == Resolution::kQueued);
  // Later ones have the place of the doubtful one only, once it had a second for its answer.
  fixture.pass(Duration::from_ms(1100));
  CHECK(send_to(fixture, far_key(3), PacketCause::kAnswer).resolution == Resolution::kQueued);
  CHECK(fixture.table.find(far_key(2)) == nullptr);
  CHECK(fixture.table.find(far_key(1)) != nullptr);
}

TEST_CASE("what ARP may not claim is written down with both MACs", "[link][arp]") {
  Office office;
  const IpAddr ours = Ipv4Addr::from_octets(10, 0, 0, 2);
  make_reachable(office, 1);
  REQUIRE(office.table.add_static(office.key(3), kMacA, office.sink, office.now));
  const auto reply = [&](const IpAddr& sender) {
    return wire::ArpPacket{ArpOperation::kReply, kMacB, sender.v4(), office.our_mac, ours.v4()};
  };
  CHECK(office.hear(reply(ours)) == Outcome::kArpConflict);
  CHECK(office.hear(reply(office.key(1).address)) == Outcome::kArpOtherMac);
  CHECK(office.hear(reply(office.key(3).address)) == Outcome::kArpPinned);
  CHECK(office.hear(reply(office.key(3).address)) == Outcome::kArpPinned);
  CHECK(office.hear(reply(office.key(4).address)) == Outcome::kArpReplyUnsolicited);
  const auto check = [&](NeighborAlarm kind, const IpAddr& address, const MacAddr& known,
                         std::uint64_t count) {
    const NeighborAlarmRecord& record = office.alarm(kind);
    CHECK(record.address == address);
    CHECK(record.known == known);
    CHECK(record.claimed == kMacB);
    CHECK(record.count == count);
    CHECK(record.at == office.now.ns());
  };
  check(NeighborAlarm::kOurAddress, ours, office.our_mac, 1);
  check(NeighborAlarm::kOtherMac, office.key(1).address, kMacA, 1);
  check(NeighborAlarm::kPinned, office.key(3).address, kMacA, 2);
  check(NeighborAlarm::kUnsolicited, office.key(4).address, MacAddr{}, 1);
}

TEST_CASE("whatever ARP comes unasked, no known MAC changes and nothing static goes",
          "[link][arp]") {
  Rng rng(20'240'611);
  Office office;
  REQUIRE(office.table.add_static(office.key(3), kMacA, office.sink, office.now));
  for (unsigned host = 10; host < 20; ++host) make_reachable(office, host);
  for (int i = 0; i < 200'000; ++i) {
    if (i % 1000 == 0) {
      // They are in use, and answer when they are polled.
      office.pass(Duration::from_ms(250));
      for (unsigned host = 10; host < 20; ++host) {
        office.resolve(host);
        office.table.on_answer(office.key(host), kMacA, office.sink, office.now);
      }
    }
    const auto someone = [&] {
      return Ipv4Addr::from_octets(10, 0, 0, static_cast<std::uint8_t>(rng.below(24)));
    };
    wire::ArpPacket packet;
    packet.operation = rng.chance(1, 2) ? ArpOperation::kReply : ArpOperation::kRequest;
    packet.sender_mac = rng.chance(1, 20) ? kMacA : kMacB;
    packet.sender_ip = someone();
    packet.target_mac = rng.chance(1, 2) ? office.our_mac : MacAddr::broadcast();
    packet.target_ip = rng.chance(1, 2) ? Ipv4Addr::from_octets(10, 0, 0, 2) : someone();
    office.hear(packet);
    for (unsigned host = 10; host < 20; ++host)
      REQUIRE(office.table.find(office.key(host))->mac == kMacA);
    REQUIRE(office.table.find(office.key(3))->mac == kMacA);
    REQUIRE(office.state_of(3) == NeighborState::kStatic);
  }
  for (const NeighborAlarmRecord& record : office.alarms) CHECK(record.count > 1000);
}

}  // namespace
