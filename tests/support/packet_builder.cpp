#include "tests/support/packet_builder.hpp"

#include <algorithm>
#include <array>

#include "base/assert.hpp"
#include "wire/byte_order.hpp"
#include "wire/checksum.hpp"
#include "wire/udp.hpp"

namespace sluice::support {
namespace {

constexpr std::size_t kIpChecksumOffset = 10;
constexpr std::size_t kTcpChecksumOffset = 16;
constexpr std::size_t kIcmpChecksumOffset = 2;
constexpr std::size_t kUdpChecksumOffset = 6;

void store_checksum(std::byte* at, std::uint16_t right, ChecksumField choice) {
  switch (choice) {
    case ChecksumField::kRight:
      wire::store_be16(at, right);
      return;
    case ChecksumField::kWrong:
      wire::store_be16(at, static_cast<std::uint16_t>(right + 1));
      return;
    case ChecksumField::kZero:
      wire::store_be16(at, 0);
      return;
  }
}

std::uint16_t checksum_of(const wire::Ipv4Header& ip, std::uint8_t protocol,
                          std::span<const std::byte> segment) {
  wire::Checksum sum;
  sum.add_pseudo_header(ip.source, ip.destination, protocol,
                        static_cast<std::uint32_t>(segment.size()));
  sum.add(segment);
  return sum.finish();
}

void append(Octets& to, std::span<const std::byte> octets) {
  to.insert(to.end(), octets.begin(), octets.end());
}

Octets emit_ethernet(const wire::EthernetHeader& header, std::uint16_t ether_type) {
  wire::EthernetHeader complete = header;
  if (complete.ether_type == 0) complete.ether_type = ether_type;
  Octets frame(complete.length());
  wire::emit_ethernet(complete, frame);
  return frame;
}

/// False if the TCP or ICMP header cannot be parsed.
bool parse_ip_payload(std::span<const std::byte> payload, ParsedFrame& parsed) {
  if (parsed.ip->protocol == wire::ip_protocol::kTcp) {
    wire::TcpHeader header;
    if (!wire::parse_tcp(payload, header).ok) return false;
    parsed.tcp = header;
    parsed.is_payload_checksum_right =
        checksum_of(*parsed.ip, wire::ip_protocol::kTcp, payload) == 0;
    payload = payload.subspan(header.header_length);
  } else if (parsed.ip->protocol == wire::ip_protocol::kIcmp) {
    const auto header = wire::parse_icmp(payload);
    if (!header) return false;
    parsed.icmp = *header;
    parsed.is_payload_checksum_right = wire::checksum(payload) == 0;
    payload = payload.subspan(wire::kIcmpHeader);
  }
  parsed.payload.assign(payload.begin(), payload.end());
  return true;
}

}  // namespace

Octets build_ipv4(const Ipv4Frame& frame, std::uint8_t protocol,
                  std::span<const std::byte> payload) {
  SLUICE_ASSERT(frame.ip_options.size() % 4 == 0 && frame.ip_options.size() <= 40);
  const std::size_t header_length = wire::kIpv4MinHeader + frame.ip_options.size();
  wire::Ipv4Header ip = frame.ip;
  ip.protocol = protocol;
  if (ip.total_length == 0)
    ip.total_length = static_cast<std::uint16_t>(header_length + payload.size());

  Octets header(wire::kIpv4MinHeader);
  wire::emit_ipv4(ip, header);
  append(header, frame.ip_options);
  header[0] = static_cast<std::byte>(0x40 | header_length / 4);
  store_checksum(header.data() + kIpChecksumOffset, wire::checksum(header), frame.ip_checksum);

  Octets octets = emit_ethernet(frame.ethernet, wire::ether_type::kIpv4);
  append(octets, header);
  append(octets, payload);
  octets.resize(octets.size() + frame.padding);
  return octets;
}

Octets build(const TcpFrame& frame) {
  Octets segment(wire::tcp_header_length(frame.tcp));
  wire::emit_tcp(frame.tcp, segment);
  append(segment, frame.payload);
  store_checksum(segment.data() + kTcpChecksumOffset,
                 checksum_of(frame.ip, wire::ip_protocol::kTcp, segment), frame.tcp_checksum);
  return build_ipv4(frame, wire::ip_protocol::kTcp, segment);
}

Octets build(const IcmpFrame& frame) {
  Octets message(wire::kIcmpHeader);
  wire::emit_icmp(frame.icmp, message);
  append(message, frame.data);
  store_checksum(message.data() + kIcmpChecksumOffset, wire::checksum(message),
                 frame.icmp_checksum);
  return build_ipv4(frame, wire::ip_protocol::kIcmp, message);
}

Octets build(const UdpFrame& frame) {
  constexpr std::uint16_t kSource = 40000, kDiscard = 9;
  Octets datagram(wire::kUdpHeader);
  append(datagram, frame.data);
  const auto length = static_cast<std::uint16_t>(datagram.size());
  wire::store_be16(datagram.data(), kSource);
  wire::store_be16(datagram.data() + 2, kDiscard);
  wire::store_be16(datagram.data() + 4, frame.length == 0 ? length : frame.length);
  const std::size_t summed =
      std::min<std::size_t>(frame.length == 0 ? length : frame.length, length);
  const std::uint16_t right =
      checksum_of(frame.ip, wire::ip_protocol::kUdp, std::span(datagram).first(summed));
  store_checksum(datagram.data() + kUdpChecksumOffset, right == 0 ? 0xffff : right,
                 frame.udp_checksum);
  return build_ipv4(frame, wire::ip_protocol::kUdp, datagram);
}

Octets build(const ArpFrame& frame) {
  Octets octets = emit_ethernet(frame.ethernet, wire::ether_type::kArp);
  std::array<std::byte, wire::kArpPacket> packet;
  wire::emit_arp(frame.arp, packet);
  append(octets, packet);
  octets.resize(std::max(octets.size(), wire::kEthernetMinFrame));
  return octets;
}

Octets ip_packet_of(std::span<const std::byte> frame) {
  const auto ethernet = wire::parse_ethernet(frame);
  SLUICE_ASSERT(ethernet.has_value());
  const auto packet = frame.subspan(ethernet->length());
  const auto ip = wire::parse_ipv4(packet);
  SLUICE_ASSERT(ip.has_value());
  return Octets(packet.begin(), packet.begin() + ip->total_length);
}

std::optional<ParsedFrame> parse_frame(std::span<const std::byte> frame) {
  const auto ethernet = wire::parse_ethernet(frame);
  if (!ethernet) return std::nullopt;
  ParsedFrame parsed;
  parsed.ethernet = *ethernet;
  const auto payload = frame.subspan(ethernet->length());
  if (ethernet->ether_type == wire::ether_type::kArp) {
    const auto arp = wire::parse_arp(payload);
    if (!arp) return std::nullopt;
    parsed.arp = *arp;
  } else if (ethernet->ether_type == wire::ether_type::kIpv4) {
    const auto ip = wire::parse_ipv4(payload);
    if (!ip) return std::nullopt;
    parsed.ip = *ip;
    parsed.is_ip_checksum_right = wire::is_ipv4_checksum_right(payload.first(ip->header_length));
    if (!parse_ip_payload(payload.subspan(ip->header_length, ip->payload_length()), parsed))
      return std::nullopt;
  } else {
    parsed.payload.assign(payload.begin(), payload.end());
  }
  return parsed;
}

Octets octets(std::initializer_list<unsigned> values) {
  Octets result;
  for (const unsigned value : values) result.push_back(static_cast<std::byte>(value));
  return result;
}

Octets octets(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return Octets(bytes.begin(), bytes.end());
}

}  // namespace sluice::support
