#include "tcp/output/output.hpp"

#include <algorithm>
#include <cstring>

#include "tcp/congestion/controller.hpp"
#include "tcp/input/sack_report.hpp"
#include "tcp/output/control.hpp"
#include "tcp/output/lone_segment.hpp"
#include "tcp/output/next_segment.hpp"
#include "tcp/output/pacing.hpp"
#include "tcp/output/payload.hpp"
#include "tcp/output/window.hpp"
#include "tcp/recovery/loss_recovery.hpp"
#include "tcp/recovery/prr.hpp"
#include "tcp/recovery/rate_sample.hpp"
#include "tcp/recovery/rexmit_queue.hpp"
#include "tcp/recovery/rtt.hpp"
#include "tcp/recovery/tail_probe.hpp"
#include "tcp/recovery/undo.hpp"
#include "tcp/timer/loss_timer.hpp"

namespace sluice::tcp {
namespace {

using wire::TcpHeader;

enum class Freshness : bool { kNew, kAgain };

struct Planned {
  SeqNum seq;
  std::uint32_t payload = 0;
  std::uint32_t segments = 1;  ///< More: a train of so many with as much payload each.
  std::uint8_t flags = 0;      ///< Beside ACK.
  Freshness freshness = Freshness::kNew;
  bool is_window_probe = false;
};

/// ECN's part of a segment: what the peer must hear, and whether routers may mark it.
std::uint8_t mark_ecn(Tcb& block, const Planned& plan, TcpHeader& header) {
  constexpr std::uint8_t kEct0 = 2;
  if (!(block.ecn & kEcnOk) || (plan.flags & wire::kSyn)) return 0;
  if (block.ecn & kEcnEcho) header.flags |= wire::kEce;
  //= rfc9293#3.8.2 SHLD-8
  //= rfc3168#6.1.4, 6.1.5, 6.1.6  new octets only: no pure ACK, retransmission or window probe
  if (plan.payload == 0 || plan.freshness == Freshness::kAgain || plan.is_window_probe) return 0;
  //= rfc3168#6.1.2
  if (block.ecn & kEcnSendCwr) {
    header.flags |= wire::kCwr;
    block.ecn = static_cast<std::uint8_t>(block.ecn & ~kEcnSendCwr);
  }
  return kEct0;
}

//= rfc9293#3.2 MUST-65  rfc2018#2 MUST-1
void add_syn_options(Context& ctx, const Tcb& block, TcpHeader& header) {
  header.options.has_mss = true;
  //= rfc9293#3.7.1 MUST-14, MUST-67, SHLD-5
  header.options.mss = block.rcv_mss;
  const bool is_answer = block.state == State::kSynReceived;
  header.options.has_timestamps = is_answer ? block.has(kTimestampsOk) : ctx.config.timestamps;
  if (header.options.has_timestamps) {
    header.options.ts_val = ctx.tick + block.ts_offset;
    //= rfc7323#3.2 SHLD-1
    header.options.ts_ecr = is_answer ? block.ts_recent : 0;
  }
  header.options.has_sack_permitted = is_answer ? block.has(kSackOk) : ctx.config.sack;
  //= rfc7323#2.2 SHLD-1, MUST-1  rfc7323#2.3 SHLD-1
  header.options.has_window_scale =
      is_answer ? block.has(kWindowScaleOk) : ctx.config.window_scaling;
  //= rfc7323#2.3 MUST-1
  header.options.window_scale = window_scale_for(ctx.config);
}

void note_ack_sent(Context& ctx, Tcb& block) {
  block.clear(kAckNow);
  block.rcv.last_ack = block.rcv.nxt;
  ctx.disarm(block, kTimerDelayedAck);
}

/// Builds a segment, or a train of them, into the burst. False if there was no mbuf.
bool emit(Context& ctx, std::uint32_t index, const Planned& plan, Burst& burst) {
  Tcb& block = ctx.tcb(index);
  TcpHeader header;
  header.seq = plan.seq;
  header.flags = plan.flags;
  if (block.state != State::kSynSent) {
    header.flags |= wire::kAck;
    header.ack = block.rcv.nxt;
  }
  fill_header(ctx, block, header);
  const std::uint8_t ecn = mark_ecn(block, plan, header);
  std::uint32_t window;
  if (plan.flags & wire::kSyn) {
    add_syn_options(ctx, block, header);
    //= rfc7323#2.2 MUST-3
    window = std::min<std::uint32_t>(ctx.receive_buffer_of(block), 65535);
    block.rcv.adv = block.rcv.nxt + window;
    header.window = static_cast<std::uint16_t>(window);
  } else {
    header.window = advertise_window(ctx, block);
    window = static_cast<std::uint32_t>(header.window) << block.rcv_wscale();
  }

  packet::PacketPtr packet = make_header_packet(ctx, header);
  if (!packet) return false;
  const std::uint32_t size = plan.payload / plan.segments;
  if (plan.payload > 0 &&
      !attach_payload(ctx, *ctx.send_record(block), {plan.seq, plan.payload, size}, *packet)) {
    ctx.metrics.count(Counter::kTxNoBuffer);
    return false;
  }
  if (plan.segments > 1) packet->tso_segsz = size & 0xffff;
  burst.behind += plan.segments - 1;
  //= rfc9293#3.9.1.1 MUST-45
  OutboundSegment& out = burst.out[burst.used++];
  out.packet = std::move(packet);
  ctx.address(out, block);
  out.traffic_class = static_cast<std::uint8_t>(block.traffic_class | ecn);
  out.hint = &block.path;
  ctx.metrics.count(Counter::kSegmentsSent, plan.segments);
  const bool again = plan.freshness == Freshness::kAgain;
  if (again) {
    ctx.metrics.count(Counter::kRetransmittedSegments);
    ++ctx.totals[index].retransmitted_segments;
  }
  if (header.has(wire::kAck)) note_ack_sent(ctx, block);
  if (block.has(kTraced) && ctx.recorder.is_enabled())
    ctx.record_segment(telemetry::EventKind::kSent, ctx.hash_of(ctx.flow_of(block)), &block, header,
                       window, plan.payload, Outcome::kCount, again);
  return true;
}

bool emit_pure_ack(Context& ctx, std::uint32_t index, Burst& burst) {
  if (!emit(ctx, index, {.seq = acceptable_seq(ctx.tcb(index))}, burst)) return false;
  ctx.metrics.count(Counter::kPureAcksSent);
  return true;
}

/// Octets [SND.NXT, ...) have been sent for the first time.
void note_first_sending(Context& ctx, std::uint32_t index, const Planned& plan) {
  Tcb& block = ctx.tcb(index);
  const std::uint32_t length = plan.payload + ((plan.flags & wire::kFin) ? 1u : 0u);
  if (flight_size(block) == 0) block.unacked_since = ctx.tick;
  if (SendRecord* const record = ctx.send_record(block)) {
    SendSide side = ctx.send_side(block, *record);
    note_sent(side, length, plan.segments > 1 ? plan.payload / plan.segments : length);
    prr_note_sent(*record, length);
    if (plan.payload < segment_limit(ctx, block)) record->short_end = plan.seq + plan.payload;
  }
  block.snd.nxt = plan.seq + length;
  if (plan.flags & wire::kFin) block.set(kFinSent);
  ctx.metrics.count(Counter::kPayloadSent, plan.payload);
}

/// The segment [seq, seq + length) of what is in flight, FIN included, once more. False: no mbuf.
bool emit_resent(Context& ctx, std::uint32_t index, SeqNum seq, std::uint32_t length,
                 Burst& burst) {
  const Tcb& block = ctx.tcb(index);
  const SeqNum end = data_end(ctx, block);
  Planned plan{.seq = seq, .payload = length, .freshness = Freshness::kAgain};
  if (block.has(kFinSent) && seq + length == end + 1) {
    plan.flags |= wire::kFin;
    --plan.payload;
  }
  if (plan.payload > 0 && seq + plan.payload == end) plan.flags |= wire::kPsh;
  return emit(ctx, index, plan, burst);
}

/// A probe's few octets before the edge of what was sent: more of what waits goes with them.
void fill_up_last_run(Context& ctx, SendSide& side, std::uint32_t limit) {
  Tcb& block = side.block;
  SentRun& run = RexmitQueue(side).last();
  const std::uint32_t waiting = unsent_bytes(ctx, block);
  const std::uint32_t flight = flight_size(block);
  const std::uint32_t window = block.snd.wnd > flight ? block.snd.wnd - flight : 0;
  if (run.length >= limit || run.has(kRunSacked) || waiting == 0 || window == 0) return;
  const std::uint32_t more = std::min({limit - run.length, waiting, window});
  RexmitQueue(side).grow_last(more);
  block.snd.nxt += more;
  ctx.metrics.count(Counter::kPayloadSent, more);
}

/// One segment of a lost run. False: no room in the burst or no mbuf.
bool resend_from_run(Context& ctx, std::uint32_t index, SendSide& side, std::uint32_t run_index,
                     Burst& burst) {
  RexmitQueue queue(side);
  const std::uint32_t limit = segment_limit(ctx, side.block);
  if (run_index == side.record.last_run) fill_up_last_run(ctx, side, limit);
  SentRun& run = queue[run_index];
  // A FIN takes a number, but no room.
  const bool has_fin = side.block.has(kFinSent) && run.end() == side.block.snd.nxt;
  const std::uint32_t most = run.length <= limit + 1 && has_fin ? run.length : limit;
  const std::uint32_t length = std::min(run.length, most);
  if (burst.is_full() || !emit_resent(ctx, index, run.left, length, burst)) return false;
  if (length < run.length) static_cast<void>(queue.split(run_index, run.left + length));
  note_resending(side, 1);
  prr_note_sent(side.record, length);
  queue.mark_resent(queue[run_index], side.now_us);
  return true;
}

bool send_syn(Context& ctx, std::uint32_t index, Burst& burst) {
  Tcb& block = ctx.tcb(index);
  const bool again = block.backoff > 0 || block.snd.nxt != block.snd.una;
  std::uint8_t flags = wire::kSyn;
  if (block.state == State::kSynSent && (block.ecn & kEcnOffered)) {
    //= rfc3168#6.1.1.1  a middlebox may drop such a SYN: the next one does without
    if (again) {
      block.ecn = 0;
    } else {
      flags |= wire::kEce | wire::kCwr;
    }
  }
  if (!emit(ctx, index,
            {.seq = block.snd.una,
             .flags = flags,
             .freshness = again && block.backoff > 0 ? Freshness::kAgain : Freshness::kNew},
            burst))
    return false;
  if (SendRecord* const record = ctx.send_record(block)) {
    SendSide side = ctx.send_side(block, *record);
    RexmitQueue queue(side);
    if (queue.is_empty()) {
      note_sent(side, 1, 1);
    } else {
      queue.mark_resent(queue.first(), side.now_us);
    }
  }
  block.snd.nxt = block.snd.una + 1;
  block.clear(kRetransmitNow);
  //= rfc6298#5.1  a running one goes on: strangers can make us send SYNs, and no retry would end
  if (!ctx.is_armed(block, kTimerRetransmit)) restart_rto(ctx, index);
  return true;
}

bool send_probe(Context& ctx, std::uint32_t index, Burst& burst) {
  Tcb& block = ctx.tcb(index);
  if (block.has(kPersisting)) {
    //= rfc9293#3.8.6.1 MUST-36
    if (flight_size(block) > 0) {
      // The octet that an earlier probe carried: again, alone.
      const bool is_fin = block.snd.una == data_end(ctx, block);
      if (!emit(ctx, index,
                {.seq = block.snd.una,
                 .payload = is_fin ? 0u : 1u,
                 .flags = static_cast<std::uint8_t>(is_fin ? wire::kFin : 0),
                 .freshness = Freshness::kAgain},
                burst))
        return false;
      if (SendRecord* const record = ctx.send_record(block)) {
        SendSide side = ctx.send_side(block, *record);
        RexmitQueue queue(side);
        queue.mark_resent(queue.first(), side.now_us);
      }
    } else if (unsent_bytes(ctx, block) > 0) {
      // Within a window too small for silly-window avoidance: all of it; else one octet beyond.
      const bool is_allowed = block.snd.wnd > 0;
      const std::uint32_t payload = std::min({std::max<std::uint32_t>(block.snd.wnd, 1),
                                              unsent_bytes(ctx, block), segment_limit(ctx, block)});
      const Planned plan{.seq = block.snd.nxt,
                         .payload = payload,
                         .flags = wire::kPsh,
                         .is_window_probe = !is_allowed};
      if (!emit(ctx, index, plan, burst)) return false;
      note_first_sending(ctx, index, plan);
      if (is_allowed) {
        // Octets as any others: what crosses them does not say that they were refused.
        block.backoff = 0;
        note_sent_for_loss_timer(ctx, index);
      }
    }
    ctx.metrics.count(Counter::kWindowProbes);
  } else {
    //= rfc9293#3.8.4 SHLD-12  a segment below the window, without octets
    if (!emit(ctx, index, {.seq = block.snd.nxt - 1}, burst)) return false;
    ctx.metrics.count(Counter::kKeepaliveProbes);
  }
  block.clear(kProbeNow);
  return true;
}

/// Nothing came back for two round trips: new octets if there are any, else the last segment again
/// (RFC 8985 7.3). False if it lacked room or an mbuf.
bool send_tail_probe(Context& ctx, std::uint32_t index, SendSide& side, Burst& burst) {
  Tcb& block = side.block;
  SendRecord& record = side.record;
  if (!may_probe_tail(side) || flight_size(block) == 0) {
    record.is_probe_due = false;
    return true;
  }
  if (burst.is_full()) return false;
  const std::uint32_t flight = flight_size(block);
  const std::uint32_t window = block.snd.wnd > flight ? block.snd.wnd - flight : 0;
  const std::uint32_t payload =
      std::min({segment_limit(ctx, block), unsent_bytes(ctx, block), window});
  if (payload > 0) {
    //= rfc8985#7.3 SHLD-1, MUST-4  whatever cwnd says
    const Planned plan{.seq = block.snd.nxt, .payload = payload, .flags = wire::kPsh};
    if (!emit(ctx, index, plan, burst)) return false;
    note_first_sending(ctx, index, plan);
    note_tail_probe(side, false);
  } else {
    //= rfc8985#7.3 SHLD-2, MUST-4
    RexmitQueue queue(side);
    const SentRun& run = queue.last();
    const std::uint32_t rest = run.length % run.segment_size;
    // What has come behind a gap since then is told in it, and takes room.
    const std::uint32_t length =
        std::min({run.length, rest != 0 ? rest : run.segment_size, segment_limit(ctx, block)});
    if (!emit_resent(ctx, index, run.end() - length, length, burst)) return false;
    if (length == run.length || queue.split(record.last_run, run.end() - length)) {
      note_resending(side, 1);
      queue.mark_resent(queue.last(), side.now_us);
    }
    note_tail_probe(side, true);
  }
  record.is_probe_due = false;
  //= rfc8985#7.3 MUST-5
  restart_rto(ctx, index);
  return true;
}

/// Retransmissions of what is lost, as far as cwnd and pacing allow. False if they lacked room or
/// an mbuf.
bool send_again(Context& ctx, std::uint32_t index, Burst& burst) {
  Tcb& block = ctx.tcb(index);
  SendRecord* const record = ctx.send_record(block);
  if (record == nullptr) {
    if (!block.has(kRetransmitNow)) return true;
    // A FIN that had no record to be had.
    if (flight_size(block) > 0 &&
        (burst.is_full() || !emit_resent(ctx, index, block.snd.una, flight_size(block), burst)))
      return false;
    block.clear(kRetransmitNow);
    return true;
  }
  SendSide side = ctx.send_side(block, *record);
  if (record->is_probe_due && !send_tail_probe(ctx, index, side, burst)) return false;
  //= rfc5682#2.1  step 2: without new octets that may go, retransmission goes on
  if (record->is_frto_sending_new && block.snd.nxt == record->recover &&
      next_payload(ctx, block, unsent_bytes(ctx, block)) == 0)
    record->has_frto = record->is_frto_sending_new = false;
  if (record->to_resend == 0 || record->is_frto_sending_new) return true;
  RexmitQueue queue(side);
  bool is_head_sent = false;
  //= rfc6298#5.4 SHLD-1  rfc9293#3.8.6 SHLD-16  the earliest first
  for (std::uint32_t at = record->first_run; at != kNoIndex && record->to_resend > 0;
       at = queue[at].next) {
    const SentRun& run = queue[at];
    if (!run.has(kRunLost) || run.has(kRunResent)) continue;
    const std::uint32_t length = std::min<std::uint32_t>(run.length, block.snd_mss);
    const std::uint32_t pipe = side.pipe();
    //= rfc8985#9.3 MUST-1  rfc5681#3 MUST-1
    if (pipe > 0 && pipe + length > block.cwnd) break;
    if (is_held_by_pacing(ctx, index, *record)) break;
    if (!resend_from_run(ctx, index, side, at, burst)) return false;
    note_paced(ctx, block, *record, {.length = length});
    is_head_sent |= at == record->first_run;
  }
  //= rfc6298#5.3  the head's retransmission is what is timed now
  if (is_head_sent || !is_loss_timer_running(ctx, block)) restart_rto(ctx, index);
  return true;
}

//= rfc5681#4.1 SHLD-1
/// After idling longer than an RTO the old cwnd says nothing about the path (RFC 5681 4.1).
void restart_after_idle(Context& ctx, Tcb& block) {
  if (flight_size(block) > 0) return;
  const Tick idle = ctx.tick - block.unacked_since;
  if (block.srtt_us8 == 0 || idle <= ticks_in(retransmission_timeout(block, ctx.config))) return;
  block.cwnd =
      std::min(block.cwnd, initial_window(block.snd_mss, ctx.config.initial_window_segments));
  controller_of(block).on_idle_restart(block, ctx.send_record(block)->congestion, ctx.now_us());
}

/// The last of what is queued says so.
//= rfc9293#3.9.1.2 MUST-61
void push_last(const Tcb& block, std::uint32_t unsent, Planned& plan) {
  if (plan.payload != unsent) return;
  plan.flags |= wire::kPsh;
  if (block.has(kFinQueued)) plan.flags |= wire::kFin;
}

/// New octets and FIN. False if they lacked room or an mbuf.
bool send_new(Context& ctx, std::uint32_t index, Burst& burst, std::size_t turn_end) {
  Tcb& block = ctx.tcb(index);
  std::uint32_t unsent = unsent_bytes(ctx, block);
  if (unsent > 0) restart_after_idle(ctx, block);
  while (unsent > 0) {
    //= rfc5681#3.2 SHLD-5
    Planned plan{.seq = block.snd.nxt, .payload = next_payload(ctx, block, unsent)};
    if (plan.payload == 0) break;
    if (is_held_by_pacing(ctx, index, *ctx.send_record(block))) return true;
    if (burst.is_full() || burst.segments() >= turn_end) return false;
    const std::uint32_t size = plan.payload;
    plan.segments = train_length(
        ctx, index, {.size = size, .unsent = unsent, .burst = burst, .turn_end = turn_end});
    plan.payload *= plan.segments;
    push_last(block, unsent, plan);
    if (!emit(ctx, index, plan, burst)) {
      if (plan.segments == 1) return false;
      plan = {.seq = block.snd.nxt, .payload = size};  // for one there may be mbufs
      if (!emit(ctx, index, plan, burst)) return false;
    }
    note_first_sending(ctx, index, plan);
    note_paced(ctx, block, *ctx.send_record(block), {.length = size, .count = plan.segments});
    note_sent_for_loss_timer(ctx, index);
    unsent -= plan.payload;
  }
  if (unsent > 0) {
    if (flight_size(block) == 0 && !is_loss_timer_running(ctx, block)) {
      //= rfc9293#3.8.6.1 MUST-35, SHLD-29  only the peer's window can hold us with nothing in
      // flight
      block.set(kPersisting);
      block.unacked_since = ctx.tick;
      restart_rto(ctx, index);
    }
    return true;
  }
  if (block.has(kFinQueued) && !block.has(kFinSent)) {
    if (burst.is_full()) return false;
    const Planned plan{.seq = block.snd.nxt, .flags = wire::kFin};
    if (!emit(ctx, index, plan, burst)) return false;
    static_cast<void>(ctx.need_send_record(block));  // without one the RTO alone repairs a loss
    note_first_sending(ctx, index, plan);
    note_sent_for_loss_timer(ctx, index);
  }
  if (SendRecord* const record = ctx.send_record(block);
      record != nullptr && flight_size(block) > 0) {
    SendSide side = ctx.send_side(block, *record);
    if (record->to_resend == 0 && side.pipe() < block.cwnd) note_app_limited(side);
  }
  return true;
}

bool send_acks(Context& ctx, std::uint32_t index, Burst& burst) {
  Tcb& block = ctx.tcb(index);
  while (block.duplicate_acks_due > 0) {
    if (burst.is_full() || !emit_pure_ack(ctx, index, burst)) return false;
    --block.duplicate_acks_due;
  }
  if (!block.has(kAckNow)) return true;
  return !burst.is_full() && emit_pure_ack(ctx, index, burst);
}

}  // namespace

SeqNum data_end(Context& ctx, const Tcb& block) {
  if (block.send_record != kNoIndex) {
    const SendRecord& record = ctx.sends.slab[block.send_record];
    return record.base + record.queue.bytes();
  }
  return block.has(kFinSent) && block.snd.una != block.snd.nxt ? block.snd.nxt - 1 : block.snd.nxt;
}

std::uint32_t unsent_bytes(Context& ctx, const Tcb& block) {
  if (block.send_record == kNoIndex || block.has(kFinSent)) return 0;
  return wire::seq_distance(block.snd.nxt, data_end(ctx, block));
}

bool send_pending(Context& ctx, std::uint32_t index, Burst& burst) {
  if (burst.is_full()) return false;
  Tcb& block = ctx.touch(index);
  if (send_lone(ctx, index, burst)) return true;
  const std::size_t turn_end = burst.segments() + kSegmentsPerTurn;
  switch (block.state) {
    case State::kClosed:
    case State::kListen:
      return true;
    case State::kSynSent:
    case State::kSynReceived:
      if (block.has(kRetransmitNow) && !send_syn(ctx, index, burst)) return false;
      return send_acks(ctx, index, burst);
    case State::kTimeWait:
      return send_acks(ctx, index, burst);
    case State::kEstablished:
    case State::kFinWait1:
    case State::kFinWait2:
    case State::kCloseWait:
    case State::kClosing:
    case State::kLastAck:
      break;
  }
  if (block.has(kProbeNow) && !send_probe(ctx, index, burst)) return false;
  return send_again(ctx, index, burst) && send_new(ctx, index, burst, turn_end) &&
         send_acks(ctx, index, burst);
}

}  // namespace sluice::tcp
