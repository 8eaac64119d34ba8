#include "tcp/input/reassembly.hpp"

#include <algorithm>
#include <optional>

#include "tcp/congestion/controller.hpp"
#include "tcp/input/sack_report.hpp"
#include "tcp/output/control.hpp"
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
void append_ready(Context& ctx, ReceiveRecord& record, packet::PacketPtr packet) {
  constexpr std::uint32_t kBufferSize = 2048, kSlack = 64 * 1024;
  const packet::PacketChain& ready = record.ready;
  const bool is_airy = ready.segments() * kBufferSize > 2 * ready.bytes() + kSlack;
  if (!ready.is_empty() && (packet->data_len < ctx.config.copy_break_bytes || is_airy) &&
      record.ready.absorb(packet::first_segment(*packet))) {
    ctx.metrics.count(Counter::kCopyBreak);
    return;
  }
  record.ready.append(std::move(packet));
}

void append_ready(Context& ctx, ReceiveRecord& record, packet::PacketChain octets) {
  if (record.ready.is_empty()) return record.ready.append(std::move(octets));
  while (!octets.is_empty()) append_ready(ctx, record, octets.pop_front());
}

/// RCV.NXT moves over octets that are taken.
void advance(Context& ctx, std::uint32_t index, std::uint32_t length) {
  Tcb& block = ctx.tcb(index);
  block.rcv.nxt += length;
  block.receive_charged += length;
  ctx.totals[index].bytes_received += length;
  ctx.metrics.count(Counter::kPayloadReceived, length);
}

void advance(Context& ctx, std::uint32_t index, ReceiveRecord& record, packet::PacketChain octets) {
  advance(ctx, index, octets.bytes());
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
  forget_runs_below(record, block.rcv.nxt);
}

/// The run of packets without a gap that holds `seq`, the first octet of one of them.
wire::SackBlock run_around(const ReceiveRecord& record, SeqNum seq) {
  wire::SackBlock run{seq, seq};
  for (rte_mbuf* at = record.first_packet; at != nullptr; at = note_of(at).next_packet) {
    const bool is_gap = at == record.first_packet || wire::seq_gt(left_of(at), run.right);
    if (is_gap && wire::seq_gt(left_of(at), seq)) break;
    if (is_gap) run = {left_of(at), right_of(at)};
    run.right = wire::seq_max(run.right, right_of(at));
  }
  return run;
}

/// The octets that came in order, as far back as sequence numbers tell.
///
///    IRS + 1                      RCV.NXT, or the FIN below it
///    | bytes_received ........... | not yet come, or behind a gap
wire::SackBlock in_order_octets(Context& ctx, std::uint32_t index) {
  constexpr std::uint64_t kFarthest = 0x7fffffff;
  const Tcb& block = ctx.tcb(index);
  const SeqNum end = block.rcv.nxt - (block.has(kFinReceived) ? 1u : 0u);
  const std::uint64_t received = ctx.totals[index].bytes_received;
  return {end - static_cast<std::uint32_t>(std::min(received, kFarthest)), end};
}

/// The first run of octets in [left, right) that came before (RFC 2883 4): in order, or else behind
/// a gap. What lies before the first octet of the connection never came.
std::optional<wire::SackBlock> find_duplicate(Context& ctx, std::uint32_t index, SeqNum left,
                                              SeqNum right) {
  const wire::SackBlock in_order = in_order_octets(ctx, index);
  //= rfc2883#4.1
  const wire::SackBlock old{wire::seq_max(left, in_order.left),
                            wire::seq_min(right, in_order.right)};
  if (wire::seq_lt(old.left, old.right)) return old;
  const ReceiveRecord* const record = ctx.receive_record(ctx.tcb(index));
  if (record == nullptr) return std::nullopt;
  //= rfc2883#4.2
  std::optional<wire::SackBlock> found;
  for (rte_mbuf* at = record->first_packet; at != nullptr; at = note_of(at).next_packet) {
    if (wire::seq_geq(left_of(at), right)) break;
    if (wire::seq_leq(right_of(at), left)) continue;
    if (found && wire::seq_gt(left_of(at), found->right)) break;
    const SeqNum end = wire::seq_min(right_of(at), right);
    if (!found) found = {wire::seq_max(left_of(at), left), end};
    found->right = wire::seq_max(found->right, end);
  }
  return found && found->left != found->right ? found : std::nullopt;
}

