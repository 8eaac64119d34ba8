#include "tests/sim/attack/guesser.hpp"

#include <algorithm>

namespace sluice::sim {
namespace {

using support::IcmpFrame;
using support::Octets;
using support::TcpFrame;
using wire::SeqNum;

constexpr std::size_t kFlowsKnown = 16;
constexpr std::uint32_t kSweepStep = 65'535;  // the widest window without scaling

Octets forged_octets(std::size_t count) {
  return Octets(count, std::byte{0xee});
}

std::uint32_t window_of(const tcp::Tcb& block) {
  const std::int32_t room = wire::seq_offset(block.rcv.nxt, block.rcv.adv);
  return room > 0 ? static_cast<std::uint32_t>(room) : 0;
}

}  // namespace

Guesser::Guesser(const Scene& scene, const AttackPlan& plan, std::uint64_t seed)
    : Attacker(scene, plan, seed), sweep_(any32()) {
  // Some guesses wait for no traffic: they meet TIME-WAIT, half-open entries and silence.
  for (std::uint32_t i = 0; i < plan.frames / 4; ++i) at(some_time(), 0);
}

void Guesser::on_event(std::uint64_t, Instant) {
  guess();
}

/// Traffic tells it when somebody is there, and of every second connection the ports.
void Guesser::on_passing(unsigned from, const support::ParsedFrame& frame,
                         std::span<const std::byte>) {
  if (!is_active()) return;
  FlowId id;
  id[from] = frame.tcp->source.value;
  id[1 - from] = frame.tcp->destination.value;
  const bool is_known = std::find(known_.begin(), known_.end(), id) != known_.end();
  if (!is_known && frame.tcp->has(wire::kSyn) && rng_.chance(1, 2)) {
    known_.push_back(id);
    if (known_.size() > kFlowsKnown) known_.pop_front();
  }
  if (rng_.chance(1, is_known ? 4 : 32)) guess();
}

Guesser::FlowId Guesser::pick_flow() {
  if (!known_.empty() && !rng_.chance(1, 8)) {
    // The latest is the likeliest to live.
    std::size_t back = rng_.below(known_.size());
    back = std::min<std::size_t>(back, rng_.below(4));
    return known_[known_.size() - 1 - back];
  }
  FlowId id;
  const auto server = static_cast<unsigned>(rng_.below(kHosts));
  id[server] = listener(rng_);
  id[1 - server] = static_cast<std::uint16_t>(40'000 + rng_.below(1000));
  return id;
}

void Guesser::guess() {
  if (!spend()) return;
  const FlowId id = pick_flow();
  const auto to = static_cast<unsigned>(rng_.below(kHosts));
  if (rng_.chance(1, 2) && edge(id, to)) {
    scene_.tally.count(Act::kEdgeGuess);
  } else if (rng_.chance(1, 5)) {
    scene_.tally.count(Act::kIcmpGuess);
    icmp_error(id, to, next_number());
  } else {
    scene_.tally.count(Act::kBlindGuess);
    blind_segment(id, to);
  }
}

SeqNum Guesser::next_number() {
  if (rng_.chance(1, 2)) return SeqNum(any32());
  sweep_ += kSweepStep;
  return SeqNum(sweep_);
}

TcpFrame Guesser::segment_of(const FlowId& id, unsigned to) {
  TcpFrame frame(in_the_name_of(Plan::kHost[1 - to], to));
  frame.tcp.source = Port{id[1 - to]};
  frame.tcp.destination = Port{id[to]};
  frame.tcp.window = any16();
  return frame;
}

void Guesser::blind_segment(const FlowId& id, unsigned to) {
  TcpFrame frame = segment_of(id, to);
  wire::TcpHeader& tcp = frame.tcp;
  tcp.seq = next_number();
  tcp.ack = next_number();
  switch (rng_.below(8)) {
    case 0:
      tcp.flags = wire::kRst;
      break;
    case 1:
      tcp.flags = wire::kRst | wire::kAck;
      break;
    case 2:
      tcp.flags = wire::kSyn;
      break;
    case 3:
      tcp.flags = wire::kSyn | wire::kAck;
      break;
    case 4:
      tcp.flags = wire::kFin | wire::kAck;
      break;
    case 5:
      tcp.flags = wire::kAck;
      break;
    case 6:
      tcp.flags = wire::kAck | wire::kPsh;
      frame.payload = forged_octets(1 + rng_.below(400));
      break;
    case 7:
      tcp.flags = static_cast<std::uint8_t>(rng_.next());
      break;
  }
  if (tcp.has(wire::kUrg)) tcp.urgent_pointer = any16();
  if (rng_.chance(1, 2)) {
    tcp.options.has_timestamps = true;
    tcp.options.ts_val = any32();
    tcp.options.ts_ecr = any32();
  }
  send(to, build(frame));
}

/// An error about a segment of host `to`'s with the number `quoted`.
void Guesser::icmp_error(const FlowId& id, unsigned to, SeqNum quoted) {
  TcpFrame segment(support::Endpoints{Plan::kHostMac[to], Plan::kGatewayMac, Plan::kHost[to],
                                      Plan::kHost[1 - to]});
  segment.tcp.source = Port{id[to]};
  segment.tcp.destination = Port{id[1 - to]};
  segment.tcp.seq = quoted;
  segment.tcp.ack = next_number();
  segment.tcp.flags = wire::kAck;
  IcmpFrame frame(in_the_name_of(Plan::kRouter, to));
  frame.data = support::ip_packet_of(build(segment));
  frame.icmp = {.type = wire::icmp_type::kUnreachable, .code = 0, .checksum = 0, .rest = 0};
  switch (rng_.below(4)) {
    case 0:
      frame.icmp.code = wire::icmp_unreachable::kPort;
      break;
    case 1:
      frame.icmp.code = wire::icmp_unreachable::kProtocol;
      break;
    case 2:
      frame.icmp.code = wire::icmp_unreachable::kHost;
      break;
    case 3:
      frame.icmp.code = wire::icmp_unreachable::kFragmentationNeeded;
      frame.icmp.rest = 68;  // RFC 791's least
      break;
  }
  send(to, build(frame));
}

// --- next to what would be believed ---

bool Guesser::edge(const FlowId& id, unsigned to) {
  const Tuple tuple{Plan::kHost[to], Plan::kHost[1 - to], id[to], id[1 - to]};
  telemetry::StateRegion& region = *scene_.regions[to];
  if (const tcp::HalfOpen* const entry = find_half_open(region, tuple))
    return edge_of_half_open(*entry, id, to);
  const tcp::Tcb* const block = find_connection(region, tuple);
  if (block == nullptr) return false;
  if (block->state == tcp::State::kSynSent) return edge_of_opening(*block, id, to);
  if (rng_.chance(1, 8)) {
    // Just before the oldest octet in flight, or just after the newest.
    icmp_error(id, to, rng_.chance(1, 2) ? block->snd.una - 1 : block->snd.nxt);
    return true;
  }
  TcpFrame frame = segment_of(id, to);
  if ((block->flags & tcp::kTimestampsOk) != 0) {
    frame.tcp.options.has_timestamps = true;
    // As far ahead as it goes: what is refused for other reasons must not set the clock.
    frame.tcp.options.ts_val = block->ts_recent + 0x7fff'ffff;
    frame.tcp.options.ts_ecr = block->ts_recent;
  }
  const bool is_aimed =
      rng_.chance(1, 2) ? edge_of_reset(*block, frame) : edge_of_data(*block, frame);
  if (is_aimed) send(to, build(frame));
  return is_aimed;
}

bool Guesser::edge_of_opening(const tcp::Tcb& block, const FlowId& id, unsigned to) {
  if (block.snd.una == block.snd.nxt) return false;
  if (rng_.chance(1, 4)) {
    icmp_error(id, to, rng_.chance(1, 2) ? block.snd.una - 1 : block.snd.nxt);
    return true;
  }
  TcpFrame frame = segment_of(id, to);
  frame.tcp.seq = next_number();
  frame.tcp.ack = rng_.chance(1, 2) ? block.snd.nxt - 1 : block.snd.nxt + 1;
  static constexpr std::uint8_t kFlags[] = {wire::kSyn | wire::kAck, wire::kRst | wire::kAck,
                                            wire::kRst, wire::kAck, wire::kFin};
  frame.tcp.flags = kFlags[rng_.below(std::size(kFlags))];
  send(to, build(frame));
  return true;
}

bool Guesser::edge_of_half_open(const tcp::HalfOpen& entry, const FlowId& id, unsigned to) {
  TcpFrame frame = segment_of(id, to);
  const SeqNum next = entry.irs + 1;
  frame.tcp.ack = entry.iss + 1;
  if (rng_.chance(1, 2)) {
    frame.tcp.flags = wire::kRst;
    frame.tcp.seq = rng_.chance(1, 2) ? next - 1 : next + 1;
  } else {
    // An ACK that is one off makes the entry's own host send RST there: to a client that knows
    // better.
    frame.tcp.flags = wire::kAck;
    frame.tcp.seq = next;
    frame.tcp.ack = rng_.chance(1, 2) ? entry.iss : entry.iss + 2;
    if ((entry.flags & tcp::kHalfOpenTimestamps) != 0) {
      frame.tcp.options.has_timestamps = true;
      frame.tcp.options.ts_val = entry.ts_recent + 0x7fff'ffff;
    }
  }
  send(to, build(frame));
  return true;
}

/// RST and SYN: believed at RCV.NXT only, and never.
bool Guesser::edge_of_reset(const tcp::Tcb& block, TcpFrame& frame) {
  const std::uint32_t window = window_of(block);
  frame.tcp.ack = block.snd.nxt;
  frame.tcp.flags = rng_.chance(1, 2) ? wire::kRst : wire::kRst | wire::kAck;
  frame.tcp.seq = block.rcv.nxt;
  switch (rng_.below(6)) {
    case 0:
      frame.tcp.seq = block.rcv.nxt - 1;
      return true;
    case 1:
      frame.tcp.seq += 1;
      return true;
    case 2:
      frame.tcp.seq += window - 1;
      return window > 1;
    case 3:
      frame.tcp.seq += window;
      return window > 0;
    case 4:
      frame.tcp.seq += window / 2;
      return window > 1;
    case 5:
      frame.tcp.flags = wire::kSyn;
      return true;
  }
  return false;
}

/// Octets and FINs: one number of the three (sequence, acknowledgement, clock) is one off.
bool Guesser::edge_of_data(const tcp::Tcb& block, TcpFrame& frame) {
  const std::uint32_t window = window_of(block);
  const auto length = static_cast<std::uint32_t>(1 + rng_.below(100));
  wire::TcpHeader& tcp = frame.tcp;
  tcp.seq = block.rcv.nxt;
  tcp.ack = block.snd.nxt;
  tcp.flags = wire::kAck;
  if (rng_.chance(1, 4)) {
    tcp.flags |= wire::kFin;
  } else {
    frame.payload = forged_octets(length);
  }
  const bool is_opening = block.state == tcp::State::kSynReceived;
  switch (rng_.below(7)) {
    case 0:  // all of it is old
      tcp.seq = block.rcv.nxt - (frame.payload.empty() ? 1u : length);
      // Who waits for a shut window to open takes an ACK from there: the edge is one lower.
      if (block.has(tcp::kPersisting) && tcp.seq + 1 == block.rcv.nxt) tcp.seq = tcp.seq - 1;
      return true;
    case 1:
      if (window == 0) return false;
      tcp.seq = block.rcv.nxt + window;
      return true;
    case 2:
      tcp.ack = block.snd.nxt + 1;
      return true;
    case 3:
      tcp.ack = is_opening ? block.snd.una : block.snd.una - block.snd_max_wnd - 1;
      return true;
    case 4:
      tcp.flags = static_cast<std::uint8_t>(tcp.flags & ~wire::kAck);
      return true;
    case 5:
      if (!tcp.options.has_timestamps) return false;
      tcp.options.ts_val = block.ts_recent - 1;
      return true;
    case 6:
      if (!tcp.options.has_timestamps) return false;
      tcp.options.has_timestamps = false;
      return true;
  }
  return false;
}

}  // namespace sluice::sim
