#include "wire/icmp.hpp"

#include "base/assert.hpp"
#include "wire/byte_order.hpp"
#include "wire/checksum.hpp"
#include "wire/ipv4.hpp"

namespace sluice::wire {

Result<IcmpHeader, IcmpParseError> parse_icmp(std::span<const std::byte> message) {
  if (message.size() < kIcmpHeader) return fail(IcmpParseError::kTruncated);
  const std::byte* const at = message.data();
  return IcmpHeader{load_u8(at), load_u8(at + 1), load_be16(at + 2), load_be32(at + 4)};
}

Result<IcmpQuoted, IcmpQuotedError> parse_icmp_quoted(std::span<const std::byte> data) {
  if (data.size() < kIpv4MinHeader + kIcmpQuotedPayload) return fail(IcmpQuotedError::kTruncated);
  const std::byte* const at = data.data();
  const std::uint8_t version_ihl = load_u8(at);
  const std::size_t header_length = std::size_t{version_ihl & 0x0fu} * 4;
  if (version_ihl >> 4 != 4 || header_length < kIpv4MinHeader)
    return fail(IcmpQuotedError::kMalformed);
  if (data.size() < header_length + kIcmpQuotedPayload) return fail(IcmpQuotedError::kTruncated);
  const std::byte* const payload = at + header_length;
  IcmpQuoted quoted;
  quoted.source.value = load_be32(at + 12);
  quoted.destination.value = load_be32(at + 16);
  quoted.protocol = load_u8(at + 9);
  quoted.fragment_offset = static_cast<std::uint16_t>((load_be16(at + 6) & 0x1fff) * 8);
  quoted.source_port = Port{load_be16(payload)};
  quoted.destination_port = Port{load_be16(payload + 2)};
  quoted.seq = SeqNum(load_be32(payload + 4));
  return quoted;
}

std::size_t emit_icmp(const IcmpHeader& header, std::span<std::byte> out) {
  SLUICE_ASSERT(out.size() >= kIcmpHeader);
  std::byte* const at = out.data();
  store_u8(at, header.type);
  store_u8(at + 1, header.code);
  store_be16(at + 2, 0);
  store_be32(at + 4, header.rest);
  return kIcmpHeader;
}

void set_icmp_checksum(std::span<std::byte> message) {
  SLUICE_ASSERT(message.size() >= kIcmpHeader);
  store_be16(message.data() + 2, 0);
  store_be16(message.data() + 2, checksum(message));
}

}  // namespace sluice::wire
