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
/// The packet starts at its IPv4 header.
TransmitQueue::Share share_of(const rte_mbuf& packet, const wire::Ipv4Header& header) {
  if (header.protocol != wire::ip_protocol::kTcp) return TransmitQueue::Share::kData;
  const auto tcp = wire::peek_tcp(packet::first_segment(packet).subspan(kIpv4MinHeader));
  return header.payload_length() == tcp.header_length ? TransmitQueue::Share::kControl
                                                      : TransmitQueue::Share::kData;
}

bool must_be_copied(const rte_mbuf& packet, const packet::PortCapabilities& capabilities) {
  if (!capabilities.tx_multi_segment && packet.nb_segs > 1) return true;
  if (capabilities.tx_indirect) return false;
  for (const rte_mbuf* at = &packet; at != nullptr; at = at->next)
    if (!RTE_MBUF_DIRECT(at)) return true;
  return false;
}

//= rfc9293#3.1 MUST-2
/// Fills the TCP checksum in, or what the port needs to do so: the pseudo header's sum.
/// The segment begins at `offset`.
void finish_tcp(rte_mbuf& packet, std::size_t offset, const wire::Ipv4Header& header,
                const packet::PortCapabilities& capabilities) {
  const std::span<std::byte> tcp = packet::first_segment(packet).subspan(offset);
  wire::Checksum sum;
  sum.add_pseudo_header(header.source, header.destination, header.protocol,
                        header.payload_length());
  if (capabilities.tx_tcp_checksum) {
    packet.ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM;
    wire::set_tcp_checksum(tcp, static_cast<std::uint16_t>(~sum.finish()));
    return;
  }
  wire::set_tcp_checksum(tcp, 0);
  ip::add_packet(sum, packet, static_cast<std::uint32_t>(offset));
  wire::set_tcp_checksum(tcp, sum.finish());
}

}  // namespace

Egress::Egress(const StackConfig& config, const Deps& deps)
    : network_(deps.network),
      pools_(deps.pools),
      metrics_(deps.metrics),
      rng_(deps.rng),
      //= rfc9293#3.9.2 MUST-49
      ttl_(config.ttl),
      gateways_(network_.routes().capacity()) {
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
  //= rfc6864#4.1
  // An atomic datagram's identification means nothing: 0 tells nobody how much we send.
  //= rfc9293#3.9.1.9 SHLD-22
  // A connection has a hint; an answer to who may not exist has none.
  Datagram datagram{
      std::move(segment.packet),
      {},
      segment.hint,
      segment.hint != nullptr ? link::PacketCause::kConnection : link::PacketCause::kAnswer};
  datagram.header.source = segment.source.v4();
  datagram.header.destination = segment.destination.v4();
  datagram.header.protocol = wire::ip_protocol::kTcp;
  datagram.header.traffic_class = segment.traffic_class;
  datagram.header.dont_fragment = true;
  if (segment.hint != nullptr && send_by_hint(datagram, *segment.hint, now)) return;
  const std::size_t route =
      network_.gateway_route(datagram.header.source, datagram.header.destination);
  if (route != ip::RouteTable::kNone && send_by_hint(datagram, gateways_[route], now)) {
    if (segment.hint != nullptr) *segment.hint = gateways_[route];
    return;
  }
  send(std::move(datagram), now);
}

void Egress::send(OutboundPacket outbound, Instant now) {
  Datagram datagram{std::move(outbound.packet), {}, nullptr, link::PacketCause::kAnswer};
  datagram.header.source = outbound.source;
  datagram.header.destination = outbound.destination;
  datagram.header.protocol = outbound.protocol;
  datagram.header.traffic_class = outbound.traffic_class;
  datagram.header.identification = static_cast<std::uint16_t>(rng_.next());
  send(std::move(datagram), now);
}

void Egress::send(Datagram datagram, Instant now) {
  ip::NextHop next_hop;
  if (!network_.find_route(datagram.header.source, datagram.header.destination, next_hop)) {
    metrics_.count(Counter::kTxNoRoute);
    return report(datagram, tcp::IcmpErrorKind::kNoRoute, 0);
  }
  if (!next_hop.is_gateway) return send_by_neighbor(datagram, next_hop, now);
  tcp::PathHint& gateway = gateways_[next_hop.route];
  tcp::PathHint* const asked = std::exchange(datagram.hint, &gateway);
  if (!send_by_hint(datagram, gateway, now)) send_by_neighbor(datagram, next_hop, now);
  if (asked != nullptr) *asked = gateway;
}

