#include <catch2/catch.hpp>
#include <vector>

#include "tcp/demux/listen_table.hpp"
#include "tcp/demux/time_wait_table.hpp"

namespace sluice::tcp {
namespace {

TimeWait4 entry_with(std::uint32_t snd_nxt) {
  TimeWait4 entry{};
  entry.snd_nxt = SeqNum(snd_nxt);
  return entry;
}

}  // namespace

TEST_CASE("the TIME-WAIT ring gives its places back in order of entry", "[tcp][demux]") {
  std::vector<TimeWait4> records(4);
  TimeWaitRing<TimeWait4> ring(records);
  std::uint32_t places[4];
  for (std::uint32_t i = 0; i < 4; ++i) places[i] = ring.push(entry_with(i));
  CHECK(ring.is_full());
  CHECK(ring.in_use() == 4);
  ring.give_up(places[1]);
  CHECK(ring.is_full());  // a place in the middle waits for its turn
  CHECK(ring.in_use() == 3);
  CHECK(ring.oldest() == places[0]);
  ring.give_up(places[0]);
  ring.pop_oldest();
  ring.pop_oldest();
  CHECK(!ring.is_full());
  CHECK(ring[ring.oldest()].snd_nxt == SeqNum(2));
  const std::uint32_t again = ring.push(entry_with(9));
  CHECK(again == places[0]);
  CHECK((ring[again].version.value & 1u) == 0);  // no reader sees it half written
  CHECK(ring.in_use() == 3);
}

TEST_CASE("a TIME-WAIT entry is at most 40 octets, with IPv6 64", "[tcp][demux]") {
  CHECK(sizeof(TimeWait4) <= 40);
  CHECK(sizeof(TimeWait6) <= 64);
  CHECK(sizeof(HalfOpen) <= 96);
  CHECK(sizeof(Tcb) <= 192);
}

TEST_CASE("a listener of an address wins over one of any address", "[tcp][demux]") {
  std::vector<ListenerRecord> records(3);
  ListenTable table(records);
  const IpAddr one = Ipv4Addr::from_octets(10, 0, 0, 1), two = Ipv4Addr::from_octets(10, 0, 0, 2);
  CHECK(table.find(one, Port{80}) == ListenerHandle::kNone);
  const ListenerHandle any = table.open({}, Port{80});
  const ListenerHandle exact = table.open(one, Port{80});
  REQUIRE(!any.is_none());
  REQUIRE(!exact.is_none());
  CHECK(table.open(one, Port{80}).is_none());  // taken
  CHECK(table.find(one, Port{80}) == exact.index);
  CHECK(table.find(two, Port{80}) == any.index);
  CHECK(table.find(one, Port{81}) == ListenerHandle::kNone);
  table.close(exact.index);
  CHECK(table.get(exact) == nullptr);
  CHECK(table.find(one, Port{80}) == any.index);
  const ListenerHandle other = table.open(two, Port{81});
  CHECK(other.index == exact.index);  // the slot again, under another generation
  CHECK(table.get(exact) == nullptr);
  CHECK(table.get(other) != nullptr);
  REQUIRE(!table.open({}, Port{82}).is_none());
  CHECK(table.open({}, Port{83}).is_none());  // full
}

}  // namespace sluice::tcp
