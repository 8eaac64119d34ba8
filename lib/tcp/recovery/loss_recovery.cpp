#include "tcp/recovery/loss_recovery.hpp"

#include <algorithm>
#include <utility>

#include "tcp/congestion/controller.hpp"
#include "tcp/recovery/prr.hpp"
#include "tcp/recovery/rack.hpp"
#include "tcp/recovery/rate_sample.hpp"
#include "tcp/recovery/rexmit_queue.hpp"
#include "tcp/recovery/rtt.hpp"
#include "tcp/recovery/sack_scoreboard.hpp"
#include "tcp/recovery/tail_probe.hpp"
#include "tcp/recovery/undo.hpp"

namespace sluice::tcp {
namespace {

using telemetry::Counter;

constexpr std::uint8_t kDuplicateThreshold = 3;

const Controller& algorithm(const SendSide& side) {
  return controller_of(side.block);
}

bool is_sack(const SendSide& side) {
  return side.block.has(kSackOk);
}

bool is_recover_acked(const SendSide& side) {
  return wire::seq_geq(side.block.snd.una, side.record.recover);
}

/// ssthresh comes down, and PRR begins to bring cwnd down with it.
void begin_reduction(SendSide& side, const AckOutcome& out, CongestionCause cause) {
  Tcb& block = side.block;
  //= rfc5681#3.2 MUST-4  what limited transmit sent beyond cwnd does not count
  const std::uint32_t flight = std::min(out.flight_before, block.cwnd);
  //= rfc5681#3.2 MUST-3  rfc5681#4.3 MUST-1  rfc2018#5.1 MUST-1  by the algorithm's own factor
  block.ssthresh = algorithm(side).ssthresh_after_loss(
      block, side.record.congestion, {.cause = cause, .flight = flight, .now_us = side.now_us});
  //= rfc3168#6.1.2
  if (block.ecn & kEcnOk) block.ecn |= kEcnSendCwr;
  prr_begin(side, out);
}

void set_recover(SendRecord& record, const Tcb& block, RecoveryPhase phase) {
  record.phase = phase;
  record.recover = block.snd.nxt;
  record.has_recover = true;
}

/// Losses of one window are one event, those of the next a second. A retransmission that is lost
/// again is left to PRR, as RFC 8985 9.3 allows.
//= rfc5681#4.3 MUST-5
void enter_recovery(SendSide& side, const AckOutcome& out) {
  SendRecord& record = side.record;
  side.metrics.count(Counter::kFastRetransmits);
  record.has_frto = record.is_frto_sending_new = false;
  if (record.phase != RecoveryPhase::kReducing) {
    remember_for_undo(side);
    begin_reduction(side, out, CongestionCause::kLoss);
  } else {
    // cwnd is on its way down already; what it was before is not for this loss to restore.
    record.has_undo = false;
  }
  set_recover(record, side.block, RecoveryPhase::kFastRecovery);
}

//= rfc3168#6.1.2  once for each window of data
void enter_reducing(SendSide& side, const AckOutcome& out) {
  side.metrics.count(Counter::kEcnReductions);
  const std::uint32_t cwnd = side.block.cwnd;
  if (cwnd <= side.block.snd_mss) {
    //= rfc3168#6.1.2  the window cannot shrink any more: one segment for each RTO
    //= rfc9438#4.6 MUST-5
    side.record.next_send_at_ns = (side.now + retransmission_timeout(side.block, side.config)).ns();
  }
  side.record.has_undo = false;
  begin_reduction(side, out, CongestionCause::kEce);
  //= rfc9438#4.6 MUST-4  ssthresh is two segments at least; a window of one does not grow to it
  side.record.prr_goal = std::min(side.record.prr_goal, cwnd);
  set_recover(side.record, side.block, RecoveryPhase::kReducing);
}

void open(SendSide& side) {
  SendRecord& record = side.record;
  record.phase = RecoveryPhase::kOpen;
  record.has_frto = record.is_frto_sending_new = false;
  if (!is_sack(side)) record.sacked = 0;
}

/// Fast recovery or CWR is over: cwnd has come down to ssthresh.
void end_reduction(SendSide& side) {
  Tcb& block = side.block;
  //= rfc5681#3.2 MUST-7  rfc5681#4.3 MUST-3, MUST-4  at ssthresh congestion avoidance begins
  if (!algorithm(side).traits().owns_window)
    block.cwnd = std::max<std::uint32_t>(block.ssthresh, block.snd_mss);
  rack_note_recovery_end(side);
  algorithm(side).on_recovery_end(block, side.record.congestion, side.now_us);
  open(side);
}

void undo_and_open(SendSide& side, Unmark unmark) {
  undo(side, unmark);
  open(side);
}

// --- without SACK: RFC 5681 and 6582, counting duplicate ACKs ---

/// What duplicate ACKs told and what is declared lost are different segments of one flight.
void bound_told(SendSide& side) {
  if (is_sack(side)) return;
  SendRecord& record = side.record;
  const std::uint32_t flight = side.flight();
  record.sacked = std::min(record.sacked, flight - std::min(flight, record.lost));
}

/// What duplicate ACKs say of the network: each means that one segment has left it.
void take_duplicate_acks(SendSide& side, AckOutcome& out) {
  SendRecord& record = side.record;
  const std::uint32_t mss = side.block.snd_mss, flight = side.flight();
  if (out.has_advanced()) {
    // One octet of the ACK filled the hole; the rest was told by duplicates before.
    const std::uint32_t told = std::min(record.sacked, out.acked > mss ? out.acked - mss : 0u);
    record.sacked -= told;
    out.delivered -= std::min(out.delivered, told);
    if (record.phase == RecoveryPhase::kOpen) record.sacked = 0;
    record.duplicate_acks = 0;
  } else if (out.is_duplicate) {
    if (record.duplicate_acks < 255) ++record.duplicate_acks;
    const std::uint32_t room = flight - std::min(flight, record.sacked + record.lost);
    const std::uint32_t more = std::min(mss, room > mss ? room - mss : 0u);
    record.sacked += more;
    out.delivered += more;
  }
  bound_told(side);
}

/// Declares the segment at SND.UNA lost.
void mark_head_lost(SendSide& side) {
  RexmitQueue queue(side);
  if (queue.is_empty()) return;
  SentRun& head = queue.first();
  if (head.has(kRunLost)) return;
  // Without a run to be had for the rest of it, the head's whole run counts as lost.
  if (head.length > head.segment_size)
    static_cast<void>(queue.split(side.record.first_run, head.left + head.segment_size));
  declare_lost(side, queue.first());
  bound_told(side);
}

/// RFC 6582 3.2: the third duplicate, or in recovery a partial ACK, shows a hole.
void detect_loss_without_sack(SendSide& side, const AckOutcome& out) {
  SendRecord& record = side.record;
  const bool is_partial = record.phase == RecoveryPhase::kFastRecovery && out.has_advanced();
  const bool is_third = record.phase != RecoveryPhase::kFastRecovery && out.is_duplicate &&
                        record.duplicate_acks == kDuplicateThreshold &&
                        !record.has_recover;  //= rfc6582#3.2  step 2
  //= rfc5681#3.2 SHLD-3, MUST-5
  if (is_partial || is_third) mark_head_lost(side);
}

/// Gives RACK's wait; what is newly lost goes into `out`.
std::uint32_t detect_loss(SendSide& side, AckOutcome& out) {
  const std::uint32_t before = side.record.lost_total;
  std::uint32_t wait = 0;
  //= rfc8985#4 MUST-1  rfc8985#9.2 MUST-1  RACK alone where SACK was agreed  rfc5681#4.3 SHLD-1
  if (is_sack(side)) {
    wait = rack_detect_loss(side);
  } else {
    detect_loss_without_sack(side, out);
  }
  out.newly_lost += side.record.lost_total - before;
  return wait;
}

// --- the phases ---

bool may_send_new(const SendSide& side) {
  const Tcb& block = side.block;
  const SeqNum end = side.record.base + side.record.queue.bytes();
  return !block.has(kFinSent) && wire::seq_gt(end, block.snd.nxt) &&
         wire::seq_gt(block.snd.una + block.snd.wnd, block.snd.nxt);
}

/// After an RTO: was it needed?
void process_timeout_phase(SendSide& side, const AckOutcome& out) {
  SendRecord& record = side.record;
  record.is_frto_sending_new = false;
  if (out.has_advanced() && may_undo(side, out)) return undo_and_open(side, Unmark::kLost);
  if (record.has_frto) {
    //= rfc5682#3.1  step 3.b: octets sent once and taken for lost have arrived
    if (out.is_original_delivered) {
      side.metrics.count(Counter::kSpuriousTimeouts);
      if (record.has_undo) undo(side, Unmark::kLost);
      return open(side);
    }
    if (wire::seq_gt(side.block.snd.nxt, record.recover)) {
      //= rfc5682#3.1  step 3.a
      if (out.newly_sacked > 0 || out.is_duplicate) record.has_frto = false;
    } else if (out.has_advanced() && !is_recover_acked(side)) {
      //= rfc5682#3.1  step 2.b: new octets, if there are any and the peer has room
      record.recover = side.block.snd.nxt;
      record.has_frto = record.is_frto_sending_new = may_send_new(side);
    }
  }
  if (is_recover_acked(side)) open(side);
}

/// In fast recovery, RECOVER not acknowledged yet. False: originals still arrive late, so nothing
/// more is called lost by this ACK.
bool process_fast_recovery(SendSide& side, const AckOutcome& out) {
  SendRecord& record = side.record;
  if (out.has_advanced() && record.has_undo && is_answer_to_original(side, out)) {
    if (record.resent > 0) return false;
    undo_and_open(side, Unmark::kLost);
  } else if (is_proved_needless(record)) {
    undo_and_open(side, Unmark::kNothing);
  }
  return true;
}

void end_phase_if_over(SendSide& side, const AckOutcome& out) {
  SendRecord& record = side.record;
  const SeqNum una = side.block.snd.una;
  if (record.has_recover && wire::seq_gt(una, record.recover)) record.has_recover = false;
  if (record.phase == RecoveryPhase::kFastRecovery && is_recover_acked(side)) {
    if (may_undo(side, out)) {
      rack_note_recovery_end(side);
      undo_and_open(side, Unmark::kNothing);
    } else {
      end_reduction(side);
    }
  } else if (record.phase == RecoveryPhase::kReducing && wire::seq_gt(una, record.recover)) {
    end_reduction(side);
  }
}

/// What the phase makes of this ACK; RACK's wait.
std::uint32_t run_phases(SendSide& side, AckOutcome& out) {
  SendRecord& record = side.record;
  end_phase_if_over(side, out);
  if (record.phase == RecoveryPhase::kFastRecovery) {
    if (!process_fast_recovery(side, out)) return 0;
  } else if (record.phase == RecoveryPhase::kTimeout) {
    process_timeout_phase(side, out);
  } else if (record.phase == RecoveryPhase::kOpen && is_proved_needless(record)) {
    undo(side, Unmark::kNothing);  // the D-SACK came after the recovery that it condemns
  }
  const std::uint32_t resent_before = record.resent;
  const std::uint32_t wait = detect_loss(side, out);
  const bool is_resent_lost = record.phase == RecoveryPhase::kTimeout &&
                              record.resent < resent_before && out.newly_lost > 0;
  const bool is_open =
      record.phase == RecoveryPhase::kOpen || record.phase == RecoveryPhase::kReducing;
  if (record.to_resend > 0 && (is_open || is_resent_lost)) {
    enter_recovery(side, out);
  } else if (record.phase == RecoveryPhase::kOpen) {
    if (out.has_ece && (side.block.ecn & kEcnOk) && !record.has_recover) enter_reducing(side, out);
    if (record.resent == 0) record.has_resend_ts = false;
  }
  return wait;
}

bool is_reducing(const SendRecord& record) {
  return record.phase == RecoveryPhase::kFastRecovery || record.phase == RecoveryPhase::kReducing;
}

/// `was_reducing`: before this ACK. The one that ends a recovery does not grow the window as well.
void tell_algorithm(SendSide& side, const AckOutcome& out, bool was_reducing) {
  Tcb& block = side.block;
  SendRecord& record = side.record;
  const Controller& control = algorithm(side);
  const bool is_recovering = is_reducing(record);
  if (is_recovering && !control.traits().owns_window) {
    prr_on_ack(side, out);
    //= rfc6582#3.2  step 5: on a partial ACK the next hole is filled at once
    if (!is_sack(side) && out.newly_lost > 0)
      block.cwnd = std::max(block.cwnd, side.pipe() + block.snd_mss);
  }
  if (out.delivered == 0 && !out.has_ece) return;
  control.on_ack(
      block, record.congestion,
      {.acked_bytes = std::min(out.acked, out.delivered),
       .delivered_bytes = out.delivered,
       .lost_bytes = record.lost_total - std::exchange(record.lost_told, record.lost_total),
       .flight_before = out.flight_before,
       .pipe_before = out.pipe_before,
       .pipe = side.pipe(),
       .rtt_us = out.rtt_us,
       .now_us = side.now_us,
       .delivered_total = record.delivered,
       .is_window_limited = is_window_limited(block, out.flight_before),
       .has_ece = out.has_ece,
       .is_recovering = is_recovering || was_reducing,
       .is_paced = block.has(kPaced),
       .rate = out.rate});
}

}  // namespace

std::uint32_t recover_on_ack(SendSide& side, AckOutcome& out) {
  if (!is_sack(side)) take_duplicate_acks(side, out);
  if (judge_tail_probe(side, out)) {
    //= rfc8985#7.4.2 MUST-1, SHLD-1  the probe repaired a loss that nothing else has shown
    remember_for_undo(side);
    side.record.has_undo = false;
    begin_reduction(side, out, CongestionCause::kLoss);
    end_reduction(side);
  }
  const bool was_reducing = is_reducing(side.record);
  const std::uint32_t wait = run_phases(side, out);
  finish_rate_sample(side, out);
  tell_algorithm(side, out, was_reducing);
  return wait;
}

std::uint32_t recover_on_reorder_timeout(SendSide& side) {
  AckOutcome out;
  out.flight_before = side.flight();
  out.pipe_before = side.pipe();
  const std::uint32_t wait = detect_loss(side, out);
  SendRecord& record = side.record;
  const bool is_open =
      record.phase == RecoveryPhase::kOpen || record.phase == RecoveryPhase::kReducing;
  if (record.to_resend > 0 && is_open) {
    enter_recovery(side, out);
    // No ACK is there to clock the first segment out.
    if (!algorithm(side).traits().owns_window) side.block.cwnd = side.pipe() + side.block.snd_mss;
  }
  return wait;
}

void reduce_on_timeout(Tcb& block) {
  if (block.backoff == 0)
    block.ssthresh = std::max<std::uint32_t>(flight_size(block) / 2, 2u * block.snd_mss);
  block.cwnd = block.snd_mss;
}

void recover_on_timeout(SendSide& side) {
  Tcb& block = side.block;
  SendRecord& record = side.record;
  const bool is_new_recovery =
      record.phase == RecoveryPhase::kOpen || record.phase == RecoveryPhase::kReducing;
  AckOutcome out;
  out.flight_before = side.flight();
  //= rfc2018#5 MUST-1  what the peer SACKed it may have dropped
  const bool is_reneging =
      !RexmitQueue(side).is_empty() && RexmitQueue(side).first().has(kRunSacked);
  if (is_reneging) {
    side.metrics.count(Counter::kSackReneged);
    forget_sacks(side);
    record.has_rack = false;
  }
  if (!is_sack(side)) record.sacked = 0;
  rack_mark_timed_out(side);
  //= rfc5681#3.1 MUST-8  ssthresh is set at the first timeout of a segment, then held constant
  if (is_new_recovery || is_recover_acked(side) ||
      (record.phase == RecoveryPhase::kTimeout && block.backoff == 0)) {
    remember_for_undo(side);
    begin_reduction(side, out, CongestionCause::kTimeout);
  }
  algorithm(side).on_timeout(block, record.congestion);
  //= rfc5681#3.1 MUST-9  one segment, beside what was sent too lately to be lost (RFC 8985 6.3)
  block.cwnd = side.pipe() + block.snd_mss;
  //= rfc5682#3.1  step 1: not when the timer fires in the middle of a repair
  record.has_frto = is_new_recovery || block.backoff > 0;
  record.is_frto_sending_new = false;
  record.duplicate_acks = 0;
  record.has_tail_probe = record.is_probe_due = false;
  set_recover(record, block, RecoveryPhase::kTimeout);
}

namespace {

/// What is marked is sent again in the window as it is: nothing was congested.
void repair_without_blame(SendSide& side) {
  SendRecord& record = side.record;
  bound_told(side);
  if (record.to_resend == 0 || record.phase == RecoveryPhase::kFastRecovery) return;
  set_recover(record, side.block, RecoveryPhase::kTimeout);
  record.has_undo = record.has_frto = record.is_frto_sending_new = false;
}

}  // namespace

void resend_larger_than(SendSide& side, std::uint32_t segment_size) {
  RexmitQueue queue(side);
  queue.for_each([&](std::uint32_t index) {
    SentRun& run = queue[index];
    if (std::min<std::uint32_t>(run.segment_size, run.length) <= segment_size) return;
    queue.mark_lost(run);
    run.segment_size = static_cast<std::uint16_t>(segment_size);
  });
  //= rfc1191#6.4
  //= rfc5681#3.1 SHLD-1 exception: cwnd counts octets, and the path took as many before; RFC
  // 1191 6.4 leaves it
  repair_without_blame(side);
}

void resend_refused(SendSide& side) {
  RexmitQueue queue(side);
  queue.for_each([&](std::uint32_t index) { queue.mark_lost(queue[index]); });
  repair_without_blame(side);
}

}  // namespace sluice::tcp
