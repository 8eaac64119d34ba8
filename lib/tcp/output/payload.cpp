#include "tcp/output/payload.hpp"

#include <algorithm>
#include <cstring>

namespace sluice::tcp {
namespace {

constexpr std::uint32_t kCopyLimit = 256;  // two mbufs and a refcount cost more than copying this

/// The mbuf of the queue that holds `seq`, remembered for the next call.
struct Position {
  rte_mbuf* mbuf;
  std::uint32_t offset;
};

Position find(SendRecord& record, SeqNum seq) {
  if (record.cursor == nullptr || wire::seq_lt(seq, record.cursor_seq)) {
    record.cursor = record.queue.head();
    record.cursor_seq = record.base;
  }
  while (wire::seq_geq(seq, record.cursor_seq + record.cursor->data_len)) {
    record.cursor_seq += record.cursor->data_len;
    record.cursor = record.cursor->next;
    SLUICE_ASSERT(record.cursor != nullptr);
  }
  return {record.cursor, wire::seq_distance(record.cursor_seq, seq)};
}

}  // namespace

bool attach_payload(Context& ctx, SendRecord& record, const PayloadRange& range, rte_mbuf& packet) {
  SLUICE_ASSERT(wire::seq_geq(range.seq, record.base) &&
                wire::seq_distance(record.base, range.seq) + range.length <= record.queue.bytes());
  auto [mbuf, offset] = find(record, range.seq);
  std::uint32_t left = range.length;
  const bool is_train = range.segment_size < range.length;
  if (left <= kCopyLimit && left <= rte_pktmbuf_tailroom(&packet) && !is_train) {
    std::byte* to = rte_pktmbuf_mtod_offset(&packet, std::byte*, packet.data_len);
    packet.data_len = static_cast<std::uint16_t>(packet.data_len + left);
    packet.pkt_len = packet.data_len;
    while (left > 0) {
      const std::uint32_t count = std::min<std::uint32_t>(left, mbuf->data_len - offset);
      std::memcpy(to, rte_pktmbuf_mtod_offset(mbuf, const std::byte*, offset), count);
      to += count;
      left -= count;
      mbuf = mbuf->next;
      offset = 0;
    }
    return true;
  }
  rte_mbuf* last = &packet;
  std::uint32_t to_edge = range.segment_size;
  while (left > 0) {
    const std::uint32_t in_mbuf = mbuf->data_len - offset;
    const std::uint32_t count = std::min({left, in_mbuf, to_edge});
    // Attaching sets all that resetting would.
    rte_mbuf* const view = rte_mbuf_raw_alloc(ctx.pools.indirect);
    if (view == nullptr) return false;
    rte_pktmbuf_attach(view, mbuf);
    view->data_off = static_cast<std::uint16_t>(mbuf->data_off + offset);
    view->data_len = static_cast<std::uint16_t>(count);
    view->pkt_len = count;
    last->next = view;
    last = view;
    ++packet.nb_segs;
    packet.pkt_len += count;
    left -= count;
    to_edge = to_edge == count ? range.segment_size : to_edge - count;
    offset += count;
    if (count < in_mbuf) continue;
    mbuf = mbuf->next;
    offset = 0;
  }
  return true;
}

//= rfc2018#8 MUST-4
void drop_acknowledged(SendRecord& record, SeqNum una) {
  if (wire::seq_leq(una, record.base)) return;
  const std::uint32_t count = std::min(wire::seq_distance(record.base, una), record.queue.bytes());
  record.queue.drop_front(count);
  record.base += count;
  if (record.cursor != nullptr && wire::seq_lt(record.cursor_seq, record.base))
    record.cursor = nullptr;
}

}  // namespace sluice::tcp
