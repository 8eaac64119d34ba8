#pragma once

// ARP for IPv4 over Ethernet (RFC 826). Any other hardware or protocol is a parse error.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/address.hpp"
#include "base/result.hpp"

namespace sluice::wire {

inline constexpr std::size_t kArpPacket = 28;

enum class ArpOperation : std::uint16_t { kRequest = 1, kReply = 2 };

/// One request or reply, field for field.
struct ArpPacket {
  ArpOperation operation = ArpOperation::kRequest;
  MacAddr sender_mac{};
  Ipv4Addr sender_ip{};
  MacAddr target_mac{};  ///< Meaningless in a request; we send zero.
  Ipv4Addr target_ip{};

  constexpr bool operator==(const ArpPacket&) const = default;
};

enum class ArpParseError : std::uint8_t {
  kTruncated,  ///< Fewer than 28 octets.
  kHardware,   ///< Not Ethernet, or hardware addresses that are not of 6 octets.
  kProtocol,   ///< Not IPv4, or protocol addresses that are not of 4 octets.
  kOperation,  ///< Neither request nor reply.
};

/// Reads the packet at the front of `payload` (a frame's payload; padding may follow).
Result<ArpPacket, ArpParseError> parse_arp(std::span<const std::byte> payload);

/// Writes kArpPacket octets to `out` and gives their number. `out` must hold them.
std::size_t emit_arp(const ArpPacket& packet, std::span<std::byte> out);

}  // namespace sluice::wire
