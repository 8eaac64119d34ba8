#include "tcp/output/control.hpp"

#include <algorithm>

#include "base/assert.hpp"
#include "tcp/input/sack_report.hpp"
#include "tcp/output/window.hpp"

namespace sluice::tcp {
namespace {

using wire::TcpHeader;

/// The emitted header and nothing else becomes the packet.
void put_header(rte_mbuf& packet, const TcpHeader& header) {
  const std::size_t length =
      wire::emit_tcp(header, {rte_pktmbuf_mtod(&packet, std::byte*), wire::kTcpMaxHeader});
  packet.data_len = static_cast<std::uint16_t>(length);
  packet.pkt_len = packet.data_len;
  packet.tx_offload = 0;  // a received mbuf has what was there when it was sent last
  packet.l4_len = length & 0xff;
}

void push(Context& ctx, const FlowKey& flow, const TcpHeader& header,
          packet::PacketPtr packet = {}) {
  if (ctx.control.is_full()) {
    ctx.metrics.count(Counter::kTxNoBuffer);
    return;
  }
  if (packet) {
    packet->data_len = 0;
    packet->pkt_len = 0;
    // The longest header, so that its length need not be known before it is written.
    const std::byte* const room = packet::append(*packet, wire::kTcpMaxHeader);
    SLUICE_ASSERT(room != nullptr);  // see may_be_turned_round()
    put_header(*packet, header);
  } else {
    packet = make_header_packet(ctx, header);
  }
  if (!packet) return;
  ctx.metrics.count(Counter::kSegmentsSent);
  if (header.has(wire::kRst)) ctx.metrics.count(Counter::kRstSent);
  OutboundSegment& segment = ctx.control.push();
  segment.packet = std::move(packet);
  segment.source = flow.local;
  segment.destination = flow.remote;
  segment.traffic_class = 0;
  segment.hint = nullptr;
}

void add_timestamps(const Context& ctx, TcpHeader& header, std::uint32_t offset,
                    std::uint32_t echo) {
  header.options.has_timestamps = true;
  header.options.ts_val = ctx.tick + offset;
  header.options.ts_ecr = echo;
}

TcpHeader half_open_header(const Context& ctx, const HalfOpen& entry, const FlowKey& flow) {
  TcpHeader header;
  header.source = flow.local_port;
  header.destination = flow.remote_port;
  header.ack = entry.irs + 1;
  header.window =
      static_cast<std::uint16_t>(std::min<std::uint32_t>(ctx.config.receive_buffer_bytes, 65535));
  if (entry.flags & kHalfOpenTimestamps)
    add_timestamps(ctx, header, entry.ts_offset, entry.ts_recent);
  return header;
}

void record_half_open(Context& ctx, const HalfOpen& entry, const FlowKey& flow,
                      const TcpHeader& header, bool again) {
  if (!(entry.flags & kHalfOpenTraced) || !ctx.recorder.is_enabled()) return;
  Tcb shadow{};
  shadow.state = State::kSynReceived;
  shadow.rcv.nxt = entry.irs + 1;
  shadow.snd.una = entry.iss;
  shadow.snd.nxt = entry.iss + 1;
  ctx.record_segment(telemetry::EventKind::kSent, ctx.hash_of(flow), &shadow, header, header.window,
                     0, Outcome::kCount, again);
}

}  // namespace

packet::PacketPtr make_header_packet(Context& ctx, const TcpHeader& header) {
  packet::PacketPtr packet(rte_pktmbuf_alloc(ctx.pools.control));
  if (!packet) {
    ctx.metrics.count(Counter::kTxNoBuffer);
    return packet;
  }
  put_header(*packet, header);
  return packet;
}

void fill_header(Context& ctx, Tcb& block, TcpHeader& header) {
  header.source = Port{block.key.local_port};
  header.destination = Port{block.key.remote_port};
  //= rfc7323#3.2 MUST-1, MUST-4, SHLD-2  once agreed, in every segment
  if (block.has(kTimestampsOk)) add_timestamps(ctx, header, block.ts_offset, block.ts_recent);
  if (block.has(kSackOk) && block.receive_record != kNoIndex &&
      !header.has(wire::kSyn | wire::kRst)) {
    ReceiveRecord& record = ctx.receives.slab[block.receive_record];
    //= rfc2018#4 SHLD-1, MUST-1, SHLD-2, SHLD-4, SHLD-5
    write_sack_report(record, static_cast<std::uint8_t>(most_sack_blocks(block)), header.options);
    if (record.is_idle()) ctx.drop_receive_record(block);
  }
}

namespace {

/// A RST for a segment of no connection: one of its flow's five a second, and of the worker's.
bool may_reset(Context& ctx, const Segment& segment) {
  return !ctx.reset_bucket.is_spent(ctx.now) && ctx.resets_sent.take(segment.hash, ctx.tick) &&
         ctx.reset_bucket.take(ctx.now);
}

}  // namespace

Outcome answer_stray(Context& ctx, const Segment& segment) {
  //= rfc9293#3.10.7.1
  if (segment.has(wire::kRst)) return Outcome::kStrayRst;
  if (!may_reset(ctx, segment)) return Outcome::kStraySilenced;
  TcpHeader header;
  header.source = segment.flow.local_port;
  header.destination = segment.flow.remote_port;
  if (segment.has(wire::kAck)) {
    header.seq = segment.ack();
    header.flags = wire::kRst;
  } else {
    header.ack = segment.seq() + segment.length();
    header.flags = wire::kRst | wire::kAck;
  }
  push(ctx, segment.flow, header);
  return Outcome::kStrayAnswered;
}

bool send_reset_for_ack(Context& ctx, const Segment& segment) {
  if (!may_reset(ctx, segment)) return false;
  TcpHeader header;
  header.source = segment.flow.local_port;
  header.destination = segment.flow.remote_port;
  header.seq = segment.ack();
  header.flags = wire::kRst;
  push(ctx, segment.flow, header);
  return true;
}

namespace {

/// `header` has its sequence numbers and flags.
void send_reset(Context& ctx, std::uint32_t index, TcpHeader header) {
  Tcb& block = ctx.touch(index);
  fill_header(ctx, block, header);
  const FlowKey flow = ctx.flow_of(block);
  push(ctx, flow, header);
  if (block.has(kTraced))
    ctx.record_segment(telemetry::EventKind::kSent, ctx.hash_of(flow), &block, header, 0, 0,
                       Outcome::kCount, false);
}

}  // namespace

void send_reset(Context& ctx, std::uint32_t index) {
  const Tcb& block = ctx.tcb(index);
  TcpHeader header;
  header.flags = wire::kRst | wire::kAck;
  header.seq = is_synchronized(block.state) ? acceptable_seq(block) : block.snd.nxt;
  header.ack = block.rcv.nxt;
  send_reset(ctx, index, header);
}

void send_reset(Context& ctx, std::uint32_t index, const Segment& segment) {
  TcpHeader header;
  header.flags = wire::kRst;
  header.seq = segment.ack();
  send_reset(ctx, index, header);
}

void send_ack_of_now(Context& ctx, std::uint32_t index) {
  Tcb& block = ctx.touch(index);
  TcpHeader header;
  header.flags = (block.ecn & kEcnEcho) ? wire::kAck | wire::kEce : wire::kAck;
  header.seq = block.snd.nxt;
  header.ack = block.rcv.nxt;
  fill_header(ctx, block, header);
  header.window = advertise_window(ctx, block);
  const FlowKey flow = ctx.flow_of(block);
  push(ctx, flow, header);
  block.rcv.last_ack = block.rcv.nxt;
  ctx.disarm(block, kTimerDelayedAck);
  if (block.has(kTraced))
    ctx.record_segment(telemetry::EventKind::kSent, ctx.hash_of(flow), &block, header,
                       static_cast<std::uint32_t>(header.window) << block.rcv_wscale(), 0,
                       Outcome::kCount, false);
}

namespace {

TcpHeader syn_ack_header(const Context& ctx, const HalfOpen& entry, const FlowKey& flow) {
  TcpHeader header = half_open_header(ctx, entry, flow);
  header.flags = wire::kSyn | wire::kAck;
  if (entry.flags & kHalfOpenEcn) header.flags |= wire::kEce;  //= rfc3168#6.1.1
  header.seq = entry.iss;
  header.options.has_mss = true;
  const unsigned overhead = (flow.is_v4() ? 20u : 40u) + 20u;
  //= rfc9293#3.7.1 MUST-14, MUST-67, SHLD-5
  header.options.mss = static_cast<std::uint16_t>(entry.path_mtu - overhead);
  if (ctx.config.max_mss != 0)
    header.options.mss = std::min(header.options.mss, ctx.config.max_mss);
  //= rfc2018#2 MUST-1
  header.options.has_sack_permitted = (entry.flags & kHalfOpenSack) != 0;
  //= rfc7323#2.3 SHLD-1, MUST-1  rfc7323#2.2 MUST-1
  if (entry.peer_wscale != 0xff) {
    header.options.has_window_scale = true;
    header.options.window_scale = window_scale_for(ctx.config);
  }
  return header;
}

/// Room for a header that takes the place of what the packet holds, and nobody else who reads it.
bool may_be_turned_round(const rte_mbuf& packet) {
  constexpr std::uint16_t kLinkAndIp = 64;
  return packet.nb_segs == 1 && packet::is_exclusive(packet) && packet.data_off >= kLinkAndIp &&
         packet.buf_len >= packet.data_off + wire::kTcpMaxHeader;
}

}  // namespace

void send_syn_ack(Context& ctx, std::uint32_t half_open_index) {
  const HalfOpen& entry = ctx.half_opens[half_open_index];
  const FlowKey flow = ctx.flow_of(entry);
  const TcpHeader header = syn_ack_header(ctx, entry, flow);
  push(ctx, flow, header);
  record_half_open(ctx, entry, flow, header, entry.retransmits > 0);
}

void send_cookie(Context& ctx, const HalfOpen& entry, std::uint8_t fine_mss, Segment& syn) {
  TcpHeader header = syn_ack_header(ctx, entry, syn.flow);
  if (header.options.has_timestamps)
    header.options.ts_val = cookie_timestamp(header.options.ts_val, fine_mss);
  push(ctx, syn.flow, header,
       may_be_turned_round(*syn.packet) ? std::move(syn.packet) : packet::PacketPtr{});
  record_half_open(ctx, entry, syn.flow, header, false);
}

void send_half_open_ack(Context& ctx, std::uint32_t half_open_index) {
  HalfOpen& entry = ctx.half_opens[half_open_index];
  const std::uint8_t now = answer_time(ctx.tick);
  const bool is_answered = (entry.flags & kHalfOpenAnswered) && entry.answered_at == now;
  if (is_answered || !ctx.challenge_bucket.take(ctx.now)) {
    ctx.metrics.count(Counter::kChallengeAcksLimited);
    return;
  }
  ctx.metrics.count(Counter::kChallengeAcksSent);
  entry.version.begin_write();
  entry.flags |= kHalfOpenAnswered;
  entry.answered_at = now;
  entry.version.end_write();
  const FlowKey flow = ctx.flow_of(entry);
  TcpHeader header = half_open_header(ctx, entry, flow);
  header.flags = wire::kAck;
  header.seq = entry.iss + 1;
  //= rfc7323#2.2  only a SYN's window is not scaled
  if (entry.peer_wscale != 0xff)
    header.window = static_cast<std::uint16_t>(header.window >> window_scale_for(ctx.config));
  push(ctx, flow, header);
  record_half_open(ctx, entry, flow, header, false);
}

void send_time_wait_ack(Context& ctx, FlowRef ref) {
  const FlowKey flow = ctx.flow_of_time_wait(ref);
  TcpHeader header;
  header.source = flow.local_port;
  header.destination = flow.remote_port;
  header.flags = wire::kAck;
  bool is_traced = false;
  const auto fill = [&](const auto& entry) {
    header.seq = entry.snd_nxt;
    header.ack = entry.rcv_nxt;
    header.window = entry.rcv_wnd;
    is_traced = (entry.flags & kTimeWaitTraced) != 0;
    if (entry.flags & kTimeWaitTimestamps)
      add_timestamps(ctx, header, entry.ts_offset, entry.ts_recent);
  };
  if (ref.kind() == FlowRef::kTimeWait4) {
    fill(ctx.time_wait4[ref.index()]);
  } else {
    fill(ctx.time_wait6[ref.index()]);
  }
  push(ctx, flow, header);
  if (is_traced && ctx.recorder.is_enabled()) {
    Tcb shadow{};
    shadow.state = State::kTimeWait;
    shadow.snd.una = shadow.snd.nxt = header.seq;
    shadow.rcv.nxt = header.ack;
    ctx.record_segment(telemetry::EventKind::kSent, ctx.hash_of(flow), &shadow, header,
                       header.window, 0, Outcome::kCount, false);
  }
}

bool challenge_time_wait(Context& ctx, FlowRef ref) {
  const auto take = [&](auto& entry) {
    const std::uint8_t now = answer_time(ctx.tick);
    const bool is_answered = (entry.flags & kTimeWaitAnswered) && entry.flags >> 8 == now;
    if (is_answered || !ctx.challenge_bucket.take(ctx.now)) return false;
    entry.version.begin_write();
    entry.flags =
        static_cast<std::uint16_t>((entry.flags & 0xff) | kTimeWaitAnswered | unsigned{now} << 8);
    entry.version.end_write();
    return true;
  };
  const bool is_admitted = ref.kind() == FlowRef::kTimeWait4 ? take(ctx.time_wait4[ref.index()])
                                                             : take(ctx.time_wait6[ref.index()]);
  ctx.metrics.count(is_admitted ? Counter::kChallengeAcksSent : Counter::kChallengeAcksLimited);
  if (is_admitted) send_time_wait_ack(ctx, ref);
  return is_admitted;
}

namespace {

/// Whose five of this second: the half of Tcb::challenges_used.
enum class Budget : unsigned { kChallenges = 0, kKeepalive = 4 };

bool take_from_budget(Context& ctx, Tcb& block, Budget budget) {
  //= rfc5961#7 SHLD-2
  constexpr std::uint8_t kPerSecond = 5;
  const auto half = static_cast<unsigned>(budget);
  const auto second = static_cast<std::uint8_t>(ctx.tick / 1000);
  if (block.challenge_second != second) {
    block.challenge_second = second;
    block.challenges_used = 0;
  }
  if ((block.challenges_used >> half & 0x0f) >= kPerSecond) return false;
  block.challenges_used = static_cast<std::uint8_t>(block.challenges_used + (1u << half));
  return true;
}

void acknowledge_if(Context& ctx, std::uint32_t index, bool is_admitted) {
  ctx.metrics.count(is_admitted ? Counter::kChallengeAcksSent : Counter::kChallengeAcksLimited);
  if (!is_admitted) return;
  ctx.touch(index).set(kAckNow);
  ctx.want_output(index);
}

}  // namespace

void acknowledge_within_budget(Context& ctx, std::uint32_t index) {
  acknowledge_if(ctx, index, take_from_budget(ctx, ctx.touch(index), Budget::kChallenges));
}

void acknowledge_keepalive(Context& ctx, std::uint32_t index) {
  acknowledge_if(ctx, index, take_from_budget(ctx, ctx.touch(index), Budget::kKeepalive));
}

void challenge(Context& ctx, std::uint32_t index) {
  // The connection's budget first: a flood on one must not use up what others may be sent.
  acknowledge_if(ctx, index,
                 take_from_budget(ctx, ctx.touch(index), Budget::kChallenges) &&
                     ctx.challenge_bucket.take(ctx.now));
}

}  // namespace sluice::tcp
