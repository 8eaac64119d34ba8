#pragma once

// What routers do to frames under way: the ECN field, and the answer to packets that are too long.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/address.hpp"

namespace sluice::drivers {

enum class Ecn : std::uint8_t { kNotEct = 0, kEct1 = 1, kEct0 = 2, kCe = 3 };  // RFC 3168 5

/// The ECN field of the IPv4 or IPv6 packet in an untagged frame; kNotEct of any other frame.
Ecn ecn_of(std::span<const std::byte> frame);

/// Sets CE in a packet whose ECN field is not kNotEct, and mends the IPv4 header's checksum: one
/// that was wrong stays so.
void mark_congestion(std::span<std::byte> frame);

/// The frame with which the router `router` answers `frame`, an IPv4 packet longer than `mtu`
/// (RFC 792; RFC 1191 4). Empty if there is nobody to be told: not IPv4, fragments allowed, a later
/// fragment, or itself an ICMP error (RFC 1122 3.2.2).
std::vector<std::byte> fragmentation_needed(std::span<const std::byte> frame, Ipv4Addr router,
                                            std::uint16_t mtu);

/// What a router makes of an untagged IPv4 frame that is longer than `mtu`, DF or not, in order.
/// Empty if it is not one, is a fragment already, or has IP options. Their identification is the
/// frame's unless one is given: with DF the frame's says nothing (RFC 6864).
std::vector<std::vector<std::byte>> fragments_of(
    std::span<const std::byte> frame, std::uint16_t mtu,
    std::optional<std::uint16_t> identification = std::nullopt);

}  // namespace sluice::drivers
