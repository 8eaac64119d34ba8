// The flow table as the engine uses it: a burst of 32 segments is hashed, its buckets prefetched,
// then resolved.

#include "tcp/demux/flow_table.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "base/fetch_ahead.hpp"
#include "base/rng.hpp"
#include "bench/micro/cpu_clock.hpp"
#include "tcp/demux/flow_hash.hpp"

namespace sluice::bench {
namespace {

using tcp::FlowKey;
using tcp::FlowRef;
using tcp::FlowTable;

constexpr std::uint32_t kBurst = 32;
constexpr std::uint32_t kChanged = 1024;  ///< Between two looks at the clock.

/// The tuple of the client numbered `index`: as many addresses, each with 50,000 ports, as it
/// takes.
FlowKey key_of(std::uint32_t index) {
  return {Ipv4Addr::from_octets(10, 0, 0, 2), Ipv4Addr{0x0b000001u + index / 50'000}, Port{80},
          Port{static_cast<std::uint16_t>(10'000 + index % 50'000)}};
}

/// A table with entries 0 to `count` - 1, and the line of each one's TCB that holds its key.
class Crowd {
 public:
  explicit Crowd(std::uint32_t count)
      : table_(count), memory_(sizeof(Record) * count), count_(count) {
    for (std::uint32_t index = 0; index < count; ++index) {
      records()[index].key = key_of(index);
      if (!table_.insert(hash_of(index), ref_of(index), *this)) std::abort();
    }
  }

  std::uint32_t size() const { return count_; }
  FlowTable& table() { return table_; }
  std::uint64_t hash(const FlowKey& key) const { return tcp::flow_id(key_, key); }
  std::uint64_t hash_of(std::uint32_t index) const { return hash(records()[index].key); }
  const FlowKey& key_at(FlowRef ref) const { return records()[ref.index()].key; }
  static FlowRef ref_of(std::uint32_t index) { return FlowRef(FlowRef::kConnection, index); }

  // What the growing table asks.
  std::uint64_t operator()(FlowRef ref) const { return hash_of(ref.index()); }
  void prefetch(FlowRef ref) const { fetch_ahead(&records()[ref.index()]); }

 private:
  struct alignas(64) Record {
    FlowKey key;
  };
  Record* records() const { return reinterpret_cast<Record*>(memory_.data()); }

  HashKey key_ = [] {
    HashKey key;
    key.octets.fill(0x5a);
    return key;
  }();
  FlowTable table_;
  ReservedMemory memory_;
  std::uint32_t count_;
};

/// One at a time: thirty million entries with their lines are 2.2 GB.
Crowd& crowd_of(std::int64_t count) {
  static std::unique_ptr<Crowd> crowd;
  if (!crowd || crowd->size() != count) {
    crowd.reset();
    crowd = std::make_unique<Crowd>(static_cast<std::uint32_t>(count));
  }
  return *crowd;
}

enum class Compare { kNothing, kKey };

/// Of clients chosen at random, from `first` on. Those from the crowd's size on are unknown to it.
/// Without comparing, the first tag that fits is taken: what the table itself costs. In stages, as
/// the engine does it.
void look_up(benchmark::State& state, Compare compare, bool is_known) {
  Crowd& crowd = crowd_of(state.range(0));
  const FlowTable& table = crowd.table();
  const std::uint32_t first = is_known ? 0 : crowd.size();
  Rng rng(1);
  FlowKey keys[kBurst];
  FlowTable::Start starts[kBurst];
  std::uint64_t found = 0;
  for (auto step : state) {
    static_cast<void>(step);
    for (FlowKey& key : keys)
      key = key_of(first + static_cast<std::uint32_t>(rng.below(crowd.size())));
    for (std::uint32_t i = 0; i < kBurst; ++i) {
      starts[i] = table.start_of(crowd.hash(keys[i]));
      table.prefetch(starts[i]);
    }
    if (compare == Compare::kKey)
      for (const FlowTable::Start& start : starts)
        if (const FlowRef ref = table.first_hit(start); !ref.is_none()) crowd.prefetch(ref);
    for (std::uint32_t i = 0; i < kBurst; ++i) {
      const FlowRef ref = table.find(starts[i], [&](FlowRef candidate) {
        return compare == Compare::kNothing || crowd.key_at(candidate) == keys[i];
      });
      if (!ref.is_none()) ++found;
    }
  }
  benchmark::DoNotOptimize(found);
  state.SetItemsProcessed(state.iterations() * kBurst);
}

void lookup_hit(benchmark::State& state) {
  look_up(state, Compare::kNothing, true);
}
void lookup_miss(benchmark::State& state) {
  look_up(state, Compare::kKey, false);
}
void lookup_hit_with_key(benchmark::State& state) {
  look_up(state, Compare::kKey, true);
}

/// What change(hash, ref) costs for each of `chosen`, in seconds: in bursts, buckets prefetched.
template <class Change>
double timed(const Crowd& crowd, FlowTable& table, const std::vector<std::uint32_t>& chosen,
             Change&& change) {
  std::uint64_t hashes[kBurst];
  const double begin = cpu_seconds();
  for (std::size_t at = 0; at < chosen.size(); at += kBurst) {
    for (std::size_t i = 0; i < kBurst; ++i) {
      hashes[i] = crowd.hash(key_of(chosen[at + i]));
      table.prefetch(table.start_of(hashes[i]));
    }
    for (std::size_t i = 0; i < kBurst; ++i) change(hashes[i], Crowd::ref_of(chosen[at + i]));
  }
  return cpu_seconds() - begin;
}

/// Random entries leave and come back; one of the two is timed.
void change(benchmark::State& state, bool is_insert) {
  Crowd& crowd = crowd_of(state.range(0));
  FlowTable& table = crowd.table();
  Rng rng(2);
  // A row of neighbours by number is random by hash, and none of it comes twice.
  std::vector<std::uint32_t> chosen(std::min(kChanged, crowd.size() / kBurst * kBurst));
  for (auto step : state) {
    static_cast<void>(step);
    auto index = static_cast<std::uint32_t>(rng.below(crowd.size()));
    for (std::uint32_t& one : chosen) one = index++ % crowd.size();
    const double erased = timed(crowd, table, chosen,
                                [&](std::uint64_t hash, FlowRef ref) { table.erase(hash, ref); });
    const double inserted = timed(crowd, table, chosen, [&](std::uint64_t hash, FlowRef ref) {
      if (!table.insert(hash, ref, crowd)) std::abort();
    });
    state.SetIterationTime(is_insert ? inserted : erased);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(chosen.size()));
}

void insert(benchmark::State& state) {
  change(state, true);
}
void erase(benchmark::State& state) {
  change(state, false);
}

/// Growth from nothing, with all its steps; memory is faulted in on the way.
void insert_growing(benchmark::State& state) {
  const auto count = static_cast<std::uint32_t>(state.range(0));
  Crowd& crowd = crowd_of(count);
  std::vector<std::uint32_t> all(count / kBurst * kBurst);
  for (std::uint32_t i = 0; i < all.size(); ++i) all[i] = i;
  for (auto step : state) {
    static_cast<void>(step);
    FlowTable table(count);
    state.SetIterationTime(timed(crowd, table, all, [&](std::uint64_t hash, FlowRef ref) {
      if (!table.insert(hash, ref, crowd)) std::abort();
    }));
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(all.size()));
}

// By size, so that each crowd is made once.
const int kRegistered = [] {
  for (const std::int64_t count : {1'000, 100'000, 1'000'000, 10'000'000, 30'000'000}) {
    benchmark::RegisterBenchmark("table.lookup_hit", lookup_hit)->Arg(count);
    benchmark::RegisterBenchmark("table.lookup_miss", lookup_miss)->Arg(count);
    benchmark::RegisterBenchmark("table.lookup_hit_with_key", lookup_hit_with_key)->Arg(count);
    benchmark::RegisterBenchmark("table.insert", insert)->Arg(count)->UseManualTime();
    benchmark::RegisterBenchmark("table.erase", erase)->Arg(count)->UseManualTime();
    auto* const growing =
        benchmark::RegisterBenchmark("table.insert_growing", insert_growing)->Arg(count);
    growing->UseManualTime();
    if (count >= 1'000'000) growing->Iterations(1);
    if (count > 10'000'000) growing->Repetitions(1);
  }
  return 0;
}();

}  // namespace
}  // namespace sluice::bench
