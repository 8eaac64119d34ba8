// Feeds untrusted octets to every parser of lib/wire, on heap blocks of their exact size, and holds
// each result to what its header promises. The first octet of an input chooses where to begin; from
// there the parsers follow each other as in a frame.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/assert.hpp"
#include "tests/fuzz/exact_block.hpp"
#include "wire/arp.hpp"
#include "wire/checksum.hpp"
#include "wire/ethernet.hpp"
#include "wire/icmp.hpp"
#include "wire/ipv4.hpp"
#include "wire/plain_frame.hpp"
#include "wire/tcp.hpp"
#include "wire/tcp_peek.hpp"
#include "wire/tcp_usual.hpp"

namespace {

using namespace sluice;
using fuzz::ExactBlock;
using Octets = std::span<const std::byte>;

#ifdef SLUICE_FUZZ_CANARY
/// The fault that the fuzzer must find: an option's length is read without asking if it is there.
void walk_options_carelessly(Octets options) {
  volatile std::size_t at = 0;
  while (at < options.size()) {
    const auto kind = std::to_integer<unsigned>(options.data()[at]);
    if (kind == 0) return;
    const std::size_t length = kind == 1 ? 1 : std::to_integer<std::size_t>(options.data()[at + 1]);
    if (length == 0) return;
    at = at + length;
  }
}
#endif

void check_checksum(Octets octets) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < octets.size(); ++i)
    sum += std::to_integer<std::uint64_t>(octets[i]) << (i % 2 == 0 ? 8 : 0);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  const ExactBlock block(octets);
  SLUICE_ASSERT(wire::checksum(block.view()) == static_cast<std::uint16_t>(~sum));
}

/// The short ways read what the long one does, or nothing.
void fuzz_usual(Octets octets, const wire::TcpHeader* header) {
  const ExactBlock block(octets);
  if (octets.size() >= wire::kTcpMinHeader) {
    const ExactBlock front(octets.first(wire::kTcpMinHeader));
    const wire::TcpPeek peek = wire::peek_tcp(front.view());
    SLUICE_ASSERT(header == nullptr ||
                  (peek.source == header->source && peek.destination == header->destination &&
                   peek.seq == header->seq && peek.header_length == header->header_length));
  }
  wire::UsualTcp usual;
  if (!wire::parse_usual(block.view(), usual)) return;
  SLUICE_ASSERT(header != nullptr && header->header_length == wire::UsualTcp::kHeader);
  SLUICE_ASSERT(usual.seq == header->seq && usual.ack == header->ack);
  SLUICE_ASSERT(usual.window == header->window && header->options.has_timestamps);
  SLUICE_ASSERT(usual.ts_val == header->options.ts_val && usual.ts_ecr == header->options.ts_ecr);
  SLUICE_ASSERT((header->flags & ~wire::kPsh) == wire::kAck);
}

void fuzz_tcp(Octets octets) {
  const ExactBlock block(octets);
  wire::TcpHeader header;
  const auto result = wire::parse_tcp(block.view(), header);
  fuzz_usual(octets, result.ok ? &header : nullptr);
  if (!result.ok) return;
  SLUICE_ASSERT(header.header_length >= wire::kTcpMinHeader);
  SLUICE_ASSERT(header.header_length <= octets.size());
  SLUICE_ASSERT(header.options.sack_count <= wire::kMaxSackBlocks);
#ifdef SLUICE_FUZZ_CANARY
  walk_options_carelessly(
      block.view().subspan(wire::kTcpMinHeader, header.header_length - wire::kTcpMinHeader));
#endif

  // What was read can be written, and reads the same.
  const std::array<std::byte, wire::kTcpMaxHeader> zeros{};
  ExactBlock out(Octets(zeros).first(wire::tcp_header_length(header)));
  SLUICE_ASSERT(wire::emit_tcp(header, out.view()) == out.view().size());
  wire::TcpHeader again;
  const auto second = wire::parse_tcp(out.view(), again);
  SLUICE_ASSERT(second.ok && !second.malformed_options);
  SLUICE_ASSERT(again.seq == header.seq && again.ack == header.ack && again.flags == header.flags);
  SLUICE_ASSERT(again.options.sack_count <= header.options.sack_count);
  SLUICE_ASSERT(again.options.has_timestamps == header.options.has_timestamps);
  SLUICE_ASSERT(again.options.ts_val == header.options.ts_val);
  SLUICE_ASSERT(again.options.mss == header.options.mss);
  SLUICE_ASSERT(again.options.window_scale == header.options.window_scale);
}

void fuzz_icmp_quoted(Octets octets) {
  const ExactBlock block(octets);
  const auto quoted = wire::parse_icmp_quoted(block.view());
  if (!quoted) return;
  SLUICE_ASSERT(octets.size() >= wire::kIpv4MinHeader + wire::kIcmpQuotedPayload);
  SLUICE_ASSERT(quoted->fragment_offset % 8 == 0);
}

