#include "tcp/recovery/tail_probe.hpp"

#include <algorithm>

namespace sluice::tcp {

bool may_probe_tail(const SendSide& side) {
  const SendRecord& record = side.record;
  //= rfc8985#7.3 MUST-1, MUST-2  asked when the timer is armed and when it has fired
  const bool is_measured = side.block.srtt_us8 != 0 && !side.block.is_probe_unmeasured;
  if (record.has_tail_probe || !is_measured) return false;
  //= rfc8985#7.2 SHLD-1  rfc8985#4 MUST-1
  return side.block.has(kSackOk) && record.sacked == 0 && record.lost == 0 &&
         (record.phase == RecoveryPhase::kOpen || record.phase == RecoveryPhase::kReducing);
}

std::uint32_t probe_timeout_us(const SendSide& side) {
  constexpr std::uint32_t kLongestAckDelay = 200'000;  // TLP.max_ack_delay
  constexpr std::uint32_t kClockGrain = 2'000;
  //= rfc8985#7.2 SHLD-3
  const std::uint32_t two_round_trips = side.block.srtt_us8 / 4;
  const bool is_one_segment = side.flight() <= side.block.snd_mss;
  return two_round_trips + (is_one_segment ? kLongestAckDelay : kClockGrain);
}

void note_tail_probe(SendSide& side, bool is_resent) {
  SendRecord& record = side.record;
  side.metrics.count(telemetry::Counter::kTailLossProbes);
  side.block.is_probe_unmeasured = true;
  record.has_tail_probe = true;
  record.is_tail_probe_resent = is_resent;
  record.tail_probe_end = side.block.snd.nxt;
}

bool judge_tail_probe(SendSide& side, const AckOutcome& out) {
  SendRecord& record = side.record;
  if (!record.has_tail_probe || wire::seq_lt(out.ack, record.tail_probe_end)) return false;
  //= rfc8985#7.4.2
  const bool is_loss = record.is_tail_probe_resent && !out.is_tail_probe_dsack &&
                       wire::seq_gt(out.ack, record.tail_probe_end);
  const bool is_answered = !record.is_tail_probe_resent || out.is_tail_probe_dsack || is_loss ||
                           (!out.has_advanced() && out.is_duplicate && out.newly_sacked == 0);
  if (is_answered) record.has_tail_probe = false;
  return is_loss && record.phase == RecoveryPhase::kOpen;
}

}  // namespace sluice::tcp
