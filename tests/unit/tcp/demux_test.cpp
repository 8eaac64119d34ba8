#include <catch2/catch.hpp>
#include <map>
#include <vector>

#include "base/rng.hpp"
#include "tcp/demux/flow_table.hpp"
#include "tcp/demux/listen_table.hpp"
#include "tcp/demux/time_wait_table.hpp"

namespace sluice::tcp {
namespace {

FlowRef find_ref(const FlowTable& table, std::uint64_t hash, FlowRef wanted) {
  return table.find(hash, [&](FlowRef ref) { return ref == wanted; });
}

TimeWait4 entry_with(std::uint32_t snd_nxt) {
  TimeWait4 entry{};
  entry.snd_nxt = SeqNum(snd_nxt);
  return entry;
}

}  // namespace

TEST_CASE("a flow table finds what a map finds, at full load and with hashes that collide",
          "[tcp][demux]") {
  Rng rng(1);
  FlowTable table(1000);
  std::map<std::uint32_t, std::pair<std::uint64_t, FlowRef>> model;  // by index
  std::vector<std::uint32_t> free;
  for (std::uint32_t i = 0; i < table.capacity(); ++i) free.push_back(i);
  // Few home buckets and few tags: chains of overflow are the rule.
  const auto any_hash = [&] { return rng.below(40) | rng.below(3) << 48; };
  const auto any_entry = [&] {
    auto at = model.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(rng.below(model.size())));
    return at;
  };
  for (int step = 0; step < 60'000; ++step) {
    const bool grows = (step / 10'000) % 2 == 0;
    if (!free.empty() && (model.empty() || rng.chance(grows ? 7 : 3, 10))) {
      const std::uint64_t hash = any_hash();
      const FlowRef ref(static_cast<FlowRef::Kind>(rng.below(4)), free.back());
      REQUIRE(table.insert(hash, ref));
      model[free.back()] = {hash, ref};
      free.pop_back();
    } else if (rng.chance(1, 4)) {
      const auto at = any_entry();
      const FlowRef by(static_cast<FlowRef::Kind>(rng.below(4)), at->first);
      table.replace(at->second.first, at->second.second, by);
      at->second.second = by;
    } else {
      const auto at = any_entry();
      table.erase(at->second.first, at->second.second);
      REQUIRE(find_ref(table, at->second.first, at->second.second).is_none());
      free.push_back(at->first);
      model.erase(at);
    }
    REQUIRE(table.size() == model.size());
    if (step % 1000 == 0)
      for (const auto& [index, entry] : model)
        REQUIRE(find_ref(table, entry.first, entry.second) == entry.second);
  }
}

TEST_CASE("a full flow table refuses one more and keeps all it has", "[tcp][demux]") {
  FlowTable table(20);
  const std::uint32_t capacity = table.capacity();
  for (std::uint32_t i = 0; i < capacity; ++i)
    REQUIRE(table.insert(5, FlowRef(FlowRef::kConnection, i)));
  CHECK(!table.insert(5, FlowRef(FlowRef::kConnection, capacity)));
  for (std::uint32_t i = 0; i < capacity; ++i)
    CHECK(!find_ref(table, 5, FlowRef(FlowRef::kConnection, i)).is_none());
  table.erase(5, FlowRef(FlowRef::kConnection, 0));
  CHECK(table.insert(5, FlowRef(FlowRef::kTimeWait4, 0)));
}

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
