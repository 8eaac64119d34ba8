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

}  // namespace

bool take_predicted(Context& ctx, std::uint32_t index, packet::PacketPtr& packet,
                    std::uint8_t ecn) {
  Tcb& block = ctx.tcb(index);
  wire::UsualTcp tcp;
  if (!is_usual(block) || !wire::parse_usual(packet::first_segment(*packet), tcp)) return false;
  const std::uint32_t payload =
      packet->pkt_len - static_cast<std::uint32_t>(wire::UsualTcp::kHeader);
  //= rfc7323#5.3 MUST-1, MUST-2
  if (tcp.seq != block.rcv.nxt || payload > receive_window(block) ||
      static_cast<std::int32_t>(tcp.ts_val - block.ts_recent) < 0 || !is_unmarked(block, ecn))
    return false;
  if (payload > 0) {
    const ReceiveRecord* const record = ctx.receive_record(block);
    const bool has_gap = record != nullptr && record->first_packet != nullptr;
    if (has_gap || ctx.is_low_on_buffers() || !ctx.may_receive(block)) return false;
  }
  SendRecord* const record = ctx.send_record(block);
  const std::uint32_t flight = flight_size(block);
  const bool is_all = flight > 0 && tcp.ack == block.snd.nxt;
  if (is_all) {
    if (record == nullptr || !is_plain_flight(block, *record)) return false;
  } else if (tcp.ack != block.snd.una || flight > 0 || record != nullptr) {
    return false;
  }

  // It is the one that was expected.
  ctx.touch(index);
  //= rfc7323#5.2 MUST-2
  //= rfc7323#4.3 SHLD-1, SHLD-2, MUST-1  rfc7323#3.2 MUST-2
  if (wire::seq_leq(tcp.seq, block.rcv.last_ack)) block.ts_recent = tcp.ts_val;
  ctx.totals[index].last_received_at = ctx.tick;
  block.keepalive_probes = 0;
  update_send_window(block, tcp.seq, tcp.ack,  //= rfc7323#2.3 MUST-5
                     static_cast<std::uint32_t>(tcp.window) << block.snd_wscale());
  if (is_all) take_plain_flight(ctx, index, *record);
  ctx.disarm(block, kTimerRetransmit);
  if (block.snd.wnd == 0) block.unacked_since = ctx.tick;
  if (payload == 0) {
    packet.reset();
    return true;
  }
  packet::PacketChain octets(std::move(packet));
  octets.drop_front(static_cast<std::uint32_t>(wire::UsualTcp::kHeader));
  const bool is_kept = take_in_order(ctx, index, std::move(octets));
  SLUICE_ASSERT(is_kept);  // may_receive()
  return true;
}

}  // namespace sluice::tcp
