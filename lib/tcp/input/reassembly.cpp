#include "tcp/input/reassembly.hpp"

#include <algorithm>

#include "tcp/output/window.hpp"

namespace sluice::tcp {
namespace {

ReassemblyNote& note_of(rte_mbuf* packet) {
  static_assert(sizeof(ReassemblyNote) <= packet::kPrivateSize);
  return *static_cast<ReassemblyNote*>(rte_mbuf_to_priv(packet));
}

SeqNum left_of(rte_mbuf* packet) {
  return SeqNum(note_of(packet).seq);
}
SeqNum right_of(rte_mbuf* packet) {
  return left_of(packet) + note_of(packet).length;
}

/// The octets [seq, seq + length) of a segment, cut to what is wanted.
struct Text {
  SeqNum seq;
  std::uint32_t length;
  bool has_fin;
  packet::PacketChain octets;
};

/// Header off, old octets off the front, octets beyond the right edge off the back.
Text trim(const Tcb& block, Segment& segment) {
  Text text{segment.seq(), segment.payload, segment.has(wire::kFin), {}};
  text.octets = packet::PacketChain(std::move(segment.packet));
  text.octets.drop_front(segment.header.header_length);
  if (wire::seq_lt(text.seq, block.rcv.nxt)) {
    const std::uint32_t old = std::min(wire::seq_distance(text.seq, block.rcv.nxt), text.length);
    text.octets.drop_front(old);
    text.length -= old;
    text.seq += old;
  }
  const std::int32_t beyond = wire::seq_offset(block.rcv.adv, text.seq + text.length);
  if (beyond > 0) {
    //= rfc9293#3.10.7.4
    const std::uint32_t cut = std::min(static_cast<std::uint32_t>(beyond), text.length);
    text.octets.drop_back(cut);
    text.length -= cut;
    text.has_fin = false;
  }
  return text;
}

/// Appends in-order octets to the receive queue; small ones are copied together (copy-break), and
/// so are all that fit when the queue's buffers are mostly air.
void append_ready(Context& ctx, ReceiveRecord& record, packet::PacketChain octets) {
  constexpr std::uint32_t kBufferSize = 2048, kSlack = 64 * 1024;
  const bool is_airy = record.ready.segments() * kBufferSize > 2 * record.ready.bytes() + kSlack;
  while (!octets.is_empty()) {
    packet::PacketPtr packet = octets.pop_front();
    if ((packet->data_len < ctx.config.copy_break_bytes || is_airy) &&
        record.ready.absorb(packet::first_segment(*packet))) {
      ctx.metrics.count(Counter::kCopyBreak);
      continue;
    }
    record.ready.append(std::move(packet));
  }
}

void advance(Context& ctx, std::uint32_t index, ReceiveRecord& record, packet::PacketChain octets) {
  Tcb& block = ctx.tcb(index);
  const std::uint32_t length = octets.bytes();
  block.rcv.nxt += length;
  block.receive_charged += length;
  ctx.totals[index].bytes_received += length;
  ctx.metrics.count(Counter::kPayloadReceived, length);
  append_ready(ctx, record, std::move(octets));
}

/// Moves packets that are in order now from reassembly to the receive queue.
void drain(Context& ctx, std::uint32_t index, ReceiveRecord& record, TextResult& result) {
  Tcb& block = ctx.tcb(index);
  while (record.first_packet != nullptr &&
         wire::seq_leq(left_of(record.first_packet), block.rcv.nxt)) {
    rte_mbuf* const packet = record.first_packet;
    const ReassemblyNote note = note_of(packet);
    record.first_packet = note.next_packet;
    --record.packets;
    --ctx.reassembly_segments;
    record.bytes -= note.length;
    packet::PacketChain octets{packet::PacketPtr(packet)};
    const SeqNum end = SeqNum(note.seq) + note.length;
    if (wire::seq_lt(end, block.rcv.nxt)) continue;  // overtaken by an overlapping one
    octets.drop_front(wire::seq_distance(SeqNum(note.seq), block.rcv.nxt));
    if (!octets.is_empty()) advance(ctx, index, record, std::move(octets));
    if (note.has_fin) {
      result.is_fin_next = true;
      break;
    }
  }
  const auto is_old = [&](const wire::SackBlock& sack) {
    return wire::seq_leq(sack.left, block.rcv.nxt);
  };
  const auto end = std::remove_if(record.sack, record.sack + record.sack_count, is_old);
  record.sack_count = static_cast<std::uint8_t>(end - record.sack);
}

/// Puts the block that holds the newest packet first; blocks that it swallowed go (RFC 2018 4).
void note_sack_block(ReceiveRecord& record, SeqNum left, SeqNum right) {
  for (rte_mbuf* at = record.first_packet; at != nullptr; at = note_of(at).next_packet) {
    if (wire::seq_gt(left_of(at), right)) break;
    if (wire::seq_lt(right_of(at), left)) continue;
    left = wire::seq_min(left, left_of(at));
    right = wire::seq_max(right, right_of(at));
  }
  wire::SackBlock kept[wire::kMaxSackBlocks];
  std::uint8_t count = 0;
  kept[count++] = {left, right};
  for (std::uint8_t i = 0; i < record.sack_count && count < wire::kMaxSackBlocks; ++i) {
    const wire::SackBlock& old = record.sack[i];
    const bool is_swallowed = wire::seq_geq(old.left, left) && wire::seq_leq(old.right, right);
    if (!is_swallowed) kept[count++] = old;
  }
  std::copy_n(kept, count, record.sack);
  record.sack_count = count;
}

/// Keeps a packet behind a gap. The list is ordered; a packet that another covers whole is dropped.
Outcome keep_out_of_order(Context& ctx, ReceiveRecord& record, Text text) {
  const SeqNum left = text.seq, right = text.seq + text.length;
  rte_mbuf** link = &record.first_packet;
  while (*link != nullptr && wire::seq_leq(left_of(*link), left)) {
    const bool covers =
        wire::seq_geq(right_of(*link), right) && (note_of(*link).has_fin || !text.has_fin);
    if (covers) {
      if (note_of(*link).length > 0) note_sack_block(record, left_of(*link), right_of(*link));
      return Outcome::kOldDuplicate;
    }
    link = &note_of(*link).next_packet;
  }
  if (record.packets >= ctx.config.reassembly_segments ||
      ctx.reassembly_segments >= ctx.config.reassembly_worker_segments)
    return Outcome::kOutOfOrderFull;

  // What the new packet covers whole makes room for it.
  while (*link != nullptr && wire::seq_leq(right_of(*link), right) &&
         (!note_of(*link).has_fin || text.has_fin)) {
    rte_mbuf* const covered = *link;
    *link = note_of(covered).next_packet;
    record.bytes -= note_of(covered).length;
    --record.packets;
    --ctx.reassembly_segments;
    rte_pktmbuf_free(covered);
  }
  packet::PacketPtr packet;
  if (text.octets.is_empty()) {  // a FIN alone
    packet = packet::PacketPtr(rte_pktmbuf_alloc(ctx.pools.receive));
    if (!packet) return Outcome::kNoMemory;
  } else {
    packet = text.octets.pop_front();
    rte_mbuf* last = packet.get();
    while (!text.octets.is_empty()) {
      last->next = text.octets.pop_front().release();
      last = last->next;
      ++packet->nb_segs;
      packet->pkt_len += last->data_len;
    }
  }
  note_of(packet.get()) = {*link, left.value(), text.length, text.has_fin};
  *link = packet.release();
  ++record.packets;
  ++ctx.reassembly_segments;
  record.bytes += text.length;
  if (text.length > 0) note_sack_block(record, left, right);
  return Outcome::kSegmentOutOfOrder;
}

/// How soon to acknowledge what advanced RCV.NXT (RFC 9293 3.8.6.3, RFC 5681 4.2).
void decide_ack(Context& ctx, std::uint32_t index, bool filled_gap) {
  Tcb& block = ctx.tcb(index);
  const std::uint32_t unacked = wire::seq_distance(block.rcv.last_ack, block.rcv.nxt);
  //= rfc9293#3.8.6.3 SHLD-19
  if (filled_gap || unacked >= 2u * block.rcv_mss || block.quick_acks > 0) {
    if (block.quick_acks > 0) --block.quick_acks;
    block.set(kAckNow);
    ctx.want_output(index);
    return;
  }
  //= rfc9293#3.8.6.3 MUST-40
  if (!ctx.is_armed(block, kTimerDelayedAck))
    ctx.arm(index, kTimerDelayedAck, ctx.tick + ticks_in(ctx.config.delayed_ack));
}

}  // namespace

TextResult take_text(Context& ctx, std::uint32_t index, Segment& segment) {
  Tcb& block = ctx.touch(index);
  TextResult result;
  Text text = trim(block, segment);
  if (text.length == 0 && !text.has_fin) {
    if (segment.payload > 0) {  // nothing of it was new
      block.set(kAckNow);
      ctx.want_output(index);
      result.outcome = Outcome::kOldDuplicate;
    }
    return result;
  }
  if (text.length == 0 && text.seq == block.rcv.nxt) {
    result.is_fin_next = text.has_fin;
    return result;
  }
  ReceiveRecord* const record = ctx.need_receive_record(block);
  if (record == nullptr) {
    result.outcome = Outcome::kNoMemory;
    return result;
  }
  block.rcv_mss = static_cast<std::uint16_t>(
      std::max<std::uint32_t>(block.rcv_mss, std::min(text.length, 65535u)));
  if (text.seq != block.rcv.nxt) {
    result.outcome = keep_out_of_order(ctx, *record, std::move(text));
    //= rfc5681#4.2  an ACK at once for each segment behind a gap
    if (block.duplicate_acks_due < 32) ++block.duplicate_acks_due;
    ctx.want_output(index);
    if (record->ready.is_empty() && record->packets == 0) ctx.drop_receive_record(block);
    return result;
  }
  const bool had_gap = record->first_packet != nullptr;
  result.is_fin_next = text.has_fin;
  result.has_advanced = true;
  advance(ctx, index, *record, std::move(text.octets));
  if (!result.is_fin_next) drain(ctx, index, *record, result);
  decide_ack(ctx, index, had_gap);
  ctx.notify(index, app::kReadable);
  return result;
}

void discard_out_of_order(Context& ctx, Tcb& block) {
  ReceiveRecord* const record = ctx.receive_record(block);
  if (record == nullptr) return;
  while (record->first_packet != nullptr) {
    rte_mbuf* const packet = record->first_packet;
    record->first_packet = note_of(packet).next_packet;
    rte_pktmbuf_free(packet);
  }
  ctx.reassembly_segments -= record->packets;
  record->packets = record->bytes = 0;
  record->sack_count = 0;
  if (record->ready.is_empty()) ctx.drop_receive_record(block);
}

}  // namespace sluice::tcp
