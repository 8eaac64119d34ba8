#pragma once

#include <cstdint>
#include <new>
#include <span>
#include <utility>

#include "assert.hpp"

namespace sluice {

/// A free list over `count` slots of memory that somebody else owns (the state region, or a
/// mapping made before the loops start). Names are indices, so records hold no pointer. Allocation
/// and release are O(1) and touch one slot; a slot never used is never touched.
///
/// T must be trivially destructible or be destroyed by release().
template <class T>
class Slab {
 public:
  static constexpr std::uint32_t kNone = 0xffffffffu;

  Slab() = default;
  explicit Slab(std::span<T> slots)
      : slots_(slots.data()), capacity_(static_cast<std::uint32_t>(slots.size())) {
    static_assert(sizeof(T) >= sizeof(std::uint32_t));
  }

  /// Constructs a T in a free slot; kNone when full.
  template <class... Args>
  std::uint32_t allocate(Args&&... args) {
    const std::uint32_t index = take();
    if (index != kNone) ::new (static_cast<void*>(slots_ + index)) T(std::forward<Args>(args)...);
    return index;
  }

  /// A free slot as its last owner (or the zero-filled mapping) left it; kNone when full.
  std::uint32_t take() {
    std::uint32_t index = free_;
    if (index != kNone) {
      free_ = next_of(index);
    } else {
      if (high_water_ == capacity_) return kNone;
      index = high_water_++;
    }
    ++used_;
    return index;
  }

  /// Destroys the T. Its bytes, but for the last four of the slot, stay as the destructor left
  /// them.
  void release(std::uint32_t index) {
    SLUICE_ASSERT(index < high_water_ && used_ > 0);
    slots_[index].~T();
    set_next(index, free_);
    free_ = index;
    --used_;
  }

  T& operator[](std::uint32_t index) {
    SLUICE_CHECK(index < high_water_);
    return slots_[index];
  }
  const T& operator[](std::uint32_t index) const {
    SLUICE_CHECK(index < high_water_);
    return slots_[index];
  }

  std::uint32_t used() const { return used_; }
  std::uint32_t capacity() const { return capacity_; }
  std::uint32_t high_water() const { return high_water_; }  ///< Slots below were used once.
  bool is_full() const { return used_ == capacity_; }

 private:
  // The link lies in the last four octets, so that a generation at the head of T survives release.
  std::uint32_t* link(std::uint32_t index) {
    return reinterpret_cast<std::uint32_t*>(reinterpret_cast<char*>(slots_ + index + 1)) - 1;
  }
  std::uint32_t next_of(std::uint32_t index) {
    std::uint32_t value;
    __builtin_memcpy(&value, link(index), sizeof value);
    return value;
  }
  void set_next(std::uint32_t index, std::uint32_t value) {
    __builtin_memcpy(link(index), &value, sizeof value);
  }

  T* slots_ = nullptr;
  std::uint32_t capacity_ = 0;
  std::uint32_t high_water_ = 0;
  std::uint32_t used_ = 0;
  std::uint32_t free_ = kNone;
};

}  // namespace sluice
