#include "tcp/invariants.hpp"

#include "tcp/output/output.hpp"
#include "tcp/recovery/loss_recovery.hpp"
#include "tcp/recovery/rexmit_queue.hpp"

namespace sluice::tcp {

namespace {

/// The runs cover [SND.UNA, SND.NXT), and the sums are theirs.
void check_rexmit_queue(Context& ctx, Tcb& block, SendRecord& record) {
  SendSide side = ctx.send_side(block, record);
  RexmitQueue queue(side);
  SeqNum at = block.snd.una;
  std::uint32_t sacked = 0, lost = 0, to_resend = 0, resent = 0, count = 0, last = kNoIndex;
  queue.for_each([&](std::uint32_t index) {
    const SentRun& run = queue[index];
    SLUICE_ASSERT(run.left == at && run.length > 0);
    SLUICE_ASSERT(!run.has(kRunSacked) || !run.has(kRunLost | kRunResent));
    at = run.end();
    if (run.has(kRunSacked)) sacked += run.length;
    if (run.has(kRunLost)) lost += run.length;
    if (run.has(kRunLost) && !run.has(kRunResent)) to_resend += run.length;
    if (run.has(kRunResent)) resent += run.length;
    last = index;
    ++count;
  });
  SLUICE_ASSERT(count == record.run_count && count <= RexmitQueue::kMostRuns);
  SLUICE_ASSERT(at == block.snd.nxt && last == record.last_run);
  SLUICE_ASSERT(lost == record.lost && to_resend == record.to_resend && resent == record.resent);
  SLUICE_ASSERT(block.has(kSackOk) ? sacked == record.sacked
                                   : record.sacked + lost <= flight_size(block));
  SLUICE_ASSERT(record.pipe(flight_size(block)) <= flight_size(block) + record.resent);
}

}  // namespace

bool check_tcb(Context& ctx, std::uint32_t index) {
  Tcb& block = ctx.tcb(index);
  if (block.state == State::kClosed || block.has(kDetached)) {
    SLUICE_ASSERT(block.timers_armed == 0 && !block.timer.is_linked());
    SLUICE_ASSERT(block.send_record == kNoIndex);
    return true;
  }
  SLUICE_ASSERT(wire::seq_leq(block.snd.una, block.snd.nxt));
  if (block.state != State::kSynSent) SLUICE_ASSERT(wire::seq_leq(block.rcv.nxt, block.rcv.adv));
  SLUICE_ASSERT(!block.has(kFinSent) || block.has(kFinQueued));
  if (!is_synchronized(block.state)) return true;

  const std::uint32_t flight = flight_size(block);
  const bool is_fin_in_flight = block.has(kFinSent) && flight > 0;
  if (block.send_record != kNoIndex) {
    SendRecord& record = ctx.sends.slab[block.send_record];
    check_rexmit_queue(ctx, block, record);
    SLUICE_ASSERT(record.base == block.snd.una || (record.queue.is_empty() && flight <= 1));
    const std::uint32_t in_flight_data = flight - (is_fin_in_flight ? 1 : 0);
    SLUICE_ASSERT(in_flight_data <= record.queue.bytes());
    if (is_fin_in_flight) SLUICE_ASSERT(in_flight_data == record.queue.bytes());
  } else {
    SLUICE_ASSERT(flight == (is_fin_in_flight ? 1u : 0u));
  }
  // Something in flight is always timed, or the connection could wait for ever.
  if (flight > 0) SLUICE_ASSERT(ctx.is_armed(block, kTimerRetransmit) || block.has(kOutputPending));
  const std::uint8_t until_end_of_round = block.has(kTouched) ? kTimerDelayedAck : 0;
  if ((block.timers_armed & ~until_end_of_round) != 0) SLUICE_ASSERT(block.timer.is_linked());
  if (block.receive_record != kNoIndex) {
    const ReceiveRecord& record = ctx.receives.slab[block.receive_record];
    SLUICE_ASSERT(record.ready.bytes() <= block.receive_charged);
    SLUICE_ASSERT((record.first_packet == nullptr) == (record.packets == 0));
    SLUICE_ASSERT(record.packets <= ctx.reassembly_segments);
    SLUICE_ASSERT(record.duplicates <= record.sack_count && !record.is_idle());
    for (std::uint8_t i = record.duplicates; i < record.sack_count; ++i)
      SLUICE_ASSERT(wire::seq_lt(record.sack[i].left, record.sack[i].right) &&
                    wire::seq_gt(record.sack[i].left, block.rcv.nxt));
  }
  SLUICE_ASSERT(block.cwnd >= 1 && block.snd_mss >= 1);
  const bool is_closing_state = block.state == State::kFinWait1 ||
                                block.state == State::kFinWait2 || block.state == State::kClosing ||
                                block.state == State::kLastAck;
  SLUICE_ASSERT(is_closing_state == block.has(kFinQueued));
  return true;
}

bool check_empty(Context& ctx) {
  SLUICE_ASSERT(ctx.connections == 0 && ctx.orphans == 0);
  SLUICE_ASSERT(ctx.half_opens.used() == 0);
  SLUICE_ASSERT(ctx.runs.slab.used() == 0 && ctx.sends.slab.used() == 0 &&
                ctx.receives.slab.used() == 0);
  SLUICE_ASSERT(ctx.reassembly_segments == 0 && ctx.receive_growth == 0);
  SLUICE_ASSERT(ctx.wheel.linked() == 0 && ctx.half_open_wheel.linked() == 0);
  return true;
}

}  // namespace sluice::tcp
