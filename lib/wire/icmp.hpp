#pragma once

// ICMP for IPv4 (RFC 792, RFC 1191 for the next-hop MTU). `parse` reads untrusted octets once and
// gives a value; `emit` writes a value.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/address.hpp"
#include "base/result.hpp"
#include "wire/seq_num.hpp"

namespace sluice::wire {

inline constexpr std::size_t kIcmpHeader = 8;
/// What every ICMP error quotes of the packet in question, beyond its IP header (RFC 792).
inline constexpr std::size_t kIcmpQuotedPayload = 8;

/// Message types. Any other number is carried as it came.
namespace icmp_type {
inline constexpr std::uint8_t kEchoReply = 0;
inline constexpr std::uint8_t kUnreachable = 3;
inline constexpr std::uint8_t kSourceQuench = 4;
inline constexpr std::uint8_t kRedirect = 5;
inline constexpr std::uint8_t kEchoRequest = 8;
inline constexpr std::uint8_t kTimeExceeded = 11;
inline constexpr std::uint8_t kParameterProblem = 12;
}  // namespace icmp_type

/// Codes of icmp_type::kUnreachable (RFC 792, RFC 1122 3.2.2.1, RFC 1812 5.2.7.1).
namespace icmp_unreachable {
inline constexpr std::uint8_t kNet = 0;
inline constexpr std::uint8_t kHost = 1;
inline constexpr std::uint8_t kProtocol = 2;
inline constexpr std::uint8_t kPort = 3;
inline constexpr std::uint8_t kFragmentationNeeded = 4;
inline constexpr std::uint8_t kSourceRouteFailed = 5;
inline constexpr std::uint8_t kNetUnknown = 6;
inline constexpr std::uint8_t kHostUnknown = 7;
inline constexpr std::uint8_t kNetProhibited = 9;
inline constexpr std::uint8_t kHostProhibited = 10;
inline constexpr std::uint8_t kAdministrativelyProhibited = 13;
}  // namespace icmp_unreachable

/// The eight octets before an ICMP message's data.
struct IcmpHeader {
  std::uint8_t type = 0;
  std::uint8_t code = 0;
  std::uint16_t checksum = 0;  ///< As received. emit_icmp does not read it.
  std::uint32_t rest = 0;      ///< Second word; what it means depends on type and code.

  /// Echo request and reply.
  static constexpr IcmpHeader echo_reply_to(const IcmpHeader& request) {
    return {icmp_type::kEchoReply, 0, 0, request.rest};
  }
  constexpr std::uint16_t echo_identifier() const { return static_cast<std::uint16_t>(rest >> 16); }
  constexpr std::uint16_t echo_sequence() const { return static_cast<std::uint16_t>(rest); }
  /// Fragmentation needed: MTU of the next hop, 0 from a router older than RFC 1191.
  constexpr std::uint16_t next_hop_mtu() const { return static_cast<std::uint16_t>(rest); }
  /// True if the message tells of an error, and so must never be answered by one.
  //= rfc1122#3.2.2 MUST
  constexpr bool is_error() const {
    return type == icmp_type::kUnreachable || type == icmp_type::kSourceQuench ||
           type == icmp_type::kRedirect || type == icmp_type::kTimeExceeded ||
           type == icmp_type::kParameterProblem;
  }
  constexpr bool operator==(const IcmpHeader&) const = default;
};

enum class IcmpParseError : std::uint8_t {
  kTruncated,  ///< Fewer than 8 octets.
};

/// Reads the header at the front of `message` (an IPv4 packet's payload, padding taken off). The
/// checksum is right if wire::checksum(message) is 0.
Result<IcmpHeader, IcmpParseError> parse_icmp(std::span<const std::byte> message);

/// What an ICMP error quotes of a packet that we may have sent. The first eight octets of its
/// payload are shown as TCP lays them out; ports hold for UDP too.
struct IcmpQuoted {
  Ipv4Addr source{};  ///< Ours, if the error is honest.
  Ipv4Addr destination{};
  std::uint8_t protocol = 0;
  std::uint16_t fragment_offset = 0;  ///< Octets. Ports and seq mean something only if this is 0.
  Port source_port{};
  Port destination_port{};
  SeqNum seq{};

  constexpr bool operator==(const IcmpQuoted&) const = default;
};

enum class IcmpQuotedError : std::uint8_t {
  kTruncated,  ///< No whole IP header, or fewer than 8 octets behind it.
  kMalformed,  ///< Not IPv4, or an IHL below 5.
};

/// Reads the packet quoted in `data`, the octets behind the ICMP header of an error. Its total
/// length is not checked against `data`: quotes are cut short.
Result<IcmpQuoted, IcmpQuotedError> parse_icmp_quoted(std::span<const std::byte> data);

/// Writes kIcmpHeader octets with a zero checksum to `out` and gives their number. `out` must hold
/// them.
std::size_t emit_icmp(const IcmpHeader& header, std::span<std::byte> out);

/// Computes and stores the checksum of a whole message: header as emitted, then its data.
void set_icmp_checksum(std::span<std::byte> message);

}  // namespace sluice::wire
