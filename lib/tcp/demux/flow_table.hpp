#pragma once

// The connection table: 4-tuple hash -> what lives there. Cache-line buckets of tags and indices,
// one writer, every operation a bounded number of steps.

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>
#include <bit>
#include <cstdint>
#include <memory>

#include "base/assert.hpp"

namespace sluice::tcp {

/// What a 4-tuple leads to. Two bits of kind, thirty of index.
class FlowRef {
 public:
  enum Kind : std::uint32_t { kConnection = 0, kHalfOpen = 1, kTimeWait4 = 2, kTimeWait6 = 3 };

  constexpr FlowRef() = default;
  constexpr FlowRef(Kind kind, std::uint32_t index)
      : value_(static_cast<std::uint32_t>(kind) << 30 | index) {}
  static constexpr FlowRef from_value(std::uint32_t value) {
    FlowRef ref;
    ref.value_ = value;
    return ref;
  }
  constexpr bool is_none() const { return value_ == 0xffffffffu; }
  constexpr Kind kind() const { return static_cast<Kind>(value_ >> 30); }
  constexpr std::uint32_t index() const { return value_ & 0x3fffffffu; }
  constexpr std::uint32_t value() const { return value_; }
  constexpr bool operator==(const FlowRef&) const = default;

 private:
  std::uint32_t value_ = 0xffffffffu;
};

/// Open addressing over buckets of one cache line:
///
///    | 10 tags (16 bit) | used mask | overflow | 10 references (32 bit) |   = 64 octets
///
/// `overflow` counts the entries that belong here and lie in a later bucket: a lookup goes on to
/// the next bucket only while it is not zero, so a miss in a table at its design load (70 %) costs
/// one line as a rule. The hash is keyed (SipHash): nobody outside can aim at a bucket. The caller
/// compares keys, since the table holds none.
class FlowTable {
 public:
  /// Memory an entry costs at the design load, rounded up.
  static constexpr std::size_t kOctetsPerEntry = 10;

  /// Room for `capacity` entries at a load of at most 70 %.
  explicit FlowTable(std::uint32_t capacity)
      : bucket_count_(std::bit_ceil(std::max<std::uint32_t>(capacity / 7 + 1, 4))),
        capacity_(bucket_count_ * 7),
        buckets_(std::make_unique<Bucket[]>(bucket_count_)) {}  // setup: once, for the largest size

  void prefetch(std::uint64_t hash) const { __builtin_prefetch(&buckets_[home(hash)]); }

  /// The entry of `hash` for which matches(FlowRef) is true; none() otherwise.
  template <class Matches>
  FlowRef find(std::uint64_t hash, Matches&& matches) const {
    const std::uint16_t tag = tag_of(hash);
    for (std::uint32_t at = home(hash);; at = next(at)) {
      const Bucket& bucket = buckets_[at];
      for (unsigned hits = bucket.hits(tag); hits != 0; hits &= hits - 1) {
        const FlowRef ref =
            FlowRef::from_value(bucket.refs[static_cast<unsigned>(std::countr_zero(hits))]);
        if (matches(ref)) return ref;
      }
      if (bucket.overflow == 0) return {};
    }
  }

  /// False if the table is full. Precondition: `ref` is not in it.
  [[nodiscard]] bool insert(std::uint64_t hash, FlowRef ref) {
    if (size_ == capacity_) return false;
    std::uint32_t at = home(hash);
    while (buckets_[at].used == kAllUsed) {
      ++buckets_[at].overflow;
      at = next(at);
    }
    Bucket& bucket = buckets_[at];
    const auto slot = static_cast<unsigned>(std::countr_one(static_cast<unsigned>(bucket.used)));
    bucket.used = static_cast<std::uint16_t>(bucket.used | 1u << slot);
    bucket.tags[slot] = tag_of(hash);
    bucket.refs[slot] = ref.value();
    ++size_;
    ++changes_;
    return true;
  }

  /// Precondition: `ref` is in the table under `hash`.
  void erase(std::uint64_t hash, FlowRef ref) {
    const Place place = locate(hash, ref);
    for (std::uint32_t at = home(hash); at != place.bucket; at = next(at)) --buckets_[at].overflow;
    Bucket& bucket = buckets_[place.bucket];
    bucket.used = static_cast<std::uint16_t>(bucket.used & ~(1u << place.slot));
    --size_;
    ++changes_;
  }

  /// Puts `by` where `ref` was: the same 4-tuple in another phase of its life.
  void replace(std::uint64_t hash, FlowRef ref, FlowRef by) {
    const Place place = locate(hash, ref);
    buckets_[place.bucket].refs[place.slot] = by.value();
    ++changes_;
  }

  /// Cache lines that a lookup of `hash` reads if nothing there matches: what a flow costs.
  std::uint32_t lines_of(std::uint64_t hash) const {
    std::uint32_t lines = 1;
    for (std::uint32_t at = home(hash); buckets_[at].overflow != 0; at = next(at)) ++lines;
    return lines;
  }

  std::uint32_t size() const { return size_; }
  /// Grows by every change: while it stays, what find() gave stands.
  std::uint64_t changes() const { return changes_; }
  std::uint32_t capacity() const { return capacity_; }

 private:
  static constexpr unsigned kSlots = 10;
  static constexpr std::uint16_t kAllUsed = (1u << kSlots) - 1;

  struct alignas(64) Bucket {
    std::uint16_t tags[kSlots] = {};
    std::uint16_t used = 0;
    std::uint16_t overflow = 0;
    std::uint32_t refs[kSlots] = {};

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

  std::uint32_t home(std::uint64_t hash) const {
    return static_cast<std::uint32_t>(hash) & (bucket_count_ - 1);
  }
  std::uint32_t next(std::uint32_t at) const {
    return (at + 1) & (bucket_count_ - 1);
  }
  static std::uint16_t tag_of(std::uint64_t hash) {
    return static_cast<std::uint16_t>(hash >> 48);
  }

  Place locate(std::uint64_t hash, FlowRef ref) const {
    for (std::uint32_t at = home(hash);; at = next(at)) {
      const Bucket& bucket = buckets_[at];
      for (unsigned hits = bucket.hits(tag_of(hash)); hits != 0; hits &= hits - 1) {
        const auto slot = static_cast<unsigned>(std::countr_zero(hits));
        if (bucket.refs[slot] == ref.value()) return {at, slot};
      }
      SLUICE_ASSERT(bucket.overflow != 0);
    }
  }

  std::uint32_t bucket_count_;
  std::uint32_t capacity_;
  std::uint32_t size_ = 0;
  std::uint64_t changes_ = 0;
  std::unique_ptr<Bucket[]> buckets_;
};

}  // namespace sluice::tcp
