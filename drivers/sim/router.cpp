#include "drivers/sim/router.hpp"

#include <algorithm>

#include "base/assert.hpp"
#include "wire/byte_order.hpp"
#include "wire/checksum.hpp"
#include "wire/ethernet.hpp"
#include "wire/icmp.hpp"
#include "wire/ipv4.hpp"

namespace sluice::drivers {
namespace {

constexpr std::size_t kIp = wire::kEthernetHeader;
constexpr std::size_t kIpv4Checksum = kIp + 10;
constexpr std::size_t kEtherType = 12;
constexpr std::size_t kIcmpChecksum = 2;

bool holds(std::span<const std::byte> frame, std::uint16_t ether_type, std::size_t header) {
  return frame.size() >= kIp + header && wire::load_be16(frame.data() + kEtherType) == ether_type;
}
bool holds_ipv4(std::span<const std::byte> frame) {
  return holds(frame, wire::ether_type::kIpv4, wire::kIpv4MinHeader);
}
bool holds_ipv6(std::span<const std::byte> frame) {
  return holds(frame, wire::ether_type::kIpv6, 40);
}

}  // namespace

// The field is the two low bits of the traffic class: octet 1 of an IPv4 header, the upper half of
// octet 1 of an IPv6 header.
Ecn ecn_of(std::span<const std::byte> frame) {
  if (holds_ipv4(frame)) return static_cast<Ecn>(std::to_integer<unsigned>(frame[kIp + 1]) & 3);
  if (holds_ipv6(frame))
    return static_cast<Ecn>(std::to_integer<unsigned>(frame[kIp + 1]) >> 4 & 3);
  return Ecn::kNotEct;
}

void mark_congestion(std::span<std::byte> frame) {
  SLUICE_ASSERT(ecn_of(frame) != Ecn::kNotEct);
  if (holds_ipv6(frame)) {
    frame[kIp + 1] |= std::byte{0x30};
    return;
  }
  const std::uint16_t before = wire::load_be16(frame.data() + kIp);
  const auto after = static_cast<std::uint16_t>(before | 3);
  wire::store_be16(frame.data() + kIp, after);
  // RFC 1624: HC' = ~(~HC + ~m + m')
  std::uint32_t sum = static_cast<std::uint16_t>(~wire::load_be16(frame.data() + kIpv4Checksum));
  sum += static_cast<std::uint16_t>(~before);
  sum += after;
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  wire::store_be16(frame.data() + kIpv4Checksum, static_cast<std::uint16_t>(~sum));
}

std::vector<std::byte> fragmentation_needed(std::span<const std::byte> frame, Ipv4Addr router,
                                            std::uint16_t mtu) {
  const auto ethernet = wire::parse_ethernet(frame);
  if (!ethernet || ethernet->ether_type != wire::ether_type::kIpv4) return {};
  const auto packet = frame.subspan(ethernet->length());
  const auto ip = wire::parse_ipv4(packet);
  if (!ip || !ip->dont_fragment || ip->fragment_offset != 0) return {};
  if (ip->protocol == wire::ip_protocol::kIcmp) return {};

  const std::size_t quoted =
      std::min<std::size_t>(ip->header_length + wire::kIcmpQuotedPayload, ip->total_length);
  constexpr std::size_t kHeaders = wire::kEthernetHeader + wire::kIpv4MinHeader + wire::kIcmpHeader;
  std::vector<std::byte> answer(std::max(kHeaders + quoted, wire::kEthernetMinFrame));
  wire::emit_ethernet({.destination = ethernet->source,
                       .source = ethernet->destination,
                       .ether_type = wire::ether_type::kIpv4},
                      answer);
  const auto header = std::span(answer).subspan(kIp, wire::kIpv4MinHeader);
  wire::emit_ipv4({.source = router,
                   .destination = ip->source,
                   .total_length = static_cast<std::uint16_t>(wire::kIpv4MinHeader +
                                                              wire::kIcmpHeader + quoted),
                   .protocol = wire::ip_protocol::kIcmp,
                   .ttl = 64},
                  header);
  wire::set_ipv4_checksum(header);
  const auto message =
      std::span(answer).subspan(kIp + wire::kIpv4MinHeader, wire::kIcmpHeader + quoted);
  wire::emit_icmp({.type = wire::icmp_type::kUnreachable,
                   .code = wire::icmp_unreachable::kFragmentationNeeded,
                   .checksum = 0,
                   .rest = mtu},
                  message);
  std::copy_n(packet.begin(), quoted, message.begin() + wire::kIcmpHeader);
  wire::store_be16(message.data() + kIcmpChecksum, wire::checksum(message));
  return answer;
}

std::vector<std::vector<std::byte>> fragments_of(std::span<const std::byte> frame,
                                                 std::uint16_t mtu,
                                                 std::optional<std::uint16_t> identification) {
  constexpr std::size_t kUnit = 8;  // offsets count in it (RFC 791 3.1)
  SLUICE_ASSERT(mtu >= wire::kIpv4MinHeader + kUnit);
  if (!holds_ipv4(frame)) return {};
  const auto whole = wire::parse_ipv4(frame.subspan(kIp));
  if (!whole || whole->is_fragment() || whole->header_length != wire::kIpv4MinHeader) return {};
  const auto payload = frame.subspan(kIp + wire::kIpv4MinHeader, whole->payload_length());
  const std::size_t most = (mtu - wire::kIpv4MinHeader) / kUnit * kUnit;
  std::vector<std::vector<std::byte>> fragments;
  for (std::size_t at = 0; at < payload.size(); at += most) {
    const auto part = payload.subspan(at, std::min(most, payload.size() - at));
    wire::Ipv4Header header = *whole;
    header.dont_fragment = false;
    header.identification = identification.value_or(whole->identification);
    header.fragment_offset = static_cast<std::uint16_t>(at);
    header.more_fragments = at + part.size() < payload.size();
    header.total_length = static_cast<std::uint16_t>(wire::kIpv4MinHeader + part.size());
    std::vector<std::byte>& fragment =
        fragments.emplace_back(std::max(kIp + header.total_length, wire::kEthernetMinFrame));
    std::copy_n(frame.begin(), kIp, fragment.begin());
    const auto octets = std::span(fragment).subspan(kIp, wire::kIpv4MinHeader);
    wire::emit_ipv4(header, octets);
    wire::set_ipv4_checksum(octets);
    std::copy(part.begin(), part.end(), fragment.begin() + kIp + wire::kIpv4MinHeader);
  }
  return fragments;
}

}  // namespace sluice::drivers
