#pragma once

// TCP headers (RFC 9293 3.1). `parse` reads untrusted octets once and gives a value; `emit` writes
// a value. Nothing here knows a connection.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/address.hpp"
#include "base/assert.hpp"
#include "wire/byte_order.hpp"
#include "wire/seq_num.hpp"

namespace sluice::wire {

enum TcpFlags : std::uint8_t {
  kFin = 0x01,
  kSyn = 0x02,
  kRst = 0x04,
  kPsh = 0x08,
  kAck = 0x10,
  kUrg = 0x20,
  kEce = 0x40,
  kCwr = 0x80,
};

inline constexpr std::size_t kTcpMinHeader = 20;
inline constexpr std::size_t kTcpMaxHeader = 60;
inline constexpr std::size_t kTcpMaxOptions = 40;
/// nop, nop, timestamps: the options of nearly every segment (RFC 7323 appendix A).
inline constexpr std::uint32_t kAlignedTimestamps = 0x0101080a;
inline constexpr std::size_t kMaxSackBlocks = 4;
inline constexpr std::uint8_t kMaxWindowScale = 14;  // RFC 7323 2.3

/// One SACK block: octets [left, right) have been received (RFC 2018 3).
struct SackBlock {
  SeqNum left{};
  SeqNum right{};
  constexpr bool operator==(const SackBlock&) const = default;
};

/// The options of one segment. A `has_` is set only by a well-formed option.
struct TcpOptions {
  bool has_mss = false;
  bool has_window_scale = false;
  bool has_sack_permitted = false;
  bool has_timestamps = false;
  std::uint8_t sack_count = 0;
  std::uint8_t window_scale = 0;  ///< Shift count as sent; above 14 it means 14 (RFC 7323 2.3).
  std::uint16_t mss = 0;          ///< Octets.
  std::uint32_t ts_val = 0;
  std::uint32_t ts_ecr = 0;
  SackBlock sack[kMaxSackBlocks]{SackBlock{}, SackBlock{}, SackBlock{}, SackBlock{}};
};

/// One received or built segment's header, in host byte order, beside its options.
struct TcpHeader {
  Port source{};
  Port destination{};
  SeqNum seq{};
  SeqNum ack{};
  std::uint8_t flags = 0;          ///< TcpFlags.
  std::uint8_t header_length = 0;  ///< Octets, options included.
  std::uint16_t window = 0;        ///< As sent, not scaled.
  std::uint16_t urgent_pointer = 0;
  TcpOptions options{};

  constexpr bool has(std::uint8_t mask) const { return (flags & mask) != 0; }
};

enum class TcpParseError : std::uint8_t {
  kTruncated,   ///< Fewer than 20 octets.
  kDataOffset,  ///< Data offset below 5, or beyond the segment.
};

/// Reads the header at the front of `segment` (TCP header and payload). Never reads past its end.
/// A malformed option ends the list: what came before it counts, as RFC 9293 3.1 asks ("prepared to
/// handle an illegal option length"), and `malformed_options` says so. Of an option that comes
/// twice the last one counts. On failure `header` is unchanged.
struct TcpParseResult {
  bool ok = false;
  TcpParseError error = TcpParseError::kTruncated;
  bool malformed_options = false;
};
inline TcpParseResult parse_tcp(std::span<const std::byte> segment, TcpHeader& header);

/// Reads a list of options. False if a malformed one ended it.
bool parse_tcp_options(std::span<const std::byte> list, TcpOptions& options);

/// Writes `header` with its options in the order Linux uses (SYN: mss, sackOK, TS, nop, wscale;
/// without TS: mss, nop, nop, sackOK, nop, wscale; otherwise nop, nop, TS, nop, nop, SACK) to
/// `out`; SACK blocks that do not fit are left out. The checksum field is zero. Gives the header's
/// length in octets, a multiple of 4. `out` must hold tcp_header_length(header) octets.
std::size_t emit_tcp(const TcpHeader& header, std::span<std::byte> out);
/// The length emit_tcp would give.
std::size_t tcp_header_length(const TcpHeader& header);

/// Stores `checksum`, as Checksum::finish() gave it, in an emitted header.
inline void set_tcp_checksum(std::span<std::byte> header, std::uint16_t checksum) {
  constexpr std::size_t kChecksumOffset = 16;
  SLUICE_ASSERT(header.size() >= kTcpMinHeader);
  store_be16(header.data() + kChecksumOffset, checksum);
}

inline TcpParseResult parse_tcp(std::span<const std::byte> segment, TcpHeader& header) {
  if (segment.size() < kTcpMinHeader) return {.error = TcpParseError::kTruncated};
  const std::byte* const at = segment.data();
  const std::size_t length = static_cast<std::size_t>(load_u8(at + 12) >> 4) * 4;
  if (length < kTcpMinHeader || length > segment.size())
    return {.error = TcpParseError::kDataOffset};
  header.source = Port{load_be16(at)};
  header.destination = Port{load_be16(at + 2)};
  header.seq = SeqNum(load_be32(at + 4));
  header.ack = SeqNum(load_be32(at + 8));
  header.flags = load_u8(at + 13);
  header.header_length = static_cast<std::uint8_t>(length);
  //= rfc9293#3.1 MUST-1
  header.window = load_be16(at + 14);
  header.urgent_pointer = load_be16(at + 18);
  header.options = {};
  if (length == kTcpMinHeader) return {.ok = true};
  const bool is_well_formed =
      parse_tcp_options(segment.subspan(kTcpMinHeader, length - kTcpMinHeader), header.options);
  return {.ok = true, .malformed_options = !is_well_formed};
}

}  // namespace sluice::wire
