#include "tcp/output/next_segment.hpp"

#include <algorithm>

#include "tcp/input/sack_report.hpp"
#include "tcp/output/pacing.hpp"
#include "tcp/recovery/loss_recovery.hpp"

namespace sluice::tcp {
namespace {

/// What may still be sent behind SND.NXT.
struct UsableWindows {
  std::uint32_t by_congestion;
  std::uint32_t by_peer;
};

UsableWindows usable_windows(const Tcb& block, const SendRecord& record) {
  const std::uint32_t flight = flight_size(block);
  //= rfc5681#3 MUST-1  rfc5681#3.2 SHLD-4, MUST-1, MUST-2
  //= rfc3042#2
  // Limited transmit: what was SACKed (without SACK: told by duplicate ACKs) is no longer in the
  // pipe, and cwnd stays.
  const std::uint32_t pipe = record.pipe(flight);
  //= rfc9293#3.8.6 MUST-34, SHLD-15  rfc7323#2.4 MUST-1, MUST-3
  return {.by_congestion = block.cwnd > pipe ? block.cwnd - pipe : 0,
          .by_peer = block.snd.wnd > flight ? block.snd.wnd - flight : 0};
}

/// Nagle's condition as RFC 9293 A.3 has it: behind full segments a last short one may go. The peer
/// acknowledges every second full segment at once and delays the ACK of an odd one: a response
/// would end with that delay.
bool is_short_in_flight(const Tcb& block, const SendRecord& record) {
  return wire::seq_gt(record.short_end, block.snd.una) &&
         wire::seq_leq(record.short_end, block.snd.nxt);
}

}  // namespace

std::uint32_t segment_limit(Context& ctx, const Tcb& block) {
  if (!block.has(kSackOk) || block.receive_record == kNoIndex) return block.snd_mss;
  const std::uint32_t blocks = std::min<std::uint32_t>(
      ctx.receives.slab[block.receive_record].sack_count, most_sack_blocks(block));
  return block.snd_mss - (blocks > 0 ? 4 + 8 * blocks : 0);
}

std::uint32_t next_payload(Context& ctx, Tcb& block, std::uint32_t unsent) {
  const SendRecord* const record = ctx.send_record(block);
  // Nothing new is sent before everything that was lost is on its way again.
  if (record->to_resend > 0 && !record->is_frto_sending_new) return 0;
  const std::uint32_t limit = segment_limit(ctx, block);
  const auto [by_congestion, by_peer] = usable_windows(block, *record);
  const std::uint32_t length = std::min({unsent, by_congestion, by_peer, limit});
  //= rfc9293#3.9.1.2 SHLD-28
  if (length == 0 || length == limit) return length;
  //= rfc9293#3.8.6.2.1 MUST-38
  if (length == unsent) {
    const bool nagle = !(block.has(kNodelaySet) ? block.has(kNodelay) : ctx.config.nodelay);
    //= rfc9293#3.7.4 SHLD-7, MUST-17
    //= rfc9293#3.9.1.2 MUST-60  an ACK releases it
    return nagle && is_short_in_flight(block, *record) && !block.has(kFinQueued) ? 0 : length;
  }
  if (by_peer <= by_congestion && length >= block.snd_max_wnd / 2) return length;
  return 0;
}

std::uint32_t train_length(Context& ctx, std::uint32_t index, const FirstOfTrain& first) {
  const Tcb& block = ctx.tcb(index);
  const SendRecord& record = ctx.sends.slab[block.send_record];
  const std::uint32_t size = first.size;
  // Full segments only, so without SACK blocks. A traced connection's are recorded one by one.
  if (first.unsent < 2 * size || size != block.snd_mss || block.has(kTraced)) return 1;
  //= rfc3168#6.1.2  CWR is said once
  if (block.ecn & kEcnSendCwr) return 1;
  constexpr std::uint32_t kHeaders = 60 + 60;  // IP and TCP, at their longest
  const auto [by_congestion, by_peer] = usable_windows(block, record);
  const std::size_t room =
      std::min(first.burst.out.size(), first.turn_end) - first.burst.segments();
  auto count = static_cast<std::uint32_t>(
      std::min<std::size_t>({room, first.unsent / size, by_congestion / size, by_peer / size,
                             (65535 - kHeaders) / size}));
  // The FIN has a segment's number of its own, and so has the one that it goes with.
  if (block.has(kFinQueued) && count * size == first.unsent) --count;
  if (count < 2) return 1;
  count = std::min(count, segments_until_held(ctx, block, record, size));
  // Who cuts the train here takes a header for each; none is to be lost for want of them.
  const std::size_t headers = packet::available(*ctx.pools.control);
  return headers >= first.burst.segments() + count ? std::max(count, 1u) : 1;
}

}  // namespace sluice::tcp
