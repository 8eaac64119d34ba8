#include "tcp/input/segment_arrives.hpp"

#include <optional>

#include "tcp/handshake/established.hpp"
#include "tcp/input/acceptability.hpp"
#include "tcp/input/ack.hpp"
#include "tcp/input/reassembly.hpp"
#include "tcp/output/control.hpp"
#include "tcp/output/output.hpp"
#include "tcp/recovery/loss_recovery.hpp"

namespace sluice::tcp {
namespace {

/// A step's verdict: nothing (go on), or the segment's end.
using Verdict = std::optional<Outcome>;

/// <SEQ=SND.NXT><ACK=RCV.NXT> for something refused. Octets and FINs are answered always, or a
/// peer that lost our ACK would be stranded; mere ACKs only within the connection's budget, or two
/// confused ends would answer each other for ever.
Outcome refuse(Context& ctx, std::uint32_t index, const Segment& segment, Outcome outcome) {
  if (segment.has(wire::kSyn)) {
    challenge(ctx, index);
  } else if (segment.length() > 0) {
    Tcb& block = ctx.touch(index);
    // Each duplicate has an ACK of its own to be told in.
    if (note_duplicate(ctx, index, segment) && block.duplicate_acks_due < 32)
      ++block.duplicate_acks_due;
    acknowledge_now(ctx, index);
  } else if (segment.seq() + 1 == ctx.tcb(index).rcv.nxt) {
    acknowledge_keepalive(ctx, index);
  } else {
    acknowledge_within_budget(ctx, index);
  }
  return outcome;
}

/// In a simultaneous open the peer's SYN-ACK has its SYN just below RCV.NXT (RFC 9293 figure 8):
/// its ACK is all that is new.
void strip_simultaneous_syn(const Tcb& block, Segment& segment) {
  if (block.state != State::kSynReceived || !segment.has(wire::kSyn) || !segment.has(wire::kAck))
    return;
  if (segment.seq() + 1 != block.rcv.nxt || segment.ack() != block.snd.nxt) return;
  segment.take_syn();
}

Verdict check_timestamps(Context& ctx, std::uint32_t index, const Segment& segment) {
  Tcb& block = ctx.tcb(index);
  //= rfc7323#5.2 MUST-1  rfc7323#3.2 MUST-6
  if (!block.has(kTimestampsOk) || segment.has(wire::kRst)) return {};
  if (!segment.header.options.has_timestamps) {
    if (segment.has(wire::kSyn)) return {};  // a peer that came up anew is challenged, not dropped
    //= rfc7323#3.2 SHLD-4, MUST-5
    return Outcome::kNoTimestamp;
  }
  //= rfc7323#5.3 MUST-1  R1: an ACK, for it may be a half-open connection
  if (is_paws_rejected(segment.header.options.ts_val, block.ts_recent,
                       ctx.totals[index].last_received_at, ctx.tick))
    return refuse(ctx, index, segment, Outcome::kPawsRejected);
  return {};
}

void keep_ack_only(Segment& segment) {
  segment.payload = 0;
  segment.header.flags = static_cast<std::uint8_t>(segment.header.flags & ~wire::kFin);
}

/// The octet of our window probe is acknowledged, by the peer's own probe or by an ACK that it
/// numbered as if we had not taken that one's octet (it cannot know: acceptable_seq). Unless this
/// counts, two ends whose probes were both taken refuse each other's ACKs for ever
/// (draft-gont-tcpm-tcp-seq-validation-04). Else what lies below the window counts for nothing.
bool is_answer_between_probes(const Tcb& block, const Segment& segment) {
  return block.has(kPersisting) && flight_size(block) > 0 && segment.seq() + 1 == block.rcv.nxt &&
         segment.length() <= 1 && segment.has(wire::kAck) && segment.ack() == block.snd.nxt;
}

Verdict check_sequence(Context& ctx, std::uint32_t index, Segment& segment) {
  Tcb& block = ctx.tcb(index);
  //= rfc7323#5.3 MUST-2
  if (Verdict verdict = check_timestamps(ctx, index, segment)) return verdict;
  switch (
      check_acceptability(segment.seq(), segment.length(), block.rcv.nxt, receive_window(block))) {
    case Acceptability::kAcceptable:
      break;
    case Acceptability::kAckOnly:
      keep_ack_only(segment);
      acknowledge_now(ctx, index);
      break;
    case Acceptability::kOldDuplicate:
      if (segment.has(wire::kRst)) return Outcome::kRstOutside;
      if (segment.has(wire::kSyn)) break;  // challenged below, wherever it lies
      refuse(ctx, index, segment, Outcome::kOldDuplicate);
      if (!is_answer_between_probes(block, segment)) return Outcome::kOldDuplicate;
      keep_ack_only(segment);
      //= rfc7323#4.3  TS.Recent follows acceptable segments only
      segment.header.options.has_timestamps = false;
      break;
    case Acceptability::kOutside:
      if (segment.has(wire::kRst)) return Outcome::kRstOutside;
      if (segment.has(wire::kSyn)) break;
      return refuse(ctx, index, segment, Outcome::kOutsideWindow);
  }
  return {};
}

/// The peer has been heard. Not before its ACK has been checked: who guesses a number in the window
/// and nothing else (a RST or SYN may be a stranger's, too) must not set the clock that PAWS goes
/// by, or all that the peer sends would be old.
void note_heard(Context& ctx, std::uint32_t index, const Segment& segment) {
  Tcb& block = ctx.tcb(index);
  //= rfc7323#5.2 MUST-2
  //= rfc7323#4.3 SHLD-1, SHLD-2, MUST-1  rfc7323#3.2 MUST-2  at or below Last.ACK.sent only
  if (block.has(kTimestampsOk) && segment.header.options.has_timestamps &&
      wire::seq_leq(segment.seq(), block.rcv.last_ack))
    block.ts_recent = segment.header.options.ts_val;
  ctx.totals[index].last_received_at = ctx.tick;
  block.keepalive_probes = 0;
}

/// The SYN that took us out of SYN-SENT needed no number of ours: if what resets its connection
/// acknowledges none either, both may be a stranger's, or the peer's answer to what the stranger's
/// made us send. The peer itself is asked once more, and refuses with an ACK if it means it.
Outcome return_to_syn_sent(Context& ctx, std::uint32_t index) {
  Tcb& block = ctx.tcb(index);
  block.clear(kTimestampsOk | kSackOk | kWindowScaleOk | kAckNow);
  block.duplicate_acks_due = 0;
  block.snd_max_wnd = 0;
  ctx.drop_receive_record(block);
  ctx.transition(index, State::kSynSent);
  block.set(kRetransmitNow);
  ctx.want_output(index);
  return Outcome::kHandshakeReset;
}

Verdict check_reset(Context& ctx, std::uint32_t index, const Segment& segment) {
  if (!segment.has(wire::kRst)) return {};
  Tcb& block = ctx.tcb(index);
  //= rfc5961#3.2 SHLD-1, MUST-2, MUST-3  elsewhere in the window it is only a question
  if (segment.seq() != block.rcv.nxt) {
    challenge(ctx, index);
    return Outcome::kRstChallenged;
  }
  const bool was_opening = block.state == State::kSynReceived;
  //= rfc9293#3.10.7.4 exception: refused is who resets with our SYN acknowledged, as in SYN-SENT
  if (was_opening && !(segment.has(wire::kAck) && segment.ack() == block.snd.nxt))
    return return_to_syn_sent(ctx, index);
  //= rfc5961#3.2 MUST-1  rfc9293#3.5.3 SHLD-2  rfc9293#3.6 MUST-12  rfc9293#3.5 MUST-11
  if (was_opening) ctx.metrics.count(Counter::kConnectRefused);
  ctx.close(index, was_opening ? CloseReason::kRefused : CloseReason::kReset);
  return Outcome::kRstAccepted;
}

Verdict check_syn(Context& ctx, std::uint32_t index, const Segment& segment) {
  if (!segment.has(wire::kSyn)) return {};
  //= rfc5961#4.2 SHLD-1, MUST-1, MUST-2  whatever its sequence number
  challenge(ctx, index);
  return Outcome::kSynChallenged;
}

bool is_fin_acked(const Tcb& block) {
  return block.has(kFinSent) && block.snd.una == block.snd.nxt;
}

Verdict check_ack(Context& ctx, std::uint32_t index, Segment& segment) {
  Tcb& block = ctx.tcb(index);
  if (!segment.has(wire::kAck)) return Outcome::kAckMissing;
  const SeqNum ack = segment.ack();
  if (block.state == State::kSynReceived) {
    if (!wire::seq_gt(ack, block.snd.una) || !wire::seq_leq(ack, block.snd.nxt)) {
      send_reset_for_ack(ctx, segment);
      return Outcome::kHandshakeBadAck;
    }
    become_established(ctx, index, segment);
  }
  //= rfc5961#5.2 MUST-1, MUST-2
  if (wire::seq_gt(ack, block.snd.nxt)) {
    challenge(ctx, index);
    return Outcome::kAckBeyondSent;
  }
  //= rfc5961#5.2 MUST-1, MUST-2  rfc9293#3.10.7.4 MAY-12
  if (wire::seq_lt(ack, block.snd.una - block.snd_max_wnd)) {
    challenge(ctx, index);
    return Outcome::kAckTooOld;
  }
  note_heard(ctx, index, segment);
  take_ack(ctx, index, segment);

  if (!is_fin_acked(block)) return {};
  switch (block.state) {
    case State::kClosing:
      ctx.enter_time_wait(index, segment.hash);
      return Outcome::kSegmentProcessed;
    case State::kLastAck:
      ctx.close(index, CloseReason::kNormal);
      return Outcome::kSegmentProcessed;
    case State::kClosed:
    case State::kListen:
    case State::kSynSent:
    case State::kSynReceived:
    case State::kEstablished:
    case State::kFinWait1:  // enter_fin_wait_2
    case State::kFinWait2:
    case State::kCloseWait:
    case State::kTimeWait:
      return {};
  }
  return {};
}

void check_urgent(Context& ctx, std::uint32_t index, const Segment& segment) {
  Tcb& block = ctx.tcb(index);
  if (!segment.has(wire::kUrg) || segment.header.urgent_pointer == 0 ||
      !may_receive_data(block.state))
    return;
  //= rfc9293#3.8.5 MUST-30, MUST-31, MUST-32, MUST-62
  const SeqNum up = segment.seq() + segment.header.urgent_pointer;
  if (block.has(kUrgentPending) && wire::seq_leq(up, block.rcv_up)) return;
  if (wire::seq_leq(up, ctx.first_unread(block))) return;
  block.rcv_up = up;
  block.set(kUrgentPending);
  ctx.metrics.count(Counter::kUrgentReceived);
  ctx.notify(index, app::kUrgent);
}

/// Step 7. A FIN that is next in order is left in `is_fin_next`.
Outcome process_text(Context& ctx, std::uint32_t index, Segment& segment, bool& is_fin_next) {
  Tcb& block = ctx.tcb(index);
  if (segment.length() == 0 || !may_receive_data(block.state)) return Outcome::kSegmentProcessed;
  if (block.has(kOrphan) && segment.payload > 0 &&
      wire::seq_gt(segment.seq() + segment.payload, block.rcv.nxt)) {
    //= rfc9293#3.6.1 SHLD-3  data that nobody will read is answered by RST
    send_reset(ctx, index, segment);
    ctx.close(index, CloseReason::kAborted);
    return Outcome::kDataAfterClose;
  }
  if (ctx.is_low_on_buffers() && segment.payload > 0) return Outcome::kPayloadShed;
  const TextResult result = take_text(ctx, index, segment);
  is_fin_next = result.is_fin_next;
  return result.outcome;
}

void process_fin(Context& ctx, std::uint32_t index, std::uint64_t hash) {
  Tcb& block = ctx.tcb(index);
  block.rcv.nxt += 1;
  discard_out_of_order(ctx, block);
  if (wire::seq_gt(block.rcv.nxt, block.rcv.adv)) block.rcv.adv = block.rcv.nxt;
  block.set(kFinReceived);
  ctx.notify(index, app::kReadable);
  switch (block.state) {
    case State::kEstablished:
      // Most applications close now, too: the ACK goes with our FIN then.
      acknowledge_soon(ctx, index);
      ctx.transition(index, State::kCloseWait);
      break;
    case State::kFinWait1:
      acknowledge_now(ctx, index);
      //= rfc9293#3.10.7.4  "if our FIN has been ACKed (perhaps in this segment)"
      if (is_fin_acked(block))
        ctx.enter_time_wait(index, hash);
      else
        ctx.transition(index, State::kClosing);
      break;
    case State::kFinWait2:
      acknowledge_now(ctx, index);
      ctx.enter_time_wait(index, hash);
      break;
    case State::kClosed:
    case State::kListen:
    case State::kSynSent:
    case State::kSynReceived:
    case State::kCloseWait:
    case State::kClosing:
    case State::kLastAck:
    case State::kTimeWait:
      break;
  }
}

/// The fifth step's way out of FIN-WAIT-1, taken behind the eighth: a segment that acknowledges our
/// FIN and has the peer's goes straight to TIME-WAIT, as in figure 5.
void enter_fin_wait_2(Context& ctx, std::uint32_t index) {
  Tcb& block = ctx.tcb(index);
  if (block.state != State::kFinWait1 || !is_fin_acked(block)) return;
  ctx.transition(index, State::kFinWait2);
  //= rfc9293#3.10.7.4  an orphan is not waited for without end
  if (block.has(kOrphan)) ctx.arm(index, kTimerLinger, ctx.tick_after(ctx.config.fin_wait_2));
}

}  // namespace

Outcome segment_arrives(Context& ctx, std::uint32_t index, Segment& segment) {
  strip_simultaneous_syn(ctx.touch(index), segment);
  if (Verdict verdict = check_sequence(ctx, index, segment)) return *verdict;  // first
  if (Verdict verdict = check_reset(ctx, index, segment)) return *verdict;     // second
  // third: security and precedence, historic (RFC 9293 A.1)
  if (Verdict verdict = check_syn(ctx, index, segment)) return *verdict;  // fourth
  if (Verdict verdict = check_ack(ctx, index, segment)) return *verdict;  // fifth
  //= rfc9293#3.4 MUST-66
  check_urgent(ctx, index, segment);  // sixth
  bool is_fin_next = false;
  const Outcome outcome = process_text(ctx, index, segment, is_fin_next);  // seventh
  if (is_fin_next) process_fin(ctx, index, segment.hash);                  // eighth
  enter_fin_wait_2(ctx, index);
  return outcome;
}

namespace {

template <class Entry>
Outcome time_wait_verdict(Context& ctx, FlowRef ref, Entry& entry, const Segment& segment,
                          bool& reuse) {
  //= rfc1337#3  RST is ignored, or an old duplicate would end the wait
  if (segment.has(wire::kRst)) return Outcome::kTimeWaitIgnored;
  const bool has_timestamps =
      (entry.flags & kTimeWaitTimestamps) != 0 && segment.header.options.has_timestamps;
  const std::int32_t age =
      static_cast<std::int32_t>(segment.header.options.ts_val - entry.ts_recent);
  const bool is_old = has_timestamps && age < 0;
  if (segment.has(wire::kSyn)) {
    //= rfc6191#2  rfc9293#3.6.1 SHLD-4, MAY-2  where only the new one has timestamps, no segment of
    // the old one can be taken for its own
    const bool is_first_with = (entry.flags & kTimeWaitTimestamps) == 0 && ctx.config.timestamps &&
                               segment.header.options.has_timestamps;
    const bool is_newer = has_timestamps && age != 0
                              ? age > 0
                              : is_first_with || wire::seq_gt(segment.seq(), entry.rcv_nxt);
    if (!segment.has(wire::kAck | wire::kFin) && is_newer) {
      reuse = true;
      return Outcome::kSynQueued;
    }
  } else {
    const bool lacks_timestamps = (entry.flags & kTimeWaitTimestamps) != 0 && !has_timestamps;
    const bool is_last_ack = segment.length() == 0 && segment.seq() == entry.rcv_nxt && !is_old;
    //= rfc7323#3.2  without the timestamp: silently, as in the states before
    if (lacks_timestamps || is_last_ack) return Outcome::kTimeWaitIgnored;
  }
  if (segment.has(wire::kFin) && !segment.has(wire::kSyn) && !is_old &&
      segment.seq() + segment.length() == entry.rcv_nxt) {
    //= rfc9293#3.10.7.4  a FIN again: acknowledge, restart the 2 MSL timeout
    entry.version.begin_write();
    entry.deadline = ctx.tick_after(ctx.config.time_wait);
    entry.flags = static_cast<std::uint16_t>(entry.flags | kTimeWaitRestarted);
    entry.version.end_write();
    send_time_wait_ack(ctx, ref);
    return Outcome::kTimeWaitFin;
  }
  // Octets are answered always: the peer may be stuck before our last ACK (see refuse()).
  const bool is_limited = segment.length() == 0 || segment.has(wire::kSyn);
  if (is_limited)
    return challenge_time_wait(ctx, ref) ? Outcome::kTimeWaitAcked : Outcome::kTimeWaitIgnored;
  send_time_wait_ack(ctx, ref);
  return Outcome::kTimeWaitAcked;
}

}  // namespace

Outcome time_wait_arrives(Context& ctx, FlowRef ref, const Segment& segment, bool& reuse) {
  reuse = false;
  if (ref.kind() == FlowRef::kTimeWait4)
    return time_wait_verdict(ctx, ref, ctx.time_wait4[ref.index()], segment, reuse);
  return time_wait_verdict(ctx, ref, ctx.time_wait6[ref.index()], segment, reuse);
}

}  // namespace sluice::tcp
