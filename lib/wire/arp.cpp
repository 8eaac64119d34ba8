#include "wire/arp.hpp"

#include <cstring>

#include "base/assert.hpp"
#include "wire/byte_order.hpp"
#include "wire/ethernet.hpp"

namespace sluice::wire {
namespace {
constexpr std::uint16_t kHardwareEthernet = 1;
}

Result<ArpPacket, ArpParseError> parse_arp(std::span<const std::byte> payload) {
  if (payload.size() < kArpPacket) return fail(ArpParseError::kTruncated);
  const std::byte* const at = payload.data();
  if (load_be16(at) != kHardwareEthernet || load_u8(at + 4) != 6)
    return fail(ArpParseError::kHardware);
  if (load_be16(at + 2) != ether_type::kIpv4 || load_u8(at + 5) != 4)
    return fail(ArpParseError::kProtocol);
  const auto operation = static_cast<ArpOperation>(load_be16(at + 6));
  if (operation != ArpOperation::kRequest && operation != ArpOperation::kReply)
    return fail(ArpParseError::kOperation);
  ArpPacket packet;
  packet.operation = operation;
  std::memcpy(packet.sender_mac.octets.data(), at + 8, 6);
  packet.sender_ip.value = load_be32(at + 14);
  std::memcpy(packet.target_mac.octets.data(), at + 18, 6);
  packet.target_ip.value = load_be32(at + 24);
  return packet;
}

std::size_t emit_arp(const ArpPacket& packet, std::span<std::byte> out) {
  SLUICE_ASSERT(out.size() >= kArpPacket);
  std::byte* const at = out.data();
  store_be16(at, kHardwareEthernet);
  store_be16(at + 2, ether_type::kIpv4);
  store_u8(at + 4, 6);
  store_u8(at + 5, 4);
  store_be16(at + 6, static_cast<std::uint16_t>(packet.operation));
  std::memcpy(at + 8, packet.sender_mac.octets.data(), 6);
  store_be32(at + 14, packet.sender_ip.value);
  std::memcpy(at + 18, packet.target_mac.octets.data(), 6);
  store_be32(at + 24, packet.target_ip.value);
  return kArpPacket;
}

}  // namespace sluice::wire
