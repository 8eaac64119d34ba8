#include "wire/tcp.hpp"

#include <algorithm>

#include "base/assert.hpp"
#include "wire/byte_order.hpp"

namespace sluice::wire {
namespace {

enum OptionKind : std::uint8_t {
  kEndOfList = 0,
  kNoOperation = 1,
  kMss = 2,
  kWindowScale = 3,
  kSackPermitted = 4,
  kSack = 5,
  kTimestamps = 8,
};

constexpr std::size_t kMssLength = 4;
constexpr std::size_t kWindowScaleLength = 3;
constexpr std::size_t kSackPermittedLength = 2;
constexpr std::size_t kTimestampsLength = 10;
constexpr std::size_t kSackBlockLength = 8;
constexpr std::size_t kChecksumOffset = 16;

/// Reads one option, kind and length included. False if the length does not fit the kind.
bool parse_option(std::span<const std::byte> option, TcpOptions& options) {
  const std::byte* const value = option.data() + 2;
  switch (load_u8(option.data())) {
    //= rfc9293#3.1 MUST-4  rfc9293#3.7.1 MUST-14
    case kMss:
      if (option.size() != kMssLength) return false;
      options.has_mss = true;
      options.mss = load_be16(value);
      return true;
    case kWindowScale:
      if (option.size() != kWindowScaleLength) return false;
      options.has_window_scale = true;
      options.window_scale = load_u8(value);
      return true;
    case kSackPermitted:
      if (option.size() != kSackPermittedLength) return false;
      options.has_sack_permitted = true;
      return true;
    case kSack: {
      const std::size_t blocks = (option.size() - 2) / kSackBlockLength;
      if (blocks == 0 || option.size() != 2 + blocks * kSackBlockLength) return false;
      SLUICE_ASSERT(blocks <= kMaxSackBlocks);  // 40 octets of options hold no more
      for (std::size_t i = 0; i < blocks; ++i) {
        const std::byte* const block = value + i * kSackBlockLength;
        options.sack[i] = {SeqNum(load_be32(block)), SeqNum(load_be32(block + 4))};
      }
      options.sack_count = static_cast<std::uint8_t>(blocks);
      return true;
    }
    case kTimestamps:
      if (option.size() != kTimestampsLength) return false;
      options.has_timestamps = true;
      options.ts_val = load_be32(value);
      options.ts_ecr = load_be32(value + 4);
      return true;
    default:
      return true;  //= rfc9293#3.1 MUST-6
  }
}

std::size_t sack_blocks_that_fit(const TcpOptions& options, std::size_t octets_used) {
  if (options.sack_count == 0 || octets_used + 4 > kTcpMaxOptions) return 0;
  return std::min<std::size_t>(options.sack_count,
                               (kTcpMaxOptions - octets_used - 4) / kSackBlockLength);
}

/// Octets of all options but SACK, padding included.
std::size_t fixed_options_length(const TcpOptions& options) {
  std::size_t length = options.has_mss ? 4 : 0;
  if (options.has_timestamps) length += 12;
  if (options.has_sack_permitted && !options.has_timestamps) length += 4;
  if (options.has_window_scale) length += 4;
  return length;
}

std::byte* emit_word(std::byte* at, std::uint32_t word) {
  store_be32(at, word);
  return at + 4;
}

std::byte* emit_options(const TcpOptions& options, std::byte* at) {
  //= rfc9293#3.1 MUST-68, MUST-69  NOPs align, no end of list is sent, so nothing lies behind one
  constexpr std::uint32_t kNopNop = kNoOperation << 24 | kNoOperation << 16;
  const std::size_t blocks =
      options.sack_count == 0 ? 0 : sack_blocks_that_fit(options, fixed_options_length(options));
  if (options.has_mss) at = emit_word(at, kMss << 24 | kMssLength << 16 | options.mss);
  if (options.has_sack_permitted && options.has_timestamps) {
    at = emit_word(at, kSackPermitted << 24 | kSackPermittedLength << 16 | kTimestamps << 8 |
                           kTimestampsLength);
  } else if (options.has_sack_permitted) {
    at = emit_word(at, kNopNop | kSackPermitted << 8 | kSackPermittedLength);
  } else if (options.has_timestamps) {
    at = emit_word(at, kAlignedTimestamps);
  }
  if (options.has_timestamps) at = emit_word(emit_word(at, options.ts_val), options.ts_ecr);
  if (options.has_window_scale)
    at = emit_word(at, kNoOperation << 24 | kWindowScale << 16 | kWindowScaleLength << 8 |
                           options.window_scale);
  if (blocks > 0) {
    const auto length = static_cast<std::uint32_t>(2 + blocks * kSackBlockLength);
    at = emit_word(at, kNopNop | kSack << 8 | length);
    for (std::size_t i = 0; i < blocks; ++i)
      at = emit_word(emit_word(at, options.sack[i].left.value()), options.sack[i].right.value());
  }
  return at;
}

}  // namespace

//= rfc9293#3.1 MUST-5, MUST-4
bool parse_tcp_options(std::span<const std::byte> list, TcpOptions& options) {
  if (list.size() == 12 && load_be32(list.data()) == kAlignedTimestamps)
    return parse_option(list.subspan(2), options);
  while (!list.empty()) {
    const std::uint8_t kind = load_u8(list.data());
    if (kind == kEndOfList) return true;
    //= rfc9293#3.2 MUST-64
    if (kind == kNoOperation) {
      list = list.subspan(1);
      continue;
    }
    //= rfc9293#3.1 MUST-7
    if (list.size() < 2) return false;
    const std::size_t length = load_u8(list.data() + 1);
    if (length < 2 || length > list.size()) return false;
    if (!parse_option(list.first(length), options)) return false;
    list = list.subspan(length);
  }
  return true;
}

std::size_t tcp_header_length(const TcpHeader& header) {
  const std::size_t fixed = fixed_options_length(header.options);
  if (header.options.sack_count == 0) return kTcpMinHeader + fixed;
  const std::size_t blocks = sack_blocks_that_fit(header.options, fixed);
  return kTcpMinHeader + fixed + (blocks == 0 ? 0 : 4 + blocks * kSackBlockLength);
}

std::size_t emit_tcp(const TcpHeader& header, std::span<std::byte> out) {
  SLUICE_ASSERT(out.size() >= kTcpMaxHeader || out.size() >= tcp_header_length(header));
  std::byte* const at = out.data();
  store_be16(at, header.source.value);
  store_be16(at + 2, header.destination.value);
  store_be32(at + 4, header.seq.value());
  store_be32(at + 8, header.ack.value());
  store_u8(at + 13, header.flags);
  store_be16(at + 14, header.window);
  store_be16(at + kChecksumOffset, 0);
  store_be16(at + 18, header.urgent_pointer);
  const auto length =
      static_cast<std::size_t>(emit_options(header.options, at + kTcpMinHeader) - at);
  store_u8(at + 12, static_cast<std::uint8_t>(length / 4 << 4));
  return length;
}

}  // namespace sluice::wire
