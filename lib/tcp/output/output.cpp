#include "tcp/output/output.hpp"

#include <algorithm>
#include <cstring>

#include "tcp/congestion/controller.hpp"
#include "tcp/output/control.hpp"
#include "tcp/output/payload.hpp"
#include "tcp/output/window.hpp"
#include "tcp/recovery/loss_recovery.hpp"
#include "tcp/recovery/rtt.hpp"

namespace sluice::tcp {
namespace {

using wire::TcpHeader;

constexpr std::size_t kSegmentsPerTurn = 32;  // then other connections have theirs

enum class Freshness : bool { kNew, kAgain };

struct Planned {
  SeqNum seq;
  std::uint32_t payload = 0;
  std::uint8_t flags = 0;  ///< Beside ACK.
  Freshness freshness = Freshness::kNew;
};

void add_syn_options(Context& ctx, const Tcb& block, TcpHeader& header) {
  header.options.has_mss = true;
  header.options.mss = block.rcv_mss;
  const bool is_answer = block.state == State::kSynReceived;
  header.options.has_timestamps = is_answer ? block.has(kTimestampsOk) : ctx.config.timestamps;
  if (header.options.has_timestamps) {
    header.options.ts_val = ctx.tick + block.ts_offset;
    header.options.ts_ecr = is_answer ? block.ts_recent : 0;
  }
  header.options.has_sack_permitted = is_answer ? block.has(kSackOk) : ctx.config.sack;
  header.options.has_window_scale =
      is_answer ? block.has(kWindowScaleOk) : ctx.config.window_scaling;
  header.options.window_scale = window_scale_for(ctx.config);
}

void note_ack_sent(Context& ctx, Tcb& block) {
  block.clear(kAckNow);
  block.rcv.last_ack = block.rcv.nxt;
  ctx.disarm(block, kTimerDelayedAck);
}

void arm_retransmission(Context& ctx, std::uint32_t index) {
  Tcb& block = ctx.tcb(index);
  if (ctx.is_armed(block, kTimerRetransmit) && !block.has(kPersisting)) return;
  block.clear(kPersisting);
  //= rfc6298#5.1
  ctx.arm(index, kTimerRetransmit, ctx.tick + ticks_in(retransmission_timeout(block, ctx.config)));
}

/// Builds one segment into the burst. False if there was no mbuf.
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
  std::uint32_t window;
  if (plan.flags & wire::kSyn) {
    add_syn_options(ctx, block, header);
    window = std::min<std::uint32_t>(ctx.receive_buffer_of(block), 65535);
    block.rcv.adv = block.rcv.nxt + window;
    header.window = static_cast<std::uint16_t>(window);
  } else {
    header.window = advertise_window(ctx, block);
    window = static_cast<std::uint32_t>(header.window) << block.rcv_wscale();
  }

