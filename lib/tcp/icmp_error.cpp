#include "tcp/icmp_error.hpp"

#include <algorithm>

#include "tcp/recovery/loss_recovery.hpp"
#include "tcp/recovery/rexmit_queue.hpp"

namespace sluice::tcp {
namespace {

SoftError soft_error_of(IcmpErrorKind kind) {
  switch (kind) {
    case IcmpErrorKind::kNetUnreachable:
    case IcmpErrorKind::kNoRoute:
      return SoftError::kNetUnreachable;
    case IcmpErrorKind::kHostUnreachable:
    case IcmpErrorKind::kNoNeighbor:
      return SoftError::kHostUnreachable;
    case IcmpErrorKind::kProtocolUnreachable:
      return SoftError::kProtocolUnreachable;
    case IcmpErrorKind::kPortUnreachable:
      return SoftError::kPortUnreachable;
    case IcmpErrorKind::kProhibited:
      return SoftError::kProhibited;
    case IcmpErrorKind::kTimeExceeded:
      return SoftError::kTimeExceeded;
    case IcmpErrorKind::kParameterProblem:
      return SoftError::kParameterProblem;
    case IcmpErrorKind::kFragmentationNeeded:
      return SoftError::kNone;
  }
  return SoftError::kNone;
}

/// While connecting, there is nothing to lose: the caller hears at once that there is no way.
void fail_connect(Context& ctx, std::uint32_t index, const IcmpError& error) {
  const bool is_refused = error.kind == IcmpErrorKind::kPortUnreachable ||
                          error.kind == IcmpErrorKind::kProtocolUnreachable;
  ctx.metrics.count(is_refused ? Counter::kConnectRefused : Counter::kConnectUnreachable);
  ctx.close(index, is_refused ? CloseReason::kRefused : CloseReason::kUnreachable);
}

/// The segment at `seq` may have been an IP packet of more than `mtu` octets.
bool was_larger_than(Context& ctx, Tcb& block, SeqNum seq, unsigned mtu) {
  SendRecord* const record = ctx.send_record(block);
  if (record == nullptr) return false;
  const unsigned most_headers = (block.has(kIsV6) ? 40u : 20u) + wire::kTcpMaxHeader;
  bool was_larger = false;
  SendSide side = ctx.send_side(block, *record);
  RexmitQueue queue(side);
  queue.for_each([&](std::uint32_t index) {
    const SentRun& run = queue[index];
    if (!wire::seq_in_window(seq, run.left, run.length)) return;
    const std::uint32_t rest = wire::seq_distance(seq, run.end());
    was_larger = std::min<std::uint32_t>(run.segment_size, rest) + most_headers > mtu;
  });
  return was_larger;
}

/// A router cannot pass the segment at `seq`: smaller ones, at once (RFC 1191 6.4), never below 536
/// + options. False if that cannot be so: no IPv4 link is below 68 octets (RFC 791), and what is
/// small enough was not refused for its size (RFC 5927 7).
bool lower_mss(Context& ctx, std::uint32_t index, SeqNum seq, std::uint16_t mtu) {
  Tcb& block = ctx.touch(index);
  const unsigned headers =
      (block.has(kIsV6) ? 40u : 20u) + 20u + (block.has(kTimestampsOk) ? 12u : 0u);
  constexpr unsigned kLeastLink = 68;
  if (mtu != 0 && mtu < kLeastLink) return false;
  constexpr unsigned kLeastMtu = 552;  // what Linux takes as the smallest credible report
  const unsigned believed = std::max<unsigned>(mtu, kLeastMtu);
  if (believed - headers >= block.snd_mss) return true;
  if (!was_larger_than(ctx, block, seq, believed)) return false;
  block.snd_mss = static_cast<std::uint16_t>(believed - headers);
  if (SendRecord* const record = ctx.send_record(block)) {
    SendSide side = ctx.send_side(block, *record);
    resend_larger_than(side, block.snd_mss);
  }
  ctx.want_output(index);
  return true;
}

}  // namespace

bool icmp_error_arrives(Context& ctx, const IcmpError& error) {
  const FlowRef ref = ctx.find_flow(error.flow, ctx.hash_of(error.flow));
  if (ref.is_none()) return false;
  if (ref.kind() == FlowRef::kHalfOpen) {
    // The SYN-ACK found no way. The entry's own lifetime decides: anybody can forge such a message.
    return ctx.half_opens[ref.index()].iss == error.seq;
  }
  if (ref.kind() != FlowRef::kConnection) return false;
  const Tcb& block = ctx.tcb(ref.index());
  //= rfc5927#4.1
  const bool is_in_flight =
      wire::seq_leq(block.snd.una, error.seq) && wire::seq_lt(error.seq, block.snd.nxt);
  const bool is_ours =
      error.kind == IcmpErrorKind::kNoNeighbor || error.kind == IcmpErrorKind::kNoRoute;
  if (!is_in_flight && !is_ours) return false;
  //= rfc9293#3.9.1.8 MUST-47, SHLD-20, SHLD-25  told to who asks (StreamInfo), no call is made
  const SoftError soft = soft_error_of(error.kind);
  if (soft != SoftError::kNone) ctx.touch(ref.index()).soft_error = static_cast<std::uint8_t>(soft);
  switch (error.kind) {
    case IcmpErrorKind::kFragmentationNeeded:
      return !is_synchronized(block.state) || lower_mss(ctx, ref.index(), error.seq, error.mtu);
    case IcmpErrorKind::kNetUnreachable:
    case IcmpErrorKind::kHostUnreachable:
    case IcmpErrorKind::kProtocolUnreachable:
    case IcmpErrorKind::kPortUnreachable:
    case IcmpErrorKind::kProhibited:
    case IcmpErrorKind::kNoNeighbor:
    case IcmpErrorKind::kNoRoute:
      //= rfc9293#3.9.2.2 MUST-54, MUST-56  soft errors do not abort
      //= rfc9293#3.9.2.2 SHLD-26 exception: hard errors abort only while connecting (RFC 5927 5.2)
      if (block.state == State::kSynSent) fail_connect(ctx, ref.index(), error);
      return true;
    case IcmpErrorKind::kTimeExceeded:
    case IcmpErrorKind::kParameterProblem:
      return true;  //= rfc9293#3.9.2.2 MUST-56
  }
  return true;
}

}  // namespace sluice::tcp
