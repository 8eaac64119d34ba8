#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/assert.hpp"
#include "packet/packet.hpp"

namespace sluice::stack {

/// Finished frames of one port, in the order in which they came. Bounded; the last `reserve`
/// places are for control packets, which must pass when data fills the queue.
class TransmitQueue {
 public:
  enum class Share : std::uint8_t { kData, kControl };

  /// `capacity`: a power of two.
  TransmitQueue(std::size_t capacity, std::size_t reserve) : ring_(capacity), reserve_(reserve) {
    SLUICE_ASSERT(reserve < capacity && std::has_single_bit(capacity));
  }

  /// Takes `frame`, or leaves it and gives false if its share is full.
  [[nodiscard]] bool push(packet::PacketPtr& frame, Share share) {
    if (room(share) == 0) return false;
    ring_[(head_ + size_) & (ring_.size() - 1)] = std::move(frame);
    ++size_;
    return true;
  }
  /// Moves frames to `out`, whose owner they have then. Gives how many.
  std::size_t pop(std::span<rte_mbuf*> out) {
    std::size_t count = 0;
    for (; count < out.size() && size_ > 0; ++count) {
      out[count] = ring_[head_].release();
      head_ = (head_ + 1) & (ring_.size() - 1);
      --size_;
    }
    return count;
  }

  std::size_t size() const { return size_; }
  std::size_t room(Share share) const {
    const std::size_t limit = share == Share::kControl ? ring_.size() : ring_.size() - reserve_;
    return limit > size_ ? limit - size_ : 0;
  }

 private:
  std::vector<packet::PacketPtr> ring_;
  std::size_t reserve_;
  std::size_t head_ = 0;
  std::size_t size_ = 0;
};

}  // namespace sluice::stack
