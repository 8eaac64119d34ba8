#include "stack/egress.hpp"

#include <rte_mbuf.h>

#include <algorithm>
#include <cstring>

#include "base/assert.hpp"
#include "ip/ipv4_output.hpp"
#include "wire/checksum.hpp"
#include "wire/ethernet.hpp"
#include "wire/tcp_peek.hpp"

namespace sluice::stack {
namespace {

using packet::PacketPtr;
using telemetry::Counter;
using wire::kEthernetHeader;
using wire::kIpv4MinHeader;

/// Our own packets: a header of 20 octets at the front of the first mbuf.
wire::Ipv4Header own_header(const rte_mbuf& packet) {
  const auto header = wire::parse_ipv4(packet::first_segment(packet), packet.pkt_len);
  SLUICE_ASSERT(header.has_value());
  return *header;
}

/// Segments without payload are control: they carry the ACKs and RSTs that free buffers elsewhere.
TransmitQueue::Share share_of(const rte_mbuf& packet, const wire::Ipv4Header& header) {
  if (header.protocol != wire::ip_protocol::kTcp) return TransmitQueue::Share::kData;
  const auto tcp = wire::peek_tcp(packet::first_segment(packet).subspan(kIpv4MinHeader));
  return header.payload_length() == tcp.header_length ? TransmitQueue::Share::kControl
                                                      : TransmitQueue::Share::kData;
}

bool has_indirect_segment(const rte_mbuf& packet) {
  for (const rte_mbuf* at = &packet; at != nullptr; at = at->next)
    if (!RTE_MBUF_DIRECT(at)) return true;
  return false;
}

//= rfc9293#3.1 MUST-2
/// Fills the TCP checksum in, or what the port needs to do so: the pseudo header's sum.
void finish_tcp(rte_mbuf& packet, const wire::Ipv4Header& header,
                const packet::PortCapabilities& capabilities) {
  const std::span<std::byte> tcp = packet::first_segment(packet).subspan(kIpv4MinHeader);
  wire::set_tcp_checksum(tcp, 0);
  wire::Checksum sum;
  sum.add_pseudo_header(header.source, header.destination, header.protocol,
                        header.payload_length());
  if (capabilities.tx_tcp_checksum) {
    packet.ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM;
    packet.l4_len = wire::peek_tcp(tcp).header_length;
    wire::set_tcp_checksum(tcp, static_cast<std::uint16_t>(~sum.finish()));
    return;
  }
  ip::add_packet(sum, packet, kIpv4MinHeader);
  wire::set_tcp_checksum(tcp, sum.finish());
}

}  // namespace

Egress::Egress(const StackConfig& config, const Deps& deps)
    : network_(deps.network),
      pools_(deps.pools),
      metrics_(deps.metrics),
      rng_(deps.rng),
      //= rfc9293#3.9.2 MUST-49
      ttl_(config.ttl) {
  reports_.reserve(kMaxReports);
}

unsigned Egress::attach(const packet::PortCapabilities& capabilities, const MacAddr& mac,
                        unsigned interface_index) {
  packet::PortCapabilities clamped = capabilities;
  if (!capabilities.tx_multi_segment || !capabilities.tx_indirect) {
    // Packets may have to be copied together: one mbuf must hold the largest.
    const int room = rte_pktmbuf_data_room_size(pools_.receive) - RTE_PKTMBUF_HEADROOM;
    clamped.mtu = static_cast<std::uint16_t>(std::min<int>(clamped.mtu, room));
  }
  queues_.emplace_back(kQueueFrames, kControlReserve);
  return network_.attach(clamped, mac, interface_index);
}

// --- packets in ---

void Egress::send(tcp::OutboundSegment segment, Instant now) {
  if (!segment.source.is_v4() || !segment.destination.is_v4()) {
    metrics_.count(Counter::kTxNoRoute);  // No interface has a way for IPv6.
    return report(segment.source, segment.destination, packet::first_segment(*segment.packet),
                  tcp::IcmpErrorKind::kNoRoute, 0);
  }
  PacketPtr packet = std::move(segment.packet);
  //= rfc6864#4.1
  // An atomic datagram's identification means nothing: 0 tells nobody how much we send.
  //= rfc9293#3.9.1.9 SHLD-22
  const auto header = ip::prepend_ipv4(*packet, {.source = segment.source.v4(),
                                                 .destination = segment.destination.v4(),
                                                 .protocol = wire::ip_protocol::kTcp,
                                                 .ttl = ttl_,
                                                 .traffic_class = segment.traffic_class});
  SLUICE_ASSERT(!header.empty());  // The engine leaves packet::kHeaderRoom.
  if (segment.hint != nullptr && send_by_hint(packet, *segment.hint, now)) return;
  const wire::Ipv4Header parsed = own_header(*packet);
  send_by_route(std::move(packet), parsed, segment.hint, now);
}

void Egress::send(OutboundPacket outbound, Instant now) {
  PacketPtr packet = std::move(outbound.packet);
  const auto header =
      ip::prepend_ipv4(*packet, {.source = outbound.source,
                                 .destination = outbound.destination,
                                 .protocol = outbound.protocol,
                                 .ttl = ttl_,
                                 .traffic_class = outbound.traffic_class,
                                 .dont_fragment = false,
                                 .identification = static_cast<std::uint16_t>(rng_.next())});
  if (header.empty()) {
    metrics_.count(Counter::kTxNoBuffer);
    return;
  }
  const wire::Ipv4Header parsed = own_header(*packet);
  send_by_route(std::move(packet), parsed, nullptr, now);
}

bool Egress::send_by_hint(PacketPtr& packet, const tcp::PathHint& hint, Instant now) {
  MacAddr mac;
  if (hint.route_generation != network_.path_generation() ||
      !network_.neighbors().use(hint.neighbor, mac, now))
    return false;
  if (prepare(packet, hint.port)) enqueue_ip(std::move(packet), hint.port, mac);
  return true;
}

void Egress::send_by_route(PacketPtr packet, const wire::Ipv4Header& header, tcp::PathHint* hint,
                           Instant now) {
  ip::NextHop next_hop;
  if (!network_.find_route(header.source, header.destination, next_hop)) {
    metrics_.count(Counter::kTxNoRoute);
    return report(*packet, tcp::IcmpErrorKind::kNoRoute, 0);
  }
  const std::uint16_t port = network_.interface(next_hop.interface).ports.front();
  if (!prepare(packet, port)) return;

  link::WaitingPacket waiting{std::move(packet), port};
  const auto answer =
      network_.neighbors().resolve({next_hop.interface, next_hop.address}, waiting, *this, now);
  if (answer.dropped > 0) metrics_.count(Counter::kNeighborQueueFull, answer.dropped);
  switch (answer.resolution) {
    case link::Resolution::kResolved:
      if (hint != nullptr) *hint = {network_.path_generation(), answer.slot, port};
      return enqueue_ip(std::move(waiting.packet), port, answer.mac);
    case link::Resolution::kQueued:
      return metrics_.count(Counter::kNeighborQueued);
    case link::Resolution::kUnreachable:
      metrics_.count(Counter::kNeighborFailed);
      return report(*waiting.packet, tcp::IcmpErrorKind::kNoNeighbor, 0);
    case link::Resolution::kTableFull:
      return metrics_.count(answer.slot == link::NeighborTable::kNone
                                ? Counter::kNeighborTableFull
                                : Counter::kNeighborQueueFull);
  }
}

void Egress::send_arp(unsigned port, const MacAddr& destination, const wire::ArpPacket& arp) {
  PacketPtr packet(rte_pktmbuf_alloc(pools_.control));
  if (!packet || packet::append(*packet, wire::kArpPacket) == nullptr)
    return metrics_.count(Counter::kTxNoBuffer);
  wire::emit_arp(arp, packet::first_segment(*packet));
  metrics_.count(arp.operation == wire::ArpOperation::kRequest ? Counter::kArpRequestsSent
                                                               : Counter::kArpRepliesSent);
  enqueue_frame(std::move(packet), port, destination, wire::ether_type::kArp,
                TransmitQueue::Share::kControl);
}

// --- what a port can take ---

bool Egress::prepare(PacketPtr& packet, unsigned port) {
  const packet::PortCapabilities& capabilities = network_.port(port).capabilities;
  if (packet->pkt_len > capabilities.mtu) {
    metrics_.count(Counter::kTxDropped);
    report(*packet, tcp::IcmpErrorKind::kFragmentationNeeded, capabilities.mtu);
    return false;
  }
  const bool must_copy = (!capabilities.tx_multi_segment && packet->nb_segs > 1) ||
                         (!capabilities.tx_indirect && has_indirect_segment(*packet));
  if (must_copy) {
    packet = copy_linear(*packet);
    if (!packet) {
      metrics_.count(Counter::kTxNoBuffer);
      return false;
    }
    metrics_.count(Counter::kTxLinearized);
  }
  packet->ol_flags &= RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;
  packet->l2_len = kEthernetHeader;
  packet->l3_len = kIpv4MinHeader;
  const wire::Ipv4Header header = own_header(*packet);
  if (header.protocol == wire::ip_protocol::kTcp) finish_tcp(*packet, header, capabilities);
  if (capabilities.tx_ipv4_checksum) {
    packet->ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
  } else {
    wire::set_ipv4_checksum(packet::first_segment(*packet).first(kIpv4MinHeader));
  }
  return true;
}

/// A copy in one mbuf of its own: queued payload is shared, and stays as it is.
PacketPtr Egress::copy_linear(const rte_mbuf& packet) {
  PacketPtr copy(rte_pktmbuf_alloc(pools_.receive));
  if (!copy) return {};
  std::byte* at = packet::append(*copy, static_cast<std::uint16_t>(packet.pkt_len));
  if (at == nullptr) return {};
  for (const rte_mbuf* segment = &packet; segment != nullptr; segment = segment->next) {
    const std::span<const std::byte> octets = packet::first_segment(*segment);
    std::memcpy(at, octets.data(), octets.size());
    at += octets.size();
  }
  return copy;
}

void Egress::enqueue_ip(PacketPtr packet, unsigned port, const MacAddr& destination) {
  const TransmitQueue::Share share = share_of(*packet, own_header(*packet));
  enqueue_frame(std::move(packet), port, destination, wire::ether_type::kIpv4, share);
}

void Egress::enqueue_frame(PacketPtr packet, unsigned port, const MacAddr& destination,
                           std::uint16_t ether_type, TransmitQueue::Share share) {
  if (packet::prepend(*packet, kEthernetHeader) == nullptr)
    return metrics_.count(Counter::kTxNoBuffer);
  wire::EthernetHeader header;
  header.destination = destination;
  header.source = network_.port(port).mac;
  header.ether_type = ether_type;
  wire::emit_ethernet(header, packet::first_segment(*packet));
  if (!queues_[port].push(packet, share)) metrics_.count(Counter::kTxDropped);
}

// --- frames out ---

std::size_t Egress::fill(unsigned port, std::span<rte_mbuf*> out) {
  const std::size_t count = queues_[port].pop(out);
  std::uint64_t bytes = 0;
  for (const rte_mbuf* frame : out.first(count)) bytes += frame->pkt_len;
  if (count > 0) {
    metrics_.count(Counter::kTxPackets, count);
    metrics_.count(Counter::kTxBytes, bytes);
  }
  return count;
}

std::size_t Egress::room(unsigned port) const {
  return queues_[port].room(TransmitQueue::Share::kData);
}

std::size_t Egress::room() const {
  std::size_t least = queues_.empty() ? 0 : kQueueFrames;
  for (const TransmitQueue& queue : queues_)
    least = std::min(least, queue.room(TransmitQueue::Share::kData));
  return least;
}

bool Egress::has_frames() const {
  return std::any_of(queues_.begin(), queues_.end(),
                     [](const TransmitQueue& queue) { return queue.size() > 0; });
}

// --- time, and the neighbour table's news ---

void Egress::advance(Instant now) {
  network_.neighbors().advance(now, *this);
}

Instant Egress::next_deadline() const {
  return network_.neighbors().next_deadline();
}

void Egress::on_solicit(const link::NeighborRecord& neighbor, const MacAddr& to, Instant) {
  const ip::AddressRecord* const own =
      network_.addresses().source_for(neighbor.interface, neighbor.address);
  const std::vector<std::uint16_t>& ports = network_.interface(neighbor.interface).ports;
  if (own == nullptr || !own->address.is_v4() || ports.empty()) return;
  wire::ArpPacket request;
  request.operation = wire::ArpOperation::kRequest;
  request.sender_mac = network_.port(ports.front()).mac;
  request.sender_ip = own->address.v4();
  request.target_ip = neighbor.address.v4();
  send_arp(ports.front(), to, request);
}

void Egress::on_resolved(const link::NeighborRecord& neighbor, link::WaitingPacket waiting,
                         Instant) {
  enqueue_ip(std::move(waiting.packet), waiting.port, neighbor.mac);
}

void Egress::on_unreachable(const link::NeighborRecord&, link::WaitingPacket waiting, Instant) {
  metrics_.count(Counter::kNeighborFailed);
  report(*waiting.packet, tcp::IcmpErrorKind::kNoNeighbor, 0);
}

void Egress::report(const rte_mbuf& packet, tcp::IcmpErrorKind kind, std::uint16_t mtu) {
  const wire::Ipv4Header header = own_header(packet);
  if (header.protocol != wire::ip_protocol::kTcp) return;
  report(header.source, header.destination, packet::first_segment(packet).subspan(kIpv4MinHeader),
         kind, mtu);
}

void Egress::report(const IpAddr& source, const IpAddr& destination,
                    std::span<const std::byte> segment, tcp::IcmpErrorKind kind,
                    std::uint16_t mtu) {
  SLUICE_ASSERT(segment.size() >= wire::kTcpMinHeader);
  if (reports_.size() == kMaxReports) return;
  const wire::TcpPeek tcp = wire::peek_tcp(segment);
  tcp::IcmpError error;
  error.kind = kind;
  error.flow = {source, destination, tcp.source, tcp.destination};
  error.seq = tcp.seq;
  error.mtu = mtu;
  reports_.push_back(error);
}

}  // namespace sluice::stack
