#include "tcp/handshake/open.hpp"

#include <algorithm>

#include "tcp/congestion/controller.hpp"
#include "tcp/demux/flow_hash.hpp"
#include "tcp/handshake/established.hpp"
#include "tcp/handshake/isn.hpp"
#include "tcp/input/ack.hpp"
#include "tcp/output/control.hpp"
#include "tcp/output/window.hpp"

namespace sluice::tcp {
namespace {

/// Port selection by a keyed hash and counters (RFC 6056 3.3.4): nobody can guess the next port,
/// ports to one peer follow each other, so that none is used again too soon, and do not tell the
/// peer how many connections others get, as one counter for all of them would.
std::optional<Port> choose_port(Context& ctx, FlowKey flow) {
  //= rfc6056#3.3.4  algorithm 4
  flow.local_port = Port{};
  const auto first = static_cast<std::uint32_t>(ctx.config.ephemeral_first);
  const std::uint32_t count = ctx.config.ephemeral_last - first + 1;
  const std::uint64_t hash = flow_hash(ctx.keys.ports, flow);
  const auto offset = static_cast<std::uint32_t>(hash);
  std::uint32_t& counter = ctx.port_counters[(hash >> 32) & (ctx.port_counters.size() - 1)];
  // Of so many ports none is free only if nearly all are taken. Where they run out, a connect is
  // not to cost a look-up for each that there is.
  constexpr std::uint32_t kMostLookUps = 256;
  std::uint32_t look_ups = 0;
  for (std::uint32_t attempt = 0; attempt < count && look_ups < kMostLookUps; ++attempt) {
    const std::uint32_t step = offset + counter++;
    flow.local_port = Port{static_cast<std::uint16_t>(first + step % count)};
    if (ctx.listeners.is_listening(flow.local_port)) continue;
    if (!ctx.paths.is_home(flow)) continue;  // its answers would come to another worker
    ++look_ups;
    if (ctx.find_flow(flow, ctx.hash_of(flow)).is_none()) return flow.local_port;
  }
  return std::nullopt;
}

}  // namespace

Result<ConnHandle, Error> open(Context& ctx, const OpenRequest& request) {
  if (ctx.is_draining) return fail(Error::kDraining);
  if (request.remote.port.value == 0 || request.remote.address.is_unspecified())
    return fail(Error::kInvalidArgument);
  const auto path = ctx.paths.path_to(request.remote.address, request.local);
  if (!path) {
    ctx.metrics.count(Counter::kConnectUnreachable);
    return fail(path.error() == PathError::kNoRoute ? Error::kUnreachable
                                                    : Error::kInvalidArgument);
  }
  //= rfc9293#3.9.1.1 MUST-43, MUST-44
  FlowKey flow{path->source, request.remote.address, request.local_port, request.remote.port};
  if (flow.local_port.value == 0) {
    const auto port = choose_port(ctx, flow);
    if (!port) return fail(Error::kAddressInUse);
    flow.local_port = *port;
  } else if (!ctx.paths.is_home(flow)) {
    return fail(Error::kInvalidArgument);
  }
  const std::uint64_t hash = ctx.hash_of(flow);
  if (!ctx.find_flow(flow, hash).is_none()) return fail(Error::kAddressInUse);
  const std::uint32_t index = ctx.make_tcb(flow, hash, {});
  if (index == kNoIndex) return fail(Error::kTooManyConnections);

  Tcb& block = ctx.tcb(index);
  //= rfc9293#3.5 MUST-11
  block.set(kActiveOpen | kAccepted | (request.is_traced ? kTraced : 0u) |
            (ctx.config.keepalive ? kKeepaliveOn : 0u));
  block.congestion = static_cast<std::uint8_t>(
      request.congestion.value_or(path->congestion.value_or(ctx.config.congestion)));
  if (ctx.config.ecn == EcnMode::kOffer || controller_of(block).traits().needs_ecn)
    block.ecn = kEcnOffered;
  const std::uint64_t secret = ctx.secret_of(flow);
  const SeqNum iss = initial_sequence_number(secret, ctx.now);
  block.snd.una = block.snd.nxt = iss;
  block.ts_offset = ctx.timestamp_offset_of(secret);
  const unsigned headers = (flow.is_v4() ? 20u : 40u) + 20u;
  block.rcv_mss = static_cast<std::uint16_t>(path->mtu - headers);  // what our SYN announces
  if (ctx.config.max_mss != 0) block.rcv_mss = std::min(block.rcv_mss, ctx.config.max_mss);
  block.snd_mss = 536;
  block.unacked_since = ctx.tick;
  if (SendRecord* record = ctx.need_send_record(block)) record->base = iss + 1;
  ctx.metrics.count(Counter::kActiveOpens);
  if (ctx.recorder.is_enabled()) ctx.record_flow(flow, hash, index, iss, SeqNum(0));
  ctx.transition(index, State::kSynSent);
  block.set(kRetransmitNow);
  ctx.want_output(index);
  return ConnHandle{index, block.generation};
}

Outcome syn_sent_arrives(Context& ctx, std::uint32_t index, Segment& segment, bool& has_more) {
  Tcb& block = ctx.touch(index);
  has_more = false;
  const bool is_syn_sent = block.snd.nxt != block.snd.una;  // it left the output queue
  if (segment.has(wire::kAck) && (!is_syn_sent || segment.ack() != block.snd.nxt)) {
    //= rfc9293#3.10.7.3  first check
    if (segment.has(wire::kRst)) return Outcome::kSynSentIgnored;
    send_reset_for_ack(ctx, segment);
    return Outcome::kSynSentBadAck;
  }
  if (segment.has(wire::kRst)) {
    //= rfc9293#3.10.7.3  second check; without an ACK anybody could have sent it
    if (!segment.has(wire::kAck)) return Outcome::kSynSentIgnored;
    ctx.metrics.count(Counter::kConnectRefused);
    ctx.close(index, CloseReason::kRefused);
    return Outcome::kRstAccepted;
  }
  if (!segment.has(wire::kSyn)) return Outcome::kSynSentIgnored;  // fifth

  // Fourth: the peer's SYN.
  const std::uint16_t path_mtu = [&] {
    const FlowKey flow = ctx.flow_of(block);
    const auto path = ctx.paths.path_to(flow.remote, flow.local);
    return path ? path->mtu : std::uint16_t{1500};
  }();
  //= rfc7323#2.2 MUST-2  the scale is read in SYNs only
  apply_agreement(ctx, block, agree(ctx.config, segment.header.options, path_mtu));
  block.rcv.nxt = segment.seq() + 1;
  block.rcv.adv = block.rcv.nxt + std::min<std::uint32_t>(ctx.receive_buffer_of(block), 65535);
  block.rcv.last_ack = block.rcv.nxt;
  block.ts_recent = segment.header.options.ts_val;
  //= rfc3168#6.1.1  ECE without CWR agrees; a peer that just reflects reserved bits sends both
  const bool is_agreed = (block.ecn & kEcnOffered) != 0 && segment.has(wire::kAck) &&
                         segment.has(wire::kEce) && !segment.has(wire::kCwr);
  block.ecn = is_agreed ? kEcnOk : 0;
  if (!segment.has(wire::kAck)) {
    //= rfc9293#3.5 MUST-10  simultaneous open: <SEQ=ISS><ACK=RCV.NXT><CTL=SYN,ACK>
    set_send_window(block, segment, segment.header.window);
    ctx.transition(index, State::kSynReceived);
    block.set(kRetransmitNow);
    ctx.want_output(index);
    return Outcome::kSegmentProcessed;
  }
  segment.take_syn();
  become_established(ctx, index, segment);
  block.set(kAckNow);
  ctx.want_output(index);
  has_more = segment.length() > 0;
  return Outcome::kSegmentProcessed;
}

}  // namespace sluice::tcp
