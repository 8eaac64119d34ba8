#pragma once

// Who sends, in memory of fixed size: how many source prefixes there are, and which send the most.
// A prefix is a /24 of IPv4 or a /64 of IPv6, what one customer of a network usually has: single
// addresses of it cost a sender nothing.

#include <rte_byteorder.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/address.hpp"
#include "base/keyed_hash.hpp"

namespace sluice::tcp {

/// A source's prefix in one word: the first 64 bits of an IPv6 address; an IPv4 address's first 24
/// stand where multicast would, which is no source.
inline constexpr std::uint64_t kV4Prefix = std::uint64_t{0xff} << 56;

inline std::uint64_t source_prefix(const IpAddr& source) {
  std::uint64_t high, low;
  std::memcpy(&high, source.octets().data(), sizeof high);
  std::memcpy(&low, source.octets().data() + sizeof high, sizeof low);
  low = rte_be_to_cpu_64(low);
  if (high == 0 && low >> 32 == 0xffff) return kV4Prefix | (low & 0xffffffffu) >> 8;
  return rte_be_to_cpu_64(high);
}

/// The prefix as people write it.
Prefix readable_prefix(std::uint64_t prefix);

/// A keyed mix of a prefix: the finaliser of splitmix64, which spreads neighbours well whatever the
/// key, and a folded multiplication; about 12 cycles. Nobody outside sees what comes of it, so that
/// it need not withstand what SipHash does.
class PrefixHash {
 public:
  explicit PrefixHash(const HashKey& key) { std::memcpy(secret_.data(), key.octets.data(), 16); }

  std::uint64_t operator()(std::uint64_t prefix) const {
    std::uint64_t mixed = prefix ^ secret_[0];
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
    mixed ^= mixed >> 31;
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(mixed ^ secret_[1]) * 0x9e3779b97f4a7c15u;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
  }

 private:
  std::array<std::uint64_t, 2> secret_{};
};

/// HyperLogLog (Flajolet and others 2007) of 1024 registers, 1 KiB: tells how many different hashes
/// were added, with a standard error of 3.3 %. An addition touches one octet.
class DistinctPrefixes {
 public:
  static constexpr unsigned kIndexBits = 10;
  static constexpr unsigned kMaxRank = 64 - kIndexBits + 1;

  void add(std::uint64_t hash) {
    std::uint8_t& rank = registers_[hash & ((1u << kIndexBits) - 1)];
    const std::uint64_t rest = hash >> kIndexBits | std::uint64_t{1} << (kMaxRank - 1);
    const auto seen = static_cast<std::uint8_t>(std::countr_zero(rest) + 1);
    if (seen > rank) rank = seen;
  }
  void clear() { registers_.fill(0); }

  /// How many there are in `a` and `b` together: Ertl's estimator (2017), without a bias between
  /// small and large numbers. A few microseconds.
  static std::uint32_t estimate(const DistinctPrefixes& a, const DistinctPrefixes& b);

 private:
  std::array<std::uint8_t, 1u << kIndexBits> registers_{};
};

/// Those who send the most (Misra and Gries 1982). Of `total` additions a prefix that has more than
/// total / 33 is among the entries, its count too small by at most error(), which is no more than
/// total / 33. An addition costs about 60 instructions, whoever sends: 33 pay for a round of giving
/// up.
class TopPrefixes {
 public:
  static constexpr std::size_t kEntries = 32;
  struct Entry {
    std::uint64_t prefix;
    std::uint32_t count;  ///< 0: free.
    std::uint32_t reserved;
  };

  void add(std::uint64_t prefix, std::uint64_t hash) {
    ++total_;
    const auto tag = static_cast<std::uint8_t>(hash >> 56);
    for (std::uint32_t hits = hits_of(tag); hits != 0; hits &= hits - 1) {
      const auto at = static_cast<std::size_t>(std::countr_zero(hits));
      if (prefixes_[at] != prefix || counts_[at] == 0) continue;
      ++counts_[at];
      return;
    }
    if (free_ != 0) return take_place(prefix, tag);
    give_up();
  }
  void clear() { *this = TopPrefixes(); }

  std::uint32_t total() const { return total_; }
  std::uint32_t error() const { return error_; }
  /// The entries, largest first, then free ones.
  void copy_to(std::span<Entry, kEntries> out) const;

 private:
  /// Bit an entry whose tag equals `tag`.
  std::uint32_t hits_of(std::uint8_t tag) const {
#ifdef __SSE2__
    const __m128i wanted = _mm_set1_epi8(static_cast<char>(tag));
    const auto half = [&](std::size_t at) {
      const __m128i tags = _mm_load_si128(reinterpret_cast<const __m128i*>(tags_.data() + at));
      return static_cast<std::uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(tags, wanted)));
    };
    return half(0) | half(16) << 16;
#else
    std::uint32_t hits = 0;
    for (std::size_t at = 0; at < kEntries; ++at)
      hits |= static_cast<std::uint32_t>(tags_[at] == tag) << at;
    return hits;
#endif
  }
  void take_place(std::uint64_t prefix, std::uint8_t tag) {
    const auto at = static_cast<std::size_t>(std::countr_zero(free_));
    free_ &= free_ - 1;
    tags_[at] = tag;
    prefixes_[at] = prefix;
    counts_[at] = 1;
  }
  void give_up();

  alignas(16) std::array<std::uint8_t, kEntries> tags_{};
  std::array<std::uint64_t, kEntries> prefixes_{};
  std::array<std::uint32_t, kEntries> counts_{};
  std::uint32_t free_ = 0xffffffffu;  ///< Bit an entry.
  std::uint32_t total_ = 0;
  std::uint32_t error_ = 0;  ///< Rounds of giving up.
};

}  // namespace sluice::tcp
