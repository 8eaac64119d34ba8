#pragma once

// IPv4 headers (RFC 791 3.1). `parse` reads untrusted octets once and gives a value that holds
// only lengths it has checked; `emit` writes a value. Policy (martians, whose address it is, what
// to do with a fragment) is lib/ip's.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/address.hpp"
#include "base/assert.hpp"
#include "base/result.hpp"
#include "wire/byte_order.hpp"

namespace sluice::wire {

/// Bits and places in the header.
namespace ipv4_field {
inline constexpr std::uint16_t kDontFragment = 0x4000;
inline constexpr std::uint16_t kMoreFragments = 0x2000;
inline constexpr std::uint16_t kFragmentOffsetMask = 0x1fff;
inline constexpr std::size_t kChecksumOffset = 10;
}  // namespace ipv4_field

inline constexpr std::size_t kIpv4MinHeader = 20;
inline constexpr std::size_t kIpv4MaxHeader = 60;

/// Numbers of the protocols that somebody here reads. Any other is carried as it came.
namespace ip_protocol {
inline constexpr std::uint8_t kIcmp = 1;
inline constexpr std::uint8_t kTcp = 6;
inline constexpr std::uint8_t kUdp = 17;
inline constexpr std::uint8_t kIcmpv6 = 58;
}  // namespace ip_protocol

/// What the one walk over a header's options found; the first reason to refuse wins.
enum class Ipv4Options : std::uint8_t {
  kNone,         ///< Header of 20 octets.
  kHarmless,     ///< Well-formed options, no source route.
  kSourceRoute,  ///< Loose or strict source route (RFC 791 3.1).
  kMalformed,    ///< An option with length 0 or 1, or one that leaves the header.
};

/// One packet's header in host byte order.
struct Ipv4Header {
  Ipv4Addr source{};
  Ipv4Addr destination{};
  std::uint16_t total_length = 0;  ///< Octets, header included. Padding may follow in the frame.
  std::uint16_t identification = 0;
  std::uint16_t fragment_offset = 0;            ///< Octets, a multiple of 8.
  std::uint16_t checksum = 0;                   ///< As received. emit_ipv4 does not read it.
  std::uint8_t header_length = kIpv4MinHeader;  ///< Octets, options included.
  std::uint8_t protocol = 0;
  std::uint8_t ttl = 0;
  std::uint8_t traffic_class = 0;  ///< DSCP (6 bits) and ECN (2 bits).
  bool dont_fragment = false;
  bool more_fragments = false;
  Ipv4Options options = Ipv4Options::kNone;

  constexpr bool is_fragment() const { return more_fragments || fragment_offset != 0; }
  constexpr std::uint16_t payload_length() const {
    return static_cast<std::uint16_t>(total_length - header_length);
  }
  constexpr bool operator==(const Ipv4Header&) const = default;
};

enum class Ipv4ParseError : std::uint8_t {
  kVersion,       ///< Version field is not 4.
  kHeaderLength,  ///< IHL below 5, or a header longer than the packet.
  kTruncated,     ///< Fewer than 20 octets, or fewer than the total length says.
};

/// Reads the header at the front of `packet` (header, payload and the frame's padding). On success
/// 20 <= header_length <= total_length <= packet.size(). Does not look at the checksum, which
/// hardware may have verified, and does not refuse options: see Ipv4Header::options.
Result<Ipv4Header, Ipv4ParseError> parse_ipv4(std::span<const std::byte> packet);
/// The same for a packet of `packet_length` octets of which `front` holds only the first (at least
/// the whole header, if the packet has one): the rest lies in other buffers.
Result<Ipv4Header, Ipv4ParseError> parse_ipv4(std::span<const std::byte> front,
                                              std::size_t packet_length);

/// True if the checksum of a header, given with its options, is right.
bool is_ipv4_checksum_right(std::span<const std::byte> header);

/// Writes a header of 20 octets, without options, to `out` and gives its length. The checksum
/// field is zero, as ports that fill it in want it. `out` must hold kIpv4MinHeader octets.
inline std::size_t emit_ipv4(const Ipv4Header& header, std::span<std::byte> out) {
  SLUICE_ASSERT(out.size() >= kIpv4MinHeader);
  SLUICE_ASSERT(header.total_length >= kIpv4MinHeader && header.fragment_offset % 8 == 0);
  // Word by word: a quarter of the stores.
  std::byte* const at = out.data();
  store_be32(at, 0x45u << 24 | std::uint32_t{header.traffic_class} << 16 | header.total_length);
  store_be32(at + 4, std::uint32_t{header.identification} << 16 |
                         (header.dont_fragment ? std::uint32_t{ipv4_field::kDontFragment} : 0u) |
                         (header.more_fragments ? std::uint32_t{ipv4_field::kMoreFragments} : 0u) |
                         header.fragment_offset / 8u);
  store_be32(at + 8, std::uint32_t{header.ttl} << 24 | std::uint32_t{header.protocol} << 16);
  store_be32(at + 12, header.source.value);
  store_be32(at + 16, header.destination.value);
  return kIpv4MinHeader;
}

/// Computes and stores the checksum of an emitted header, given alone.
void set_ipv4_checksum(std::span<std::byte> header);

}  // namespace sluice::wire
