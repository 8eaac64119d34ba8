#pragma once

// Of UDP (RFC 768) what tells a whole datagram from a broken one.

#include <cstddef>
#include <cstdint>
#include <span>

#include "wire/byte_order.hpp"

namespace sluice::wire {

inline constexpr std::size_t kUdpHeader = 8;

struct UdpPeek {
  std::uint16_t length = 0;    ///< Of header and data, as the header says: not checked.
  std::uint16_t checksum = 0;  ///< 0: the sender made none.
};

/// Reads the first kUdpHeader octets of a datagram. Precondition: it has them.
inline UdpPeek peek_udp(std::span<const std::byte> datagram) {
  return {load_be16(datagram.data() + 4), load_be16(datagram.data() + 6)};
}

}  // namespace sluice::wire
