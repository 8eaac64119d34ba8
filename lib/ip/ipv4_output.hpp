#pragma once

// IPv4 as a host sends it, and sums over packets of several mbufs.

#include <cstdint>
#include <span>

#include "base/address.hpp"
#include "packet/packet.hpp"
#include "wire/checksum.hpp"

namespace sluice::ip {

struct OutputOptions {
  Ipv4Addr source;
  Ipv4Addr destination;
  std::uint8_t protocol = 0;
  std::uint8_t ttl = 64;
  std::uint8_t traffic_class = 0;    ///< DSCP and ECN.
  bool dont_fragment = true;         ///< RFC 1191.
  std::uint16_t identification = 0;  ///< May be 0 if dont_fragment (RFC 6864 4.1).
};

/// Writes an IPv4 header with a zero checksum field into the headroom of `packet`, whose first
/// mbuf nobody else holds. Gives the header, or an empty span (and no change) without headroom.
std::span<std::byte> prepend_ipv4(rte_mbuf& packet, const OutputOptions& options);

/// Adds the octets of `packet` from `offset` on, through all its mbufs, to `sum`.
void add_packet(wire::Checksum& sum, const rte_mbuf& packet, std::uint32_t offset);

}  // namespace sluice::ip
