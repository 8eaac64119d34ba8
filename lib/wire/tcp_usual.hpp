#pragma once

// The segment that nearly all are: data or an ACK of an open connection, whose only options are
// timestamps as RFC 7323 appendix A aligns them.

#include <cstddef>
#include <cstdint>
#include <span>

#include "wire/byte_order.hpp"
#include "wire/seq_num.hpp"
#include "wire/tcp.hpp"

namespace sluice::wire {

/// A header of 32 octets: ACK, perhaps PSH, no other flag; nop, nop, timestamps.
struct UsualTcp {
  static constexpr std::size_t kHeader = kTcpMinHeader + 12;

  SeqNum seq{};
  SeqNum ack{};
  std::uint16_t window = 0;  ///< As sent, not scaled.
  std::uint32_t ts_val = 0;
  std::uint32_t ts_ecr = 0;
};

/// Reads the header at the front of `segment`. False if it is any other: parse_tcp() reads all.
inline bool parse_usual(std::span<const std::byte> segment, UsualTcp& tcp) {
  if (segment.size() < UsualTcp::kHeader) return false;
  const std::byte* const at = segment.data();
  constexpr std::uint32_t kOffsetAndAck = 8u << 12 | kAck;
  if ((load_be16(at + 12) & ~std::uint32_t{kPsh}) != kOffsetAndAck ||
      load_be32(at + 20) != kAlignedTimestamps)
    return false;
  tcp.seq = SeqNum(load_be32(at + 4));
  tcp.ack = SeqNum(load_be32(at + 8));
  tcp.window = load_be16(at + 14);
  tcp.ts_val = load_be32(at + 24);
  tcp.ts_ecr = load_be32(at + 28);
  return true;
}

/// Writes such a header of UsualTcp::kHeader octets, the checksum field zero. `flags` are ACK and
/// any others.
inline void emit_usual(const UsualTcp& tcp, Port source, Port destination, std::uint8_t flags,
                       std::byte* out) {
  store_be16(out, source.value);
  store_be16(out + 2, destination.value);
  store_be32(out + 4, tcp.seq.value());
  store_be32(out + 8, tcp.ack.value());
  store_be16(out + 12, static_cast<std::uint16_t>(8u << 12 | flags));
  store_be16(out + 14, tcp.window);
  store_be32(out + 16, 0);
  store_be32(out + 20, kAlignedTimestamps);
  store_be32(out + 24, tcp.ts_val);
  store_be32(out + 28, tcp.ts_ecr);
}

}  // namespace sluice::wire
