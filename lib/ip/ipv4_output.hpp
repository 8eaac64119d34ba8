#pragma once

// IPv4 as a host sends it, and sums over packets of several mbufs.

#include <cstdint>
#include <span>

#include "base/address.hpp"
#include "packet/packet.hpp"
#include "wire/checksum.hpp"
#include "wire/ipv4.hpp"

namespace sluice::ip {

/// Writes `header`, whose total length is filled in, with a zero checksum field into the headroom
/// of `packet`, whose first mbuf nobody else holds. Gives the octets, or an empty span (and no
/// change) without headroom.
std::span<std::byte> prepend_ipv4(rte_mbuf& packet, wire::Ipv4Header& header);

/// Adds the octets of `packet` from `offset` on, through all its mbufs, to `sum`.
void add_packet(wire::Checksum& sum, const rte_mbuf& packet, std::uint32_t offset);

}  // namespace sluice::ip
