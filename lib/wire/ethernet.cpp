#include "wire/ethernet.hpp"

#include <cstring>

#include "base/assert.hpp"
#include "wire/byte_order.hpp"

namespace sluice::wire {

Result<EthernetHeader, EthernetParseError> parse_ethernet(std::span<const std::byte> frame) {
  if (frame.size() < kEthernetHeader) return fail(EthernetParseError::kTruncated);
  const std::byte* const at = frame.data();
  EthernetHeader header;
  std::memcpy(header.destination.octets.data(), at, 6);
  std::memcpy(header.source.octets.data(), at + 6, 6);
  header.ether_type = load_be16(at + 12);
  if (header.ether_type != ether_type::kVlan) return header;
  if (frame.size() < kEthernetMaxHeader) return fail(EthernetParseError::kTruncated);
  header.has_vlan = true;
  header.vlan_tci = load_be16(at + 14);
  header.ether_type = load_be16(at + 16);
  return header;
}

std::size_t emit_ethernet(const EthernetHeader& header, std::span<std::byte> out) {
  SLUICE_ASSERT(out.size() >= header.length());
  std::byte* at = out.data();
  std::memcpy(at, header.destination.octets.data(), 6);
  std::memcpy(at + 6, header.source.octets.data(), 6);
  at += 12;
  if (header.has_vlan) {
    store_be16(at, ether_type::kVlan);
    store_be16(at + 2, header.vlan_tci);
    at += kVlanTag;
  }
  store_be16(at, header.ether_type);
  return header.length();
}

}  // namespace sluice::wire
