#include "wire/ipv4.hpp"

#include "base/assert.hpp"
#include "wire/byte_order.hpp"
#include "wire/checksum.hpp"

namespace sluice::wire {
namespace {

enum OptionType : std::uint8_t {
  kEndOfList = 0,
  kNoOperation = 1,
  kLooseSourceRoute = 131,
  kStrictSourceRoute = 137,
};

using ipv4_field::kChecksumOffset;
using ipv4_field::kDontFragment;
using ipv4_field::kFragmentOffsetMask;
using ipv4_field::kMoreFragments;

Ipv4Options scan_options(std::span<const std::byte> list) {
  if (list.empty()) return Ipv4Options::kNone;
  while (!list.empty()) {
    const std::uint8_t type = load_u8(list.data());
    if (type == kEndOfList) break;
    if (type == kNoOperation) {
      list = list.subspan(1);
      continue;
    }
    if (list.size() < 2) return Ipv4Options::kMalformed;
    const std::size_t length = load_u8(list.data() + 1);
    if (length < 2 || length > list.size()) return Ipv4Options::kMalformed;
    if (type == kLooseSourceRoute || type == kStrictSourceRoute) return Ipv4Options::kSourceRoute;
    list = list.subspan(length);
  }
  return Ipv4Options::kHarmless;
}

}  // namespace

Result<Ipv4Header, Ipv4ParseError> parse_ipv4(std::span<const std::byte> packet) {
  return parse_ipv4(packet, packet.size());
}

Result<Ipv4Header, Ipv4ParseError> parse_ipv4(std::span<const std::byte> packet,
                                              std::size_t packet_length) {
  if (packet.empty()) return fail(Ipv4ParseError::kTruncated);
  const std::byte* const at = packet.data();
  const std::uint8_t version_ihl = load_u8(at);
  //= rfc1122#3.2.1.1 MUST
  if (version_ihl >> 4 != 4) return fail(Ipv4ParseError::kVersion);
  if (packet.size() < kIpv4MinHeader) return fail(Ipv4ParseError::kTruncated);
  const std::size_t header_length = std::size_t{version_ihl & 0x0fu} * 4;
  const std::uint16_t total_length = load_be16(at + 2);
  if (header_length < kIpv4MinHeader || header_length > packet.size() ||
      header_length > total_length)
    return fail(Ipv4ParseError::kHeaderLength);
  if (total_length > packet_length) return fail(Ipv4ParseError::kTruncated);

  const std::uint16_t fragment = load_be16(at + 6);
  Ipv4Header header;
  header.source.value = load_be32(at + 12);
  header.destination.value = load_be32(at + 16);
  header.total_length = total_length;
  header.identification = load_be16(at + 4);
  header.fragment_offset = static_cast<std::uint16_t>((fragment & kFragmentOffsetMask) * 8);
  header.checksum = load_be16(at + kChecksumOffset);
  header.header_length = static_cast<std::uint8_t>(header_length);
  header.protocol = load_u8(at + 9);
  header.ttl = load_u8(at + 8);
  header.traffic_class = load_u8(at + 1);
  header.dont_fragment = (fragment & kDontFragment) != 0;
  header.more_fragments = (fragment & kMoreFragments) != 0;
  header.options = scan_options(packet.subspan(kIpv4MinHeader, header_length - kIpv4MinHeader));
  return header;
}

bool is_ipv4_checksum_right(std::span<const std::byte> header) {
  return checksum(header) == 0;
}

void set_ipv4_checksum(std::span<std::byte> header) {
  SLUICE_ASSERT(header.size() >= kIpv4MinHeader);
  store_be16(header.data() + kChecksumOffset, 0);
  store_be16(header.data() + kChecksumOffset, checksum(header));
}

}  // namespace sluice::wire
