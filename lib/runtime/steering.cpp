#include "runtime/steering.hpp"

#include <rte_mbuf.h>
#include <rte_thash.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/assert.hpp"
#include "base/sip_hash.hpp"
#include "wire/arp.hpp"
#include "wire/byte_order.hpp"
#include "wire/ethernet.hpp"
#include "wire/icmp.hpp"
#include "wire/ipv4.hpp"
#include "wire/tcp.hpp"

namespace sluice::runtime {
namespace {

using wire::load_be16;
using wire::load_be32;
using wire::load_u8;

/// The most that must be seen: an ICMP error with the front of what it quotes.
constexpr std::size_t kFront = wire::kEthernetMaxHeader + wire::kIpv4MaxHeader + wire::kIcmpHeader +
                               wire::kIpv4MaxHeader + wire::kIcmpQuotedPayload;
constexpr std::size_t kPortOctets = 4;

std::uint64_t addresses_word(Ipv4Addr source, Ipv4Addr destination) {
  return std::uint64_t{source.value} << 32 | destination.value;
}

/// The front of a frame: where it lies, or gathered in `scratch`.
std::span<const std::byte> front_of(const rte_mbuf& frame, std::array<std::byte, kFront>& scratch) {
  const auto length = static_cast<std::uint32_t>(std::min<std::size_t>(frame.pkt_len, kFront));
  return {static_cast<const std::byte*>(rte_pktmbuf_read(&frame, 0, length, scratch.data())),
          length};
}

}  // namespace

// --- how a port spreads flows ---

ToeplitzTable ToeplitzTable::of(const packet::RssState& rss,
                                std::span<const std::uint16_t> owners) {
  ToeplitzTable table;
  if (rss.kind == packet::RssState::Kind::kNone) return table;
  table.key = rss.key;
  for (const std::uint16_t queue : rss.reta) {
    if (queue >= owners.size()) return {};
    table.workers.push_back(owners[queue]);
  }
  return table;
}

bool ToeplitzTable::is_usable(const packet::RssState& rss, unsigned worker_count) const {
  constexpr std::size_t kLeastKey = 16;  // octets that 12 octets of input use
  if (key.size() < kLeastKey || workers.empty() || !rss.hashes_ports) return false;
  for (unsigned worker = 0; worker < worker_count; ++worker)
    if (std::find(workers.begin(), workers.end(), worker) == workers.end()) return false;
  return true;
}

bool ToeplitzTable::agrees_with(const ToeplitzTable& other) const {
  const std::size_t most = std::max(workers.size(), other.workers.size());
  const std::size_t least = std::min(workers.size(), other.workers.size());
  const std::size_t shared = std::min(key.size(), other.key.size());
  // A larger table must repeat a smaller one: else the hash's upper bits decide by one alone.
  if (least == 0 || most % least != 0 || shared == 0) return false;
  if (!std::equal(key.begin(), key.begin() + static_cast<std::ptrdiff_t>(shared),
                  other.key.begin()))
    return false;
  for (std::size_t entry = 0; entry < most; ++entry)
    if (workers[entry % workers.size()] != other.workers[entry % other.workers.size()])
      return false;
  return true;
}

// --- whose a frame is ---

Steering::Steering(const HashKey& key, unsigned workers) : key_(key), workers_(workers) {}

Steering::Steering(const HashKey& key, unsigned workers, ToeplitzTable table)
    : key_(key), workers_(workers), table_(std::move(table)) {
  SLUICE_ASSERT(table_.key.size() >= sizeof toeplitz_key_);
  for (std::size_t word = 0; word < kToeplitzWords; ++word)
    toeplitz_key_[word] =
        load_be32(reinterpret_cast<const std::byte*>(table_.key.data()) + word * sizeof(uint32_t));
}

std::uint16_t Steering::owner_of(const tcp::FlowKey& flow) const {
  if (!flow.is_v4()) return 0;
  return segment({flow.remote.v4(), flow.local.v4(), flow.remote_port, flow.local_port}).worker;
}

Sight Steering::segment(const Tuple& tuple) const {
  const std::uint32_t ports =
      std::uint32_t{tuple.source_port.value} << 16 | tuple.destination_port.value;
  if (!is_toeplitz()) {
    const std::uint64_t words[] = {addresses_word(tuple.source, tuple.destination)};
    constexpr std::uint64_t kOctets = std::uint64_t{12} << 56;
    return {Sight::Kind::kSegment, spread(sip_hash_1_3(key_, words, ports | kOctets)), 0};
  }
  std::uint32_t input[] = {tuple.source.value, tuple.destination.value, ports};
  const std::uint32_t hash = rte_softrss_be(
      input, std::size(input), reinterpret_cast<const std::uint8_t*>(toeplitz_key_.data()));
  return {Sight::Kind::kSegment, owner_of_hash(hash), hash};
}

Sight Steering::look_at(const rte_mbuf& frame) const {
  std::array<std::byte, kFront> scratch;
  const std::span<const std::byte> octets = front_of(frame, scratch);
  const auto ethernet = wire::parse_ethernet(octets);
  if (!ethernet) return {};
  const std::span<const std::byte> payload = octets.subspan(ethernet->length());
  if (ethernet->ether_type == wire::ether_type::kIpv4) return look_at_ipv4(payload);
  if (ethernet->ether_type != wire::ether_type::kArp) return {};
  const auto arp = wire::parse_arp(payload);
  if (!arp || arp->operation != wire::ArpOperation::kReply) return {};
  return {Sight::Kind::kAll, 0, 0};
}

Sight Steering::look_at_ipv4(std::span<const std::byte> packet) const {
  if (packet.size() < wire::kIpv4MinHeader || load_u8(packet.data()) >> 4 != 4) return {};
  const std::size_t header = std::size_t{load_u8(packet.data())} % 16 * 4;
  if (header < wire::kIpv4MinHeader || header > packet.size()) return {};
  const std::span<const std::byte> payload = packet.subspan(header);
  const Ipv4Addr source{load_be32(packet.data() + 12)};
  const Ipv4Addr destination{load_be32(packet.data() + 16)};
  const std::uint8_t protocol = load_u8(packet.data() + 9);
  constexpr std::uint16_t kFragment =
      wire::ipv4_field::kMoreFragments | wire::ipv4_field::kFragmentOffsetMask;

  if ((load_be16(packet.data() + 6) & kFragment) != 0) {
    // The first alone has ports: what all of a datagram's have brings them together.
    const std::uint64_t words[] = {addresses_word(source, destination)};
    const std::uint64_t last = std::uint64_t{protocol} << 16 | load_be16(packet.data() + 4);
    constexpr std::uint64_t kOctets = std::uint64_t{11} << 56;
    return {Sight::Kind::kRelated, spread(sip_hash_1_3(key_, words, last | kOctets)), 0};
  }
  if (protocol == wire::ip_protocol::kTcp) {
    if (payload.size() < kPortOctets) return {};
    return segment({source, destination, Port{load_be16(payload.data())},
                    Port{load_be16(payload.data() + 2)}});
  }
  if (protocol != wire::ip_protocol::kIcmp) return {};
  const auto icmp = wire::parse_icmp(payload);
  if (!icmp || !icmp->is_error()) return {};
  const auto quoted = wire::parse_icmp_quoted(payload.subspan(wire::kIcmpHeader));
  if (!quoted || quoted->protocol != wire::ip_protocol::kTcp || quoted->fragment_offset != 0)
    return {};
  // What we sent, seen as the answers to it come in.
  const Sight flow =
      segment({quoted->destination, quoted->source, quoted->destination_port, quoted->source_port});
  return {Sight::Kind::kRelated, flow.worker, 0};
}

bool is_plain_segment(const rte_mbuf& frame) {
  if (frame.data_len < wire::kEthernetHeader + wire::kIpv4MinHeader + kPortOctets) return false;
  const auto* const at = rte_pktmbuf_mtod(&frame, const std::byte*);
  const std::byte* const ip = at + wire::kEthernetHeader;
  constexpr std::uint16_t kFragment =
      wire::ipv4_field::kMoreFragments | wire::ipv4_field::kFragmentOffsetMask;
  return load_be16(at + 12) == wire::ether_type::kIpv4 && load_u8(ip) == 0x45 &&
         load_u8(ip + 9) == wire::ip_protocol::kTcp && (load_be16(ip + 6) & kFragment) == 0;
}

}  // namespace sluice::runtime
