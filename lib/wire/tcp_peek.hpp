#pragma once

// The few facts of a TCP header that are wanted by those who do not want its options.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/address.hpp"
#include "wire/byte_order.hpp"
#include "wire/seq_num.hpp"
#include "wire/tcp.hpp"

namespace sluice::wire {

struct TcpPeek {
  Port source;
  Port destination;
  SeqNum seq;
  std::uint8_t header_length = 0;  ///< Octets, as the data offset says: 0..60, not checked.
};

/// Reads the first kTcpMinHeader octets of a segment. Precondition: it has them.
inline TcpPeek peek_tcp(std::span<const std::byte> segment) {
  const std::byte* const at = segment.data();
  return {Port{load_be16(at)}, Port{load_be16(at + 2)}, SeqNum(load_be32(at + 4)),
          static_cast<std::uint8_t>((load_u8(at + 12) >> 4) * 4)};
}

}  // namespace sluice::wire
