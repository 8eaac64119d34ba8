// Opens a device with several queues as the runtime does, and shows what it does with received
// frames: queue, hash, verdict on checksums. Answers each TCP frame with offloaded checksums, and
// requests to the TSO port with one chain that the port has to cut.
//   nic_probe DEVICE QUEUES FRAMES     ends after FRAMES TCP frames, or a minute without one

#include <rte_cycles.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>
#include <sodium.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "drivers/dpdk/device.hpp"
#include "drivers/dpdk/eal.hpp"
#include "drivers/dpdk/pool.hpp"
#include "packet/packet.hpp"

namespace {

using namespace sluice;
using packet::RssState;

constexpr std::uint16_t kTsoPort = 81;
constexpr std::size_t kTsoOctets = 3500;
constexpr std::uint16_t kTsoMss = 1000;
constexpr std::uint64_t kPatienceSeconds = 60;

std::string hex(const std::vector<std::uint8_t>& octets) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t octet : octets) {
    text += kDigits[octet >> 4];
    text += kDigits[octet & 15];
  }
  return text;
}

const char* kind_name(RssState::Kind kind) {
  switch (kind) {
    case RssState::Kind::kNone:
      return "none";
    case RssState::Kind::kFixed:
      return "fixed";
    case RssState::Kind::kProgrammed:
      return "programmed";
  }
  return "";
}

const char* verdict(std::uint64_t flags, std::uint64_t good, std::uint64_t bad) {
  if ((flags & (good | bad)) == 0) return "unknown";
  return (flags & good) != 0 ? "good" : "bad";
}

void describe(drivers::DpdkDevice& device, const std::vector<std::uint8_t>& asked_key) {
  const packet::PortCapabilities& can = device.capabilities();
  const RssState& rss = device.rss();
  std::printf("port driver=%s queues=%u\n", device.driver().c_str(),
              device.capabilities().rx_queues);
  std::printf(
      "can rx_checksum=%d tx_ipv4_checksum=%d tx_tcp_checksum=%d tx_tso=%d rss_programmable=%d\n",
      can.rx_checksum, can.tx_ipv4_checksum, can.tx_tcp_checksum, can.tx_tso, can.rss_programmable);
  std::printf("rss kind=%s hashes_ports=%d sets_hash=%d key=%s asked=%s\n", kind_name(rss.kind),
              rss.hashes_ports, rss.sets_hash, hex(rss.key).c_str(), hex(asked_key).c_str());
  std::printf("reta");
  for (const std::uint16_t queue : rss.reta) std::printf(" %u", queue);
  std::printf("\nready\n");
  std::fflush(stdout);
}

/// Headers of an Ethernet, IPv4 or IPv6, TCP frame without IP options.
struct Headers {
  rte_ether_hdr* ethernet;
  rte_ipv4_hdr* ipv4 = nullptr;
  rte_ipv6_hdr* ipv6 = nullptr;
  rte_tcp_hdr* tcp = nullptr;  ///< Null: not TCP, or too short.
};

Headers headers_of(rte_mbuf& frame) {
  Headers found{rte_pktmbuf_mtod(&frame, rte_ether_hdr*)};
  std::size_t at = sizeof(rte_ether_hdr);
  if (found.ethernet->ether_type == rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4)) {
    found.ipv4 = rte_pktmbuf_mtod_offset(&frame, rte_ipv4_hdr*, at);
    at += sizeof(rte_ipv4_hdr);
    if (frame.data_len < at + sizeof(rte_tcp_hdr) || found.ipv4->next_proto_id != IPPROTO_TCP)
      return found;
  } else if (found.ethernet->ether_type == rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV6)) {
    found.ipv6 = rte_pktmbuf_mtod_offset(&frame, rte_ipv6_hdr*, at);
    at += sizeof(rte_ipv6_hdr);
    if (frame.data_len < at + sizeof(rte_tcp_hdr) || found.ipv6->proto != IPPROTO_TCP) return found;
  } else {
    return found;
  }
  found.tcp = rte_pktmbuf_mtod_offset(&frame, rte_tcp_hdr*, at);
  return found;
}

/// One line a frame: what the port said of it. The host knows it by its source port.
void report(const rte_mbuf& frame, const Headers& headers, unsigned queue) {
  std::printf("frame port=%u version=%d queue=%u has_hash=%d hash=%08x ip=%s tcp=%s\n",
              rte_be_to_cpu_16(headers.tcp->src_port), headers.ipv4 != nullptr ? 4 : 6, queue,
              (frame.ol_flags & RTE_MBUF_F_RX_RSS_HASH) != 0, frame.hash.rss,
              verdict(frame.ol_flags, RTE_MBUF_F_RX_IP_CKSUM_GOOD, RTE_MBUF_F_RX_IP_CKSUM_BAD),
              verdict(frame.ol_flags, RTE_MBUF_F_RX_L4_CKSUM_GOOD, RTE_MBUF_F_RX_L4_CKSUM_BAD));
}

void turn_round(const Headers& headers) {
  std::swap(headers.ethernet->src_addr, headers.ethernet->dst_addr);
  // DPDK packs the others: no reference may be bound to their fields.
  const rte_be32_t source = headers.ipv4->src_addr;
  headers.ipv4->src_addr = headers.ipv4->dst_addr;
  headers.ipv4->dst_addr = source;
  const rte_be16_t source_port = headers.tcp->src_port;
  headers.tcp->src_port = headers.tcp->dst_port;
  headers.tcp->dst_port = source_port;
}

