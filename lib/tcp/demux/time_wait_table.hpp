#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "base/assert.hpp"
#include "tcp/tcb.hpp"

namespace sluice::tcp {

/// TIME-WAIT entries in order of entry: a ring, so that expiry and eviction look at one end only.
/// 2 MSL is the same for all; an entry whose 2 MSL was restarted is moved to the back when its
/// turn comes. Record is TimeWait4 or TimeWait6.
///
///    head (oldest) -> [ ][ ][gone][ ] ... [ ] <- newest        indices are positions in the ring
template <class Record>
class TimeWaitRing {
 public:
  TimeWaitRing() = default;
  explicit TimeWaitRing(std::span<Record> ring) : ring_(ring) {}

  bool is_full() const { return count_ == ring_.size(); }
  bool is_empty() const { return count_ == 0; }
  std::uint32_t in_use() const { return in_use_; }
  std::uint32_t oldest() const { return head_; }
  /// Below this index lie all places taken so far, while it rises.
  std::size_t reached() const { return std::min(std::size_t{head_} + count_, ring_.size()); }

  /// Precondition: not full. Gives the index.
  std::uint32_t push(const Record& record) {
    SLUICE_ASSERT(!is_full());
    const std::uint32_t index = wrapped(std::size_t{head_} + count_);
    Record& at = ring_[index];
    at.version.begin_write();
    overwrite_record(at, record);
    at.flags = static_cast<std::uint16_t>(record.flags | kTimeWaitInUse);
    at.version.end_write();
    ++count_;
    ++in_use_;
    return index;
  }

  /// The entry leaves now; its place in the ring is freed when it becomes the oldest.
  void give_up(std::uint32_t index) {
    Record& record = ring_[index];
    SLUICE_ASSERT(record.flags & kTimeWaitInUse);
    record.version.begin_write();
    record.flags = 0;
    record.version.end_write();
    --in_use_;
  }

  /// Frees the oldest place. Precondition: not empty, and it was given up.
  void pop_oldest() {
    SLUICE_ASSERT(!is_empty() && !(ring_[head_].flags & kTimeWaitInUse));
    head_ = wrapped(std::size_t{head_} + 1);
    --count_;
  }

  Record& operator[](std::uint32_t index) { return ring_[index]; }
  const Record& operator[](std::uint32_t index) const { return ring_[index]; }

 private:
  /// Of a position less than two rounds on. No division: each connection would pay for two.
  std::uint32_t wrapped(std::size_t position) const {
    return static_cast<std::uint32_t>(position < ring_.size() ? position : position - ring_.size());
  }

  std::span<Record> ring_;
  std::uint32_t head_ = 0;
  std::uint32_t count_ = 0;  ///< Places taken, given-up ones included.
  std::uint32_t in_use_ = 0;
};

}  // namespace sluice::tcp
