#include "ip/ipv4_output.hpp"

#include "base/assert.hpp"
#include "wire/ipv4.hpp"

namespace sluice::ip {

std::span<std::byte> prepend_ipv4(rte_mbuf& packet, const OutputOptions& options) {
  SLUICE_ASSERT(packet::is_exclusive(packet));
  SLUICE_ASSERT(packet.pkt_len + wire::kIpv4MinHeader <= 0xffff);
  if (packet::prepend(packet, wire::kIpv4MinHeader) == nullptr) return {};
  wire::Ipv4Header header;
  header.source = options.source;
  header.destination = options.destination;
  header.total_length = static_cast<std::uint16_t>(packet.pkt_len);
  header.identification = options.identification;
  header.protocol = options.protocol;
  header.ttl = options.ttl;
  header.traffic_class = options.traffic_class;
  header.dont_fragment = options.dont_fragment;
  const std::span<std::byte> octets = packet::first_segment(packet).first(wire::kIpv4MinHeader);
  wire::emit_ipv4(header, octets);
  return octets;
}

void add_packet(wire::Checksum& sum, const rte_mbuf& packet, std::uint32_t offset) {
  bool is_odd = false;  // Whether an odd number of octets has been summed.
  for (const rte_mbuf* at = &packet; at != nullptr; at = at->next) {
    std::span<const std::byte> octets = packet::first_segment(*at);
    if (offset >= octets.size()) {
      offset -= static_cast<std::uint32_t>(octets.size());
      continue;
    }
    octets = octets.subspan(offset);
    offset = 0;
    wire::Checksum part;
    part.add(octets);
    const auto folded = static_cast<std::uint16_t>(~part.finish());
    // Octets at odd places stand in the other half of their words (RFC 1071 2 B).
    sum.add_u16(is_odd ? __builtin_bswap16(folded) : folded);
    is_odd = is_odd != (octets.size() % 2 != 0);
  }
}

}  // namespace sluice::ip
