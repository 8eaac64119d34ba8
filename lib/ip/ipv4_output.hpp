#pragma once

// IPv4 as a host sends it, and sums over packets of several mbufs.

#include <cstdint>
#include <span>

#include "base/address.hpp"
#include "packet/packet.hpp"
#include "wire/checksum.hpp"

namespace sluice::ip {

/// Adds the octets of `packet` from `offset` on, through all its mbufs, to `sum`.
void add_packet(wire::Checksum& sum, const rte_mbuf& packet, std::uint32_t offset);

}  // namespace sluice::ip
