#include "ip/ipv4_output.hpp"

namespace sluice::ip {

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
