#include "packet/packet.hpp"

#include <cstring>

namespace sluice::packet {

void PacketChain::append_segments(rte_mbuf* segment) {
  while (segment != nullptr) {
    rte_mbuf* const next = segment->next;
    segment->next = nullptr;
    segment->nb_segs = 1;
    segment->pkt_len = segment->data_len;
    if (segment->data_len == 0) {
      rte_pktmbuf_free_seg(segment);
    } else {
      link(segment);
    }
    segment = next;
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

}  // namespace sluice::packet