  packet::PacketPtr packet = make_header_packet(ctx, header);
  if (!packet) return false;
  if (plan.payload > 0 &&
      !attach_payload(ctx, *ctx.send_record(block), plan.seq, plan.payload, *packet)) {
    ctx.metrics.count(Counter::kTxNoBuffer);
    return false;
  }
  const FlowKey flow = ctx.flow_of(block);
  burst.out[burst.used++] = {.packet = std::move(packet),
                             .source = flow.local,
                             .destination = flow.remote,
                             .traffic_class = 0,
                             .hint = &block.path};
  ctx.metrics.count(Counter::kSegmentsSent);
  const bool again = plan.freshness == Freshness::kAgain;
  if (again) {
    ctx.metrics.count(Counter::kRetransmittedSegments);
    ++ctx.totals[index].retransmitted_segments;
  }
  if (header.has(wire::kAck)) note_ack_sent(ctx, block);
  if (block.has(kTraced) && ctx.recorder.is_enabled())
    ctx.record_segment(telemetry::EventKind::kSent, ctx.hash_of(flow), &block, header, window,
                       plan.payload, Outcome::kCount, again);
  return true;
}

/// SND.NXT, but no further than the peer's right edge: a probe's octet that was not taken, or a
/// window that shrank, leaves SND.NXT where the peer must refuse the segment, its ACK included. Two
/// ends with shut windows would never again hear each other.
SeqNum acceptable_seq(const Tcb& block) {
  return wire::seq_min(block.snd.nxt, block.snd.una + block.snd.wnd);
}

bool emit_pure_ack(Context& ctx, std::uint32_t index, Burst& burst) {
  if (!emit(ctx, index, {.seq = acceptable_seq(ctx.tcb(index))}, burst)) return false;
  ctx.metrics.count(Counter::kPureAcksSent);
  return true;
}

/// Octets of payload a segment may carry beside the SACK blocks that will be in it.
std::uint32_t segment_limit(Context& ctx, const Tcb& block) {
  std::uint32_t limit = block.snd_mss;
  if (block.has(kSackOk) && block.receive_record != kNoIndex) {
    const std::uint32_t count = ctx.receives.slab[block.receive_record].sack_count;
    if (count > 0)
      limit -= std::min(limit / 2, 4 + 8 * std::min(count, block.has(kTimestampsOk) ? 3u : 4u));
  }
  return limit;
}

/// Marks octets [seq, seq + length) as sent for the first time.
void note_first_sending(Context& ctx, Tcb& block, const Planned& plan) {
  const std::uint32_t length = plan.payload + ((plan.flags & wire::kFin) ? 1u : 0u);
  if (flight_size(block) == 0) block.unacked_since = ctx.tick;
  block.snd.nxt = plan.seq + length;
  if (plan.flags & wire::kFin) block.set(kFinSent);
  ctx.metrics.count(Counter::kPayloadSent, plan.payload);
  SendRecord* const record = ctx.send_record(block);
  if (record != nullptr && !record->is_timing && record->phase == RecoveryPhase::kOpen) {
    record->is_timing = true;
    record->timed_seq = block.snd.nxt;
    record->timed_at = ctx.now;
  }
}

/// Sends again from `seq`: one segment of what is in flight, FIN included. Gives the sequence space
/// used; 0 if there was no mbuf.
std::uint32_t emit_again(Context& ctx, std::uint32_t index, SeqNum seq, Burst& burst) {
  Tcb& block = ctx.tcb(index);
  SendRecord* const record = ctx.send_record(block);
  if (record != nullptr) record->is_timing = false;  // Karn's algorithm: RFC 6298 3
  const SeqNum end = data_end(ctx, block);
  const SeqNum sent_data_end = wire::seq_min(end, block.snd.nxt);
  Planned plan{.seq = seq, .freshness = Freshness::kAgain};
  const std::uint32_t limit = segment_limit(ctx, block);
  if (wire::seq_lt(seq, sent_data_end)) {
    plan.payload = std::min(limit, wire::seq_distance(seq, sent_data_end));
    // A short segment at the edge (a probe's octet) goes out filled up, as far as the window lets
    // it.
    const std::uint32_t offered = block.snd.wnd;
    if (seq + plan.payload == block.snd.nxt && plan.payload < limit && offered > plan.payload &&
        seq == block.snd.una)
      plan.payload = std::min({limit, wire::seq_distance(seq, end), offered});
    if (seq + plan.payload == end) plan.flags |= wire::kPsh;
  }
  if (block.has(kFinSent) && seq + plan.payload == end) plan.flags |= wire::kFin;
  const std::uint32_t length = plan.payload + ((plan.flags & wire::kFin) ? 1u : 0u);
  if (length == 0 || !emit(ctx, index, plan, burst)) return 0;
  if (wire::seq_gt(seq + length, block.snd.nxt)) block.snd.nxt = seq + length;
  arm_retransmission(ctx, index);
  return length;
}

bool send_syn(Context& ctx, std::uint32_t index, Burst& burst) {
  Tcb& block = ctx.tcb(index);
  const bool again = block.backoff > 0 || block.snd.nxt != block.snd.una;
  if (!emit(ctx, index,
            {.seq = block.snd.una,
             .flags = wire::kSyn,
             .freshness = again && block.backoff > 0 ? Freshness::kAgain : Freshness::kNew},
            burst))
    return false;
  block.snd.nxt = block.snd.una + 1;
  block.clear(kRetransmitNow);
  arm_retransmission(ctx, index);
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
    } else if (unsent_bytes(ctx, block) > 0) {
      // Within a window too small for silly-window avoidance: all of it; else one octet beyond.
      const std::uint32_t payload = std::min({std::max<std::uint32_t>(block.snd.wnd, 1),
                                              unsent_bytes(ctx, block), segment_limit(ctx, block)});
      const Planned plan{.seq = block.snd.nxt, .payload = payload, .flags = wire::kPsh};
      if (!emit(ctx, index, plan, burst)) return false;
      note_first_sending(ctx, block, plan);
      if (SendRecord* record = ctx.send_record(block)) record->is_timing = false;
    }
    ctx.metrics.count(Counter::kWindowProbes);
  } else {
    //= rfc9293#3.8.4  a segment below the window, without octets
    if (!emit(ctx, index, {.seq = block.snd.nxt - 1}, burst)) return false;
    ctx.metrics.count(Counter::kKeepaliveProbes);
  }
  block.clear(kProbeNow);
  return true;
}

