#include "drivers/sim/offload.hpp"

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/assert.hpp"

namespace sluice::drivers {
namespace {

constexpr std::size_t kEthernetHeader = sizeof(rte_ether_hdr);
constexpr std::size_t kTcpChecksumOffset = offsetof(rte_tcp_hdr, cksum);

// Frames are runs of octets without alignment: headers are copied out and in.
template <class Header>
Header load(std::span<const std::byte> from) {
  Header header;
  std::memcpy(&header, from.data(), sizeof header);
  return header;
}

/// The TCP checksum of the segment behind `ip`, in network order, its own field taken as zero.
std::uint16_t tcp_checksum(const rte_ipv4_hdr& ip, std::span<const std::byte> segment) {
  std::uint32_t sum = rte_ipv4_phdr_cksum(&ip, 0);
  sum += rte_raw_cksum(segment.data(), segment.size());
  std::uint16_t stored;
  std::memcpy(&stored, segment.data() + kTcpChecksumOffset, sizeof stored);
  sum += static_cast<std::uint16_t>(~stored);  // one's complement: takes the field out again
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

}  // namespace

void fill_checksums(const rte_mbuf& mbuf, const packet::PortCapabilities& capabilities,
                    std::span<std::byte> frame) {
  const bool wants_ip = (mbuf.ol_flags & RTE_MBUF_F_TX_IP_CKSUM) != 0;
  const bool wants_tcp = (mbuf.ol_flags & RTE_MBUF_F_TX_L4_MASK) == RTE_MBUF_F_TX_TCP_CKSUM;
  if (!wants_ip && !wants_tcp) return;
  SLUICE_ASSERT((!wants_ip || capabilities.tx_ipv4_checksum) &&
                (!wants_tcp || capabilities.tx_tcp_checksum));
  SLUICE_ASSERT((mbuf.ol_flags & RTE_MBUF_F_TX_IPV4) != 0);
  const std::size_t l2 = mbuf.l2_len, l3 = mbuf.l3_len;
  SLUICE_ASSERT(l2 >= kEthernetHeader && l3 >= sizeof(rte_ipv4_hdr) && l2 + l3 <= frame.size());
  if (wants_ip) {
    constexpr std::size_t kOffset = offsetof(rte_ipv4_hdr, hdr_checksum);
    std::memset(frame.data() + l2 + kOffset, 0, 2);
    const auto sum = static_cast<std::uint16_t>(~rte_raw_cksum(frame.data() + l2, l3));
    std::memcpy(frame.data() + l2 + kOffset, &sum, sizeof sum);
  }
  if (wants_tcp) {
    const auto ip = load<rte_ipv4_hdr>(frame.subspan(l2));
    const auto segment = frame.subspan(l2 + l3, rte_be_to_cpu_16(ip.total_length) - l3);
    SLUICE_ASSERT(segment.size() >= sizeof(rte_tcp_hdr));
    const std::uint16_t sum = tcp_checksum(ip, segment);
    std::memcpy(segment.data() + kTcpChecksumOffset, &sum, sizeof sum);
  }
}

std::vector<std::vector<std::byte>> cut_train(const rte_mbuf& train,
                                              const packet::PortCapabilities& capabilities,
                                              std::span<const std::byte> octets) {
  constexpr std::uint64_t kNeeded =
      RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM;
  SLUICE_ASSERT(capabilities.tx_tso && (train.ol_flags & kNeeded) == kNeeded);
  const std::size_t l2 = train.l2_len, l3 = train.l3_len, headers = l2 + l3 + train.l4_len;
  SLUICE_ASSERT(train.tso_segsz > 0 && octets.size() > headers &&
                headers + train.tso_segsz <= kEthernetHeader + capabilities.mtu);
  auto ip = load<rte_ipv4_hdr>(octets.subspan(l2));
  auto tcp = load<rte_tcp_hdr>(octets.subspan(l2 + l3));
  SLUICE_ASSERT(rte_be_to_cpu_16(ip.total_length) == octets.size() - l2 &&
                tcp.cksum == rte_ipv4_phdr_cksum(&ip, RTE_MBUF_F_TX_TCP_SEG));
  const std::uint8_t flags = tcp.tcp_flags;
  const std::uint32_t seq = rte_be_to_cpu_32(tcp.sent_seq);
  const std::uint16_t id = rte_be_to_cpu_16(ip.packet_id);
  std::vector<std::vector<std::byte>> frames;
  for (std::size_t at = headers; at < octets.size(); at += train.tso_segsz) {
    const auto payload =
        octets.subspan(at, std::min<std::size_t>(train.tso_segsz, octets.size() - at));
    const bool is_last = at + payload.size() == octets.size();
    std::vector<std::byte>& frame =
        frames.emplace_back(octets.begin(), octets.begin() + static_cast<std::ptrdiff_t>(headers));
    frame.insert(frame.end(), payload.begin(), payload.end());
    ip.total_length = rte_cpu_to_be_16(static_cast<std::uint16_t>(frame.size() - l2));
    ip.packet_id = rte_cpu_to_be_16(static_cast<std::uint16_t>(id + frames.size() - 1));
    tcp.sent_seq = rte_cpu_to_be_32(seq + static_cast<std::uint32_t>(at - headers));
    tcp.tcp_flags =
        is_last ? flags : static_cast<std::uint8_t>(flags & ~(RTE_TCP_PSH_FLAG | RTE_TCP_FIN_FLAG));
    std::memcpy(frame.data() + l2, &ip, sizeof ip);
    std::memcpy(frame.data() + l2 + l3, &tcp, sizeof tcp);
    fill_checksums(train, capabilities, frame);
  }
  return frames;
}

std::uint64_t received_checksum_flags(std::span<const std::byte> frame) {
  if (frame.size() < kEthernetHeader + sizeof(rte_ipv4_hdr)) return 0;
  const auto ethernet = load<rte_ether_hdr>(frame);
  if (ethernet.ether_type != rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4)) return 0;
  const auto packet = frame.subspan(kEthernetHeader);
  const auto ip = load<rte_ipv4_hdr>(packet);
  const std::size_t l3 = std::size_t{ip.ihl} * 4;
  const std::size_t total = rte_be_to_cpu_16(ip.total_length);
  if (ip.version != 4 || l3 < sizeof ip || total < l3 || total > packet.size()) return 0;
  if (static_cast<std::uint16_t>(~rte_raw_cksum(packet.data(), l3)) != 0)
    return RTE_MBUF_F_RX_IP_CKSUM_BAD;
  const bool is_fragment =
      (ip.fragment_offset & rte_cpu_to_be_16(RTE_IPV4_HDR_OFFSET_MASK | RTE_IPV4_HDR_MF_FLAG)) != 0;
  if (is_fragment || ip.next_proto_id != IPPROTO_TCP || total - l3 < sizeof(rte_tcp_hdr))
    return RTE_MBUF_F_RX_IP_CKSUM_GOOD;
  const auto segment = packet.subspan(l3, total - l3);
  std::uint16_t stored;
  std::memcpy(&stored, segment.data() + kTcpChecksumOffset, sizeof stored);
  // 0x0000 and 0xffff are the same number in one's complement.
  const std::uint16_t expected = tcp_checksum(ip, segment);
  const bool is_good = stored == expected || (stored == 0xffff && expected == 0) ||
                       (stored == 0 && expected == 0xffff);
  return RTE_MBUF_F_RX_IP_CKSUM_GOOD |
         (is_good ? RTE_MBUF_F_RX_L4_CKSUM_GOOD : RTE_MBUF_F_RX_L4_CKSUM_BAD);
}

}  // namespace sluice::drivers