bool Egress::send_by_hint(Datagram& datagram, const tcp::PathHint& hint, Instant now) {
  MacAddr mac;
  if (hint.route_generation != network_.path_generation() ||
      !network_.neighbors().use(hint.neighbor, mac, now))
    return false;
  if (!put_ip(datagram, hint.port)) return true;
  const auto share = share_of(*datagram.packet, datagram.header);
  enqueue_frame(std::move(datagram.packet), hint.port, mac, wire::ether_type::kIpv4, share);
  return true;
}

void Egress::send_by_neighbor(Datagram& datagram, const ip::NextHop& next_hop, Instant now) {
  const std::uint16_t port = network_.interface(next_hop.interface).ports.front();
  if (!put_ip(datagram, port)) return;
  link::WaitingPacket waiting{std::move(datagram.packet), port, datagram.cause};
  const auto answer =
      network_.neighbors().resolve({next_hop.interface, next_hop.address}, waiting, *this, now);
  if (answer.dropped > 0) metrics_.count(Counter::kNeighborQueueFull, answer.dropped);
  switch (answer.resolution) {
    case link::Resolution::kResolved: {
      if (datagram.hint != nullptr)
        *datagram.hint = {network_.path_generation(), answer.slot, port};
      const auto share = share_of(*waiting.packet, datagram.header);
      return enqueue_frame(std::move(waiting.packet), port, answer.mac, wire::ether_type::kIpv4,
                           share);
    }
    case link::Resolution::kQueued:
      return metrics_.count(Counter::kNeighborQueued);
    case link::Resolution::kUnreachable:
      metrics_.count(Counter::kNeighborFailed);
      return report(*waiting.packet, tcp::IcmpErrorKind::kNoNeighbor);
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

bool Egress::put_ip(Datagram& datagram, unsigned port) {
  const packet::PortCapabilities& capabilities = network_.port(port).capabilities;
  PacketPtr& packet = datagram.packet;
  const std::uint32_t total_length = packet->pkt_len + static_cast<std::uint32_t>(kIpv4MinHeader);
  if (total_length > capabilities.mtu) {
    metrics_.count(Counter::kTxDropped);
    report(datagram, tcp::IcmpErrorKind::kFragmentationNeeded, capabilities.mtu);
    return false;
  }
  if (must_be_copied(*packet, capabilities)) {
    packet = copy_linear(*packet);
    if (!packet) {
      metrics_.count(Counter::kTxNoBuffer);
      return false;
    }
    metrics_.count(Counter::kTxLinearized);
  }
  datagram.header.ttl = ttl_;
  const std::span<std::byte> octets = ip::prepend_ipv4(*packet, datagram.header);
  if (octets.empty()) {
    metrics_.count(Counter::kTxNoBuffer);
    return false;
  }
  packet->ol_flags &= RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;
  packet->l2_len = kEthernetHeader;
  packet->l3_len = kIpv4MinHeader;
  if (datagram.header.protocol == wire::ip_protocol::kTcp)
    packet->l4_len =
        wire::peek_tcp(packet::first_segment(*packet).subspan(kIpv4MinHeader)).header_length;
  if (datagram.header.protocol == wire::ip_protocol::kTcp)
    finish_tcp(*packet, kIpv4MinHeader, datagram.header, capabilities);
  if (capabilities.tx_ipv4_checksum) {
    packet->ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
  } else {
    wire::set_ipv4_checksum(octets);
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
  const auto share = share_of(*waiting.packet, own_header(*waiting.packet));
  enqueue_frame(std::move(waiting.packet), waiting.port, neighbor.mac, wire::ether_type::kIpv4,
                share);
}

void Egress::on_unreachable(const link::NeighborRecord&, link::WaitingPacket waiting, Instant) {
  metrics_.count(Counter::kNeighborFailed);
  report(*waiting.packet, tcp::IcmpErrorKind::kNoNeighbor);
}

void Egress::report(const rte_mbuf& packet, tcp::IcmpErrorKind kind) {
  const wire::Ipv4Header header = own_header(packet);
  if (header.protocol != wire::ip_protocol::kTcp) return;
  report(header.source, header.destination, packet::first_segment(packet).subspan(kIpv4MinHeader),
         kind, 0);
}

void Egress::report(const Datagram& datagram, tcp::IcmpErrorKind kind, std::uint16_t mtu) {
  if (datagram.header.protocol != wire::ip_protocol::kTcp) return;
  report(datagram.header.source, datagram.header.destination,
         packet::first_segment(*datagram.packet), kind, mtu);
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
