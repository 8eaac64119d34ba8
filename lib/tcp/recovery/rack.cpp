#include "tcp/recovery/rack.hpp"

#include <algorithm>

#include "tcp/recovery/rexmit_queue.hpp"

namespace sluice::tcp {
namespace {

constexpr std::uint32_t kDuplicateThreshold = 3;

/// RACK_sent_after: by time, then by sequence number.
bool is_sent_after(std::uint32_t a_us, SeqNum a_end, std::uint32_t b_us, SeqNum b_end) {
  const auto offset = static_cast<std::int32_t>(a_us - b_us);
  return offset > 0 || (offset == 0 && wire::seq_gt(a_end, b_end));
}

/// At least DupThresh segments are SACKed.
bool is_threshold_reached(SendSide& side) {
  if (side.record.sacked == 0) return false;
  RexmitQueue queue(side);
  std::uint32_t segments = 0;
  queue.for_each([&](std::uint32_t index) {
    if (queue[index].has(kRunSacked)) segments += queue[index].segments();
  });
  return segments >= kDuplicateThreshold;
}

bool is_recovering(const SendRecord& record) {
  return record.phase == RecoveryPhase::kFastRecovery || record.phase == RecoveryPhase::kTimeout;
}

}  // namespace

void rack_note_delivered(SendSide& side, const SentRun& run, const AckOutcome& out) {
  SendRecord& record = side.record;
  //= rfc8985#6.2  step 2: an ACK of a retransmission may be that of the original
  const std::uint32_t rtt = side.now_us - run.sent_at_us;
  if (run.has(kRunEverResent)) {
    if (side.block.has(kTimestampsOk) && out.has_timestamp) {
      const std::uint32_t sent_ts =
          side.tick - (rtt + 999) / 1000 + side.block.ts_offset;  // its TSval, rounded down
      if (static_cast<std::int32_t>(out.ts_ecr - sent_ts) < 0) return;
    }
    if (rtt < side.block.min_rtt_us) return;
  }
  //= rfc8985#6.2  step 2
  if (!record.has_rack ||
      is_sent_after(run.sent_at_us, run.end(), record.rack_sent_at_us, record.rack_end)) {
    record.rack_sent_at_us = run.sent_at_us;
    record.rack_end = run.end();
    record.rack_rtt_us = std::max(rtt, 1u);
  }
  //= rfc8985#6.2  step 3: an original that arrives below what has arrived was overtaken
  if (!record.has_rack || wire::seq_gt(run.end(), record.rack_fack)) {
    record.rack_fack = run.end();
  } else if (wire::seq_lt(run.end(), record.rack_fack) && !run.has(kRunEverResent)) {
    side.block.set(kReorderingSeen);
  }
  record.has_rack = true;
}

void rack_widen_window(SendSide& side) {
  constexpr std::uint8_t kPersist = 16;
  SendRecord& record = side.record;
  side.block.reorder_window_persist = kPersist;
  //= rfc8985#3.3.2 SHLD-3  rfc8985#4 SHLD-1
  //= rfc8985#6.2  step 4: RACK.dsack_round
  if (record.has_dsack_round && wire::seq_lt(side.block.snd.una, record.dsack_round)) return;
  record.has_dsack_round = true;
  record.dsack_round = side.block.snd.nxt;
  auto& mult = side.block.reorder_window_mult;
  mult = static_cast<std::uint8_t>(std::min(255, std::max<int>(mult, 1) + 1));
}

void rack_note_recovery_end(SendSide& side) {
  Tcb& block = side.block;
  if (block.reorder_window_persist == 0) return;
  --block.reorder_window_persist;
  if (block.reorder_window_persist == 0) block.reorder_window_mult = 1;
}

std::uint32_t reorder_window_us(const Tcb& block) {
  //= rfc8985#3.3.2 SHLD-2, MUST-1, SHLD-4  a quarter of min_rtt at first, SRTT at most
  const std::uint64_t window =
      std::uint64_t{block.min_rtt_us / 4} * std::max<std::uint8_t>(block.reorder_window_mult, 1);
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(window, block.srtt_us8 / 8));
}

std::uint32_t rack_reorder_window_us(SendSide& side) {
  //= rfc8985#3.3.2 SHLD-1  without reordering no time is given away once loss is likely
  const bool is_likely = is_recovering(side.record) || is_threshold_reached(side);
  return is_likely && !side.block.has(kReorderingSeen) ? 0 : reorder_window_us(side.block);
}

std::uint32_t rack_detect_loss(SendSide& side) {
  SendRecord& record = side.record;
  // Originals in order: what was sent before the newest delivered has been acknowledged with it.
  if (!record.has_rack || (record.sacked == 0 && record.resent == 0 && record.lost == 0)) return 0;
  const std::uint32_t patience = record.rack_rtt_us + rack_reorder_window_us(side);
  std::uint32_t wait = 0;
  RexmitQueue queue(side);
  //= rfc5681#4.3 SHLD-1
  //= rfc8985#6.2  step 5
  queue.for_each([&](std::uint32_t index) {
    SentRun& run = queue[index];
    if (run.has(kRunSacked) || (run.has(kRunLost) && !run.has(kRunResent))) return;
    if (!is_sent_after(record.rack_sent_at_us, record.rack_end, run.sent_at_us, run.end())) return;
    const std::uint32_t age = side.now_us - run.sent_at_us;
    if (age >= patience) {
      declare_lost(side, run);
    } else {
      wait = std::max(wait, patience - age);
    }
  });
  return wait;
}

void rack_mark_timed_out(SendSide& side) {
  RexmitQueue queue(side);
  if (queue.is_empty()) return;
  const std::uint32_t patience = side.record.rack_rtt_us + rack_reorder_window_us(side);
  queue.for_each([&](std::uint32_t index) {
    SentRun& run = queue[index];
    if (run.has(kRunSacked) || (run.has(kRunLost) && !run.has(kRunResent))) return;
    //= rfc8985#6.3
    const bool is_head = run.left == side.block.snd.una;
    const bool is_old = !side.record.has_rack || !side.block.has(kSackOk) ||
                        side.now_us - run.sent_at_us >= patience;
    if (!is_head && !is_old) return;
    declare_lost(side, run);
  });
}

}  // namespace sluice::tcp
