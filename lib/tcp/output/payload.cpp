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

bool attach_payload(Context& ctx, SendRecord& record, SeqNum seq, std::uint32_t length,
                    rte_mbuf& packet) {
  SLUICE_ASSERT(wire::seq_geq(seq, record.base) &&
                wire::seq_distance(record.base, seq) + length <= record.queue.bytes());
  auto [mbuf, offset] = find(record, seq);
  if (length <= kCopyLimit && length <= rte_pktmbuf_tailroom(&packet)) {
    std::byte* to = rte_pktmbuf_mtod_offset(&packet, std::byte*, packet.data_len);
    packet.data_len = static_cast<std::uint16_t>(packet.data_len + length);
    packet.pkt_len = packet.data_len;
    while (length > 0) {
      const std::uint32_t count = std::min<std::uint32_t>(length, mbuf->data_len - offset);
      std::memcpy(to, rte_pktmbuf_mtod_offset(mbuf, const std::byte*, offset), count);
      to += count;
      length -= count;
      mbuf = mbuf->next;
      offset = 0;
    }
    return true;
  }
  rte_mbuf* last = &packet;
  while (length > 0) {
    const std::uint32_t count = std::min<std::uint32_t>(length, mbuf->data_len - offset);
    rte_mbuf* const view = rte_pktmbuf_alloc(ctx.pools.indirect);
    if (view == nullptr) return false;
    rte_pktmbuf_attach(view, mbuf);
    view->next = nullptr;
    view->nb_segs = 1;
    view->data_off = static_cast<std::uint16_t>(mbuf->data_off + offset);
    view->data_len = static_cast<std::uint16_t>(count);
    view->pkt_len = count;
    last->next = view;
    last = view;
    ++packet.nb_segs;
    packet.pkt_len += count;
    length -= count;
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
