#pragma once

// The connection table: 4-tuple hash -> what lives there. Cache-line buckets of tags and indices,
// one writer, every operation a bounded number of steps, growth among them.

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>
#include <bit>
#include <cstdint>
#include <utility>

#include "base/assert.hpp"
#include "base/fetch_ahead.hpp"
#include "base/reserved_memory.hpp"
#include "tcp/demux/bucket_growth.hpp"

namespace sluice::tcp {

/// What a 4-tuple leads to. Two bits of kind, 26 of index; the four bits above are the table's.
class FlowRef {
 public:
  enum Kind : std::uint32_t { kConnection = 0, kHalfOpen = 1, kTimeWait4 = 2, kTimeWait6 = 3 };
  static constexpr unsigned kIndexBits = 26;
  static constexpr unsigned kBits = kIndexBits + 2;

  constexpr FlowRef() = default;
  constexpr FlowRef(Kind kind, std::uint32_t index)
      : value_(static_cast<std::uint32_t>(kind) << kIndexBits | index) {}
  static constexpr FlowRef from_value(std::uint32_t value) {
    FlowRef ref;
    ref.value_ = value;
    return ref;
  }
  constexpr bool is_none() const { return value_ == 0xffffffffu; }
  constexpr Kind kind() const { return static_cast<Kind>(value_ >> kIndexBits & 3); }
  constexpr std::uint32_t index() const { return value_ & ((1u << kIndexBits) - 1); }
  constexpr std::uint32_t value() const { return value_; }
  constexpr bool operator==(const FlowRef&) const = default;

 private:
  std::uint32_t value_ = 0xffffffffu;
};

/// Open addressing over buckets of one cache line:
///
///    | 10 tags (16 bit) | used mask | overflow | 10 x (distance 4 bit, reference 28) |  = 64
///    octets
///
/// An entry lies in the bucket of its hash or, where that is full, a little behind: `distance` is
/// how far, and `overflow` counts the entries that this bucket is too full for, its own and those
/// of buckets before it. A lookup goes on to the next bucket only while `overflow` is not zero, so
/// a miss costs one line as a rule. Who is nearest to its home makes room for who is further from
/// it, and goes on in turn; who leaves lets the ones behind move up. So no entry ends far from
/// home, however long a run of full buckets is, and a table of any age is as good as a new one. The
/// hash is keyed (SipHash): nobody outside can aim at a bucket. The caller compares keys, since the
/// table holds none.
///
/// It grows with its entries, by one bucket at a time (bucket_growth.hpp), so that an entry costs
/// kOctetsPerEntry at any size, nothing is ever copied at large, and the worst insertion is
/// bounded: kMostLines. It does not shrink: what was needed once will be needed again.
class FlowTable {
 public:
  /// Memory an entry costs when there were never more entries than now.
  static constexpr std::size_t kOctetsPerEntry = 10;
  /// Buckets behind its home in which an entry may lie: the worst lookup reads one line more.
  static constexpr std::uint32_t kReach = 15;
  /// Buckets that an entry's coming or going may push or pull others along.
  static constexpr std::uint32_t kLongestRun = 511;
  /// Entries that may move into a new bucket.
  static constexpr std::uint32_t kMostMoved = 40;
  /// Buckets that one insertion visits, at most: along its way; for a step of growth where its
  /// entries are looked for, whether they have room, and the way of each out and in.
  static constexpr std::uint32_t kMostLines = kLongestRun + 1 +
                                              (BucketGrowth::kSources + 1) * (kReach + 1) +
                                              kMostMoved * (2 * (kReach + 1) + kLongestRun);

  /// Room for `capacity` entries. Address space for all of them, memory for few.
  explicit FlowTable(std::uint32_t capacity)
      : capacity_(capacity),
        most_buckets_(std::max(BucketGrowth::kFirstBuckets, buckets_for(capacity))),
        memory_((std::size_t{most_buckets_} + kLongestRun) * sizeof(Bucket)),
        buckets_(reinterpret_cast<Bucket*>(memory_.data())) {
    use_memory();
  }

  /// Where a look-up begins. Good until the next insertion.
  struct Start {
    std::uint32_t bucket = 0;
    std::uint16_t tag = 0;
  };
  Start start_of(std::uint64_t hash) const { return {growth_.home(hash), tag_of(hash)}; }

  void prefetch(Start start) const { fetch_ahead(&buckets_[start.bucket]); }

