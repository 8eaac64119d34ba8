#include "packet/packet.hpp"

#include <cstring>

namespace sluice::packet {

PacketChain& PacketChain::operator=(PacketChain&& other) noexcept {
  if (this != &other) {
    clear();
    head_ = std::exchange(other.head_, nullptr);
    tail_ = std::exchange(other.tail_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
    segments_ = std::exchange(other.segments_, 0);
  }
  return *this;
}

void PacketChain::append(PacketPtr packet) {
  rte_mbuf* segment = packet.release();
  while (segment != nullptr) {
    rte_mbuf* const next = segment->next;
    segment->next = nullptr;
    segment->nb_segs = 1;
    segment->pkt_len = segment->data_len;
    if (segment->data_len == 0) {
      rte_pktmbuf_free_seg(segment);
    } else {
      (tail_ == nullptr ? head_ : tail_->next) = segment;
      tail_ = segment;
      bytes_ += segment->data_len;
      ++segments_;
    }
    segment = next;
  }
}

void PacketChain::append(PacketChain&& other) {
  if (other.is_empty()) return;
  (tail_ == nullptr ? head_ : tail_->next) = other.head_;
  tail_ = std::exchange(other.tail_, nullptr);
  other.head_ = nullptr;
  bytes_ += std::exchange(other.bytes_, 0);
  segments_ += std::exchange(other.segments_, 0);
}

PacketPtr PacketChain::pop_front() {
  SLUICE_ASSERT(head_ != nullptr);
  rte_mbuf* const first = head_;
  head_ = first->next;
  if (head_ == nullptr) tail_ = nullptr;
  first->next = nullptr;
  bytes_ -= first->data_len;
  --segments_;
  return PacketPtr(first);
}

void PacketChain::drop_front(std::uint32_t count) {
  SLUICE_ASSERT(count <= bytes_);
  while (count > 0 && count >= head_->data_len) {
    count -= head_->data_len;
    pop_front();
  }
  if (count > 0) {
    head_->data_off = static_cast<std::uint16_t>(head_->data_off + count);
    head_->data_len = static_cast<std::uint16_t>(head_->data_len - count);
    head_->pkt_len = head_->data_len;
    bytes_ -= count;
  }
}

void PacketChain::drop_back(std::uint32_t count) {
  SLUICE_ASSERT(count <= bytes_);
  std::uint32_t keep = bytes_ - count;
  PacketChain kept;
  while (keep > 0) {
    PacketPtr packet = pop_front();
    if (packet->data_len > keep) {
      packet->data_len = static_cast<std::uint16_t>(keep);
      packet->pkt_len = keep;
    }
    keep -= packet->data_len;
    kept.append(std::move(packet));
  }
  *this = std::move(kept);
}

bool PacketChain::split_front(std::uint32_t count, rte_mempool& indirect_pool, PacketChain& front) {
  SLUICE_ASSERT(count <= bytes_);
  std::uint32_t whole = 0;
  const rte_mbuf* at = head_;
  while (at != nullptr && whole + at->data_len <= count) {
    whole += at->data_len;
    at = at->next;
  }
  rte_mbuf* cut = nullptr;
  if (whole < count) {
    cut = rte_pktmbuf_alloc(&indirect_pool);
    if (cut == nullptr) return false;
  }
  while (head_ != at) front.append(pop_front());
  if (cut != nullptr) {
    rte_pktmbuf_attach(cut, head_);
    cut->next = nullptr;
    cut->nb_segs = 1;
    cut->data_len = static_cast<std::uint16_t>(count - whole);
    cut->pkt_len = cut->data_len;
    front.append(PacketPtr(cut));
    drop_front(count - whole);
  }
  return true;
}

bool PacketChain::absorb(std::span<const std::byte> bytes) {
  if (tail_ == nullptr || !is_exclusive(*tail_) || rte_pktmbuf_tailroom(tail_) < bytes.size())
    return false;
  std::byte* const room = packet::append(*tail_, static_cast<std::uint16_t>(bytes.size()));
  if (!bytes.empty()) std::memcpy(room, bytes.data(), bytes.size());
  bytes_ += static_cast<std::uint32_t>(bytes.size());
  return true;
}

void PacketChain::clear() {
  while (head_ != nullptr) pop_front();
}

}  // namespace sluice::packet