/// Keeps a packet behind a gap. The list is ordered; a packet that another covers whole is dropped.
//= rfc9293#3.10.7.4 SHLD-31
Outcome keep_out_of_order(Context& ctx, ReceiveRecord& record, Text text) {
  const SeqNum left = text.seq, right = text.seq + text.length;
  rte_mbuf** link = &record.first_packet;
  while (*link != nullptr && wire::seq_leq(left_of(*link), left)) {
    const bool covers =
        wire::seq_geq(right_of(*link), right) && (note_of(*link).has_fin || !text.has_fin);
    if (covers) {
      if (note_of(*link).length > 0) report_run(record, run_around(record, left_of(*link)));
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
  if (text.length > 0) report_run(record, run_around(record, left));
  return Outcome::kSegmentOutOfOrder;
}

/// The largest payload seen is what a "full segment" is.
void note_full_size(Tcb& block, std::uint32_t length) {
  if (length > block.rcv_mss)
    block.rcv_mss = static_cast<std::uint16_t>(std::min<std::uint32_t>(length, 65535));
}

/// Is an ACK due at once for a segment with `length` new octets, which end `unacked` behind the
/// last ACK (RFC 9293 3.8.6.3, RFC 5681 4.2)? Else it may wait for company.
bool is_ack_due(Tcb& block, std::uint32_t length, std::uint32_t unacked) {
  // Quick ACKs let a sender's slow start grow: its segments are full. A small one is a question
  // that is soon answered, with the ACK on it.
  const bool is_quick = block.quick_acks > 0 && length >= block.rcv_mss;
  if (is_quick) --block.quick_acks;
  //= rfc9293#3.8.6.3 SHLD-19  rfc5681#4.2 SHLD-2
  return is_quick || unacked >= 2u * block.rcv_mss;
}

/// Each segment asks for its ACK, but there is one for all of a burst: output is pulled behind it.
//= rfc9293#3.10.7.4 MUST-58, MUST-59
void acknowledge(Context& ctx, std::uint32_t index, bool is_due) {
  if (is_due) return acknowledge_now(ctx, index);
  acknowledge_soon(ctx, index);
}

}  // namespace

void acknowledge_soon(Context& ctx, std::uint32_t index) {
  Tcb& block = ctx.touch(index);
  if (block.has(kAckNow) || ctx.is_armed(block, kTimerDelayedAck)) return;
  //= rfc9293#3.8.6.3 SHLD-18, MUST-40
  ctx.arm_at_end_of_round(block, ctx.tick_after(ctx.config.delayed_ack));
}

bool note_duplicate(Context& ctx, std::uint32_t index, const Segment& segment) {
  Tcb& block = ctx.touch(index);
  if (!block.has(kSackOk) || segment.payload == 0) return false;
  const auto duplicate = find_duplicate(ctx, index, segment.seq(), segment.seq() + segment.payload);
  if (!duplicate) return false;
  ReceiveRecord* const record = ctx.need_receive_record(block);
  if (record == nullptr) return true;  // it is not told; nothing else is lost
  report_duplicate(*record, *duplicate);
  return true;
}

namespace {

/// What the network marked, echoed to the sender.
void take_congestion_mark(Context& ctx, std::uint32_t index, const Segment& segment) {
  constexpr std::uint8_t kCongestionExperienced = 3;
  Tcb& block = ctx.tcb(index);
  if (!(block.ecn & kEcnOk)) return;
  const bool is_marked = segment.ecn == kCongestionExperienced;
  const bool is_echoing = (block.ecn & kEcnEcho) != 0;
  if (is_marked) ctx.metrics.count(Counter::kEcnMarksReceived);
  if (controller_of(block).traits().needs_ecn) {
    //= rfc8257#3.2  each mark counts: what came before a change is acknowledged with its own state
    if (is_marked == is_echoing) return;
    if (block.rcv.last_ack != block.rcv.nxt) send_ack_of_now(ctx, index);
    block.ecn ^= kEcnEcho;
    return;
  }
  //= rfc3168#6.1.3  until the peer says that it has reduced its window
  if (segment.has(wire::kCwr)) block.ecn = static_cast<std::uint8_t>(block.ecn & ~kEcnEcho);
  if (!is_marked) return;
  block.ecn |= kEcnEcho;
  acknowledge_now(ctx, index);
}

}  // namespace

TextResult take_text(Context& ctx, std::uint32_t index, Segment& segment) {
  Tcb& block = ctx.touch(index);
  TextResult result;
  const bool is_duplicate = note_duplicate(ctx, index, segment);
  Text text = trim(block, segment);
  if (text.length == 0 && !text.has_fin) {
    if (segment.payload > 0) {  // nothing of it was new
      acknowledge_now(ctx, index);
      result.outcome = Outcome::kOldDuplicate;
    }
    return result;
  }
  if (text.length == 0 && text.seq == block.rcv.nxt) {
    result.is_fin_next = text.has_fin;
    return result;
  }
  take_congestion_mark(ctx, index, segment);
  ReceiveRecord* const record = ctx.need_receive_record(block);
  if (record == nullptr) {
    result.outcome = Outcome::kNoMemory;
    return result;
  }
  note_full_size(block, text.length);
  if (text.seq != block.rcv.nxt) {
    result.outcome = keep_out_of_order(ctx, *record, std::move(text));
    //= rfc5681#4.2 SHLD-3, SHLD-4, MUST-3  rfc5681#3.2 SHLD-1  rfc2018#4 SHLD-3
    if (block.duplicate_acks_due < 32) ++block.duplicate_acks_due;
    ctx.want_output(index);
    if (record->is_idle()) ctx.drop_receive_record(block);
    return result;
  }
  const bool had_gap = record->first_packet != nullptr;
  result.is_fin_next = text.has_fin;
  result.has_advanced = true;
  const std::uint32_t length = text.length;
  advance(ctx, index, *record, std::move(text.octets));
  if (!result.is_fin_next) drain(ctx, index, *record, result);
  const bool is_due =
      is_ack_due(block, length, wire::seq_distance(block.rcv.last_ack, block.rcv.nxt));
  //= rfc5681#4.2 SHLD-5  rfc5681#3.2 SHLD-2  it filled a gap, or some of it came twice
  acknowledge(ctx, index, is_due || had_gap || is_duplicate);
  ctx.notify(index, app::kReadable);
  return result;
}

bool take_in_order(Context& ctx, std::uint32_t index, std::span<InboundSegment> run,
                   std::uint32_t header) {
  Tcb& block = ctx.tcb(index);
  ReceiveRecord* const record = ctx.need_receive_record(block);
  if (record == nullptr) return false;
  const std::uint32_t before = wire::seq_distance(block.rcv.last_ack, block.rcv.nxt);
  std::uint32_t taken = 0;
  bool is_due = false;
  for (InboundSegment& segment : run) {
    packet::PacketPtr packet = std::move(segment.packet);
    const std::uint32_t length = packet->pkt_len - header;
    taken += length;
    note_full_size(block, length);
    is_due |= is_ack_due(block, length, before + taken);
    if (packet->nb_segs == 1) {
      rte_pktmbuf_adj(packet.get(), static_cast<std::uint16_t>(header));
      append_ready(ctx, *record, std::move(packet));
    } else {
      packet::PacketChain octets(std::move(packet));
      octets.drop_front(header);
      append_ready(ctx, *record, std::move(octets));
    }
  }
  advance(ctx, index, taken);
  acknowledge(ctx, index, is_due);
  ctx.notify(index, app::kReadable);
  return true;
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
  forget_runs(*record);
  if (record->is_idle()) ctx.drop_receive_record(block);
}

}  // namespace sluice::tcp