  /// The entry that find() will look at first, so that what it leads to can be fetched meanwhile;
  /// none() if there is none in the bucket of the hash. Nearly always the one that find() gives.
  FlowRef first_hit(Start start) const {
    const Bucket& bucket = buckets_[start.bucket];
    const unsigned hits = bucket.hits(start.tag);
    return hits == 0 ? FlowRef{} : bucket.ref(static_cast<unsigned>(std::countr_zero(hits)));
  }

  /// The entry of the hash for which matches(FlowRef) is true; none() otherwise.
  template <class Matches>
  FlowRef find(Start start, Matches&& matches) const {
    const Bucket* bucket = &buckets_[start.bucket];
    for (const Bucket* const last = bucket + kReach;; ++bucket) {
      for (unsigned hits = bucket->hits(start.tag); hits != 0; hits &= hits - 1) {
        const FlowRef ref = bucket->ref(static_cast<unsigned>(std::countr_zero(hits)));
        if (matches(ref)) return ref;
      }
      if (bucket->overflow == 0 || bucket == last) return {};
    }
  }

  /// Adds an entry. Where the table grows, hashes(FlowRef) gives the hash under which an entry was
  /// inserted, and hashes.prefetch(FlowRef) is called some time before. False if the table is full,
  /// or so many hashes fall together that a bound above would be passed: 160 in one place, which
  /// random ones never do. Precondition: `ref` is not in it.
  template <class Hashes>
  [[nodiscard]] bool insert(std::uint64_t hash, FlowRef ref, const Hashes& hashes) {
    if (size_ == capacity_) return false;
    if (is_growth_due()) grow(hashes);
    if (!put_in(growth_.home(hash), tag_of(hash), ref)) return false;
    ++size_;
    ++changes_;
    return true;
  }

  /// Precondition: `ref` is in the table under `hash`.
  void erase(std::uint64_t hash, FlowRef ref) {
    take_out(growth_.home(hash), tag_of(hash), ref);
    --size_;
    ++changes_;
  }

  /// Puts `by` where `ref` was: the same 4-tuple in another phase of its life.
  void replace(std::uint64_t hash, FlowRef ref, FlowRef by) {
    const Place place = locate(growth_.home(hash), tag_of(hash), ref);
    Bucket& bucket = buckets_[place.bucket];
    bucket.refs[place.slot] = word_of(bucket.distance(place.slot), by);
    ++changes_;
  }

  /// Cache lines that a lookup of `hash` reads if nothing there matches: what a flow costs.
  std::uint32_t lines_of(std::uint64_t hash) const {
    const std::uint32_t home = growth_.home(hash);
    std::uint32_t at = home;
    while (buckets_[at].overflow != 0 && at != home + kReach) ++at;
    return at - home + 1;
  }

  std::uint32_t size() const { return size_; }
  /// Grows by every change: while it stays, what find() gave stands.
  std::uint64_t changes() const { return changes_; }
  std::uint32_t capacity() const { return capacity_; }
  std::uint32_t bucket_count() const { return growth_.bucket_count(); }
  /// Buckets that insertions and erasures have visited, all in all.
  std::uint64_t lines_visited() const { return lines_visited_; }
  /// Pages that the table's thread had to make present itself.
  std::uint64_t pages_faulted() const { return pages_faulted_; }
  /// What another thread populates.
  ReservedMemory& memory() { return memory_; }

 private:
  static constexpr unsigned kSlots = 10;
  static constexpr std::uint16_t kAllUsed = (1u << kSlots) - 1;
  static_assert(kReach < 1u << (32 - FlowRef::kBits));

  struct alignas(64) Bucket {  // all zero: empty
    std::uint16_t tags[kSlots];
    std::uint16_t used;
    std::uint16_t overflow;
    std::uint32_t refs[kSlots];

    FlowRef ref(unsigned slot) const {
      return FlowRef::from_value(refs[slot] & ((1u << FlowRef::kBits) - 1));
    }
    std::uint32_t distance(unsigned slot) const { return refs[slot] >> FlowRef::kBits; }

    void set(std::uint32_t distance, std::uint16_t tag, FlowRef ref) {
      const auto slot = static_cast<unsigned>(std::countr_one(used));
      used = static_cast<std::uint16_t>(used | 1u << slot);
      tags[slot] = tag;
      refs[slot] = word_of(distance, ref);
    }
    void clear(unsigned slot) { used = static_cast<std::uint16_t>(used & ~(1u << slot)); }

