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
/// The packet starts at its TCP header, if it has one: whoever built that has set l4_len.
TransmitQueue::Share share_of(const rte_mbuf& packet, std::uint8_t protocol) {
  return protocol == wire::ip_protocol::kTcp && packet.pkt_len == packet.l4_len
             ? TransmitQueue::Share::kControl
             : TransmitQueue::Share::kData;
}

bool must_be_copied(const rte_mbuf& packet, const packet::PortCapabilities& capabilities) {
  if (packet.nb_segs == 1 ? capabilities.tx_indirect || RTE_MBUF_DIRECT(&packet)
                          : capabilities.tx_multi_segment && capabilities.tx_indirect)
    return false;
  if (!capabilities.tx_multi_segment && packet.nb_segs > 1) return true;
  for (const rte_mbuf* at = &packet; at != nullptr; at = at->next)
    if (!RTE_MBUF_DIRECT(at)) return true;
  return false;
}

bool fits(const rte_mbuf& packet, const packet::PortCapabilities& capabilities) {
  return packet.pkt_len + kIpv4MinHeader <= capabilities.mtu &&
         !must_be_copied(packet, capabilities);
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
  const PortBinding& port = network_.port(hint.port);
  if (!fits(*datagram.packet, port.capabilities) && !fit(datagram, port.capabilities)) return true;
  // Both headers at once.
  rte_mbuf& packet = *datagram.packet;
  const auto share = share_of(packet, datagram.header.protocol);
  SLUICE_ASSERT(packet::is_exclusive(packet));
  std::byte* const at = packet::prepend(packet, kEthernetHeader + kIpv4MinHeader);
  if (at == nullptr) {
    metrics_.count(Counter::kTxNoBuffer);
    return true;
  }
  finish_ip(packet, kEthernetHeader, datagram.header, port.capabilities);
  wire::emit_ethernet(
      {.destination = mac, .source = port.mac, .ether_type = wire::ether_type::kIpv4},
      {at, kEthernetHeader});
  if (!queues_[hint.port].push(datagram.packet, share)) metrics_.count(Counter::kTxDropped);
  return true;
}

void Egress::send_by_neighbor(Datagram& datagram, const ip::NextHop& next_hop, Instant now) {
  const std::uint16_t port = network_.interface(next_hop.interface).ports.front();
  const auto share = share_of(*datagram.packet, datagram.header.protocol);
  if (!put_ip(datagram, port)) return;
  link::WaitingPacket waiting{std::move(datagram.packet), port, datagram.cause};
  const auto answer =
      network_.neighbors().resolve({next_hop.interface, next_hop.address}, waiting, *this, now);
  if (answer.dropped > 0) metrics_.count(Counter::kNeighborQueueFull, answer.dropped);
  switch (answer.resolution) {
    case link::Resolution::kResolved: {
      if (datagram.hint != nullptr)
        *datagram.hint = {network_.path_generation(), answer.slot, port};
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

bool Egress::fit(Datagram& datagram, const packet::PortCapabilities& capabilities) {
  PacketPtr& packet = datagram.packet;
  if (packet->pkt_len + static_cast<std::uint32_t>(kIpv4MinHeader) > capabilities.mtu) {
    metrics_.count(Counter::kTxDropped);
    report(datagram, tcp::IcmpErrorKind::kFragmentationNeeded, capabilities.mtu);
    return false;
  }
  if (!must_be_copied(*packet, capabilities)) return true;
  const auto l4_length = packet->l4_len;
  packet = copy_linear(*packet);
  if (!packet) {
    metrics_.count(Counter::kTxNoBuffer);
    return false;
  }
  packet->l4_len = l4_length & 0xff;
  metrics_.count(Counter::kTxLinearized);
  return true;
}

/// Fills in the IPv4 header at `offset` and what the port needs for checksums.
void Egress::finish_ip(rte_mbuf& packet, std::size_t offset, wire::Ipv4Header& header,
                       const packet::PortCapabilities& capabilities) {
  const auto octets = packet::first_segment(packet).subspan(offset, kIpv4MinHeader);
  header.ttl = ttl_;
  header.total_length = static_cast<std::uint16_t>(packet.pkt_len - offset);
  wire::emit_ipv4(header, octets);
  packet.ol_flags &= RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;
  packet.tx_offload =
      rte_mbuf_tx_offload(kEthernetHeader, kIpv4MinHeader, packet.l4_len, 0, 0, 0, 0);
  if (header.protocol == wire::ip_protocol::kTcp)
    finish_tcp(packet, offset + kIpv4MinHeader, header, capabilities);
  if (capabilities.tx_ipv4_checksum) {
    packet.ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
  } else {
    wire::set_ipv4_checksum(octets);
  }
}

bool Egress::put_ip(Datagram& datagram, unsigned port) {
  const packet::PortCapabilities& capabilities = network_.port(port).capabilities;
  if (!fit(datagram, capabilities)) return false;
  rte_mbuf& packet = *datagram.packet;
  SLUICE_ASSERT(packet::is_exclusive(packet));
  if (packet::prepend(packet, kIpv4MinHeader) == nullptr) {
    metrics_.count(Counter::kTxNoBuffer);
    return false;
  }
  finish_ip(packet, 0, datagram.header, capabilities);
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
  std::byte* const at = packet::prepend(*packet, kEthernetHeader);
  if (at == nullptr) return metrics_.count(Counter::kTxNoBuffer);
  wire::emit_ethernet(
      {.destination = destination, .source = network_.port(port).mac, .ether_type = ether_type},
      {at, kEthernetHeader});
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
  const bool is_tcp = own_header(*waiting.packet).protocol == wire::ip_protocol::kTcp;
  const bool is_bare = is_tcp && waiting.packet->pkt_len == kIpv4MinHeader + waiting.packet->l4_len;
  const auto share = is_bare ? TransmitQueue::Share::kControl : TransmitQueue::Share::kData;
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
