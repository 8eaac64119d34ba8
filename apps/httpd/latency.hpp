#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/time.hpp"

namespace httpd {

/// A number that one thread writes and any reads: no locked instruction on either side.
class Count {
 public:
  void add(std::uint64_t count = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
  }
  void subtract(std::uint64_t count = 1) { add(0 - count); }
  std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_ = 0;
};

/// Durations by power of two and eighth of it: a value read back is at most 12.5 % above the true
/// one. One writer, any readers, 4 KiB.
class LatencyHistogram {
 public:
  void record(sluice::Duration duration) {
    const auto ns = static_cast<std::uint64_t>(duration.ns() < 0 ? 0 : duration.ns());
    buckets_[bucket_of(ns)].add();
  }
  std::uint64_t count() const {
    std::uint64_t sum = 0;
    for (const Count& bucket : buckets_) sum += bucket.get();
    return sum;
  }
  /// The upper edge of the bucket that holds the given share of all, 0 < share <= 1; zero if none.
  sluice::Duration percentile(double share) const {
    const double wanted = share * static_cast<double>(count());
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      sum += buckets_[i].get();
      if (sum > 0 && static_cast<double>(sum) >= wanted)
        return sluice::Duration::from_ns(static_cast<std::int64_t>(upper_edge(i)));
    }
    return sluice::Duration::zero();
  }

  static constexpr std::size_t bucket_of(std::uint64_t ns) {
    if (ns < kPerOctave) return ns;
    const auto shift = static_cast<unsigned>(std::bit_width(ns)) - kBits - 1;
    return (shift + 1) * kPerOctave + static_cast<std::size_t>((ns >> shift) - kPerOctave);
  }
  /// The largest value of a bucket.
  static constexpr std::uint64_t upper_edge(std::size_t bucket) {
    if (bucket < kPerOctave) return bucket;
    const auto shift = static_cast<unsigned>(bucket / kPerOctave - 1);
    return ((bucket % kPerOctave + kPerOctave + 1) << shift) - 1;
  }

 private:
  static constexpr unsigned kBits = 3;
  static constexpr std::size_t kPerOctave = 1u << kBits;
  std::array<Count, (64 - kBits + 1) * kPerOctave> buckets_;
};

}  // namespace httpd
