#include "tcp/timer/loss_timer.hpp"

#include <algorithm>

#include "tcp/recovery/loss_recovery.hpp"
#include "tcp/recovery/rtt.hpp"
#include "tcp/recovery/tail_probe.hpp"

namespace sluice::tcp {
namespace {

/// The timer goes off at `deadline`, or at the RTO if that comes first. There is one, so that each
/// takes the place of the others.
//= rfc8985#8 SHLD-1
void arm_as(Context& ctx, std::uint32_t index, SendRecord& record, LossTimer timer, Tick deadline) {
  const bool is_rto_first = tick_before(record.rto_at, deadline);
  record.timer = is_rto_first && timer != LossTimer::kProbe ? LossTimer::kRto : timer;
  ctx.arm(index, kTimerRetransmit, is_rto_first ? record.rto_at : deadline);
}

void arm_rto_or_probe(Context& ctx, std::uint32_t index, SendSide& side) {
  if (may_probe_tail(side)) {
    //= rfc8985#7.2 SHLD-1, SHLD-3  no later than the RTO
    arm_as(ctx, index, side.record, LossTimer::kProbe,
           ctx.tick_after(Duration::from_us(probe_timeout_us(side))));
  } else {
    arm_as(ctx, index, side.record, LossTimer::kRto, side.record.rto_at);
  }
}

Tick rto_deadline(const Context& ctx, const Tcb& block) {
  // As it nearly always is: in 32 bits, and far from the user timeout, which is a second at least.
  constexpr std::uint32_t kShort = 500'000;
  if (block.backoff == 0 && block.rto_us <= kShort && block.unacked_since == ctx.tick &&
      block.user_timeout == 0 && ctx.config.user_timeout >= Duration::from_s(1))
    return ctx.tick + (block.rto_us * 1'000 + ctx.ns_into_tick() + 999'999) / 1'000'000;
  const Tick by_rto = ctx.tick_after(retransmission_timeout(block, ctx.config));
  const Tick by_user = block.unacked_since + ticks_in(user_timeout(ctx, block));
  return tick_before(by_user, by_rto) ? by_user : by_rto;
}

}  // namespace

void restart_loss_timer(Context& ctx, std::uint32_t index, SendSide& side, const AckOutcome& out,
                        std::uint32_t reorder_wait_us) {
  Tcb& block = side.block;
  SendRecord& record = side.record;
  if (flight_size(block) == 0) return ctx.disarm(block, kTimerRetransmit);  //= rfc6298#5.2 SHLD-1
  const bool has_progress = out.has_advanced();
  if (has_progress) record.rto_at = rto_deadline(ctx, block);  //= rfc6298#5.3 SHLD-1
  if (out.is_reneging) {
    // What is missing there is not on its way. A little patience: the ACK may have been a late one.
    const Tick soon = ctx.tick + std::max(10u, block.srtt_us8 / 16 / 1000);
    if (tick_before(soon, record.rto_at)) record.rto_at = soon;
  }
  //= rfc8985#6.2 SHLD-2
  if (reorder_wait_us > 0) return arm_reorder_timer(ctx, index, record, reorder_wait_us);
  const bool is_overtaken = record.timer == LossTimer::kReorder ||
                            (record.timer == LossTimer::kProbe && !may_probe_tail(side));
  if (has_progress) {
    arm_rto_or_probe(ctx, index, side);
  } else if (is_overtaken || out.is_reneging) {
    arm_as(ctx, index, record, LossTimer::kRto, record.rto_at);
  }
}

void note_sent_for_loss_timer(Context& ctx, std::uint32_t index) {
  Tcb& block = ctx.tcb(index);
  SendRecord* const record = ctx.send_record(block);
  const bool is_running = is_loss_timer_running(ctx, block) && !block.has(kPersisting);
  block.clear(kPersisting);
  //= rfc6298#5.1 SHLD-1
  if (record == nullptr) {
    if (!is_running) restart_rto(ctx, index);
    return;
  }
  if (!is_running) record->rto_at = rto_deadline(ctx, block);
  if (is_running && record->timer == LossTimer::kReorder) return;
  SendSide side = ctx.send_side(block, *record);
  arm_rto_or_probe(ctx, index, side);
}

bool is_loss_timer_running(Context& ctx, const Tcb& block) {
  if (!ctx.is_armed(block, kTimerRetransmit)) return false;
  return block.send_record == kNoIndex ||
         ctx.sends.slab[block.send_record].timer != LossTimer::kForget;
}

bool keep_record_for_late_news(Context& ctx, std::uint32_t index) {
  Tcb& block = ctx.tcb(index);
  SendRecord* const record = ctx.send_record(block);
  if (record == nullptr || !block.has(kSackOk)) return false;
  //= rfc8985#7.4.2
  const bool is_probe_open = record->has_tail_probe && record->is_tail_probe_resent;
  const bool is_undo_open = record->has_undo && record->undo_resendings > 0;
  if (!is_probe_open && !is_undo_open) return false;
  record->timer = LossTimer::kForget;
  ctx.arm(index, kTimerRetransmit, ctx.tick_after(retransmission_timeout(block, ctx.config)));
  return true;
}

void restart_rto(Context& ctx, std::uint32_t index) {
  Tcb& block = ctx.tcb(index);
  const Tick deadline = rto_deadline(ctx, block);
  if (SendRecord* const record = ctx.send_record(block)) {
    record->rto_at = deadline;
    record->timer = LossTimer::kRto;
  }
  ctx.arm(index, kTimerRetransmit, deadline);
}

void arm_reorder_timer(Context& ctx, std::uint32_t index, SendRecord& record,
                       std::uint32_t wait_us) {
  arm_as(ctx, index, record, LossTimer::kReorder, ctx.tick_after(Duration::from_us(wait_us)));
}

Duration user_timeout(const Context& ctx, const Tcb& block) {
  return block.user_timeout != 0
             ? Duration::from_ms(static_cast<std::int64_t>(unpack_float16(block.user_timeout)))
             : ctx.config.user_timeout;
}

void restart_user_timeout(Context& ctx, std::uint32_t index) {
  Tcb& block = ctx.tcb(index);
  if (!is_loss_timer_running(ctx, block)) return;
  const Tick end = block.unacked_since + ticks_in(user_timeout(ctx, block));
  if (!tick_before(end, block.retransmit_at)) return;
  const Tick deadline = tick_before(end, ctx.tick) ? ctx.tick : end;
  if (SendRecord* const record = ctx.send_record(block)) record->rto_at = deadline;
  ctx.arm(index, kTimerRetransmit, deadline);
}

}  // namespace sluice::tcp
