#pragma once

// How often a flow of ours that does not exist was answered lately, in a table of fixed size.

#include <bit>
#include <cstdint>
#include <vector>

#include "base/timer_wheel.hpp"

namespace sluice::tcp {

/// At most five RSTs a second for each 4-tuple. Without it a stranger could send segments in
/// another host's name, all of one 4-tuple, and see by the RSTs left for his own whether they used
/// up the worker's: whether that connection exists. Flows are told apart by the flow table's keyed
/// hash, so that nobody can choose two that share an entry; what is overwritten may be answered
/// again.
class ResetMemory {
 public:
  explicit ResetMemory(std::uint32_t count) : entries_(std::bit_ceil(count)) {}

  /// True if `hash` may be answered now, which is then counted.
  bool take(std::uint64_t hash, Tick now) {
    constexpr std::uint16_t kPerSecond = 5;
    Entry& entry = entries_[hash & (entries_.size() - 1)];
    const auto tag = static_cast<std::uint32_t>(hash >> 32);
    const auto second = static_cast<std::uint16_t>(now / 1000);
    if (entry.tag != tag || entry.second != second) entry = {tag, second, kPerSecond};
    if (entry.left == 0) return false;
    --entry.left;
    return true;
  }

 private:
  struct Entry {
    std::uint32_t tag = 0;
    std::uint16_t second = 0;
    std::uint16_t left = 5;
  };
  std::vector<Entry> entries_;
};

}  // namespace sluice::tcp
