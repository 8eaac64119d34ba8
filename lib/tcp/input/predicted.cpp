#include "tcp/input/predicted.hpp"

#include <algorithm>
#include <utility>

#include "tcp/input/ack.hpp"
#include "tcp/input/plain_flight.hpp"
#include "tcp/input/reassembly.hpp"
#include "tcp/output/window.hpp"
#include "tcp/recovery/loss_recovery.hpp"
#include "wire/tcp_usual.hpp"

namespace sluice::tcp {
namespace {

/// With any of these set a step of the long way has more to do.
constexpr std::uint32_t kUnusual = kFinQueued | kFinSent | kFinReceived | kOrphan | kTraced |
                                   kPersisting | kUrgentPending | kRetransmitNow | kSendBlocked |
                                   kProbeNow | kDetached;

bool is_usual(const Tcb& block) {
  return block.state == State::kEstablished &&
         (block.flags & (kUnusual | kTimestampsOk)) == kTimestampsOk;
}

/// Neither a mark to echo nor one that is echoed.
bool is_unmarked(const Tcb& block, std::uint8_t ecn) {
  constexpr std::uint8_t kCongestionExperienced = 3;
  return !(block.ecn & kEcnOk) || (ecn != kCongestionExperienced && !(block.ecn & kEcnEcho));
}

/// What the peer says of its window in the segment at `seq`.
void take_window(Context& ctx, Tcb& block, const wire::UsualTcp& tcp, SeqNum seq) {
  update_send_window(block, seq, tcp.ack,  //= rfc7323#2.3 MUST-5
                     static_cast<std::uint32_t>(tcp.window) << block.snd_wscale());
  if (block.snd.wnd == 0) block.unacked_since = ctx.tick;
}

std::uint32_t payload_of(const InboundSegment& segment) {
  return segment.packet->pkt_len - static_cast<std::uint32_t>(wire::UsualTcp::kHeader);
}

/// `next` says the same as `last`, a usual one, but for the octets behind those of `last` that it
/// brings, and its timestamps.
bool is_continuation(const InboundSegment& last, const InboundSegment& next) {
  const auto* const before = rte_pktmbuf_mtod(last.packet.get(), const std::byte*);
  wire::UsualTcp tcp;
  return next.packet->pkt_len > wire::UsualTcp::kHeader &&
         wire::parse_usual(packet::first_segment(*next.packet), tcp) &&
         tcp.seq == SeqNum(wire::load_be32(before + 4)) + payload_of(last) &&
         tcp.ack.value() == wire::load_be32(before + 8) &&
         tcp.window == wire::load_be16(before + 14) && next.ecn == last.ecn;
}

/// Those behind a run's head that go with it.
struct Followers {
  std::size_t count = 0;
  SeqNum last{};  ///< SEG.SEQ of the last of them.
};

/// Each is acceptable by itself: next in order once those before it are taken, within the window,
/// and no older than what was last put into TS.Recent. That stays as it is, for they lie beyond
/// Last.ACK.sent, and so does the right edge, for nothing is sent in between. `payload`: of the
/// head, which is at RCV.NXT still.
//= rfc9293#3.10.7.4
//= rfc7323#5.3 MUST-1, MUST-2
Followers find_followers(const Tcb& block, std::span<const InboundSegment> run,
                         std::uint32_t payload) {
  constexpr std::size_t kTimestamp = 24;
  const std::uint32_t window = receive_window(block);
  Followers followers;
  for (const InboundSegment& segment : run.subspan(1)) {
    if (!is_continuation(run[followers.count], segment)) break;
    const auto* const at = rte_pktmbuf_mtod(segment.packet.get(), const std::byte*);
    const std::uint32_t length = payload_of(segment);
    if (length > window - payload ||
        static_cast<std::int32_t>(wire::load_be32(at + kTimestamp) - block.ts_recent) < 0)
      break;
    followers.last = block.rcv.nxt + payload;
    payload += length;
    ++followers.count;
  }
  return followers;
}

}  // namespace

std::size_t take_predicted(Context& ctx, std::uint32_t index, std::span<InboundSegment> run) {
  Tcb& block = ctx.tcb(index);
  const InboundSegment& head = run.front();
  wire::UsualTcp tcp;
  if (!is_usual(block) || !wire::parse_usual(packet::first_segment(*head.packet), tcp)) return 0;
  const std::uint32_t payload = payload_of(head);
  //= rfc7323#5.3 MUST-1, MUST-2
  if (tcp.seq != block.rcv.nxt || payload > receive_window(block) ||
      static_cast<std::int32_t>(tcp.ts_val - block.ts_recent) < 0 || !is_unmarked(block, head.ecn))
    return 0;
  if (payload > 0) {
    const ReceiveRecord* const record = ctx.receive_record(block);
    const bool has_gap = record != nullptr && record->first_packet != nullptr;
    if (has_gap || ctx.is_low_on_buffers() || !ctx.may_receive(block)) return 0;
  }
  SendRecord* const record = ctx.send_record(block);
  const std::uint32_t flight = flight_size(block);
  const bool is_all = flight > 0 && tcp.ack == block.snd.nxt;
  if (is_all) {
    if (record == nullptr || !is_plain_flight(block, *record)) return 0;
  } else if (tcp.ack != block.snd.una || flight > 0 || record != nullptr) {
    return 0;
  }

  // It is the one that was expected.
  ctx.touch(index);
  //= rfc7323#5.2 MUST-2
  //= rfc7323#4.3 SHLD-1, SHLD-2, MUST-1  rfc7323#3.2 MUST-2
  if (wire::seq_leq(tcp.seq, block.rcv.last_ack)) block.ts_recent = tcp.ts_val;
  ctx.totals[index].last_received_at = ctx.tick;
  block.keepalive_probes = 0;
  if (is_all) take_plain_flight(ctx, index, *record);
  ctx.disarm(block, kTimerRetransmit);
  take_window(ctx, block, tcp, tcp.seq);
  if (payload == 0) {
    run.front().packet.reset();
    return 1;
  }
  const Followers followers = find_followers(block, run, payload);
  if (followers.count > 0) {
    take_window(ctx, block, tcp, followers.last);
    ctx.metrics.count(Counter::kSegmentsMerged, followers.count);
  }
  const bool is_kept =
      take_in_order(ctx, index, run.first(1 + followers.count), wire::UsualTcp::kHeader);
  SLUICE_ASSERT(is_kept);  // may_receive()
  return 1 + followers.count;
}

}  // namespace sluice::tcp
