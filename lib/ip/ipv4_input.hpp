#pragma once

// IPv4 as a host receives it, in RFC 1122's order.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.hpp"
#include "ip/address_table.hpp"
#include "telemetry/metrics.hpp"
#include "wire/ipv4.hpp"

namespace sluice::ip {

/// What the port said of the header checksum. One that it calls wrong is unknown: some drivers say
/// so of packets that they do not understand.
enum class HardwareChecksum : std::uint8_t { kUnknown, kGood };

/// What lies around a received packet.
struct InputContext {
  std::uint8_t interface = 0;
  HardwareChecksum checksum = HardwareChecksum::kUnknown;
  bool is_link_broadcast = false;
  std::size_t packet_length = 0;  ///< Octets behind the link header, padding included.
};

/// A packet that passed every check of its header and is for us: a datagram, or a fragment of one.
struct Arrival {
  wire::Ipv4Header header;
  AddressKind destination = AddressKind::kOurs;  ///< kOurs or a broadcast.
  bool is_link_broadcast = false;
};

/// Checks the packet that begins with `octets`, which hold at least its header if it is there at
/// all (the packet may go on elsewhere). The error arm is the packet's outcome; none of these is
/// ever answered.
Result<Arrival, telemetry::Outcome> accept_ipv4(std::span<const std::byte> octets,
                                                const InputContext& context,
                                                const AddressTable& addresses);

}  // namespace sluice::ip
