#include "tcp/recovery/rexmit_queue.hpp"

#include <algorithm>

#include "tcp/congestion/controller.hpp"
#include "tcp/recovery/rack.hpp"

namespace sluice::tcp {

std::uint32_t RexmitQueue::take_extra() {
  // As many runs as there may be connections in flight stay free for those that have none.
  const std::uint32_t reserve = runs_.capacity() / kRunsPerConnection;
  if (record_.run_count >= kMostRuns || runs_.capacity() - runs_.used() <= reserve) return kNoIndex;
  ++record_.run_count;
  return runs_.allocate();
}

void RexmitQueue::append(const SentRun& sent) {
  if (!is_empty()) {
    SentRun& run = last();
    constexpr std::uint8_t kChanged = kRunSacked | kRunLost | kRunResent | kRunEverResent;
    const bool is_same_turn = run.sent_at_us == sent.sent_at_us &&
                              run.delivered == sent.delivered && run.flags == sent.flags &&
                              !run.has(kChanged);
    const bool fits = run.length % run.segment_size == 0 &&
                      (sent.length <= run.segment_size || sent.segment_size == run.segment_size);
    if (is_same_turn && fits) {
      run.length += sent.length;
      return;
    }
    const std::uint32_t index = take_extra();
    if (index == kNoIndex) {
      if (run.has(kRunSacked)) unmark_sacked(run);  // the peer will say so again
      if (run.has(kRunLost)) unmark_lost(run);
      run.length += sent.length;
      run.sent_at_us = sent.sent_at_us;
      if (run.has(kRunResent)) record_.resent += sent.length;
      return;
    }
    runs_[index] = sent;
    runs_[index].next = kNoIndex;
    run.next = index;
    record_.last_run = index;
    return;
  }
  const std::uint32_t index = runs_.allocate();
  SLUICE_ASSERT(index != kNoIndex);
  record_.run_count = 1;
  runs_[index] = sent;
  runs_[index].next = kNoIndex;
  record_.first_run = record_.last_run = index;
}

void RexmitQueue::grow_last(std::uint32_t more) {
  SentRun& run = last();
  if (run.has(kRunLost)) record_.lost += more;
  if (run.has(kRunLost) && !run.has(kRunResent)) record_.to_resend += more;
  if (run.has(kRunResent)) record_.resent += more;
  run.length += more;
  run.segment_size = static_cast<std::uint16_t>(std::min(run.length, 65535u));
}

bool RexmitQueue::split(std::uint32_t index, SeqNum at) {
  const std::uint32_t rest = take_extra();
  if (rest == kNoIndex) return false;
  SentRun& run = runs_[index];
  const std::uint32_t front = wire::seq_distance(run.left, at);
  SLUICE_ASSERT(front > 0 && front < run.length);
  runs_[rest] = run;
  runs_[rest].left = at;
  runs_[rest].length = run.length - front;
  runs_[rest].tx_in_flight = run.tx_in_flight + front;
  run.length = front;
  run.next = rest;
  if (record_.last_run == index) record_.last_run = rest;
  return true;
}

void RexmitQueue::count_out(const SentRun& run, std::uint32_t length) {
  if (run.has(kRunSacked)) record_.sacked -= length;
  if (run.has(kRunLost)) record_.lost -= length;
  if (run.has(kRunLost) && !run.has(kRunResent)) record_.to_resend -= length;
  if (run.has(kRunResent)) record_.resent -= length;
}

void RexmitQueue::drop_front(std::uint32_t length) {
  while (length > 0) {
    SentRun& run = first();
    const std::uint32_t part = std::min(length, run.length);
    count_out(run, part);
    length -= part;
    run.left += part;
    run.length -= part;
    if (run.length > 0) return;
    const std::uint32_t next = run.next;
    runs_.release(record_.first_run);
    --record_.run_count;
    record_.first_run = next;
    if (next == kNoIndex) record_.last_run = kNoIndex;
  }
}

void RexmitQueue::merge_sacked() {
  for (std::uint32_t index = record_.first_run; index != kNoIndex;) {
    SentRun& run = runs_[index];
    const std::uint32_t next = run.next;
    if (next == kNoIndex) return;
    if (!run.has(kRunSacked) || !runs_[next].has(kRunSacked)) {
      index = next;
      continue;
    }
    const SentRun& other = runs_[next];
    run.length += other.length;
    run.segment_size = std::max(run.segment_size, other.segment_size);
    run.flags |= other.flags & kRunEverResent;
    run.next = other.next;
    if (record_.last_run == next) record_.last_run = index;
    runs_.release(next);
    --record_.run_count;
  }
}

void RexmitQueue::clear() {
  while (!is_empty()) {
    const std::uint32_t index = record_.first_run;
    record_.first_run = runs_[index].next;
    runs_.release(index);
  }
  record_.last_run = kNoIndex;
  record_.run_count = 0;
  record_.sacked = record_.lost = record_.to_resend = record_.resent = 0;
}

void RexmitQueue::mark_sacked(SentRun& run) {
  if (run.has(kRunSacked)) return;
  count_out(run, run.length);
  run.flags = static_cast<std::uint8_t>((run.flags & ~(kRunLost | kRunResent)) | kRunSacked);
  record_.sacked += run.length;
}

void RexmitQueue::mark_lost(SentRun& run) {
  if (run.has(kRunSacked) || (run.has(kRunLost) && !run.has(kRunResent))) return;
  count_out(run, run.length);
  run.flags = static_cast<std::uint8_t>((run.flags & ~kRunResent) | kRunLost);
  record_.lost += run.length;
  record_.to_resend += run.length;
}

void RexmitQueue::mark_resent(SentRun& run, std::uint32_t now_us) {
  count_out(run, run.length);
  run.flags |= kRunResent | kRunEverResent;
  run.sent_at_us = now_us;
  if (run.resendings < 255) ++run.resendings;
  if (run.has(kRunLost)) record_.lost += run.length;
  record_.resent += run.length;
}

void RexmitQueue::unmark_lost(SentRun& run) {
  if (!run.has(kRunLost)) return;
  record_.lost -= run.length;
  if (!run.has(kRunResent)) record_.to_resend -= run.length;
  run.flags = static_cast<std::uint8_t>(run.flags & ~kRunLost);
}

void RexmitQueue::unmark_sacked(SentRun& run) {
  if (!run.has(kRunSacked)) return;
  record_.sacked -= run.length;
  run.flags = static_cast<std::uint8_t>(run.flags & ~kRunSacked);
}

void note_sent(SendSide& side, std::uint32_t length, std::uint32_t segment_size) {
  SendRecord& record = side.record;
  const std::uint32_t pipe = side.pipe();
  if (pipe == 0) {
    // The rate is measured over busy times: an idle connection's clock starts anew.
    record.first_sent_at_us = record.delivered_at_us = side.now_us;
  }
  SentRun run;
  run.left = side.block.snd.nxt;
  run.length = length;
  run.sent_at_us = side.now_us;
  run.segment_size = static_cast<std::uint16_t>(std::clamp(segment_size, 1u, 65535u));
  run.flags = record.app_limited_until != 0 ? kRunAppLimited : 0;
  run.delivered = record.delivered;
  run.delivered_at_us = record.delivered_at_us;
  run.first_sent_at_us = record.first_sent_at_us;
  run.lost_total = record.lost_total;
  run.tx_in_flight = pipe + std::min<std::uint32_t>(length, run.segment_size);
  RexmitQueue(side).append(run);
}

void declare_lost(SendSide& side, SentRun& run) {
  SendRecord& record = side.record;
  record.lost_total += run.length;
  RexmitQueue(side).mark_lost(run);
  controller_of(side.block)
      .on_lost(side.block, record.congestion,
               {.length = run.length,
                .tx_in_flight = run.tx_in_flight_of_last(),
                .lost = record.lost_total - run.lost_total,
                .now_us = side.now_us,
                .is_app_limited = run.has(kRunAppLimited)});
}

void take_acknowledged(SendSide& side, AckOutcome& out) {
  RexmitQueue queue(side);
  std::uint32_t left = out.acked;
  bool is_resent_acked = false;
  while (left > 0 && !queue.is_empty()) {
    SentRun part = queue.first();
    part.length = std::min(part.length, left);
    left -= part.length;
    is_resent_acked |= part.has(kRunEverResent);
    if (!part.has(kRunSacked)) note_delivered(side, part, out);
    queue.drop_front(part.length);
  }
  // Without SACK nobody knows what the retransmission, and what its original brought about; and
  // octets behind the hole that it filled have waited for it: their time is no round trip.
  if (is_resent_acked && !side.block.has(kSackOk)) {
    out.is_original_delivered = false;
    out.rtt_us = out.rtt_oldest_us = 0;
  }
  //= rfc2018#8  a peer may renege: what it SACKed at SND.UNA it would have acknowledged by now
  out.is_reneging = !queue.is_empty() && queue.first().has(kRunSacked);
}

void note_delivered(SendSide& side, const SentRun& run, AckOutcome& out) {
  SendRecord& record = side.record;
  out.delivered += run.length;
  record.delivered += run.length;
  record.delivered_at_us = side.now_us;
  const bool was_sent_once = !run.has(kRunEverResent);
  if (was_sent_once) {
    const std::uint32_t rtt = std::max(side.now_us - run.sent_at_us, 1u);
    if (out.rtt_oldest_us == 0) out.rtt_oldest_us = rtt;
    out.rtt_us = rtt;
    if (wire::seq_leq(run.end(), record.recover)) out.is_original_delivered = true;
  }
  rack_note_delivered(side, run, out);

  // The sample is that of the segment sent last.
  const bool is_newest = out.rate.interval_us == 0 ||
                         static_cast<std::int32_t>(run.delivered - out.rate.prior_delivered) >= 0;
  if (!is_newest) return;
  out.rate.prior_delivered = run.delivered;
  out.rate.is_app_limited = run.has(kRunAppLimited);
  out.rate.is_retransmitted = run.has(kRunResent);
  out.rate.tx_in_flight = run.tx_in_flight_of_last();
  out.rate.lost = run.lost_total;  // finish_rate_sample() takes the difference
  const std::uint32_t send_interval = run.sent_at_us - run.first_sent_at_us;
  const std::uint32_t ack_interval = side.now_us - run.delivered_at_us;
  out.rate.interval_us = std::max({send_interval, ack_interval, 1u});
  record.first_sent_at_us = run.sent_at_us;
}

}  // namespace sluice::tcp
