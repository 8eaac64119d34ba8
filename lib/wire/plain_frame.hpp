#pragma once

// The frame that nearly all are, seen at one glance: to one MAC, untagged, whole IPv4 without
// options, TCP. What is anything else, or wrong, goes the long way, which knows what to call it.

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/address.hpp"
#include "wire/byte_order.hpp"
#include "wire/ethernet.hpp"
#include "wire/ipv4.hpp"
#include "wire/tcp.hpp"

namespace sluice::wire {

struct PlainFrame {
  static constexpr std::size_t kIp = kEthernetHeader;
  static constexpr std::size_t kTcp = kIp + kIpv4MinHeader;

  Ipv4Addr source;
  Ipv4Addr destination;
  std::uint16_t total_length = 0;  ///< The IP packet's: at least IP and TCP header.
  std::uint8_t traffic_class = 0;
};

/// A MAC in the six lower octets of a word, as it lies in memory: for comparing.
inline std::uint64_t mac_word(const MacAddr& mac) {
  std::uint64_t word = 0;
  std::memcpy(&word, mac.octets.data(), mac.octets.size());
  return word;
}

/// True if `frame`, the front of a frame of `frame_length` octets, is a plain one from another host
/// to `ours`, a mac_word(): `plain` says the rest. Checksums, addresses and what TCP's header says
/// beyond its length are not looked at. About 40 instructions.
inline bool parse_plain(std::span<const std::byte> frame, std::size_t frame_length,
                        std::uint64_t ours, PlainFrame& plain) {
  static_assert(std::endian::native == std::endian::little);
  constexpr std::size_t kTcp = PlainFrame::kTcp;
  if (frame.size() < kTcp + kTcpMinHeader) return false;
  const std::byte* const at = frame.data();
  const auto word = [&](std::size_t offset) {
    std::uint64_t value;
    std::memcpy(&value, at + offset, sizeof value);
    return value;
  };
  const std::uint64_t destination = word(0) << 16 >> 16, source = word(4) >> 16;
  const std::uint64_t kind = word(12);  // type, version and length, class, total length, id
  constexpr std::uint64_t kIpv4Whole = 0x450008, kKindMask = 0xffffff;
  if (destination != ours || source == ours || source == 0 || (source & 1) != 0 ||
      (kind & kKindMask) != kIpv4Whole)
    return false;
  const std::byte* const ip = at + PlainFrame::kIp;
  constexpr std::uint16_t kFragmentBits = 0x3fff;  // more fragments, offset
  const std::uint16_t total_length = load_be16(ip + 2);
  const std::size_t tcp_length = std::size_t{load_u8(at + kTcp + 12)} >> 4 << 2;
  if (load_u8(ip + 9) != ip_protocol::kTcp || (load_be16(ip + 6) & kFragmentBits) != 0 ||
      total_length > frame_length - PlainFrame::kIp || tcp_length < kTcpMinHeader ||
      kIpv4MinHeader + tcp_length > total_length)
    return false;
  plain = {{load_be32(ip + 12)}, {load_be32(ip + 16)}, total_length, load_u8(ip + 1)};
  return true;
}

}  // namespace sluice::wire