void fuzz_icmp(Octets octets) {
  ExactBlock block(octets);
  const auto header = wire::parse_icmp(block.view());
  if (!header) return;
  if (header->is_error()) fuzz_icmp_quoted(octets.subspan(wire::kIcmpHeader));
  wire::set_icmp_checksum(block.view());
  SLUICE_ASSERT(wire::checksum(block.view()) == 0);
}

void fuzz_ipv4(Octets octets) {
  const ExactBlock block(octets);
  const auto header = wire::parse_ipv4(block.view());
  if (!header) return;
  SLUICE_ASSERT(header->header_length >= wire::kIpv4MinHeader);
  SLUICE_ASSERT(header->header_length <= header->total_length);
  SLUICE_ASSERT(header->total_length <= octets.size());
  SLUICE_ASSERT((header->options == wire::Ipv4Options::kNone) ==
                (header->header_length == wire::kIpv4MinHeader));
  static_cast<void>(wire::is_ipv4_checksum_right(block.view().first(header->header_length)));

  std::array<std::byte, wire::kIpv4MinHeader> out{};
  wire::emit_ipv4(*header, out);
  wire::set_ipv4_checksum(out);
  SLUICE_ASSERT(wire::is_ipv4_checksum_right(out));

  const auto payload = octets.subspan(header->header_length, header->payload_length());
  if (header->protocol == wire::ip_protocol::kTcp) fuzz_tcp(payload);
  if (header->protocol == wire::ip_protocol::kIcmp) fuzz_icmp(payload);
}

void fuzz_arp(Octets octets) {
  const ExactBlock block(octets);
  const auto packet = wire::parse_arp(block.view());
  if (!packet) return;
  std::array<std::byte, wire::kArpPacket> out{};
  wire::emit_arp(*packet, out);
  SLUICE_ASSERT(std::equal(out.begin(), out.end(), octets.begin()));
}

/// A plain frame is one to the long way, too, with the same facts; the first MAC is ours.
void fuzz_plain(Octets octets) {
  const ExactBlock block(octets);
  MacAddr ours;
  if (octets.size() < ours.octets.size()) return;
  std::memcpy(ours.octets.data(), octets.data(), ours.octets.size());
  wire::PlainFrame plain;
  if (!wire::parse_plain(block.view(), octets.size(), wire::mac_word(ours), plain)) return;
  const auto ethernet = wire::parse_ethernet(block.view());
  SLUICE_ASSERT(ethernet && ethernet->ether_type == wire::ether_type::kIpv4);
  SLUICE_ASSERT(ethernet->length() == wire::PlainFrame::kIp && ethernet->source != ours);
  SLUICE_ASSERT(!ethernet->source.is_multicast() && !ethernet->source.is_zero());
  const auto ip = wire::parse_ipv4(block.view().subspan(wire::PlainFrame::kIp));
  SLUICE_ASSERT(ip && ip->header_length == wire::kIpv4MinHeader && !ip->is_fragment());
  SLUICE_ASSERT(ip->protocol == wire::ip_protocol::kTcp);
  SLUICE_ASSERT(ip->source == plain.source && ip->destination == plain.destination);
  SLUICE_ASSERT(ip->total_length == plain.total_length);
  SLUICE_ASSERT(ip->traffic_class == plain.traffic_class);
  const wire::TcpPeek peek = wire::peek_tcp(block.view().subspan(wire::PlainFrame::kTcp));
  SLUICE_ASSERT(peek.header_length >= wire::kTcpMinHeader &&
                peek.header_length <= ip->payload_length());
}

void fuzz_ethernet(Octets octets) {
  fuzz_plain(octets);
  const ExactBlock block(octets);
  const auto header = wire::parse_ethernet(block.view());
  if (!header) return;
  SLUICE_ASSERT(header->length() <= octets.size());
  std::array<std::byte, wire::kEthernetMaxHeader> out{};
  const std::size_t length = wire::emit_ethernet(*header, out);
  SLUICE_ASSERT(
      std::equal(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(length), octets.begin()));
  const auto payload = octets.subspan(length);
  if (header->ether_type == wire::ether_type::kArp) fuzz_arp(payload);
  if (header->ether_type == wire::ether_type::kIpv4) fuzz_ipv4(payload);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t count) {
  constexpr std::array kEntries = {fuzz_ethernet, fuzz_arp,         fuzz_ipv4,     fuzz_tcp,
                                   fuzz_icmp,     fuzz_icmp_quoted, check_checksum};
  if (count == 0) return 0;
  const auto octets = std::as_bytes(std::span(data, count)).subspan(1);
  kEntries[data[0] % kEntries.size()](octets);
  return 0;
}
