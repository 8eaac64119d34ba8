#include "stack/ingress.hpp"

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <algorithm>

#include "base/assert.hpp"
#include "base/fetch_ahead.hpp"
#include "ip/ipv4_output.hpp"
#include "link/arp_input.hpp"
#include "wire/tcp_peek.hpp"
#include "wire/udp.hpp"

namespace sluice::stack {
namespace {

using packet::PacketPtr;
using telemetry::Counter;
using telemetry::Outcome;

/// Link, IP and TCP headers at their longest: what the first mbuf must hold of a frame.
constexpr std::size_t kMaxHeaders =
    wire::kEthernetMaxHeader + wire::kIpv4MaxHeader + wire::kTcpMaxHeader;

/// Of receive's pool, that fragments may hold; and of any.
constexpr std::uint32_t kPartForFragments = 8, kMostForFragments = 2048;

/// Of a call of process(), each by a frame of its own.
constexpr std::size_t kMostReassembled = 64;

tcp::IcmpErrorKind kind_of(ip::ErrorKind kind) {
  switch (kind) {
    case ip::ErrorKind::kNetUnreachable:
      return tcp::IcmpErrorKind::kNetUnreachable;
    case ip::ErrorKind::kHostUnreachable:
      return tcp::IcmpErrorKind::kHostUnreachable;
    case ip::ErrorKind::kProtocolUnreachable:
      return tcp::IcmpErrorKind::kProtocolUnreachable;
    case ip::ErrorKind::kPortUnreachable:
      return tcp::IcmpErrorKind::kPortUnreachable;
    case ip::ErrorKind::kFragmentationNeeded:
      return tcp::IcmpErrorKind::kFragmentationNeeded;
    case ip::ErrorKind::kProhibited:
      return tcp::IcmpErrorKind::kProhibited;
    case ip::ErrorKind::kTimeExceeded:
      return tcp::IcmpErrorKind::kTimeExceeded;
    case ip::ErrorKind::kParameterProblem:
      return tcp::IcmpErrorKind::kParameterProblem;
  }
  return tcp::IcmpErrorKind::kNetUnreachable;
}

/// "Good", or "not in the packet, but known to be whole" (a frame that never left this machine).
bool is_ip_checksum_known_good(const rte_mbuf& packet) {
  const std::uint64_t flags = packet.ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;
  return flags == RTE_MBUF_F_RX_IP_CKSUM_GOOD || flags == RTE_MBUF_F_RX_IP_CKSUM_NONE;
}
bool is_l4_checksum_known_good(const rte_mbuf& packet) {
  const std::uint64_t flags = packet.ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
  return flags == RTE_MBUF_F_RX_L4_CKSUM_GOOD || flags == RTE_MBUF_F_RX_L4_CKSUM_NONE;
}

}  // namespace

/// One call of process().
struct Ingress::Burst {
  unsigned port;
  const PortBinding& binding;
  std::uint64_t mac;  ///< The port's, as wire::mac_word().
  Instant now;
  std::span<tcp::InboundSegment> segments;
  std::span<tcp::IcmpError> errors;
  Yield yield;
  /// Source and destination of the last plain frame, if any: the next one's are mostly the same.
  std::uint64_t last_pair = 0;
  bool has_last_pair = false;
};

Ingress::Ingress(const StackConfig& config, const Deps& deps)
    : network_(deps.network),
      egress_(deps.egress),
      pools_(deps.pools),
      metrics_(deps.metrics),
      icmp_({.error = config.icmp_error_limit, .echo = config.echo_limit}),
      fragments_(std::min(deps.pools.receive->size / kPartForFragments, kMostForFragments)),
      is_one_of_many_(config.workers > 1) {
  reassembled_.reserve(kMostReassembled);
}

Ingress::Yield Ingress::process(unsigned port, std::span<rte_mbuf* const> frames, Instant now,
                                std::span<tcp::InboundSegment> segments,
                                std::span<tcp::IcmpError> errors) {
  SLUICE_ASSERT(segments.size() >= frames.size() && errors.size() >= frames.size());
  const PortBinding& binding = network_.port(port);
  Burst burst{port, binding, wire::mac_word(binding.mac), now, segments, errors, {}};
  for (const rte_mbuf* const frame : frames) {
    const char* const line = rte_pktmbuf_mtod(frame, const char*);
    fetch_ahead(line);
    fetch_ahead(line + 64);
  }
  std::uint64_t bytes = 0;
  for (rte_mbuf* const frame : frames) {
    bytes += frame->pkt_len;
    if (!take_plain(burst, *frame)) on_frame(burst, PacketPtr(frame));
  }
  metrics_.count(Counter::kRxPackets, frames.size());
  metrics_.count(Counter::kRxBytes, bytes);
  return burst.yield;
}

/// The short way of the frame that nearly all are. False, and nothing has happened: the long way
/// decides what it is, and counts it.
bool Ingress::take_plain(Burst& burst, rte_mbuf& frame) {
  if (frame.data_len < std::min<std::size_t>(frame.pkt_len, kMaxHeaders)) return false;
  wire::PlainFrame plain;
  const auto octets = packet::first_segment(std::as_const(frame));
  if (!wire::parse_plain(octets, frame.pkt_len, burst.mac, plain)) return false;
  if (!is_plain_pair_right(burst, plain)) return false;
  if (!is_plain_checksum_right(burst, frame, plain)) return false;
  const wire::TcpPeek peek = wire::peek_tcp(octets.subspan(wire::PlainFrame::kTcp));
  if (peek.source == Port{} || peek.destination == Port{}) return false;

  rte_pktmbuf_adj(&frame, wire::PlainFrame::kTcp);
  packet::trim_to(frame, plain.total_length - static_cast<std::uint32_t>(wire::kIpv4MinHeader));
  frame.ol_flags &= RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;
  tcp::InboundSegment& segment = burst.segments[burst.yield.segments++];
  segment.packet.reset(&frame);
  segment.source = plain.source;
  segment.destination = plain.destination;
  segment.ecn = static_cast<std::uint8_t>(plain.traffic_class & 3);
  return true;
}

/// From somebody who may send to us, to an address of ours.
bool Ingress::is_plain_pair_right(Burst& burst, const wire::PlainFrame& plain) const {
  const std::uint64_t pair = std::uint64_t{plain.source.value} << 32 | plain.destination.value;
  if (burst.has_last_pair && burst.last_pair == pair) return true;
  const ip::AddressTable& addresses = network_.addresses();
  const std::uint8_t interface = burst.binding.interface;
  if (addresses.classify(interface, plain.destination) != ip::AddressKind::kOurs ||
      addresses.classify(interface, plain.source) != ip::AddressKind::kUnicast ||
      (source_filter_ != nullptr && source_filter_->is_denied(plain.source)))
    return false;
  burst.last_pair = pair;
  burst.has_last_pair = true;
  return true;
}

/// Of IP header and segment. False also if the long way must find out.
bool Ingress::is_plain_checksum_right(const Burst& burst, const rte_mbuf& frame,
                                      const wire::PlainFrame& plain) {
  const bool is_checked = burst.binding.capabilities.rx_checksum;
  if (is_checked && is_ip_checksum_known_good(frame) && is_l4_checksum_known_good(frame))
    return true;
  if (frame.nb_segs > 1) return false;
  const auto octets = packet::first_segment(frame).subspan(wire::PlainFrame::kIp);
  if (!wire::is_ipv4_checksum_right(octets.first(wire::kIpv4MinHeader))) return false;
  const std::size_t length = plain.total_length - wire::kIpv4MinHeader;
  wire::Checksum sum;
  sum.add_pseudo_header(plain.source, plain.destination, wire::ip_protocol::kTcp,
                        static_cast<std::uint32_t>(length));
  sum.add(octets.subspan(wire::kIpv4MinHeader, length));
  return sum.finish() == 0;
}

void Ingress::on_frame(Burst& burst, PacketPtr packet) {
  packet = gather(std::move(packet), kMaxHeaders);
  if (!packet) return metrics_.count(Outcome::kNoMemory);
  const auto frame = link::classify_frame(packet::first_segment(*packet), burst.binding.mac);
  if (!frame) return metrics_.count(frame.error());
  rte_pktmbuf_adj(packet.get(), frame->header_length);
  switch (frame->protocol) {
    case link::NetworkProtocol::kArp:
      return metrics_.count(on_arp(burst, *packet));
    case link::NetworkProtocol::kIpv4:
      return on_ipv4(burst, std::move(packet), frame->delivery);
  }
}

Outcome Ingress::on_arp(Burst& burst, const rte_mbuf& packet) {
  const auto arp = wire::parse_arp(packet::first_segment(packet));
  if (!arp) return Outcome::kArpMalformed;
  const PortBinding& port = burst.binding;
  const Interface& interface = network_.interface(port.interface);
  const link::ArpContext context{port.interface, port.mac, interface.macs, interface.prefixes};
  std::optional<wire::ArpPacket> reply;
  const Outcome outcome =
      link::on_arp(*arp, context, network_.neighbors(), egress_.neighbor_sink(), burst.now, reply);
  if (reply) egress_.send_arp(burst.port, reply->target_mac, *reply);
  // All workers hear what one of them asked for: the others cannot tell whether one did.
  if (outcome == Outcome::kArpReplyUnsolicited && is_one_of_many_)
    return Outcome::kArpReplyElsewhere;
  link::note_alarm(outcome, *arp, context, network_.neighbors(), network_.neighbor_alarms(),
                   burst.now);
  return outcome;
}

void Ingress::on_ipv4(Burst& burst, PacketPtr packet, link::Delivery delivery) {
  const PortBinding& port = burst.binding;
  const bool is_checked = port.capabilities.rx_checksum && is_ip_checksum_known_good(*packet);
  const ip::InputContext context{
      .interface = port.interface,
      .checksum = is_checked ? ip::HardwareChecksum::kGood : ip::HardwareChecksum::kUnknown,
      .is_link_broadcast = delivery == link::Delivery::kBroadcast,
      .packet_length = packet->pkt_len};
  const auto arrival =
      ip::accept_ipv4(packet::first_segment(*packet), context, network_.addresses());
  if (!arrival) return metrics_.count(arrival.error());
  // In silence, and before anything is looked up for it.
  if (source_filter_ != nullptr && source_filter_->is_denied(arrival->header.source))
    return metrics_.count(Outcome::kSourceDenied);
  packet::trim_to(*packet, arrival->header.total_length);
  if (arrival->header.is_fragment())
    return on_fragment(burst, std::move(packet), *arrival, context);
  on_datagram(burst, std::move(packet), *arrival);
}

//= rfc1122#3.3.2 MUST
void Ingress::on_fragment(Burst& burst, PacketPtr packet, const ip::Arrival& arrival,
                          const ip::InputContext& context) {
  if (!packet::is_exclusive(*packet))
    packet.reset(rte_pktmbuf_copy(packet.get(), pools_.receive, 0, UINT32_MAX));
  if (!packet) return metrics_.count(Outcome::kNoMemory);
  auto [verdict, datagram] = fragments_.add(std::move(packet), arrival.header, burst.now);
  if (verdict == ip::FragmentTable::Verdict::kRefused) return metrics_.count(Outcome::kIpFragment);
  if (verdict == ip::FragmentTable::Verdict::kKept) return metrics_.count(Outcome::kIpFragmentKept);
  metrics_.count(Counter::kDatagramsReassembled);
  datagram = gather(std::move(datagram), wire::kIpv4MaxHeader + wire::kTcpMaxHeader);
  if (!datagram) return metrics_.count(Outcome::kNoMemory);
  if (is_one_of_many_) return hand_back(burst, std::move(datagram));
  ip::InputContext whole = context;
  whole.checksum = ip::HardwareChecksum::kGood;  // it was made here
  whole.packet_length = datagram->pkt_len;
  const auto all = ip::accept_ipv4(packet::first_segment(*datagram), whole, network_.addresses());
  if (!all) return metrics_.count(all.error());
  on_datagram(burst, std::move(datagram), *all);
}

/// As it would have come: the tuple is there now, which says whose it is.
void Ingress::hand_back(const Burst& burst, PacketPtr datagram) {
  constexpr MacAddr kSource{{2, 0, 0, 0, 0, 1}};  // nobody looks at it but the check of a frame
  const wire::EthernetHeader header{
      .destination = burst.binding.mac, .source = kSource, .ether_type = wire::ether_type::kIpv4};
  auto* const front = reinterpret_cast<std::byte*>(
      rte_pktmbuf_prepend(datagram.get(), static_cast<std::uint16_t>(header.length())));
  if (front == nullptr || reassembled_.size() == reassembled_.capacity())
    return metrics_.count(Outcome::kNoMemory);
  wire::emit_ethernet(header, {front, header.length()});
  reassembled_.push_back(std::move(datagram));
  metrics_.count(Outcome::kIpFragmentKept);
}

std::size_t Ingress::take_reassembled(std::span<rte_mbuf*> out) {
  const std::size_t count = std::min(out.size(), reassembled_.size());
  for (std::size_t i = 0; i < count; ++i) out[i] = reassembled_[i].release();
  reassembled_.erase(reassembled_.begin(),
                     reassembled_.begin() + static_cast<std::ptrdiff_t>(count));
  return count;
}

void Ingress::advance(Instant now) {
  if (const std::uint32_t freed = fragments_.expire(now); freed != 0)
    metrics_.count(Counter::kFragmentsExpired, freed);
}

void Ingress::on_datagram(Burst& burst, PacketPtr packet, const ip::Arrival& arrival) {
  switch (arrival.header.protocol) {
    case wire::ip_protocol::kTcp:
      rte_pktmbuf_adj(packet.get(), arrival.header.header_length);
      return on_tcp(burst, std::move(packet), arrival);
    case wire::ip_protocol::kIcmp:
      rte_pktmbuf_adj(packet.get(), arrival.header.header_length);
      return on_icmp(burst, std::move(packet), arrival);
    case wire::ip_protocol::kUdp:
      return on_udp(burst, std::move(packet), arrival);
    default:
      refuse(burst, *packet, arrival, wire::icmp_unreachable::kProtocol);
      return metrics_.count(Outcome::kIpUnknownProtocol);
  }
}

//= rfc1122#4.1.3.1 SHOULD
//= rfc1122#4.1.3.4 MUST
/// Nobody listens to UDP here; of a broken datagram, which nobody may have sent, not even that is
/// said. Keeps the IP header, which the answer quotes.
void Ingress::on_udp(Burst& burst, PacketPtr packet, const ip::Arrival& arrival) {
  const std::uint32_t header = arrival.header.header_length, length = packet->pkt_len - header;
  if (length < wire::kUdpHeader) return metrics_.count(Outcome::kUdpMalformed);
  const wire::UdpPeek udp = wire::peek_udp(packet::first_segment(*packet).subspan(header));
  if (udp.length < wire::kUdpHeader || udp.length > length)
    return metrics_.count(Outcome::kUdpMalformed);
  packet::trim_to(*packet, header + udp.length);
  if (udp.checksum != 0 && !is_checksum_right(burst, *packet, arrival, header))
    return metrics_.count(Outcome::kUdpMalformed);
  refuse(burst, *packet, arrival, wire::icmp_unreachable::kPort);
  metrics_.count(Outcome::kUdpUnreachable);
}

void Ingress::on_icmp(Burst& burst, PacketPtr packet, const ip::Arrival& arrival) {
  packet = gather(std::move(packet), ip::IcmpResponder::kMostRead);
  if (packet && !packet::is_exclusive(*packet))
    packet.reset(rte_pktmbuf_copy(packet.get(), pools_.receive, 0, UINT32_MAX));
  if (!packet) return metrics_.count(Outcome::kNoMemory);
  const std::size_t most = burst.binding.capabilities.mtu - wire::kIpv4MinHeader;
  const auto verdict = icmp_.on_message(*packet, arrival, network_.addresses(), most, burst.now);
  switch (verdict.action) {
    case ip::IcmpResponder::Action::kNone:
      break;
    case ip::IcmpResponder::Action::kReply:
      egress_.send({.packet = std::move(packet),
                    .source = arrival.header.destination,
                    .destination = arrival.header.source,
                    .protocol = wire::ip_protocol::kIcmp,
                    .traffic_class = arrival.header.traffic_class},
                   burst.now);
      break;
    case ip::IcmpResponder::Action::kReport: {
      const wire::IcmpQuoted& quoted = verdict.report.quoted;
      burst.errors[burst.yield.errors++] = {
          .kind = kind_of(verdict.report.kind),
          .flow = {quoted.source, quoted.destination, quoted.source_port, quoted.destination_port},
          .seq = quoted.seq,
          .mtu = verdict.report.mtu};
      return;  // Whether it fits a connection is the engine's to say, and the stack's to count.
    }
  }
  metrics_.count(verdict.outcome);
}

void Ingress::refuse(Burst& burst, const rte_mbuf& packet, const ip::Arrival& arrival,
                     std::uint8_t code) {
  PacketPtr error = icmp_.unreachable(code, packet, arrival, *pools_.control, metrics_, burst.now);
  if (!error) return;
  egress_.send({.packet = std::move(error),
                .source = arrival.header.destination,
                .destination = arrival.header.source,
                .protocol = wire::ip_protocol::kIcmp},
               burst.now);
}

void Ingress::on_tcp(Burst& burst, PacketPtr packet, const ip::Arrival& arrival) {
  //= rfc9293#3.9.2.3 MUST-57
  //= rfc1122#4.2.3.10 MUST
  if (arrival.destination != ip::AddressKind::kOurs)
    return metrics_.count(Outcome::kTcpAddressInvalid);
  if (packet->pkt_len < wire::kTcpMinHeader) return metrics_.count(Outcome::kTcpTruncated);
  const wire::TcpPeek tcp = wire::peek_tcp(packet::first_segment(*packet));
  if (tcp.header_length < wire::kTcpMinHeader || tcp.header_length > packet->pkt_len)
    return metrics_.count(Outcome::kTcpDataOffset);
  //= rfc9293#3.1 MUST-3
  if (!is_checksum_right(burst, *packet, arrival, 0)) return metrics_.count(Outcome::kTcpChecksum);
  if (tcp.source == Port{} || tcp.destination == Port{})
    return metrics_.count(Outcome::kTcpAddressInvalid);
  packet->ol_flags &= RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;
  burst.segments[burst.yield.segments++] = {
      .packet = std::move(packet),
      .source = arrival.header.source,
      .destination = arrival.header.destination,
      .ecn = static_cast<std::uint8_t>(arrival.header.traffic_class & 3)};
}

/// Of the TCP segment or UDP datagram that begins at `offset`, and of its pseudo header.
bool Ingress::is_checksum_right(const Burst& burst, const rte_mbuf& packet,
                                const ip::Arrival& arrival, std::uint32_t offset) {
  if (burst.binding.capabilities.rx_checksum && is_l4_checksum_known_good(packet)) return true;
  wire::Checksum sum;
  sum.add_pseudo_header(arrival.header.source, arrival.header.destination, arrival.header.protocol,
                        packet.pkt_len - offset);
  ip::add_packet(sum, packet, offset);
  return sum.finish() == 0;
}

/// The packet with its first `octets` (all, if it has fewer) in the first mbuf: a new head takes
/// them where they lie scattered. Null (and the packet freed) without an mbuf that holds them.
PacketPtr Ingress::gather(PacketPtr packet, std::size_t octets) {
  const auto wanted = static_cast<std::uint16_t>(std::min<std::size_t>(octets, packet->pkt_len));
  if (packet->data_len >= wanted) return packet;
  PacketPtr head(rte_pktmbuf_alloc(pools_.receive));
  if (!head) return {};
  std::byte* at = packet::append(*head, wanted);
  if (at == nullptr) return {};
  head->ol_flags = packet->ol_flags & (RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK);
  head->port = packet->port;

  packet::PacketChain rest(std::move(packet));
  std::uint32_t left = wanted;
  while (left > 0) {
    const std::span<const std::byte> front = packet::first_segment(*rest.head());
    const auto count = static_cast<std::uint32_t>(std::min<std::size_t>(front.size(), left));
    std::memcpy(at, front.data(), count);
    at += count;
    left -= count;
    rest.drop_front(count);
  }
  while (!rest.is_empty()) {
    const int chained = rte_pktmbuf_chain(head.get(), rest.pop_front().release());
    SLUICE_ASSERT(chained == 0);
  }
  return head;
}

}  // namespace sluice::stack
