#include "stack/egress.hpp"

#include <rte_mbuf.h>

#include <algorithm>
#include <cstring>

#include "base/assert.hpp"
#include "ip/ipv4_output.hpp"
#include "stack/train.hpp"
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

/// Octets of the packet, or of each of a train's, behind the IP header.
std::uint32_t ip_payload_of(const rte_mbuf& packet) {
  return is_train(packet) ? static_cast<std::uint32_t>(packet.l4_len + packet.tso_segsz)
                          : packet.pkt_len;
}

/// As it is. Few that are no train do not: fit() sees to both.
bool fits(const rte_mbuf& packet, const packet::PortCapabilities& capabilities) {
  return packet.pkt_len + kIpv4MinHeader <= capabilities.mtu &&
         !must_be_copied(packet, capabilities);
}

/// May the port cut this train? Of NICs that can, some take no more than 40 buffers in a packet.
bool is_cut_by_port(const rte_mbuf& train, const packet::PortCapabilities& capabilities) {
  constexpr std::uint16_t kMostBuffers = 40;
  return capabilities.tx_tso && capabilities.tx_tcp_checksum && capabilities.tx_multi_segment &&
         capabilities.tx_indirect && train.nb_segs <= kMostBuffers;
}

//= rfc9293#3.1 MUST-2
/// The TCP checksum of what begins at `offset` and is not cut any more.
void fill_tcp_checksum(rte_mbuf& packet, std::size_t offset, const wire::Ipv4Header& header) {
  const std::span<std::byte> tcp = packet::first_segment(packet).subspan(offset);
  wire::Checksum sum;
  sum.add_pseudo_header(header.source, header.destination, header.protocol,
                        header.payload_length());
  wire::set_tcp_checksum(tcp, 0);
  ip::add_packet(sum, packet, static_cast<std::uint32_t>(offset));
  wire::set_tcp_checksum(tcp, sum.finish());
}

/// Fills the TCP checksum in, or what the port needs to do so: the pseudo header's sum, without the
/// length if it is to cut the train. The segment begins at `offset`.
void finish_tcp(rte_mbuf& packet, std::size_t offset, const wire::Ipv4Header& header,
                const packet::PortCapabilities& capabilities) {
  if (!capabilities.tx_tcp_checksum) {
    const bool is_whole = packet.pkt_len == offset + header.payload_length();
    if (is_whole) fill_tcp_checksum(packet, offset, header);
    return;
  }
  const bool is_cut_later = is_train(packet);
  packet.ol_flags |=
      RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM | (is_cut_later ? RTE_MBUF_F_TX_TCP_SEG : 0);
  wire::Checksum sum;
  sum.add_pseudo_header(header.source, header.destination, header.protocol,
                        is_cut_later ? 0 : header.payload_length());
  wire::set_tcp_checksum(packet::first_segment(packet).subspan(offset),
                         static_cast<std::uint16_t>(~sum.finish()));
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
  if (is_train(*datagram.packet)) return send_each(std::move(datagram), now);
  send(std::move(datagram), now);
}

void Egress::send(OutboundPacket outbound, Instant now) {
  outbound.packet->tx_offload = 0;  // of a received mbuf: what was there when it was sent last
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
  const std::uint16_t train = packet.tso_segsz;  // of a segment; 0: it is none
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
  if (train != 0) {
    if (!is_train(packet)) {
      enqueue_each(std::move(datagram.packet), datagram.header, hint.port, train);
      return true;
    }
    metrics_.count(Counter::kTxTsoPackets);
  }
  if (!queues_[hint.port].push(datagram.packet, share)) metrics_.count(Counter::kTxDropped);
  return true;
}

void Egress::send_each(Datagram train, Instant now) {
  const std::uint16_t size = train.packet->tso_segsz;
  train.packet->tso_segsz = 0;
  TrainCutter cutter(std::move(train.packet), 0, size, *pools_.control);
  metrics_.count(cutter.left() > 0 ? Counter::kTxGsoPackets : Counter::kTxDropped);
  while (cutter.left() > 0) {
    Datagram segment{cutter.next(), train.header, train.hint, train.cause};
    if (segment.hint != nullptr && send_by_hint(segment, *segment.hint, now)) continue;
    send(std::move(segment), now);
  }
}