/// Asks the port for both checksums; what stands in the fields is wrong on purpose.
void request_checksums(rte_mbuf& frame, const Headers& headers) {
  frame.l2_len = sizeof(rte_ether_hdr);
  frame.l3_len = sizeof(rte_ipv4_hdr);
  frame.l4_len = static_cast<std::uint64_t>(headers.tcp->data_off >> 4) * 4;
  frame.ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM;
  headers.ipv4->hdr_checksum = 0xdead;
  headers.tcp->cksum = 0xdead;
}

/// Makes of the frame the head of a chain with kTsoOctets of payload, to be cut at kTsoMss.
bool request_segments(rte_mbuf& frame, const Headers& headers, rte_mempool& pool) {
  const std::uint64_t header_octets =
      std::uint64_t{frame.l2_len} + frame.l3_len + std::uint64_t{frame.l4_len};
  packet::PacketPtr tail(rte_pktmbuf_alloc(&pool));
  packet::PacketPtr rest(rte_pktmbuf_alloc(&pool));
  if (!tail || !rest) return false;
  rte_pktmbuf_trim(&frame, static_cast<std::uint16_t>(frame.data_len - header_octets));
  constexpr std::uint16_t kHalf = kTsoOctets / 2;
  for (rte_mbuf* part : {tail.get(), rest.get()}) {
    std::byte* const octets = packet::append(*part, kHalf);
    for (std::uint16_t i = 0; i < kHalf; ++i) octets[i] = static_cast<std::byte>('a' + i % 26);
  }
  headers.ipv4->total_length =
      rte_cpu_to_be_16(static_cast<std::uint16_t>(frame.l3_len + frame.l4_len + 2 * kHalf));
  frame.ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
  frame.tso_segsz = kTsoMss;
  return rte_pktmbuf_chain(tail.get(), rest.release()) == 0 &&
         rte_pktmbuf_chain(&frame, tail.release()) == 0;
}

class Probe {
 public:
  Probe(drivers::DpdkDevice& device, rte_mempool& pool) : device_(device), pool_(pool) {}

  /// Serves until `frames` TCP frames came, or none for kPatienceSeconds. Gives how many came.
  unsigned run(unsigned frames) {
    const std::uint64_t patience = kPatienceSeconds * rte_get_timer_hz();
    std::uint64_t last = rte_get_timer_cycles();
    while (seen_ < frames) {
      const unsigned before = seen_;
      for (unsigned queue = 0; queue < device_.capabilities().rx_queues; ++queue) poll(queue);
      const std::uint64_t now = rte_get_timer_cycles();
      if (seen_ != before) last = now;
      if (now - last > patience) break;
    }
    return seen_;
  }

 private:
  void poll(unsigned queue) {
    std::array<rte_mbuf*, 32> burst{};
    const std::uint16_t count = device_.queue(queue).rx_burst(burst, Instant{});
    for (std::uint16_t i = 0; i < count; ++i) {
      packet::PacketPtr frame(burst[i]);
      const Headers headers = headers_of(*frame);
      if (headers.tcp == nullptr) continue;
      ++seen_;
      report(*frame, headers, queue);
      if (headers.ipv4 != nullptr) answer(std::move(frame), headers, queue);
    }
    std::fflush(stdout);
  }

  void answer(packet::PacketPtr frame, const Headers& headers, unsigned queue) {
    const bool wants_tso = headers.tcp->dst_port == rte_cpu_to_be_16(kTsoPort);
    turn_round(headers);
    request_checksums(*frame, headers);
    if (wants_tso && (!device_.capabilities().tx_tso || !request_segments(*frame, headers, pool_)))
      return;
    std::array<rte_mbuf*, 1> burst{frame.release()};
    while (device_.queue(queue).tx_burst(burst, Instant{}) == 0) rte_delay_us(10);
  }

  drivers::DpdkDevice& device_;
  rte_mempool& pool_;
  unsigned seen_ = 0;
};

int probe(const std::string& name, unsigned queues, unsigned frames) {
  drivers::EalOptions eal_options;
  eal_options.program = "nic_probe";
  eal_options.instance = "nic_probe";
  eal_options.devices = {name};
  eal_options.memory_mb = 64;
  const drivers::Eal eal(eal_options);
  const drivers::WorkerPools pools(
      {.name = "probe", .receive_pkts = 8192, .control_pkts = 512, .indirect_pkts = 512});
  drivers::DeviceOptions options;
  options.device = name;
  options.receive_pools.assign(queues, pools.get().receive);
  options.rx_descriptors = options.tx_descriptors = 256;
  options.rss_key.resize(64);
  randombytes_buf(options.rss_key.data(), options.rss_key.size());
  drivers::DpdkDevice device(options);
  describe(device, options.rss_key);
  const unsigned seen = Probe(device, *pools.get().control).run(frames);
  std::printf("end seen=%u\n", seen);
  return seen == frames ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: nic_probe DEVICE QUEUES FRAMES\n");
    return 2;
  }
  try {
    return probe(argv[1], static_cast<unsigned>(std::atoi(argv[2])),
                 static_cast<unsigned>(std::atoi(argv[3])));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "nic_probe: %s\n", error.what());
    return 1;
  }
}
