#include "tcp/input/ack.hpp"

#include <algorithm>

#include "tcp/input/plain_flight.hpp"
#include "tcp/output/next_segment.hpp"
#include "tcp/output/output.hpp"
#include "tcp/output/payload.hpp"
#include "tcp/recovery/loss_recovery.hpp"
#include "tcp/recovery/rexmit_queue.hpp"
#include "tcp/recovery/rtt.hpp"
#include "tcp/recovery/sack_scoreboard.hpp"
#include "tcp/timer/loss_timer.hpp"

namespace sluice::tcp {
namespace {

/// The facts of an ACK that do not need the queue.
AckOutcome outcome_of(const SendSide& side, const Segment& segment, std::uint32_t window_before) {
  const Tcb& block = side.block;
  AckOutcome out;
  out.ack = segment.ack();
  out.prior_una = block.snd.una;
  out.flight_before = side.flight();
  out.pipe_before = side.pipe();
  //= rfc5681#2  what counts as a duplicate; the answers to window probes repeat the ACK, too
  out.is_duplicate = !block.has(kPersisting) && segment.ack() == block.snd.una &&
                     segment.length() == 0 && block.snd.wnd == window_before;
  out.has_ece = segment.has(wire::kEce) && (block.ecn & kEcnOk) != 0;
  out.has_timestamp = segment.header.options.has_timestamps && segment.header.options.ts_ecr != 0;
  out.ts_ecr = segment.header.options.ts_ecr;
  return out;
}

void take_rtt_samples(Context& ctx, SendSide& side, const AckOutcome& out) {
  Tcb& block = side.block;
  SendRecord& record = side.record;
  if (out.rtt_us != 0) note_min_rtt(block, out.rtt_us, ctx.tick);
  //= rfc6298#3 MUST-1, MUST-2  never a sample from octets that were sent twice (Karn)
  std::uint32_t sample = out.rtt_oldest_us;
  if (sample == 0 && out.has_advanced() && block.has(kTimestampsOk) && out.has_timestamp) {
    //= rfc7323#4.1  RTTM: the echo tells which sending this ACK answers
    const std::uint32_t age = ctx.tick - (out.ts_ecr - block.ts_offset);
    if (age < 60'000) sample = std::max(age, 1u) * 1'000;
  }
  if (sample != 0) block.is_probe_unmeasured = false;
  //= rfc6298#3 MUST-3  rfc7323#4.2 SHLD-1
  // One sample for each round trip: with more the variance would be averaged away (RFC 6298 4).
  const bool is_new_round =
      !record.has_timed_round || wire::seq_gt(out.ack, record.timed_round_end);
  if (sample == 0 || !is_new_round) return;
  on_rtt_sample(block, ctx.config, Duration::from_us(sample));
  record.has_timed_round = true;
  record.timed_round_end = block.snd.nxt;
}

void count_lost(Context& ctx, std::uint32_t index, std::uint32_t octets) {
  const std::uint32_t mss = std::max<std::uint32_t>(ctx.tcb(index).snd_mss, 1);
  ctx.totals[index].lost_segments += (octets + mss - 1) / mss;
}

/// Room in the send buffer again: the application that met a short write is told.
void tell_of_room(Context& ctx, std::uint32_t index, const SendRecord& record) {
  Tcb& block = ctx.tcb(index);
  if (!block.has(kSendBlocked) || record.queue.bytes() > ctx.send_buffer_of(block) / 3 * 2) return;
  block.clear(kSendBlocked);
  ctx.notify(index, app::kWritable);
}

/// An ACK while something is in flight.
void take_ack_in_flight(Context& ctx, std::uint32_t index, SendRecord& record,
                        const Segment& segment, std::uint32_t window_before) {
  Tcb& block = ctx.tcb(index);
  SendSide side = ctx.send_side(block, record);
  AckOutcome out = outcome_of(side, segment, window_before);
  const std::uint32_t lost_before = record.lost_total;
  if (wire::seq_gt(segment.ack(), block.snd.una)) {
    out.acked = wire::seq_distance(block.snd.una, segment.ack());
    advance_una(ctx, index, segment.ack());
    take_acknowledged(side, out);
    drop_acknowledged(record, block.snd.una);
    if (wire::seq_geq(block.snd.una, record.goal)) ctx.renew_goal(record);
  }
  const wire::TcpOptions& options = segment.header.options;
  if (block.has(kSackOk) && options.sack_count > 0)
    take_sack_blocks(side, {options.sack, options.sack_count}, out);
  if (out.is_duplicate) ctx.metrics.count(Counter::kDuplicateAcks);
  take_rtt_samples(ctx, side, out);
  const std::uint32_t wait_us = block.has(kPersisting) ? 0 : recover_on_ack(side, out);
  count_lost(ctx, index, record.lost_total - lost_before);
  if (!block.has(kPersisting)) restart_loss_timer(ctx, index, side, out, wait_us);
  tell_of_room(ctx, index, record);
}

/// Of all that is in flight, and nothing is said, or is to be said of it, besides.
bool is_usual_ack(const Tcb& block, const Segment& segment) {
  return segment.ack() == block.snd.nxt && segment.header.options.sack_count == 0 &&
         !segment.has(wire::kEce) &&
         (block.flags & (kTraced | kPersisting | kSendBlocked | kRetransmitNow | kProbeNow)) == 0;
}

/// What lies beyond the edge of a shut window was refused: now that the window is open it goes
/// again at once, for the timer that would send it may have backed off for minutes.
void resend_refused(Context& ctx, std::uint32_t index) {
  Tcb& block = ctx.tcb(index);
  block.backoff = 0;
  if (SendRecord* const record = ctx.send_record(block)) {
    SendSide side = ctx.send_side(block, *record);
    return resend_refused(side);
  }
  block.set(kRetransmitNow);  // a FIN that had no record to be had
  restart_rto(ctx, index);
}

void leave_persist_if_open(Context& ctx, std::uint32_t index) {
  Tcb& block = ctx.tcb(index);
  if (!block.has(kOrphan)) block.unacked_since = ctx.tick;  // it answers: it lives
  if (block.snd.wnd == 0) return;
  const std::uint32_t unsent = unsent_bytes(ctx, block);
  //= rfc9293#3.8.6.2.1 MUST-38
  // Too little to send: the override timer runs on, or a peer that sends more often than it fires
  // would hold our octets for ever.
  if (flight_size(block) == 0 && unsent > 0 && next_payload(ctx, block, unsent) == 0) return;
  block.clear(kPersisting | kProbeNow);
  block.backoff = 0;
  ctx.disarm(block, kTimerRetransmit);
  if (flight_size(block) > 0) resend_refused(ctx, index);  // the probe's octet was not taken
}

}  // namespace

void advance_una(Context& ctx, std::uint32_t index, SeqNum ack) {
  Tcb& block = ctx.tcb(index);
  const std::uint32_t acked = wire::seq_distance(block.snd.una, ack);
  const bool is_fin_acked = block.has(kFinSent) && ack == block.snd.nxt;
  block.snd.una = ack;
  block.unacked_since = ctx.tick;
  block.backoff = 0;
  block.clear(kRetransmitNow);
  const std::uint32_t octets = acked - (is_fin_acked ? 1u : 0u);
  ctx.totals[index].bytes_acked += octets;
  ctx.totals[index].send_queued -= octets;
}

void take_ack(Context& ctx, std::uint32_t index, const Segment& segment) {
  Tcb& block = ctx.touch(index);
  const std::uint32_t window_before = block.snd.wnd;
  const bool has_advanced = wire::seq_gt(segment.ack(), block.snd.una);
  if (wire::seq_geq(segment.ack(), block.snd.una))
    update_send_window(block, segment.seq(), segment.ack(), segment.window(block.snd_wscale()));
  SendRecord* const record = ctx.send_record(block);
  if (record != nullptr && has_advanced && is_usual_ack(block, segment) &&
      is_plain_flight(block, *record)) {
    take_plain_flight(ctx, index, *record);
  } else if (record != nullptr && (flight_size(block) > 0 || record->timer == LossTimer::kForget)) {
    take_ack_in_flight(ctx, index, *record, segment, window_before);
  } else if (has_advanced) {
    advance_una(ctx, index, segment.ack());  // of a FIN alone
    restart_rto(ctx, index);
  }
  if (flight_size(block) == 0 && (has_advanced || !block.has(kPersisting))) {
    //= rfc6298#5.2 SHLD-1
    ctx.disarm(block, kTimerRetransmit);
    block.clear(kPersisting);
    if (!keep_record_for_late_news(ctx, index)) ctx.drop_idle_send_record(block);
  }
  // Alive, if unwilling. A connection that nobody owns any more does not wait for it without end.
  if (block.snd.wnd == 0 && !block.has(kOrphan)) block.unacked_since = ctx.tick;
  if (block.has(kPersisting)) {
    leave_persist_if_open(ctx, index);
  } else if (window_before == 0 && block.snd.wnd > 0 && block.backoff > 0 &&
             flight_size(block) > 0) {
    resend_refused(ctx, index);
  }
  if (block.send_record != kNoIndex || (block.has(kFinQueued) && !block.has(kFinSent)))
    ctx.want_output(index);
}

}  // namespace sluice::tcp
