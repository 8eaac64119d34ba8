#include "tcp/recovery/undo.hpp"

#include <algorithm>

#include "tcp/congestion/controller.hpp"
#include "tcp/recovery/rexmit_queue.hpp"

namespace sluice::tcp {

void remember_for_undo(SendSide& side) {
  SendRecord& record = side.record;
  record.has_undo = true;
  record.undo_marker = side.block.snd.una;
  record.prior_cwnd = side.block.cwnd;
  record.prior_ssthresh = side.block.ssthresh;
  // A tail loss probe may be out already; with nothing out, nothing is proved needless yet.
  const std::uint32_t mss = std::max<std::uint32_t>(side.block.snd_mss, 1);
  record.undo_resendings =
      record.resent == 0 ? -1 : static_cast<std::int32_t>((record.resent + mss - 1) / mss);
}

void note_resending(SendSide& side, std::uint32_t segments) {
  SendRecord& record = side.record;
  record.undo_resendings =
      std::max(record.undo_resendings, 0) + static_cast<std::int32_t>(segments);
  if (record.has_resend_ts) return;
  record.has_resend_ts = true;
  record.first_resend_ts = side.tick + side.block.ts_offset;
}

bool is_answer_to_original(const SendSide& side, const AckOutcome& out) {
  //= rfc3522#3.2
  return side.record.has_resend_ts && side.block.has(kTimestampsOk) && out.has_timestamp &&
         static_cast<std::int32_t>(out.ts_ecr - side.record.first_resend_ts) < 0;
}

bool is_proved_needless(const SendRecord& record) {
  return record.has_undo && record.undo_resendings == 0;
}

bool may_undo(const SendSide& side, const AckOutcome& out) {
  return side.record.has_undo &&
         (is_proved_needless(side.record) || is_answer_to_original(side, out));
}

void undo(SendSide& side, Unmark unmark) {
  Tcb& block = side.block;
  SendRecord& record = side.record;
  if (unmark == Unmark::kLost) {
    RexmitQueue queue(side);
    queue.for_each([&](std::uint32_t index) { queue.unmark_lost(queue[index]); });
  }
  //= rfc4015#3.2
  block.cwnd = std::max(block.cwnd, record.prior_cwnd);
  block.ssthresh = std::max(block.ssthresh, record.prior_ssthresh);
  block.ecn = static_cast<std::uint8_t>(block.ecn & ~kEcnSendCwr);
  record.has_undo = false;
  if (block.undone < 255) ++block.undone;
  side.metrics.count(telemetry::Counter::kRecoveriesUndone);
  controller_of(block).on_undo(block, record.congestion);
}

}  // namespace sluice::tcp
