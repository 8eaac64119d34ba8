#pragma once

// Owners of rte_mbuf. A packet is an mbuf chain (head segment plus `next`); a PacketChain is a
// byte stream made of single-segment mbufs. Both are move-only; a raw rte_mbuf* is borrowed.

#include <rte_mbuf.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "base/assert.hpp"
#include "packet/poison.hpp"

namespace sluice::packet {

/// Sole owner of one packet (all segments). Frees it to its pool.
class PacketPtr {
 public:
  constexpr PacketPtr() = default;
  explicit PacketPtr(rte_mbuf* owned) : mbuf_(owned) {}
  PacketPtr(PacketPtr&& other) noexcept : mbuf_(std::exchange(other.mbuf_, nullptr)) {}
  PacketPtr& operator=(PacketPtr&& other) noexcept {
    if (this != &other) reset(std::exchange(other.mbuf_, nullptr));
    return *this;
  }
  PacketPtr(const PacketPtr&) = delete;
  PacketPtr& operator=(const PacketPtr&) = delete;
  ~PacketPtr() { reset(); }

  void reset(rte_mbuf* owned = nullptr) {
    if (mbuf_ != nullptr) rte_pktmbuf_free(mbuf_);
    mbuf_ = owned;
  }
  [[nodiscard]] rte_mbuf* release() { return std::exchange(mbuf_, nullptr); }
  rte_mbuf* get() const { return mbuf_; }
  rte_mbuf* operator->() const { return mbuf_; }
  rte_mbuf& operator*() const { return *mbuf_; }
  explicit operator bool() const { return mbuf_ != nullptr; }

