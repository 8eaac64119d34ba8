#pragma once

// Latencies in a fixed amount of memory, as HdrHistogram keeps them (Tene 2012): the relative error
// is bounded, not the absolute one.
//
//   ns    0 .. 2^D-1 | 2^D .. 2^(D+1)-1 | 2^(D+1) .. 2^(D+2)-1 | ...    D digits of 2
//   step       1     |        2         |           4          | ...    2^(D-1) buckets an octave

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <vector>

#include "base/time.hpp"

namespace load {

/// `kDigits` binary digits are kept of a value: 11 are three decimal ones (an error below 0.1 %), 8
/// are two. From 1 ns to kMost; above it values count as kMost.
template <unsigned kDigits>
class Histogram {
 public:
  static constexpr std::int64_t kMost = 100'000'000'000;  ///< 100 s.

  Histogram() : counts_(index_of(kMost) + 1) {}

  void record(sluice::Duration value) {
    const std::int64_t ns = clamp(value);
    ++counts_[index_of(ns)];
    ++total_;
    sum_ns_ += static_cast<double>(ns);
    least_ = std::min(least_, ns);
    most_ = std::max(most_, ns);
  }

  std::uint64_t count() const { return total_; }
  bool is_empty() const { return total_ == 0; }
  sluice::Duration least() const { return sluice::Duration::from_ns(is_empty() ? 0 : least_); }
  sluice::Duration most() const { return sluice::Duration::from_ns(most_); }
  double mean_ns() const { return is_empty() ? 0 : sum_ns_ / static_cast<double>(total_); }

  /// The smallest recorded value that at least `share` (0..1) of all do not exceed, rounded up to
  /// the end of its bucket: never better than the truth. Zero if there are none.
  sluice::Duration quantile(double share) const {
    if (is_empty()) return sluice::Duration::zero();
    const double wanted = std::clamp(share, 0.0, 1.0) * static_cast<double>(total_);
    // What rounding put a hair above a whole number is that number.
    auto rank = static_cast<std::uint64_t>(wanted);
    if (wanted - static_cast<double>(rank) > 1e-9 * wanted) ++rank;
    rank = std::clamp<std::uint64_t>(rank, 1, total_);
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen >= rank) return sluice::Duration::from_ns(std::min(last_of(i), most_));
    }
    return most();
  }

  void merge(const Histogram& other) {
    for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
    total_ += other.total_;
    sum_ns_ += other.sum_ns_;
    least_ = std::min(least_, other.least_);
    most_ = std::max(most_, other.most_);
  }

  void clear() {
    std::fill(counts_.begin(), counts_.end(), 0);
    total_ = 0;
    sum_ns_ = 0;
    least_ = std::numeric_limits<std::int64_t>::max();
    most_ = 0;
  }

  /// What a client would have seen that sends every `expected` whatever happens: beside each value
  /// v the values v - expected, v - 2 expected, ... of the requests that a closed loop did not send
  /// while it waited, down to `expected`.
  Histogram corrected(sluice::Duration expected) const {
    Histogram result = *this;
    if (expected <= sluice::Duration::zero()) return result;
    const std::int64_t step = expected.ns();
    for (std::size_t i = 0; i < counts_.size(); ++i)
      if (counts_[i] != 0) result.add_omitted(std::min(last_of(i), most_), step, counts_[i]);
    return result;
  }

 private:
  static constexpr unsigned kHalf = kDigits - 1;

  static std::int64_t clamp(sluice::Duration value) {
    return std::clamp<std::int64_t>(value.ns(), 0, kMost);
  }
  static constexpr std::size_t index_of(std::int64_t ns) {
    const auto value = static_cast<std::uint64_t>(ns);
    const auto width = static_cast<unsigned>(std::bit_width(value));
    if (width <= kDigits) return static_cast<std::size_t>(value);
    const unsigned shift = width - kDigits;
    return (std::size_t{shift} << kHalf) + static_cast<std::size_t>(value >> shift);
  }
  static constexpr std::int64_t first_of(std::size_t index) {
    if (index < (std::size_t{1} << kDigits)) return static_cast<std::int64_t>(index);
    const std::size_t shift = (index >> kHalf) - 1;
    return static_cast<std::int64_t>((index - (shift << kHalf)) << shift);
  }
  static constexpr std::int64_t last_of(std::size_t index) { return first_of(index + 1) - 1; }

  /// Adds `count` of each of value - k * step, k = 1, 2, ..., that is at least `step`. Bucket by
  /// bucket: a value may have omitted millions.
  void add_omitted(std::int64_t value, std::int64_t step, std::uint64_t count) {
    if (value < 2 * step) return;
    const std::int64_t deepest = value / step - 1;
    for (std::int64_t k = 1; k <= deepest;) {
      const std::size_t bucket = index_of(value - k * step);
      const std::int64_t last_k = std::min(deepest, (value - first_of(bucket)) / step);
      const auto values = static_cast<std::uint64_t>(last_k - k + 1);
      counts_[bucket] += count * values;
      total_ += count * values;
      // An arithmetic series.
      const std::int64_t twice_sum = (value - k * step) + (value - last_k * step);
      sum_ns_ += static_cast<double>(count * values) * static_cast<double>(twice_sum) / 2;
      least_ = std::min(least_, value - last_k * step);
      k = last_k + 1;
    }
  }

  std::vector<std::uint64_t> counts_;
  std::uint64_t total_ = 0;
  double sum_ns_ = 0;
  std::int64_t least_ = std::numeric_limits<std::int64_t>::max();
  std::int64_t most_ = 0;
};

}  // namespace load