void Egress::enqueue_each(PacketPtr train, const wire::Ipv4Header& header, unsigned port,
                          std::uint16_t segment_size) {
  constexpr std::size_t kTcp = kEthernetHeader + kIpv4MinHeader;
  const packet::PortCapabilities& capabilities = network_.port(port).capabilities;
  TrainCutter cutter(std::move(train), kTcp, segment_size, *pools_.control);
  metrics_.count(cutter.left() > 0 ? Counter::kTxGsoPackets : Counter::kTxDropped);
  while (cutter.left() > 0) {
    PacketPtr segment = cutter.next();
    if (!capabilities.tx_tcp_checksum) fill_tcp_checksum(*segment, kTcp, header);
    if (must_be_copied(*segment, capabilities)) segment = copy_linear(*segment);
    if (segment && !queues_[port].push(segment, TransmitQueue::Share::kData))
      metrics_.count(Counter::kTxDropped);
  }
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
  if (ip_payload_of(*packet) + static_cast<std::uint32_t>(kIpv4MinHeader) > capabilities.mtu) {
    metrics_.count(Counter::kTxDropped);
    report(datagram, tcp::IcmpErrorKind::kFragmentationNeeded, capabilities.mtu);
    return false;
  }
  if (is_train(*packet) || !must_be_copied(*packet, capabilities)) return true;  // when it is cut
  packet = copy_linear(*packet);
  return packet.get() != nullptr;
}

/// Fills in the IPv4 header at `offset` and what the port needs for checksums. A train that the
/// port does not cut is none afterwards: its headers are those of one segment.
void Egress::finish_ip(rte_mbuf& packet, std::size_t offset, wire::Ipv4Header& header,
                       const packet::PortCapabilities& capabilities) {
  const auto octets = packet::first_segment(packet).subspan(offset, kIpv4MinHeader);
  header.ttl = ttl_;
  std::uint32_t length = static_cast<std::uint32_t>(packet.pkt_len - offset);
  std::uint16_t cut_by_port = 0;
  if (is_train(packet)) {
    if (is_cut_by_port(packet, capabilities)) {
      cut_by_port = packet.tso_segsz;
    } else {
      length = static_cast<std::uint32_t>(kIpv4MinHeader) + ip_payload_of(packet);
    }
  }
  header.total_length = static_cast<std::uint16_t>(length);
  wire::emit_ipv4(header, octets);
  packet.ol_flags &= RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;
  packet.tx_offload =
      rte_mbuf_tx_offload(kEthernetHeader, kIpv4MinHeader, packet.l4_len, cut_by_port, 0, 0, 0);
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

/// Queued payload is shared, and stays as it is.
PacketPtr Egress::copy_linear(const rte_mbuf& packet) {
  PacketPtr copy(rte_pktmbuf_alloc(pools_.receive));
  std::byte* at =
      copy ? packet::append(*copy, static_cast<std::uint16_t>(packet.pkt_len)) : nullptr;
  if (at == nullptr) {
    metrics_.count(Counter::kTxNoBuffer);
    return {};
  }
  metrics_.count(Counter::kTxLinearized);
  copy->ol_flags = packet.ol_flags & ~(RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL);
  copy->tx_offload = packet.tx_offload;
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
  std::uint64_t frames = count;
  for (const rte_mbuf* frame : out.first(count)) {
    bytes += frame->pkt_len;
    if ((frame->ol_flags & RTE_MBUF_F_TX_TCP_SEG) == 0) continue;
    // What the wire will carry of it.
    const auto headers = static_cast<std::uint32_t>(frame->l2_len + frame->l3_len + frame->l4_len);
    const auto behind =
        static_cast<std::uint32_t>((frame->pkt_len - headers - 1) / frame->tso_segsz);
    frames += behind;
    bytes += std::uint64_t{behind} * headers;
  }
  if (count > 0) {
    metrics_.count(Counter::kTxPackets, frames);
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
  announcer_.advance(now, network_.addresses().addresses().size(),
                     [this](std::size_t i) { announce(i); });
}

Instant Egress::next_deadline() const {
  return std::min(network_.neighbors().next_deadline(), announcer_.next_deadline());
}

/// A request for our own address: neighbours that have an entry for it take our MAC (RFC 826).
void Egress::announce(std::size_t address) {
  const ip::AddressRecord& own = network_.addresses().addresses()[address];
  const std::vector<std::uint16_t>& ports = network_.interface(own.interface).ports;
  if (!own.address.is_v4() || ports.empty()) return;
  wire::ArpPacket packet;
  packet.operation = wire::ArpOperation::kRequest;
  packet.sender_mac = network_.port(ports.front()).mac;
  packet.sender_ip = packet.target_ip = own.address.v4();
  send_arp(ports.front(), MacAddr::broadcast(), packet);
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
