#include "tcp/input/ack.hpp"

#include <algorithm>

#include "tcp/output/output.hpp"
#include "tcp/output/payload.hpp"
#include "tcp/recovery/loss_recovery.hpp"
#include "tcp/recovery/rtt.hpp"

namespace sluice::tcp {
namespace {

/// The peer's window counts only from segments that are newer than the last that set it.
void update_send_window(Tcb& block, const Segment& segment, std::uint32_t window) {
  //= rfc9293#3.10.7.4 SND.WL1 < SEG.SEQ or (SND.WL1 = SEG.SEQ and SND.WL2 =< SEG.ACK)
  if (wire::seq_lt(block.snd_wl1, segment.seq()) ||
      (block.snd_wl1 == segment.seq() && wire::seq_leq(block.snd_wl2, segment.ack())))
    set_send_window(block, segment, window);
}

void take_rtt_sample(Context& ctx, Tcb& block, const Segment& segment) {
  SendRecord* const record = ctx.send_record(block);
  if (record != nullptr && record->is_timing) {
    if (wire::seq_lt(segment.ack(), record->timed_seq)) return;
    record->is_timing = false;
    on_rtt_sample(block, ctx.config, ctx.now - record->timed_at);
  } else if (block.has(kTimestampsOk) && segment.header.options.has_timestamps) {
    //= rfc7323#4.1  RTTM: the echo tells which sending this ACK answers
    const std::uint32_t echoed = segment.header.options.ts_ecr - block.ts_offset;
    const auto age = static_cast<std::int32_t>(ctx.tick - echoed);
    if (segment.header.options.ts_ecr != 0 && age >= 0 && age < 60'000)
      on_rtt_sample(block, ctx.config, kTickLength * std::max(age, 1));
  }
}

/// SND.UNA moves to SEG.ACK.
void advance_una(Context& ctx, std::uint32_t index, const Segment& segment) {
  Tcb& block = ctx.tcb(index);
  const std::uint32_t flight_before = flight_size(block);
  const std::uint32_t acked = wire::seq_distance(block.snd.una, segment.ack());
  const bool is_fin_acked = block.has(kFinSent) && segment.ack() == block.snd.nxt;
  take_rtt_sample(ctx, block, segment);
  block.snd.una = segment.ack();
  block.unacked_since = ctx.tick;
  block.backoff = 0;
  ctx.totals[index].bytes_acked += acked - (is_fin_acked ? 1u : 0u);
  SendRecord* const record = ctx.send_record(block);
  block.clear(kRetransmitNow);
  if (record != nullptr) {
    drop_acknowledged(*record, block.snd.una);
    if (on_ack_advanced(block, *record, acked, flight_before)) block.set(kRetransmitNow);
  }
  if (flight_size(block) == 0) {
    //= rfc6298#5.2
    ctx.disarm(block, kTimerRetransmit);
    block.clear(kPersisting);
  } else {
    //= rfc6298#5.3
    ctx.arm(index, kTimerRetransmit,
            ctx.tick + ticks_in(retransmission_timeout(block, ctx.config)));
  }
  if (record != nullptr && block.has(kSendBlocked) &&
      record->queue.bytes() <= ctx.config.send_buffer_bytes / 3 * 2) {
    block.clear(kSendBlocked);
    ctx.notify(index, app::kWritable);
  }
  if (record != nullptr && record->queue.is_empty() && flight_size(block) == 0)
    ctx.drop_send_record(block);
}

/// RFC 5681 2: what counts as a duplicate ACK.
bool is_duplicate_ack(const Tcb& block, const Segment& segment, std::uint32_t window_before) {
  // The answers to window probes repeat the ACK, too: nothing was lost.
  return !block.has(kPersisting) && segment.ack() == block.snd.una && flight_size(block) > 0 &&
         segment.length() == 0 && block.snd.wnd == window_before;
}

void leave_persist_if_open(Context& ctx, std::uint32_t index) {
  Tcb& block = ctx.tcb(index);
  if (!block.has(kPersisting)) return;
  if (!block.has(kOrphan)) block.unacked_since = ctx.tick;  // it answers: it lives
  if (block.snd.wnd == 0) return;
  block.clear(kPersisting | kProbeNow);
  block.backoff = 0;
  ctx.disarm(block, kTimerRetransmit);
  if (flight_size(block) > 0) block.set(kRetransmitNow);  // the probe's octet was not taken
}

}  // namespace

void set_send_window(Tcb& block, const Segment& segment, std::uint32_t window) {
  block.snd.wnd = window;
  block.snd_max_wnd = std::max(block.snd_max_wnd, window);
  block.snd_wl1 = segment.seq();
  block.snd_wl2 = segment.ack();
}

void take_ack(Context& ctx, std::uint32_t index, const Segment& segment) {
  Tcb& block = ctx.touch(index);
  const std::uint32_t window_before = block.snd.wnd;
  if (wire::seq_geq(segment.ack(), block.snd.una))
    update_send_window(block, segment,
                       static_cast<std::uint32_t>(segment.header.window) << block.snd_wscale());
  if (wire::seq_gt(segment.ack(), block.snd.una)) {
    advance_una(ctx, index, segment);
  } else if (is_duplicate_ack(block, segment, window_before)) {
    ctx.metrics.count(Counter::kDuplicateAcks);
    SendRecord* const record = ctx.send_record(block);
    if (record != nullptr && on_duplicate_ack(block, *record)) {
      ctx.metrics.count(Counter::kFastRetransmits);
      block.set(kRetransmitNow);
    }
  }
  // Alive, if unwilling. A connection that nobody owns any more does not wait for it without end.
  if (block.snd.wnd == 0 && !block.has(kOrphan)) block.unacked_since = ctx.tick;
  leave_persist_if_open(ctx, index);
  const bool has_more = block.has(kRetransmitNow) || unsent_bytes(ctx, block) > 0 ||
                        block.send_record != kNoIndex ||
                        (block.has(kFinQueued) && !block.has(kFinSent));
  if (has_more) ctx.want_output(index);
}

}  // namespace sluice::tcp