    /// Of a full bucket.
    unsigned nearest() const {
      unsigned found = 0;
      for (unsigned slot = 1; slot < kSlots; ++slot)
        if (distance(slot) < distance(found)) found = slot;
      return found;
    }
    /// kSlots if all are at home.
    unsigned furthest() const {
      unsigned found = kSlots;
      std::uint32_t most = 0;
      for (unsigned slots = used; slots != 0; slots &= slots - 1) {
        const auto slot = static_cast<unsigned>(std::countr_zero(slots));
        if (distance(slot) > most) most = distance(found = slot);
      }
      return found;
    }

    /// Bit a slot in use whose tag equals `tag`.
    unsigned hits(std::uint16_t tag) const {
#ifdef __SSE2__
      static_assert(kSlots == 10);
      const __m128i wanted = _mm_set1_epi16(static_cast<short>(tag));
      const auto equal = [&](const std::uint16_t* first) {
        return _mm_cmpeq_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(first)), wanted);
      };
      // Slots 0 to 7 in the lower octet, 2 to 9 in the upper: 8 and 9 are its last two.
      const auto both =
          static_cast<unsigned>(_mm_movemask_epi8(_mm_packs_epi16(equal(tags), equal(tags + 2))));
      const unsigned mask = (both & 0xffu) | both >> 14 << 8;
#else
      unsigned mask = 0;
      for (unsigned slot = 0; slot < kSlots; ++slot)
        mask |= static_cast<unsigned>(tags[slot] == tag) << slot;
#endif
      return mask & used;
    }
  };
  static_assert(sizeof(Bucket) == 64);

  struct Place {
    std::uint32_t bucket;
    unsigned slot;
  };
  struct Candidate {
    FlowRef ref;
    std::uint32_t home;
    std::uint16_t tag;
  };
  static constexpr std::uint32_t kMostCandidates = BucketGrowth::kSources * (kReach + 1) * kSlots;

  static std::uint16_t tag_of(std::uint64_t hash) {
    return static_cast<std::uint16_t>(hash >> 48);
  }
  static std::uint32_t word_of(std::uint32_t distance, FlowRef ref) {
    return distance << FlowRef::kBits | ref.value();
  }
  /// Buckets with which an entry has kOctetsPerEntry.
  static std::uint32_t buckets_for(std::uint32_t entries) {
    return static_cast<std::uint32_t>(
        (std::uint64_t{entries} * kOctetsPerEntry + sizeof(Bucket) - 1) / sizeof(Bucket));
  }

  void use_memory() {
    pages_faulted_ += memory_.use((std::size_t{growth_.bucket_count()} + kReach) * sizeof(Bucket));
  }

  /// The load at which the next bucket comes; a sixteenth above it while its memory is on the way.
  bool is_growth_due() const {
    const std::uint32_t count = growth_.bucket_count();
    const std::uint64_t octets = (std::uint64_t{size_} + 1) * kOctetsPerEntry;
    if (octets <= std::uint64_t{count} * sizeof(Bucket) || count == most_buckets_) return false;
    return memory_.is_ready((std::size_t{count} + 1 + kReach) * sizeof(Bucket)) ||
           octets > std::uint64_t{count} * (sizeof(Bucket) + sizeof(Bucket) / 16);
  }

  Place locate(std::uint32_t home, std::uint16_t tag, FlowRef ref) const {
    for (std::uint32_t at = home;; ++at) {
      const Bucket& bucket = buckets_[at];
      for (unsigned hits = bucket.hits(tag); hits != 0; hits &= hits - 1) {
        const auto slot = static_cast<unsigned>(std::countr_zero(hits));
        if (bucket.ref(slot) == ref) return {at, slot};
      }
      SLUICE_ASSERT(bucket.overflow != 0 && at != home + kReach);
    }
  }

  /// False, and nothing changed, if the run of full buckets is too long, or one that is pushed
  /// along would end out of reach.
  bool put_in(std::uint32_t home, std::uint16_t tag, FlowRef ref) {
    std::uint32_t end = home, distance = 0;
    for (; buckets_[end].used == kAllUsed; ++end, ++distance) {
      const Bucket& bucket = buckets_[end];
      distance = std::min(distance, bucket.distance(bucket.nearest()));
      if (distance == kReach || end - home == kLongestRun) return false;
    }
    lines_visited_ += end - home + 1;
    distance = 0;
    for (std::uint32_t at = home; at != end; ++at, ++distance) {
      Bucket& bucket = buckets_[at];
      ++bucket.overflow;
      const unsigned slot = bucket.nearest();
      const std::uint32_t nearest = bucket.distance(slot);
      if (nearest >= distance) continue;
      const FlowRef pushed = bucket.ref(slot);
      bucket.refs[slot] = word_of(distance, ref);
      std::swap(bucket.tags[slot], tag);
      ref = pushed;
      distance = nearest;
    }
    buckets_[end].set(distance, tag, ref);
    return true;
  }

  void take_out(std::uint32_t home, std::uint16_t tag, FlowRef ref) {
    const Place place = locate(home, tag, ref);
    for (std::uint32_t passed = home; passed != place.bucket; ++passed) --buckets_[passed].overflow;
    buckets_[place.bucket].clear(place.slot);
    std::uint32_t at = place.bucket;
    // Order is as it was but for the gap: who is furthest of the next bucket has passed by here.
    for (; buckets_[at].overflow != 0 && at - place.bucket != kLongestRun; ++at) {
      Bucket& next = buckets_[at + 1];
      const unsigned slot = next.furthest();
      if (slot == kSlots) break;  // a gap was left behind once, at the end of the longest run
      buckets_[at].set(next.distance(slot) - 1, next.tags[slot], next.ref(slot));
      --buckets_[at].overflow;
      next.clear(slot);
    }
    lines_visited_ += at - home + 1;
  }

  /// One bucket more. In two passes, so that the memory behind the references is fetched at once.
  /// Nothing changes if what moves were too much, for which some groups' entries have to be many
  /// times the mean: until some leave, the table fills up instead.
  template <class Hashes>
  void grow(const Hashes& hashes) {
    Candidate candidates[kMostCandidates];
    std::uint32_t found = 0, moving = 0;
    for (std::uint32_t which = 0; which < BucketGrowth::kSources; ++which)
      found = look_through(which, hashes, candidates, found);
    for (std::uint32_t i = 0; i < found; ++i)
      if (growth_.moves(hashes(candidates[i].ref))) candidates[moving++] = candidates[i];
    const std::uint32_t target = growth_.bucket_count();
    if (moving > kMostMoved || !has_room(target, moving)) return;
    growth_.grow();
    use_memory();
    for (std::uint32_t i = 0; i < moving; ++i) {
      const Candidate& candidate = candidates[i];
      take_out(candidate.home, candidate.tag, candidate.ref);
      const bool is_in = put_in(target, candidate.tag, candidate.ref);
      SLUICE_ASSERT(is_in);
    }
    // Some insertions from now these are read, and the new bucket is written.
    if (growth_.bucket_count() == most_buckets_) return;
    for (std::uint32_t which = 0; which < BucketGrowth::kSources; ++which)
      fetch_ahead(&buckets_[growth_.source(which)]);
    fetch_ahead(&buckets_[growth_.bucket_count()]);
  }

  /// Adds the entries of a source that may move, as far as their tags tell.
  template <class Hashes>
  std::uint32_t look_through(std::uint32_t which, const Hashes& hashes, Candidate* candidates,
                             std::uint32_t found) {
    const std::uint32_t home = growth_.source(which);
    for (std::uint32_t at = home;; ++at) {
      const Bucket& bucket = buckets_[at];
      ++lines_visited_;
      for (unsigned slots = bucket.used; slots != 0; slots &= slots - 1) {
        const auto slot = static_cast<unsigned>(std::countr_zero(slots));
        if (bucket.distance(slot) != at - home || !growth_.may_move(which, bucket.tags[slot] >> 11))
          continue;
        candidates[found++] = {bucket.ref(slot), home, bucket.tags[slot]};
        hashes.prefetch(bucket.ref(slot));
      }
      if (bucket.overflow == 0 || at == home + kReach) return found;
    }
  }

  /// Whether so many would lie within half the reach: the other half is left for who is pushed.
  bool has_room(std::uint32_t home, std::uint32_t entries) {
    std::uint32_t room = 0;
    for (std::uint32_t at = home; at <= home + kReach / 2; ++at) {
      ++lines_visited_;
      room += kSlots - static_cast<unsigned>(std::popcount(buckets_[at].used));
      if (room >= entries) return true;
    }
    return false;
  }

  std::uint32_t capacity_;
  std::uint32_t most_buckets_;
  std::uint32_t size_ = 0;
  BucketGrowth growth_;
  std::uint64_t changes_ = 0;
  std::uint64_t lines_visited_ = 0;
  std::uint64_t pages_faulted_ = 0;
  ReservedMemory memory_;
  Bucket* buckets_;
};

}  // namespace sluice::tcp
