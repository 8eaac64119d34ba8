#pragma once

// Ethernet II frames, with at most one 802.1Q tag. `parse` reads untrusted octets once and gives a
// value; `emit` writes a value.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/address.hpp"
#include "base/result.hpp"

namespace sluice::wire {

/// EtherTypes that somebody here reads. Any other number is carried as it came.
namespace ether_type {
inline constexpr std::uint16_t kIpv4 = 0x0800;
inline constexpr std::uint16_t kArp = 0x0806;
inline constexpr std::uint16_t kVlan = 0x8100;
inline constexpr std::uint16_t kIpv6 = 0x86dd;
}  // namespace ether_type

inline constexpr std::size_t kEthernetHeader = 14;
inline constexpr std::size_t kVlanTag = 4;
inline constexpr std::size_t kEthernetMaxHeader = kEthernetHeader + kVlanTag;
/// Least octets of a frame on a cable, without FCS (IEEE 802.3 3.2.8): shorter ones arrive padded.
inline constexpr std::size_t kEthernetMinFrame = 60;

/// One frame's header.
///
///     +-------------+--------+----------------------+------------+
///     | destination | source | 0x8100, TCI (if any) | ether_type |
///     +-------------+--------+----------------------+------------+
struct EthernetHeader {
  MacAddr destination{};
  MacAddr source{};
  std::uint16_t ether_type = 0;  ///< Of the payload; the one behind the tag if there is a tag.
  bool has_vlan = false;
  std::uint16_t vlan_tci = 0;  ///< Priority (3 bits), DEI (1), VLAN id (12).

  constexpr std::uint16_t vlan_id() const { return vlan_tci & 0x0fff; }
  /// Octets before the payload.
  constexpr std::size_t length() const { return kEthernetHeader + (has_vlan ? kVlanTag : 0); }
  constexpr bool operator==(const EthernetHeader&) const = default;
};

enum class EthernetParseError : std::uint8_t {
  kTruncated,  ///< Fewer octets than the header, its tag included.
};

/// Reads the header at the front of `frame`. A second tag is left to the payload: its header says
/// ether_type::kVlan, which nobody here receives.
Result<EthernetHeader, EthernetParseError> parse_ethernet(std::span<const std::byte> frame);

/// Writes header.length() octets to `out` and gives their number. `out` must hold them.
std::size_t emit_ethernet(const EthernetHeader& header, std::span<std::byte> out);

}  // namespace sluice::wire
