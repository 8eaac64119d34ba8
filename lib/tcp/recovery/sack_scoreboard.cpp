#include "tcp/recovery/sack_scoreboard.hpp"

#include <algorithm>
#include <array>

#include "tcp/recovery/rack.hpp"
#include "tcp/recovery/rexmit_queue.hpp"

namespace sluice::tcp {
namespace {

//= rfc2883#4  the first block reports a duplicate if it lies below the ACK or inside the second
bool is_dsack(const SendSide& side, std::span<const wire::SackBlock> blocks, SeqNum ack) {
  const wire::SackBlock& first = blocks[0];
  if (!wire::seq_lt(first.left, first.right)) return false;
  // What we never sent, or sent longer ago than any window, nobody can have twice.
  if (wire::seq_gt(first.right, side.block.snd.nxt) ||
      wire::seq_lt(first.left, side.block.snd.una - std::max(side.block.snd_max_wnd, 65535u)))
    return false;
  if (wire::seq_leq(first.right, ack)) return true;
  if (wire::seq_lt(first.left, ack)) return true;
  return blocks.size() > 1 && wire::seq_geq(first.left, blocks[1].left) &&
         wire::seq_leq(first.right, blocks[1].right);
}

void take_dsack(SendSide& side, const wire::SackBlock& block, AckOutcome& out) {
  SendRecord& record = side.record;
  side.metrics.count(telemetry::Counter::kDsacksReceived);
  out.has_dsack = true;
  if (record.has_tail_probe && record.is_tail_probe_resent &&
      block.right == record.tail_probe_end) {
    // The probe and its original both arrived: no sign that the reordering window is too small.
    out.is_tail_probe_dsack = true;
  } else {
    rack_widen_window(side);
  }
  // Beyond `recover` the network made the duplicate: nothing there was sent again for the event
  // that may be undone, and one duplicate after another would undo a recovery that was needed.
  if (record.has_undo && record.undo_resendings > 0 &&
      wire::seq_gt(block.right, record.undo_marker) && wire::seq_leq(block.right, record.recover)) {
    const std::uint32_t mss = std::max<std::uint32_t>(side.block.snd_mss, 1);
    const std::uint32_t octets = wire::seq_distance(block.left, block.right);
    const auto segments = static_cast<std::int32_t>((octets + mss - 1) / mss);
    record.undo_resendings = std::max(0, record.undo_resendings - segments);
  }
}

/// Marks [left, right) from run `index` on. Gives the run to begin the next block at.
std::uint32_t mark_range(SendSide& side, std::uint32_t index, SeqNum left, SeqNum right,
                         AckOutcome& out) {
  RexmitQueue queue(side);
  while (index != kNoIndex) {
    SentRun& run = queue[index];
    if (wire::seq_geq(run.left, right)) return index;
    if (wire::seq_leq(run.end(), left) || run.has(kRunSacked)) {
      if (wire::seq_gt(run.end(), right)) return index;
      index = run.next;
      continue;
    }
    // Whole segments only, as they were sent: a peer cannot have us keep a note for every octet.
    const std::uint32_t size = run.segment_size;
    const bool begins_here = wire::seq_lt(run.left, left);
    const bool ends_here = wire::seq_lt(right, run.end());
    const std::uint32_t begin =
        begins_here ? (wire::seq_distance(run.left, left) + size - 1) / size * size : 0;
    const std::uint32_t end =
        ends_here ? wire::seq_distance(run.left, right) / size * size : run.length;
    // Too fragmented for another run: the peer will acknowledge it in time.
    const bool is_told_apart = begin < end && (begin == 0 || queue.split(index, run.left + begin));
    if (!is_told_apart) {
      if (ends_here) return index;
      index = run.next;
      continue;
    }
    if (begin > 0) {
      index = run.next;  // the rest, which begins with a segment of the block
      continue;
    }
    if (ends_here && !queue.split(index, run.left + end)) return index;
    note_delivered(side, run, out);
    out.newly_sacked += run.length;
    queue.mark_sacked(run);
    index = run.next;
  }
  return kNoIndex;
}

}  // namespace

void take_sack_blocks(SendSide& side, std::span<const wire::SackBlock> blocks, AckOutcome& out) {
  if (blocks.empty()) return;
  if (is_dsack(side, blocks, out.ack)) {
    take_dsack(side, blocks[0], out);
    blocks = blocks.subspan(1);
  }
  const Tcb& block = side.block;
  std::array<wire::SackBlock, wire::kMaxSackBlocks> sorted;
  std::size_t count = 0;
  for (const wire::SackBlock& sack : blocks) {
    //= rfc2018#5 SHLD-1  rfc8985#4 MUST-2
    // Blocks above SND.UNA that we sent; others are old or a mistake.
    const bool is_valid = wire::seq_lt(sack.left, sack.right) &&
                          wire::seq_gt(sack.left, block.snd.una) &&
                          wire::seq_leq(sack.right, block.snd.nxt);
    if (!is_valid) continue;
    std::size_t at = count++;  // in order: one walk over the queue serves all of them
    for (; at > 0 && wire::seq_lt(sack.left, sorted[at - 1].left); --at)
      sorted[at] = sorted[at - 1];
    sorted[at] = sack;
  }
  if (count == 0 || side.record.first_run == kNoIndex) return;
  std::uint32_t index = side.record.first_run;
  for (std::size_t i = 0; i < count; ++i)
    index = mark_range(side, index, sorted[i].left, sorted[i].right, out);
  if (out.newly_sacked > 0) RexmitQueue(side).merge_sacked();
}

void forget_sacks(SendSide& side) {
  RexmitQueue queue(side);
  queue.for_each([&](std::uint32_t index) { queue.unmark_sacked(queue[index]); });
}

}  // namespace sluice::tcp
