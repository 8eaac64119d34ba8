#include "tcp/timer/tcp_timers.hpp"

#include <algorithm>

#include "tcp/output/control.hpp"
#include "tcp/output/output.hpp"
#include "tcp/recovery/loss_recovery.hpp"
#include "tcp/recovery/rexmit_queue.hpp"
#include "tcp/timer/loss_timer.hpp"

namespace sluice::tcp {
namespace {

constexpr std::uint8_t kMaxBackoff = 16;

void count_timer(Context& ctx, const Tcb& block, TimerKind kind) {
  ctx.metrics.count(kind);
  if (block.has(kTraced) && ctx.recorder.is_enabled())
    ctx.record_detail(telemetry::EventKind::kTimer, block, static_cast<std::uint8_t>(kind));
}

bool is_user_timeout_over(const Context& ctx, const Tcb& block) {
  return ctx.tick - block.unacked_since >= ticks_in(user_timeout(ctx, block));
}

void on_handshake_timeout(Context& ctx, std::uint32_t index) {
  Tcb& block = ctx.touch(index);
  count_timer(ctx, block, TimerKind::kConnect);
  // In SYN-RECEIVED, too: a TCB comes there from SYN-SENT, by a SYN that may be a stranger's.
  if (block.backoff >= ctx.config.syn_retries || is_user_timeout_over(ctx, block)) {
    //= rfc9293#3.8.3 MUST-22, MUST-21
    ctx.metrics.count(Counter::kConnectTimedOut);
    ctx.close(index, CloseReason::kTimedOut);
    return;
  }
  ++block.backoff;
  block.set(kRetransmitNow);
  ctx.want_output(index);
}

void on_persist_timeout(Context& ctx, std::uint32_t index) {
  Tcb& block = ctx.touch(index);
  count_timer(ctx, block, TimerKind::kPersist);
  // A peer that answers probes restarts unacked_since: it may hold its window shut for ever.
  //= rfc9293#3.8.6.1 MUST-37
  if (is_user_timeout_over(ctx, block)) {
    ctx.metrics.count(Counter::kUserTimeouts);
    ctx.close(index, CloseReason::kTimedOut);
    return;
  }
  //= rfc9293#3.8.6.1 SHLD-30
  block.backoff = std::min<std::uint8_t>(static_cast<std::uint8_t>(block.backoff + 1), kMaxBackoff);
  block.set(kProbeNow);
  ctx.want_output(index);
  restart_rto(ctx, index);
}

void on_probe_timeout(Context& ctx, std::uint32_t index, SendRecord& record) {
  count_timer(ctx, ctx.tcb(index), TimerKind::kTailProbe);
  record.is_probe_due = true;
  ctx.want_output(index);
  //= rfc8985#7.3 MUST-3, MUST-5  whether or not the probe gets out
  restart_rto(ctx, index);
}

void on_reorder_timeout(Context& ctx, std::uint32_t index, SendRecord& record) {
  Tcb& block = ctx.tcb(index);
  count_timer(ctx, block, TimerKind::kReorder);
  SendSide side = ctx.send_side(block, record);
  const std::uint32_t wait_us = recover_on_reorder_timeout(side);
  ctx.want_output(index);
  if (wait_us > 0) {
    arm_reorder_timer(ctx, index, record, wait_us);
  } else {
    record.timer = LossTimer::kRto;
    ctx.arm(index, kTimerRetransmit, record.rto_at);
  }
}

/// Full segments time out again and again and nobody says why: a router that drops what is too
/// large for it, and its ICMP errors do not come through. Smaller ones may (RFC 4821 7.7, RFC
/// 8899 4.3).
void suspect_black_hole(Context& ctx, std::uint32_t index, SendSide& side) {
  constexpr std::uint8_t kTimeouts = 2;  // this is the third
  constexpr std::uint16_t kBaseMss = 1024, kLeastMss = 512;
  Tcb& block = side.block;
  if (!ctx.config.black_hole_detection || block.backoff < kTimeouts || block.snd_mss <= kLeastMss)
    return;
  if (RexmitQueue(side).first().length < block.snd_mss) return;  // small ones are lost as well
  if (block.snd.wnd < block.snd_mss) return;  // it may be the peer that has no room for them
  block.snd_mss = block.snd_mss > kBaseMss ? kBaseMss : kLeastMss;
  ctx.metrics.count(Counter::kMtuBlackHoles);
  resend_larger_than(side, block.snd_mss);
  ctx.want_output(index);
}

void on_retransmit_timeout(Context& ctx, std::uint32_t index) {
  Tcb& block = ctx.touch(index);
  if (!is_synchronized(block.state)) return on_handshake_timeout(ctx, index);
  if (block.has(kPersisting)) return on_persist_timeout(ctx, index);
  if (flight_size(block) == 0) return ctx.drop_idle_send_record(block);  // no news came
  if (is_user_timeout_over(ctx, block)) {
    //= rfc9293#3.8.3 MUST-20
    count_timer(ctx, block, TimerKind::kUserTimeout);
    ctx.metrics.count(Counter::kUserTimeouts);
    ctx.close(index, CloseReason::kTimedOut);
    return;
  }
  SendRecord* const record = ctx.send_record(block);
  if (record != nullptr && record->timer == LossTimer::kProbe)
    return on_probe_timeout(ctx, index, *record);
  if (record != nullptr && record->timer == LossTimer::kReorder)
    return on_reorder_timeout(ctx, index, *record);
  count_timer(ctx, block, TimerKind::kRetransmit);
  ctx.metrics.count(Counter::kRtoFired);
  if (record != nullptr) {
    SendSide side = ctx.send_side(block, *record);
    recover_on_timeout(side);
    suspect_black_hole(ctx, index, side);
  } else {
    reduce_on_timeout(block);
    block.set(kRetransmitNow);
  }
  block.backoff = std::min<std::uint8_t>(static_cast<std::uint8_t>(block.backoff + 1), kMaxBackoff);
  ctx.want_output(index);
  //= rfc6298#5.5 MUST-1  rfc6298#5.6 SHLD-1  rfc6298#5 MUST-1
  restart_rto(ctx, index);
}

void on_keepalive(Context& ctx, std::uint32_t index) {
  Tcb& block = ctx.touch(index);
  //= rfc9293#3.8.4 MUST-24  an option, off by default (MUST-25)
  if (!block.has(kKeepaliveOn)) return;
  const Tick idle = ctx.tick - ctx.totals[index].last_received_at;
  const Tick patience = ticks_in(ctx.config.keepalive_idle);
  if (idle < patience) {
    block.keepalive_probes = 0;
    ctx.arm(index, kTimerKeepalive, ctx.totals[index].last_received_at + patience);
    return;
  }
  if (flight_size(block) > 0) {
    // Retransmissions probe already, and their limit is the user timeout.
    //= rfc9293#3.8.4 MUST-26
    ctx.arm(index, kTimerKeepalive, ctx.tick_after(ctx.config.keepalive_interval));
    return;
  }
  count_timer(ctx, block, TimerKind::kKeepalive);
  //= rfc9293#3.8.4 MUST-29
  if (block.keepalive_probes >= ctx.config.keepalive_count) {
    ctx.metrics.count(Counter::kKeepaliveTimeouts);
    send_reset(ctx, index);
    ctx.close(index, CloseReason::kKeepalive);
    return;
  }
  ++block.keepalive_probes;
  block.set(kProbeNow);
  ctx.want_output(index);
  ctx.arm(index, kTimerKeepalive, ctx.tick_after(ctx.config.keepalive_interval));
}

void on_deadline(Context& ctx, std::uint32_t index) {
  const auto is_due = [&](TcbTimer timer, Tick deadline) {
    Tcb& block = ctx.tcb(index);
    if (!ctx.is_armed(block, timer) || tick_before(ctx.tick, deadline)) return false;
    ctx.touch(index);
    ctx.disarm(block, timer);
    return true;
  };
  Tcb& block = ctx.tcb(index);
  if (is_due(kTimerDelayedAck, widen_tick(ctx.tick, block.delayed_ack_at))) {
    count_timer(ctx, block, TimerKind::kDelayedAck);
    ctx.metrics.count(Counter::kDelayedAcks);
    block.set(kAckNow);
    ctx.want_output(index);
  }
  if (is_due(kTimerApplication, block.application_at)) {
    count_timer(ctx, block, TimerKind::kApplication);
    ctx.notify(index, app::kTimer);
  }
  if (const SendRecord* const record = ctx.send_record(block);
      record != nullptr && is_due(kTimerPacing, record->pacing_at)) {
    ctx.metrics.count(TimerKind::kPacing);
    ctx.want_output(index);
  }
  if (is_due(kTimerRetransmit, block.retransmit_at)) on_retransmit_timeout(ctx, index);
  if (block.has(kDetached)) return;
  if (is_due(kTimerKeepalive, block.keepalive_at)) on_keepalive(ctx, index);
  if (block.has(kDetached)) return;
  if (is_due(kTimerLinger, block.linger_at)) {
    count_timer(ctx, block, TimerKind::kFinWait2);
    ctx.metrics.count(Counter::kOrphanTimeouts);
    ctx.close(index, CloseReason::kTimedOut);
    return;
  }
  // Deadlines that moved later, or were only disarmed, come back here: hang the node anew.
  const auto rearm = [&](TcbTimer timer, Tick deadline) {
    if (ctx.is_armed(block, timer)) ctx.wheel.arm(index, deadline);
  };
  rearm(kTimerRetransmit, block.retransmit_at);
  rearm(kTimerDelayedAck, widen_tick(ctx.tick, block.delayed_ack_at));
  rearm(kTimerKeepalive, block.keepalive_at);
  rearm(kTimerLinger, block.linger_at);
  rearm(kTimerApplication, block.application_at);
  if (const SendRecord* const record = ctx.send_record(block))
    rearm(kTimerPacing, record->pacing_at);
}

void on_half_open_deadline(Context& ctx, std::uint32_t index) {
  HalfOpen& entry = ctx.half_opens[index];
  ctx.metrics.count(TimerKind::kSynAck);
  const Tick end = entry.created_at + ticks_in(ctx.config.half_open_lifetime);
  if (entry.retransmits >= ctx.config.syn_ack_retries || !tick_before(ctx.tick, end)) {
    ctx.metrics.count(Counter::kHalfOpenExpired);
    ctx.drop_half_open(index);
    return;
  }
  entry.version.begin_write();
  ++entry.retransmits;
  entry.version.end_write();
  ctx.metrics.count(Counter::kSynAckRetransmits);
  send_syn_ack(ctx, index);
  const Tick next = ctx.tick_after(ctx.config.rto_initial * (1 << entry.retransmits));
  ctx.half_open_wheel.arm(index, tick_before(end, next) ? end : next);
}

void count_time_wait(Context& ctx, FlowRef ref, std::uint16_t flags) {
  ctx.metrics.count(TimerKind::kTimeWait);
  if (!(flags & kTimeWaitTraced) || !ctx.recorder.is_enabled()) return;
  telemetry::RecorderEvent event{};
  event.time = ctx.now.ns();
  event.flow = ctx.hash_of(ctx.flow_of_time_wait(ref));
  event.kind = telemetry::EventKind::kTimer;
  event.state = static_cast<std::uint8_t>(State::kTimeWait);
  event.detail = static_cast<std::uint8_t>(TimerKind::kTimeWait);
  ctx.recorder.record(event);
}

template <class Ring>
void expire_time_wait(Context& ctx, Ring& ring, FlowRef::Kind kind, std::uint32_t budget) {
  while (!ring.is_empty() && budget-- > 0) {
    const std::uint32_t oldest = ring.oldest();
    auto& entry = ring[oldest];
    if ((entry.flags & kTimeWaitInUse) && (entry.flags & kTimeWaitRestarted)) {
      auto moved = entry;
      moved.flags =
          static_cast<std::uint16_t>(moved.flags & ~(kTimeWaitRestarted | kTimeWaitInUse));
      const FlowRef old(kind, oldest);
      const std::uint64_t hash = ctx.hash_of(ctx.flow_of_time_wait(old));
      ring.give_up(oldest);
      ring.pop_oldest();
      ctx.flows.replace(hash, old, FlowRef(kind, ring.push(moved)));
      continue;
    }
    if ((entry.flags & kTimeWaitInUse) && tick_before(ctx.tick, entry.deadline)) return;
    if (entry.flags & kTimeWaitInUse) count_time_wait(ctx, FlowRef(kind, oldest), entry.flags);
    ctx.drop_time_wait(FlowRef(kind, oldest), Counter::kTimeWaitExpired);
  }
}

template <class Ring>
Instant time_wait_deadline(const Context& ctx, const Ring& ring) {
  if (ring.is_empty()) return Instant::never();
  const auto& entry = ring[ring.oldest()];
  if (!(entry.flags & kTimeWaitInUse) || (entry.flags & kTimeWaitRestarted)) return ctx.now;
  return start_of_tick(ctx.now, entry.deadline);
}

}  // namespace

void restart_keepalive(Context& ctx, std::uint32_t index) {
  Tcb& block = ctx.tcb(index);
  if (!block.has(kKeepaliveOn) || ctx.is_armed(block, kTimerKeepalive)) return;
  ctx.arm(index, kTimerKeepalive,
          ctx.totals[index].last_received_at + ticks_in(ctx.config.keepalive_idle));
}

void advance_timers(Context& ctx, std::uint32_t budget) {
  ctx.wheel.advance(ctx.tick, budget, [&](std::uint32_t index) { on_deadline(ctx, index); });
  ctx.half_open_wheel.advance(ctx.tick, budget,
                              [&](std::uint32_t index) { on_half_open_deadline(ctx, index); });
  expire_time_wait(ctx, ctx.time_wait4, FlowRef::kTimeWait4, budget);
  expire_time_wait(ctx, ctx.time_wait6, FlowRef::kTimeWait6, budget);
}

Instant next_timer(const Context& ctx) {
  Instant next = Instant::never();
  const auto consider = [&](const auto& wheel) {
    Tick when;
    if (!wheel.next_event(when)) return;
    next = std::min(next, start_of_tick(ctx.now, when));
  };
  consider(ctx.wheel);
  consider(ctx.half_open_wheel);
  next = std::min(next, time_wait_deadline(ctx, ctx.time_wait4));
  return std::min(next, time_wait_deadline(ctx, ctx.time_wait6));
}

}  // namespace sluice::tcp
