#include "link/neighbor_table.hpp"

#include <catch2/catch.hpp>

#include "tests/support/require_pools_full.hpp"
#include "tests/unit/link/neighbor_fixture.hpp"

namespace {

using namespace sluice;
using namespace sluice::link;
using Learnt = NeighborTable::Learnt;

TEST_CASE("the first packet to a neighbour waits for the answer to one broadcast request",
          "[link][neighbor][rfc826]") {
  NeighborFixture fixture;
  CHECK(fixture.resolve(1, 11).resolution == Resolution::kQueued);
  CHECK(fixture.resolve(1, 12).resolution == Resolution::kQueued);
  REQUIRE(fixture.sink.requests.size() == 1);
  CHECK(fixture.sink.requests[0].to == MacAddr::broadcast());
  CHECK(fixture.sink.requests[0].address == fixture.key(1).address);
  CHECK(fixture.state_of(1) == NeighborState::kIncomplete);

  CHECK(fixture.table.on_answer(fixture.key(1), kMacA, fixture.sink, fixture.now) == Learnt::kYes);
  CHECK(fixture.state_of(1) == NeighborState::kReachable);
  using Sent = std::vector<std::pair<MacAddr, std::uint32_t>>;
  CHECK(fixture.sink.sent == Sent{{kMacA, 11}, {kMacA, 12}});
  const auto answer = fixture.resolve(1);
  CHECK(answer.resolution == Resolution::kResolved);
  CHECK(answer.mac == kMacA);
  CHECK(fixture.sink.requests.size() == 1);
  support::require_pools_full(fixture.pools);
}

TEST_CASE("an unanswered request is repeated each second, then its packets are handed back",
          "[link][neighbor][rfc1122]") {
  NeighborFixture fixture;
  fixture.resolve(1, 11);
  fixture.pass(Duration::from_ms(999));
  CHECK(fixture.sink.requests.size() == 1);
  fixture.pass(Duration::from_ms(2));
  CHECK(fixture.sink.requests.size() == 2);
  fixture.pass(Duration::from_s(1));
  CHECK(fixture.sink.requests.size() == 3);
  CHECK(fixture.sink.unreachable.empty());
  fixture.pass(Duration::from_s(1));
  CHECK(fixture.sink.requests.size() == 3);
  CHECK(fixture.sink.unreachable == std::vector<std::uint32_t>{11});
  CHECK(fixture.state_of(1) == NeighborState::kFailed);

  // Refused at once for a while, then asked for afresh.
  CHECK(fixture.resolve(1).resolution == Resolution::kUnreachable);
  fixture.pass(Duration::from_ms(2003));
  CHECK(fixture.sink.requests.size() == 4);
  CHECK(fixture.state_of(1) == NeighborState::kFree);
  CHECK(fixture.table.next_deadline().is_never());
  CHECK(fixture.resolve(1).resolution == Resolution::kQueued);
  CHECK(fixture.sink.requests.size() == 5);
}

TEST_CASE("a full queue of one neighbour gives up its oldest packet", "[link][neighbor][rfc1122]") {
  NeighborTable::Options options;
  options.queue_packets = 2;
  NeighborFixture fixture(options);
  fixture.resolve(1, 11);
  CHECK(fixture.resolve(1, 12).dropped == 0);
  CHECK(fixture.resolve(1, 13).dropped == 1);
  CHECK(fixture.table.waiting() == 2);
  CHECK(fixture.table.find(fixture.key(1))->queued == 2);
  fixture.table.on_answer(fixture.key(1), kMacA, fixture.sink, fixture.now);
  REQUIRE(fixture.sink.sent.size() == 2);
  CHECK(fixture.sink.sent[0].second == 12);
  CHECK(fixture.sink.sent[1].second == 13);
  CHECK(fixture.table.waiting() == 0);
  support::require_pools_full(fixture.pools);
}

TEST_CASE("packets waiting for all neighbours together are bounded", "[link][neighbor]") {
  NeighborTable::Options options;
  options.pending_total = 3;
  NeighborFixture fixture(options);
  fixture.resolve(1, 11);
  fixture.resolve(1, 12);
  fixture.resolve(2, 21);
  const auto refused = fixture.resolve(3, 31);
  CHECK(refused.resolution == Resolution::kTableFull);
  CHECK(refused.slot != NeighborTable::kNone);
  // Who has a packet waiting may exchange it for a later one.
  const auto exchanged = fixture.resolve(2, 22);
  CHECK(exchanged.resolution == Resolution::kQueued);
  CHECK(exchanged.dropped == 1);
  CHECK(fixture.table.waiting() == 3);
  // The place is free again once a neighbour has answered.
  fixture.table.on_answer(fixture.key(1), kMacA, fixture.sink, fixture.now);
  CHECK(fixture.resolve(3, 32).resolution == Resolution::kQueued);
}

TEST_CASE("an answer that nobody asked for changes nothing", "[link][neighbor]") {
  NeighborFixture fixture;
  const auto answer = [&](unsigned host, const MacAddr& mac) {
    return fixture.table.on_answer(fixture.key(host), mac, fixture.sink, fixture.now);
  };
  CHECK(answer(1, kMacA) == Learnt::kUnasked);
  CHECK(fixture.table.size() == 0);

  fixture.resolve(1);
  CHECK(answer(1, kMacA) == Learnt::kYes);
  const std::uint32_t generation = fixture.table.generation();
  CHECK(answer(1, kMacA) == Learnt::kUnasked);
  CHECK(answer(1, kMacB) == Learnt::kOtherMac);  // A second answer, from somebody else.
  CHECK(fixture.table.find(fixture.key(1))->mac == kMacA);
  fixture.pass(Duration::from_s(61));
  CHECK(fixture.state_of(1) == NeighborState::kStale);
  CHECK(answer(1, kMacB) == Learnt::kOtherMac);
  CHECK(fixture.state_of(1) == NeighborState::kStale);
  CHECK(fixture.table.generation() == generation);
  // After the failure an answer is late: nothing is outstanding.
  fixture.resolve(2);
  fixture.pass(Duration::from_ms(3500));
  CHECK(fixture.state_of(2) == NeighborState::kFailed);
  CHECK(answer(2, kMacB) == Learnt::kUnasked);
}

TEST_CASE("a request to us makes or refreshes an entry and frees what waits",
          "[link][neighbor][rfc826]") {
  NeighborFixture fixture;
  CHECK(fixture.table.on_request(fixture.key(1), kMacA, fixture.sink, fixture.now) == Learnt::kYes);
  CHECK(fixture.resolve(1).mac == kMacA);
  fixture.pass(Duration::from_s(61));
  CHECK(fixture.state_of(1) == NeighborState::kStale);
  CHECK(fixture.table.on_request(fixture.key(1), kMacA, fixture.sink, fixture.now) == Learnt::kYes);
  CHECK(fixture.state_of(1) == NeighborState::kReachable);
  fixture.resolve(2, 21);
  fixture.table.on_request(fixture.key(2), kMacA, fixture.sink, fixture.now);
  REQUIRE(fixture.sink.sent.size() == 1);
  CHECK(fixture.sink.sent[0].first == kMacA);
}

TEST_CASE("an entry ages: reachable, stale, probed by unicast when used, asked by broadcast, gone",
          "[link][neighbor][rfc1122]") {
  NeighborFixture fixture;
  fixture.resolve(1);
  fixture.table.on_answer(fixture.key(1), kMacA, fixture.sink, fixture.now);
  const std::uint16_t slot = fixture.resolve(1).slot;
  MacAddr mac;
  fixture.pass(Duration::from_s(59));
  CHECK(fixture.table.use(slot, mac, fixture.now));
  CHECK(mac == kMacA);
  fixture.pass(Duration::from_s(2));
  CHECK(fixture.state_of(1) == NeighborState::kStale);
  CHECK_FALSE(fixture.table.use(slot, mac, fixture.now));

  SECTION("used: packets go on while it is polled, and it answers") {
    const auto answer = fixture.resolve(1);
    CHECK(answer.resolution == Resolution::kResolved);
    CHECK(answer.mac == kMacA);
    CHECK(fixture.state_of(1) == NeighborState::kProbe);
    REQUIRE(fixture.sink.requests.size() == 2);
    CHECK(fixture.sink.requests[1].to == kMacA);
    CHECK(fixture.table.use(slot, mac, fixture.now));
    CHECK(fixture.table.on_answer(fixture.key(1), kMacA, fixture.sink, fixture.now) ==
          Learnt::kYes);
    CHECK(fixture.state_of(1) == NeighborState::kReachable);
  }
  SECTION("used: it has moved to another MAC, which answers the broadcast") {
    fixture.resolve(1);
    CHECK(fixture.table.on_answer(fixture.key(1), kMacB, fixture.sink, fixture.now) ==
          Learnt::kOtherMac);
    fixture.pass(Duration::from_ms(3002));
    REQUIRE(fixture.sink.requests.size() == 5);
    CHECK(fixture.sink.requests[3].to == kMacA);
    CHECK(fixture.sink.requests[4].to == MacAddr::broadcast());
    // Our requests, or its answers, may be what is lost: what it is sent goes on.
    CHECK(fixture.table.use(slot, mac, fixture.now));
    CHECK(fixture.resolve(1).mac == kMacA);
    CHECK(fixture.table.on_answer(fixture.key(1), kMacB, fixture.sink, fixture.now) ==
          Learnt::kYes);
    CHECK(fixture.resolve(1).mac == kMacB);
  }
  SECTION("used: it is gone, and answers neither") {
    fixture.resolve(1);
    fixture.pass(Duration::from_ms(6005));
    CHECK(fixture.sink.requests.size() == 7);
    CHECK(fixture.state_of(1) == NeighborState::kFailed);
    CHECK(fixture.table.find(fixture.key(1))->mac == MacAddr{});
    CHECK_FALSE(fixture.table.use(slot, mac, fixture.now));
    CHECK(fixture.resolve(1).resolution == Resolution::kUnreachable);
  }
  SECTION("unused: it is forgotten, and slots held elsewhere are void") {
    const std::uint32_t before = fixture.table.generation_of_slots();
    fixture.pass(Duration::from_s(600));
    CHECK(fixture.table.size() == 0);
    CHECK(fixture.sink.requests.size() == 1);
    CHECK(fixture.table.generation_of_slots() != before);
  }
}

TEST_CASE("a neighbour that failed and is still wanted is asked for on and on, and refused at once",
          "[link][neighbor]") {
  NeighborFixture fixture;
  fixture.resolve(1, 11);
  fixture.pass(Duration::from_ms(3004));
  REQUIRE(fixture.state_of(1) == NeighborState::kFailed);
  CHECK(fixture.sink.unreachable == std::vector<std::uint32_t>{11});
  const std::size_t asked = fixture.sink.requests.size();
  for (int i = 0; i < 100; ++i) {
    CHECK(fixture.resolve(1).resolution == Resolution::kUnreachable);
    fixture.pass(Duration::from_ms(100));
  }
  CHECK(fixture.sink.requests.size() >= asked + 9);
  CHECK(fixture.sink.requests.size() <= asked + 10);
  CHECK(fixture.sink.requests.back().to == MacAddr::broadcast());
  SECTION("it comes back") {
    CHECK(fixture.table.on_answer(fixture.key(1), kMacB, fixture.sink, fixture.now) ==
          Learnt::kYes);
    CHECK(fixture.resolve(1).mac == kMacB);
  }
  SECTION("nobody wants it any more: it is forgotten") {
    fixture.pass(Duration::from_ms(2100));
    CHECK(fixture.table.size() == 0);
  }
}

TEST_CASE("a full table gives up the entry that is unused for longest", "[link][neighbor]") {
  NeighborFixture<3> fixture;
  for (unsigned host = 1; host <= 3; ++host) {
    fixture.resolve(host);
    fixture.table.on_answer(fixture.key(host), kMacA, fixture.sink, fixture.now);
    fixture.pass(Duration::from_s(2));
  }
  fixture.resolve(1);
  CHECK(fixture.resolve(4).resolution == Resolution::kQueued);
  CHECK(fixture.table.size() == 3);
  CHECK(fixture.state_of(1) == NeighborState::kReachable);
  CHECK(fixture.state_of(2) == NeighborState::kFree);
  CHECK(fixture.state_of(3) == NeighborState::kReachable);
}

TEST_CASE("strangers' requests cannot push out entries in use", "[link][neighbor]") {
  NeighborFixture<2> fixture;
  for (unsigned host = 1; host <= 2; ++host) {
    fixture.resolve(host);
    fixture.table.on_answer(fixture.key(host), kMacA, fixture.sink, fixture.now);
  }
  CHECK(fixture.table.on_request(fixture.key(3), kMacB, fixture.sink, fixture.now) ==
        Learnt::kNoRoom);
  fixture.pass(Duration::from_s(30));
  fixture.resolve(2);
  fixture.pass(Duration::from_s(31));
  CHECK(fixture.table.on_request(fixture.key(3), kMacB, fixture.sink, fixture.now) == Learnt::kYes);
  CHECK(fixture.state_of(1) == NeighborState::kFree);
  CHECK(fixture.state_of(2) == NeighborState::kStale);
}

TEST_CASE("entries with packets waiting, and static ones, keep their places", "[link][neighbor]") {
  NeighborFixture<2> fixture;
  REQUIRE(fixture.table.add_static(fixture.key(1), kMacA, fixture.sink, fixture.now));
  fixture.resolve(2, 21);
  fixture.pass(Duration::from_ms(100));
  const auto refused = fixture.resolve(3, 31);
  CHECK(refused.resolution == Resolution::kTableFull);
  CHECK(refused.slot == NeighborTable::kNone);
  CHECK_FALSE(fixture.table.add_static(fixture.key(3), kMacB, fixture.sink, fixture.now));
  fixture.pass(Duration::from_s(4));
  CHECK(fixture.sink.unreachable == std::vector<std::uint32_t>{21});
  CHECK(fixture.resolve(3, 32).resolution == Resolution::kQueued);
  CHECK(fixture.state_of(1) == NeighborState::kStatic);
}

TEST_CASE("a static entry answers at once and nothing on the network changes it",
          "[link][neighbor]") {
  NeighborFixture fixture;
  fixture.resolve(1, 11);
  REQUIRE(fixture.table.add_static(fixture.key(1), kMacA, fixture.sink, fixture.now));
  CHECK(fixture.sink.sent.size() == 1);  // What waited has gone.
  CHECK(fixture.table.on_answer(fixture.key(1), kMacB, fixture.sink, fixture.now) ==
        Learnt::kPinned);
  CHECK(fixture.table.on_request(fixture.key(1), kMacB, fixture.sink, fixture.now) ==
        Learnt::kPinned);
  CHECK(fixture.table.on_request(fixture.key(1), kMacA, fixture.sink, fixture.now) == Learnt::kYes);
  fixture.pass(Duration::from_s(100'000));
  CHECK(fixture.state_of(1) == NeighborState::kStatic);
  const auto answer = fixture.resolve(1);
  CHECK(answer.resolution == Resolution::kResolved);
  CHECK(answer.mac == kMacA);
  CHECK(fixture.table.next_deadline().is_never());
  CHECK(fixture.table.remove(fixture.key(1), fixture.sink, fixture.now));
  CHECK_FALSE(fixture.table.remove(fixture.key(1), fixture.sink, fixture.now));
  CHECK(fixture.table.size() == 0);
}

TEST_CASE("removing an entry hands its packets back", "[link][neighbor]") {
  NeighborFixture fixture;
  fixture.resolve(1, 11);
  CHECK(fixture.table.remove(fixture.key(1), fixture.sink, fixture.now));
  CHECK(fixture.sink.unreachable == std::vector<std::uint32_t>{11});
  support::require_pools_full(fixture.pools);
}

TEST_CASE("interfaces and families have neighbours of their own", "[link][neighbor]") {
  NeighborFixture<8> fixture;
  std::array<std::uint8_t, 16> v6{0xfe, 0x80};
  v6[15] = 1;
  const NeighborKey keys[] = {
      {0, fixture.key(1).address}, {1, fixture.key(1).address}, {0, IpAddr::from_v6_octets(v6)}};
  MacAddr mac = kMacA;
  for (const NeighborKey& key : keys) {
    WaitingPacket waiting = fixture.packet(1);
    CHECK(fixture.table.resolve(key, waiting, fixture.sink, fixture.now).resolution ==
          Resolution::kQueued);
    ++mac.octets[5];
    CHECK(fixture.table.on_answer(key, mac, fixture.sink, fixture.now) == Learnt::kYes);
    CHECK(fixture.table.find(key)->mac == mac);
  }
  CHECK(fixture.table.size() == 3);
}

TEST_CASE("a read copy follows the log of changes, or learns that it must start over",
          "[link][neighbor]") {
  NeighborFixture fixture;
  NeighborChange change;
  std::uint32_t seen = fixture.table.generation();
  CHECK(fixture.table.change_after(seen, change) == NeighborTable::LogRead::kUpToDate);
  fixture.resolve(1);  // No MAC yet: nothing to copy.
  CHECK(fixture.table.change_after(seen, change) == NeighborTable::LogRead::kUpToDate);
  fixture.table.on_answer(fixture.key(1), kMacA, fixture.sink, fixture.now);
  REQUIRE(fixture.table.change_after(seen, change) == NeighborTable::LogRead::kChange);
  CHECK(change.key == fixture.key(1));
  CHECK(change.mac == kMacA);
  seen = change.generation;
  fixture.table.remove(fixture.key(1), fixture.sink, fixture.now);
  REQUIRE(fixture.table.change_after(seen, change) == NeighborTable::LogRead::kChange);
  CHECK(change.mac.is_zero());
  seen = change.generation;
  CHECK(fixture.table.change_after(seen, change) == NeighborTable::LogRead::kUpToDate);
  for (std::uint32_t i = 0; i <= NeighborTable::kChangeLog; ++i)
    fixture.table.add_static(fixture.key(1), i % 2 == 0 ? kMacA : kMacB, fixture.sink, fixture.now);
  CHECK(fixture.table.change_after(seen, change) == NeighborTable::LogRead::kLost);
}

TEST_CASE("records in the region are consistent between operations", "[link][neighbor]") {
  NeighborFixture fixture;
  fixture.resolve(1, 11);
  fixture.table.on_answer(fixture.key(1), kMacA, fixture.sink, fixture.now);
  for (const NeighborRecord& record : fixture.records)
    CHECK_FALSE(record.version.is_being_written());
  NeighborRecord copy;
  CHECK(read_record(*fixture.table.find(fixture.key(1)), copy) == ReadOutcome::kConsistent);
  CHECK(copy.mac == kMacA);
  CHECK(copy.confirmed_at == fixture.now.ns());
}

TEST_CASE("a table that goes away frees the packets that waited", "[link][neighbor]") {
  support::TestPools pools;
  {
    std::array<NeighborRecord, 2> records{};
    RecordingSink sink;
    NeighborTable table(records, NeighborTable::Options{}, HashKey{}, Instant::from_ns(1));
    const std::byte octets[1] = {};
    WaitingPacket waiting{support::make_packet(pools.receive(), octets), 0};
    table.resolve({0, Ipv4Addr{1}}, waiting, sink, Instant::from_ns(1));
    CHECK(table.waiting() == 1);
  }
  support::require_pools_full(pools);
}

}  // namespace