 private:
  rte_mbuf* mbuf_ = nullptr;
};

/// The octets of the packet's first segment.
inline std::span<std::byte> first_segment(rte_mbuf& mbuf) {
  return {rte_pktmbuf_mtod(&mbuf, std::byte*), mbuf.data_len};
}
inline std::span<const std::byte> first_segment(const rte_mbuf& mbuf) {
  return {rte_pktmbuf_mtod(&mbuf, const std::byte*), mbuf.data_len};
}

/// Cuts the packet to `length` octets, of which there are at least as many: what link layers fill
/// frames up with goes.
inline void trim_to(rte_mbuf& packet, std::uint32_t length) {
  if (packet.nb_segs == 1) {
    packet.data_len = static_cast<std::uint16_t>(length);
    packet.pkt_len = length;
    return;
  }
  if (packet.pkt_len == length) return;
  rte_mbuf* last = &packet;
  std::uint32_t left = length;
  std::uint16_t segments = 1;
  while (left > last->data_len) {
    left -= last->data_len;
    last = last->next;
    ++segments;
  }
  last->data_len = static_cast<std::uint16_t>(left);
  rte_pktmbuf_free(std::exchange(last->next, nullptr));
  packet.pkt_len = length;
  packet.nb_segs = segments;
}

/// True if nobody else holds the mbuf or its data: its octets may be edited.
inline bool is_exclusive(const rte_mbuf& mbuf) {
  return RTE_MBUF_DIRECT(&mbuf) && rte_mbuf_refcnt_read(&mbuf) == 1;
}

/// Elements of `pool` that this thread could take now. What lies in other threads' caches does not
/// count, and rte_mempool_avail_count() would walk over all 128 of them to find it.
inline std::uint32_t available(const rte_mempool& pool) {
  auto& asked = const_cast<rte_mempool&>(pool);  // DPDK asks for it, and changes nothing
  const rte_mempool_cache* const cache = rte_mempool_default_cache(&asked, rte_lcore_id());
  return rte_mempool_get_ops(pool.ops_index)->get_count(&pool) +
         (cache == nullptr ? 0 : cache->len);
}

/// Makes the data of an exclusively held packet grow by `count` octets into the headroom of its
/// first, or the tailroom of its last segment, and gives the new octets; null if there is no room.
inline std::byte* prepend(rte_mbuf& mbuf, std::uint16_t count) {
  char* const at = rte_pktmbuf_prepend(&mbuf, count);
  if (at != nullptr) unpoison(at, count);
  return reinterpret_cast<std::byte*>(at);
}
inline std::byte* append(rte_mbuf& mbuf, std::uint16_t count) {
  char* const at = rte_pktmbuf_append(&mbuf, count);
  if (at != nullptr) unpoison(at, count);
  return reinterpret_cast<std::byte*>(at);
}

/// An owned queue of single-segment mbufs, read as one stream of octets. Links are mbuf->next.
///
///     head -> [ octets ] -> [ octets ] -> [ octets ] <- tail       bytes() = sum of data_len
class PacketChain {
 public:
  PacketChain() = default;
  /// What a chain is made of, for an owner that must not know mbufs (the public RxData).
  struct Parts {
    rte_mbuf* head = nullptr;
    rte_mbuf* tail = nullptr;
    std::uint32_t bytes = 0;
    std::uint32_t segments = 0;
  };
  /// Takes over what release() of another chain gave.
  explicit PacketChain(const Parts& parts)
      : head_(parts.head), tail_(parts.tail), bytes_(parts.bytes), segments_(parts.segments) {}
  [[nodiscard]] Parts release() {
    return {std::exchange(head_, nullptr), std::exchange(tail_, nullptr), std::exchange(bytes_, 0),
            std::exchange(segments_, 0)};
  }
  /// Takes a packet of any number of segments. Empty segments are freed.
  explicit PacketChain(PacketPtr packet) { append(std::move(packet)); }
  PacketChain(PacketChain&& other) noexcept
      : head_(std::exchange(other.head_, nullptr)),
        tail_(std::exchange(other.tail_, nullptr)),
        bytes_(std::exchange(other.bytes_, 0)),
        segments_(std::exchange(other.segments_, 0)) {}
  PacketChain& operator=(PacketChain&& other) noexcept {
    if (this == &other) return *this;
    clear();
    head_ = std::exchange(other.head_, nullptr);
    tail_ = std::exchange(other.tail_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
    segments_ = std::exchange(other.segments_, 0);
    return *this;
  }
  PacketChain(const PacketChain&) = delete;
  PacketChain& operator=(const PacketChain&) = delete;
  ~PacketChain() { clear(); }

  bool is_empty() const { return head_ == nullptr; }
  std::uint32_t bytes() const { return bytes_; }
  std::uint32_t segments() const { return segments_; }
  rte_mbuf* head() const { return head_; }  ///< Borrowed.
  rte_mbuf* tail() const { return tail_; }  ///< Borrowed.

  void append(PacketPtr packet) {
    rte_mbuf* const segment = packet.release();
    if (segment == nullptr) return;
    if (segment->next != nullptr || segment->data_len == 0) return append_segments(segment);
    segment->nb_segs = 1;
    segment->pkt_len = segment->data_len;
    link(segment);
  }
  void append(PacketChain&& other) {
    if (other.is_empty()) return;
    (tail_ == nullptr ? head_ : tail_->next) = other.head_;
    tail_ = std::exchange(other.tail_, nullptr);
    other.head_ = nullptr;
    bytes_ += std::exchange(other.bytes_, 0);
    segments_ += std::exchange(other.segments_, 0);
  }
  /// Drops `count` octets from the front, freeing the mbufs used up. Precondition: count <=
  /// bytes(). Only lengths and offsets of mbufs held exclusively or shared read-only change, never
  /// octets.
  void drop_front(std::uint32_t count) {
    SLUICE_ASSERT(count <= bytes_);
    if (count == bytes_) return clear();
    while (count > 0 && count >= head_->data_len) {
      count -= head_->data_len;
      pop_front();
    }
    if (count == 0) return;
    head_->data_off = static_cast<std::uint16_t>(head_->data_off + count);
    head_->data_len = static_cast<std::uint16_t>(head_->data_len - count);
    head_->pkt_len = head_->data_len;
    bytes_ -= count;
  }
  /// Drops `count` octets from the back. Walks the chain. Precondition: count <= bytes().
  void drop_back(std::uint32_t count);
  /// Takes the first mbuf off. Precondition: not empty.
  PacketPtr pop_front() {
    SLUICE_ASSERT(head_ != nullptr);
    rte_mbuf* const first = head_;
    head_ = first->next;
    if (head_ == nullptr) tail_ = nullptr;
    first->next = nullptr;
    bytes_ -= first->data_len;
    --segments_;
    return PacketPtr(first);
  }
  /// Splits off the first `count` octets; an mbuf cut in two is shared by an indirect mbuf from
  /// `indirect_pool`. False (and unchanged) if none was to be had. Precondition: count <= bytes().
  [[nodiscard]] bool split_front(std::uint32_t count, rte_mempool& indirect_pool,
                                 PacketChain& front);
  /// Copies `bytes` to the spare tailroom of the last mbuf, if that is direct, exclusive and has
  /// room for all of them. This is copy-break: small payloads must not pin whole buffers.
  [[nodiscard]] bool absorb(std::span<const std::byte> bytes);
  void clear() {
    if (head_ == nullptr) return;
    if (head_ == tail_) {
      rte_pktmbuf_free(head_);
    } else {
      rte_pktmbuf_free_bulk(&head_, 1);  // and all that hang on it
    }
    head_ = tail_ = nullptr;
    bytes_ = segments_ = 0;
  }

 private:
  void link(rte_mbuf* segment) {
    (tail_ == nullptr ? head_ : tail_->next) = segment;
    tail_ = segment;
    bytes_ += segment->data_len;
    ++segments_;
  }
  void append_segments(rte_mbuf* segment);

  rte_mbuf* head_ = nullptr;
  rte_mbuf* tail_ = nullptr;
  std::uint32_t bytes_ = 0;
  std::uint32_t segments_ = 0;
};

}  // namespace sluice::packet
