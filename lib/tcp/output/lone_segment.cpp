#include "tcp/output/lone_segment.hpp"

#include "tcp/output/payload.hpp"
#include "tcp/output/window.hpp"
#include "tcp/recovery/rate_sample.hpp"
#include "tcp/recovery/rexmit_queue.hpp"
#include "tcp/timer/loss_timer.hpp"
#include "wire/tcp_usual.hpp"

namespace sluice::tcp {
namespace {

/// With any of these set the long way has more to do.
constexpr std::uint32_t kUnusual =
    kRetransmitNow | kProbeNow | kPersisting | kTraced | kPaced | kFinSent;

bool is_usual(Context& ctx, const Tcb& block) {
  const bool is_open = block.state == State::kEstablished || block.state == State::kCloseWait ||
                       block.state == State::kFinWait1 || block.state == State::kLastAck;
  if (!is_open || (block.flags & (kUnusual | kTimestampsOk)) != kTimestampsOk ||
      block.send_record == kNoIndex || block.duplicate_acks_due != 0 || (block.ecn & kEcnOk) ||
      block.snd.una != block.snd.nxt)
    return false;
  // Nothing to say of gaps, which would take room.
  return block.receive_record == kNoIndex ||
         ctx.receives.slab[block.receive_record].sack_count == 0;
}

/// A record with nothing behind it, and a queue that may go whole.
bool is_lone(const Context& ctx, const Tcb& block, const SendRecord& record) {
  const std::uint32_t length = record.queue.bytes();
  const bool was_idle = block.srtt_us8 != 0 && ctx.tick - block.unacked_since > block.rto_us / 1000;
  return length > 0 && length <= block.snd_mss && length <= block.cwnd && length <= block.snd.wnd &&
         record.base == block.snd.nxt && record.run_count == 0 &&
         record.phase == RecoveryPhase::kOpen && !record.is_probe_due &&
         record.next_send_at_ns == 0 && !was_idle;
}

/// What note_sent() does when nothing is in flight: the record's only run.
void begin_flight(Context& ctx, const Tcb& block, SendRecord& record, std::uint32_t length) {
  const std::uint32_t index = ctx.runs.slab.take();
  SLUICE_ASSERT(index != kNoIndex);  // a first run is always to be had
  record.first_run = record.last_run = index;
  record.run_count = 1;
  record.first_sent_at_us = record.delivered_at_us = ctx.now_us();
  SentRun& run = ctx.runs.slab[index];
  run.left = block.snd.nxt;
  run.length = length;
  run.sent_at_us = ctx.now_us();
  run.segment_size = static_cast<std::uint16_t>(length);
  run.flags = record.app_limited_until != 0 ? kRunAppLimited : 0;
  run.resendings = 0;
  run.delivered = record.delivered;
  run.delivered_at_us = run.first_sent_at_us = ctx.now_us();
  run.lost_total = record.lost_total;
  run.tx_in_flight = length;
  run.next = kNoIndex;
}

}  // namespace

bool send_lone(Context& ctx, std::uint32_t index, Burst& burst) {
  Tcb& block = ctx.tcb(index);
  if (burst.is_full() || !is_usual(ctx, block)) return false;
  SendRecord& record = *ctx.send_record(block);
  if (!is_lone(ctx, block, record)) return false;
  packet::PacketPtr packet(rte_pktmbuf_alloc(ctx.pools.control));
  if (!packet) return false;
  std::byte* const header = rte_pktmbuf_mtod(packet.get(), std::byte*);
  const std::uint32_t length = record.queue.bytes();
  packet->data_len = wire::UsualTcp::kHeader;
  packet->pkt_len = wire::UsualTcp::kHeader;
  packet->l4_len = wire::UsualTcp::kHeader;
  if (!attach_payload(ctx, record, {block.snd.nxt, length, length}, *packet)) return false;
  //= rfc9293#3.9.1.2 MUST-61
  const bool has_fin = block.has(kFinQueued);
  const auto flags =
      static_cast<std::uint8_t>(wire::kAck | wire::kPsh | (has_fin ? wire::kFin : 0));
  //= rfc7323#3.2 MUST-1, MUST-4, SHLD-2
  wire::emit_usual({.seq = block.snd.nxt,
                    .ack = block.rcv.nxt,
                    .window = advertise_window(ctx, block),
                    .ts_val = ctx.tick + block.ts_offset,
                    .ts_ecr = block.ts_recent},
                   Port{block.key.local_port}, Port{block.key.remote_port}, flags, header);
  //= rfc9293#3.9.1.1 MUST-45
  OutboundSegment& out = burst.out[burst.used++];
  out.packet = std::move(packet);
  ctx.address(out, block);
  out.traffic_class = block.traffic_class;
  out.hint = &block.path;
  ctx.metrics.count(Counter::kSegmentsSent);
  ctx.metrics.count(Counter::kPayloadSent, length);

  block.clear(kAckNow);
  block.rcv.last_ack = block.rcv.nxt;
  ctx.disarm(block, kTimerDelayedAck);
  block.unacked_since = ctx.tick;
  block.pacing_rate = 0;
  const std::uint32_t sequence_space = length + (has_fin ? 1u : 0u);
  begin_flight(ctx, block, record, sequence_space);
  if (length < block.snd_mss) record.short_end = block.snd.nxt + length;
  block.snd.nxt += sequence_space;
  if (has_fin) block.set(kFinSent);
  note_sent_for_loss_timer(ctx, index);
  if (SendSide side = ctx.send_side(block, record); sequence_space < block.cwnd)
    note_app_limited(side);
  return true;
}

}  // namespace sluice::tcp
