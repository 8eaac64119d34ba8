#include "tests/sim/attack/believable.hpp"

#include "wire/ipv4.hpp"

namespace sluice::sim {
namespace {

using support::ParsedFrame;
using telemetry::SectionKind;
using telemetry::StateRegion;
using wire::seq_distance;
using wire::SeqNum;
using wire::TcpHeader;

std::uint32_t length_of(const ParsedFrame& frame) {
  return static_cast<std::uint32_t>(frame.payload.size()) + (frame.tcp->has(wire::kSyn) ? 1u : 0u) +
         (frame.tcp->has(wire::kFin) ? 1u : 0u);
}

/// RFC 9293 3.10.7.4, Table 6. A segment at RCV.NXT counts even if the window is shut: its ACK
/// does.
bool is_acceptable(SeqNum seq, std::uint32_t length, SeqNum next, std::uint32_t window) {
  const auto lies_in = [&](SeqNum at) { return seq_distance(next, at) < window; };
  return seq == next || lies_in(seq) || (length > 0 && lies_in(seq + (length - 1)));
}

std::uint32_t window_of(const tcp::Tcb& block) {
  const std::int32_t room = wire::seq_offset(block.rcv.nxt, block.rcv.adv);
  return room > 0 ? static_cast<std::uint32_t>(room) : 0;
}

Belief while_connecting(const tcp::Tcb& block, const TcpHeader& tcp) {
  const bool is_sent = block.snd.nxt != block.snd.una;
  if (tcp.has(wire::kAck) && !(is_sent && tcp.ack == block.snd.nxt)) return Belief::kNo;
  if (tcp.has(wire::kRst)) return tcp.has(wire::kAck) ? Belief::kYes : Belief::kNo;
  if (!tcp.has(wire::kSyn)) return Belief::kNo;
  return tcp.has(wire::kAck) ? Belief::kYes : Belief::kSimultaneous;
}

Belief once_synchronized(const tcp::Tcb& block, const ParsedFrame& frame) {
  const TcpHeader& tcp = *frame.tcp;
  const bool is_opening = block.state == tcp::State::kSynReceived;
  if (tcp.has(wire::kRst)) return tcp.seq == block.rcv.nxt ? Belief::kYes : Belief::kNo;
  if (tcp.has(wire::kSyn)) {
    const bool is_answer = is_opening && tcp.has(wire::kAck) && tcp.seq + 1 == block.rcv.nxt &&
                           tcp.ack == block.snd.nxt;
    return is_answer ? Belief::kYes : Belief::kNo;
  }
  if (!tcp.has(wire::kAck)) return Belief::kNo;
  if (!is_acceptable(tcp.seq, length_of(frame), block.rcv.nxt, window_of(block)))
    return Belief::kNo;
  if ((block.flags & tcp::kTimestampsOk) != 0 &&
      (!tcp.options.has_timestamps ||
       static_cast<std::int32_t>(tcp.options.ts_val - block.ts_recent) < 0))
    return Belief::kNo;
  const SeqNum oldest = is_opening ? block.snd.una + 1 : block.snd.una - block.snd_max_wnd;
  return seq_distance(oldest, tcp.ack) <= seq_distance(oldest, block.snd.nxt) ? Belief::kYes
                                                                              : Belief::kNo;
}

Belief half_open(const tcp::HalfOpen& entry, const ParsedFrame& frame) {
  const TcpHeader& tcp = *frame.tcp;
  const SeqNum next = entry.irs + 1;
  constexpr std::uint32_t kWindow = 65'535;  // the most that a SYN-ACK can offer
  if (tcp.has(wire::kRst)) return tcp.seq == next ? Belief::kYes : Belief::kNo;
  if (!is_acceptable(tcp.seq, length_of(frame), next, kWindow)) return Belief::kNo;
  if (tcp.has(wire::kSyn)) return tcp.seq == entry.irs ? Belief::kNo : Belief::kYes;
  return tcp.has(wire::kAck) && tcp.ack == entry.iss + 1 ? Belief::kYes : Belief::kNo;
}

/// An error is believed if it quotes what is in flight (RFC 5927 4.1). An open connection outlives
/// it; one that is being made does not.
Belief in_error(StateRegion& region, const ParsedFrame& frame) {
  const auto quoted = wire::parse_ipv4(frame.payload);
  if (!quoted || frame.payload.size() < quoted->header_length + 8u) return Belief::kNo;
  const auto front = std::span(frame.payload).subspan(quoted->header_length);
  const auto be16 = [&](std::size_t at) {
    return static_cast<std::uint16_t>(std::to_integer<unsigned>(front[at]) << 8 |
                                      std::to_integer<unsigned>(front[at + 1]));
  };
  const SeqNum seq(std::uint32_t{be16(4)} << 16 | be16(6));
  const tcp::Tcb* const block =
      find_connection(region, {quoted->source, quoted->destination, be16(0), be16(2)});
  return block != nullptr && block->state == tcp::State::kSynSent && seq == block->snd.una &&
                 block->snd.una != block->snd.nxt
             ? Belief::kYes
             : Belief::kNo;
}

}  // namespace

Tuple tuple_at_receiver(const ParsedFrame& frame) {
  return {frame.ip->destination, frame.ip->source, frame.tcp->destination.value,
          frame.tcp->source.value};
}

const tcp::Tcb* find_connection(StateRegion& region, const Tuple& tuple) {
  const tcp::CompactKey key{tuple.local.value, tuple.remote.value, tuple.local_port,
                            tuple.remote_port};
  for (const tcp::Tcb& block : region.section<tcp::Tcb>(SectionKind::kTcbs, 0))
    if (block.key == key && block.state != tcp::State::kClosed && !block.has(tcp::kDetached))
      return &block;
  return nullptr;
}

const tcp::HalfOpen* find_half_open(StateRegion& region, const Tuple& tuple) {
  for (const tcp::HalfOpen& entry : region.section<tcp::HalfOpen>(SectionKind::kHalfOpen, 0))
    if (entry.listener != 0xffff && entry.local_port == tuple.local_port &&
        entry.remote_port == tuple.remote_port && entry.remote == IpAddr(tuple.remote) &&
        entry.local == IpAddr(tuple.local))
      return &entry;
  return nullptr;
}

Belief belief_in(StateRegion& region, const ParsedFrame& frame) {
  if (frame.icmp) return in_error(region, frame);
  if (!frame.tcp) return Belief::kNo;
  const Tuple tuple = tuple_at_receiver(frame);
  if (const tcp::Tcb* const block = find_connection(region, tuple))
    return block->state == tcp::State::kSynSent ? while_connecting(*block, *frame.tcp)
                                                : once_synchronized(*block, frame);
  if (const tcp::HalfOpen* const entry = find_half_open(region, tuple))
    return half_open(*entry, frame);
  return Belief::kNo;  // a cookie that fits is not seen here: the connection that it makes is
}

}  // namespace sluice::sim