/// Retransmissions. False if they lacked room or an mbuf.
bool send_again(Context& ctx, std::uint32_t index, Burst& burst) {
  Tcb& block = ctx.tcb(index);
  if (block.has(kRetransmitNow)) {
    if (flight_size(block) > 0) {
      if (burst.is_full() || emit_again(ctx, index, block.snd.una, burst) == 0) return false;
    }
    block.clear(kRetransmitNow);
  }
  SendRecord* const record = ctx.send_record(block);
  if (record == nullptr || record->phase != RecoveryPhase::kTimeout) return true;
  while (wire::seq_lt(record->resend, record->recover)) {
    const std::uint32_t pipe = wire::seq_distance(block.snd.una, record->resend);
    if (pipe > 0 && pipe + block.snd_mss > block.cwnd) break;
    if (burst.is_full()) return false;
    const std::uint32_t length = emit_again(ctx, index, record->resend, burst);
    if (length == 0) return false;
    record->resend += length;
  }
  return true;
}

/// How much of `unsent` the next new segment takes; 0: not now.
std::uint32_t next_payload(Context& ctx, Tcb& block, std::uint32_t unsent) {
  const SendRecord* const record = ctx.send_record(block);
  // After a timeout nothing new is sent before everything that was lost is on its way again.
  if (record->phase == RecoveryPhase::kTimeout && wire::seq_lt(record->resend, record->recover))
    return 0;
  std::uint32_t flight = flight_size(block);
  const std::uint32_t limit = segment_limit(ctx, block);
  const std::uint32_t congestion = block.cwnd + limited_transmit_allowance(block, record);
  const std::uint32_t by_congestion = congestion > flight ? congestion - flight : 0;
  const std::uint32_t by_peer = block.snd.wnd > flight ? block.snd.wnd - flight : 0;
  const std::uint32_t usable = std::min(by_congestion, by_peer);
  const std::uint32_t length = std::min({unsent, usable, limit});
  if (length == 0 || length == limit) return length;
  //= rfc9293#3.8.6.2.1 MUST-38
  if (length == unsent) {
    const bool nagle = !(block.has(kNodelaySet) ? block.has(kNodelay) : ctx.config.nodelay);
    //= rfc9293#3.7.4 SHLD-7, MUST-17
    return nagle && flight > 0 && !block.has(kFinQueued) ? 0 : length;
  }
  if (by_peer <= by_congestion && length >= block.snd_max_wnd / 2) return length;
  return 0;
}

/// After idling longer than an RTO the old cwnd says nothing about the path (RFC 5681 4.1).
void restart_after_idle(Context& ctx, Tcb& block) {
  if (flight_size(block) > 0) return;
  const Tick idle = ctx.tick - block.unacked_since;
  if (block.srtt_us8 == 0 || idle <= ticks_in(retransmission_timeout(block, ctx.config))) return;
  block.cwnd =
      std::min(block.cwnd, initial_window(block.snd_mss, ctx.config.initial_window_segments));
}

/// New octets and FIN. False if they lacked room or an mbuf.
bool send_new(Context& ctx, std::uint32_t index, Burst& burst, std::size_t turn_end) {
  Tcb& block = ctx.tcb(index);
  std::uint32_t unsent = unsent_bytes(ctx, block);
  if (unsent > 0) restart_after_idle(ctx, block);
  while (unsent > 0) {
    Planned plan{.seq = block.snd.nxt, .payload = next_payload(ctx, block, unsent)};
    if (plan.payload == 0) break;
    if (burst.is_full() || burst.used >= turn_end) return false;
    if (plan.payload == unsent) {
      plan.flags |= wire::kPsh;
      if (block.has(kFinQueued)) plan.flags |= wire::kFin;
    }
    if (!emit(ctx, index, plan, burst)) return false;
    note_first_sending(ctx, block, plan);
    arm_retransmission(ctx, index);
    unsent -= plan.payload;
  }
  if (unsent > 0) {
    if (flight_size(block) == 0 && !ctx.is_armed(block, kTimerRetransmit)) {
      //= rfc9293#3.8.6.1 MUST-35, SHLD-29  only the peer's window can hold us with nothing in
      // flight
      block.set(kPersisting);
      block.unacked_since = ctx.tick;
      ctx.arm(index, kTimerRetransmit,
              ctx.tick + ticks_in(retransmission_timeout(block, ctx.config)));
    }
    return true;
  }
  if (block.has(kFinQueued) && !block.has(kFinSent)) {
    if (burst.is_full()) return false;
    const Planned plan{.seq = block.snd.nxt, .flags = wire::kFin};
    if (!emit(ctx, index, plan, burst)) return false;
    note_first_sending(ctx, block, plan);
    arm_retransmission(ctx, index);
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
  const std::size_t turn_end = burst.used + kSegmentsPerTurn;
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
