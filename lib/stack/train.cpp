#include "stack/train.hpp"

#include <cstring>
#include <utility>

#include "wire/byte_order.hpp"
#include "wire/tcp.hpp"

namespace sluice::stack {
namespace {

constexpr std::size_t kSeq = 4, kFlags = 13;  // of a TCP header

}  // namespace

TrainCutter::TrainCutter(packet::PacketPtr train, std::size_t tcp_offset,
                         std::uint16_t segment_size, rte_mempool& pool)
    : head_(std::move(train)),
      payload_(std::exchange(head_->next, nullptr)),
      tcp_offset_(tcp_offset),
      segment_size_(segment_size),
      left_((head_->pkt_len - head_->data_len + segment_size - 1) / segment_size) {
  SLUICE_ASSERT(left_ > 0 && left_ <= kMostSegments);
  const std::byte* const tcp = rte_pktmbuf_mtod_offset(head_.get(), std::byte*, tcp_offset_);
  next_seq_ = wire::load_be32(tcp + kSeq);
  head_->nb_segs = 1;
  head_->pkt_len = head_->data_len;
  if (left_ > 1 && rte_pktmbuf_alloc_bulk(&pool, headers_.data(), left_ - 1) != 0) left_ = 0;
}

TrainCutter::~TrainCutter() {
  if (left_ > 1) rte_pktmbuf_free_bulk(headers_.data(), left_ - 1);
  rte_pktmbuf_free(payload_);
}

packet::PacketPtr TrainCutter::next() {
  SLUICE_ASSERT(left_ > 0);
  rte_mbuf* const segment = left_ > 1 ? copy_headers() : head_.release();
  std::byte* const tcp = rte_pktmbuf_mtod_offset(segment, std::byte*, tcp_offset_);
  wire::store_be32(tcp + kSeq, next_seq_);
  next_seq_ += segment_size_;
  --left_;
  move_payload(*segment);
  return packet::PacketPtr(segment);
}

rte_mbuf* TrainCutter::copy_headers() {
  rte_mbuf* const segment = headers_[left_ - 2];
  segment->data_off = head_->data_off;
  std::byte* const at = packet::append(*segment, head_->data_len);
  SLUICE_ASSERT(at != nullptr);  // the train's own mbuf is of the same kind of pool
  std::memcpy(at, rte_pktmbuf_mtod(head_.get(), const std::byte*), head_->data_len);
  std::byte* const flags = at + tcp_offset_ + kFlags;
  constexpr std::uint8_t kOfTheLast = wire::kPsh | wire::kFin;
  wire::store_u8(flags, static_cast<std::uint8_t>(wire::load_u8(flags) & ~kOfTheLast));
  segment->ol_flags = head_->ol_flags;
  segment->tx_offload = head_->tx_offload;
  return segment;
}

void TrainCutter::move_payload(rte_mbuf& segment) {
  rte_mbuf* last = &segment;
  std::uint32_t wanted = segment_size_;
  while (wanted > 0 && payload_ != nullptr) {
    SLUICE_ASSERT(payload_->data_len <= wanted);
    wanted -= payload_->data_len;
    last->next = payload_;
    last = payload_;
    payload_ = payload_->next;
    ++segment.nb_segs;
  }
  last->next = nullptr;
  segment.pkt_len += segment_size_ - wanted;
}

}  // namespace sluice::stack
