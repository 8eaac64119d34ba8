// bench_memif: a gateway on a memif with a flood of spoofed SYNs and honest clients behind it, all
// in one stream and in random order. A frame for which the ring has no room is lost, as at a full
// port. Ends with one line of JSON: what was offered, what the ring took, what came back, and what
// became of the honest clients.

#include <arpa/inet.h>
#include <fmt/format.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <cxxopts.hpp>
#include <span>
#include <stdexcept>
#include <string>

#include "base/rng.hpp"
#include "bench/wire/honest_flows.hpp"
#include "bench/wire/spoofed_syn.hpp"
#include "drivers/dpdk/device.hpp"
#include "drivers/dpdk/eal.hpp"
#include "drivers/dpdk/pool.hpp"
#include "wire/arp.hpp"
#include "wire/checksum.hpp"
#include "wire/ethernet.hpp"
#include "wire/ipv4.hpp"

namespace sluice::bench {
namespace {

constexpr std::size_t kBurst = 32;
constexpr std::size_t kTcpAt = wire::kEthernetHeader + wire::kIpv4MinHeader;
constexpr MacAddr kGatewayMac{{0x02, 0, 0, 0, 0, 0x01}};
constexpr std::byte kText[4] = {std::byte{'H'}, std::byte{'u'}, std::byte{'t'}, std::byte{'u'}};
// SYNs that were due longer ago are never sent: after a pause of the machine the flood goes on at
// its rate, it does not come at once.
constexpr Duration kMostDebt = Duration::from_ms(1);
constexpr Duration kPatience = Duration::from_s(5);  // Until the server is there.

Instant clock_now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return Instant::from_ns(now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec);
}

struct Options {
  Ipv4Addr gateway, server;
  Port port;
  double spoofed = 0;  ///< SYNs a second; negative: as many as possible.
  Duration lasts;      ///< At least; until the last honest client has ended.
  HonestFlows::Options honest;
};

struct Counts {
  std::uint64_t spoofed_offered = 0, spoofed_taken = 0;
  std::uint64_t honest_offered = 0, honest_taken = 0;
  std::uint64_t syn_acks = 0;  ///< To spoofed sources.
  double seconds = 0;
};

class Gateway {
 public:
  Gateway(packet::PortQueue& port, rte_mempool& pool, const Options& options)
      : port_(port), pool_(pool), options_(options) {}

  /// Asks for the server's address until it answers. Throws after kPatience.
  void find_server() {
    const Instant end = clock_now() + kPatience;
    for (Instant next; !has_server_;) {
      const Instant now = clock_now();
      if (now > end) throw std::runtime_error("nobody answers ARP at the server's address");
      if (now >= next) {
        send_arp({.sender_mac = kGatewayMac,
                  .sender_ip = options_.gateway,
                  .target_ip = options_.server},
                 MacAddr::broadcast());
        next = now + Duration::from_ms(20);
      }
      receive(nullptr, now);
    }
  }

  Counts run(HonestFlows& flows) {
    const SpoofedSyn syn({.destination_mac = server_mac_,
                          .source_mac = kGatewayMac,
                          .address = options_.server,
                          .port = options_.port});
    counts_ = {};
    const Instant began = clock_now();
    paid_until_ = began;
    Instant now = began;
    for (; now < began + options_.lasts || !flows.is_over(); now = clock_now()) {
      receive(&flows, now);
      flows.advance(now);
      transmit(syn, flows.to_send(), due(now));
    }
    counts_.seconds = static_cast<double>((now - began).ns()) / 1e9;
    return counts_;
  }

 private:
  /// How many spoofed SYNs are due.
  std::size_t due(Instant now) {
    if (options_.spoofed < 0) return kBurst;
    if (options_.spoofed == 0) return 0;
    paid_until_ = std::max(paid_until_, now - kMostDebt);
    const double owed = static_cast<double>((now - paid_until_).ns()) * options_.spoofed / 1e9;
    const std::size_t count = std::min(kBurst, static_cast<std::size_t>(owed));
    paid_until_ = paid_until_ + Duration::from_ns(static_cast<std::int64_t>(
                                    static_cast<double>(count) / options_.spoofed * 1e9));
    return count;
  }

  /// A burst of both kinds, drawn without preference: what a full ring refuses hits both alike.
  void transmit(const SpoofedSyn& syn, std::vector<HonestSegment>& segments, std::size_t spoofed) {
    std::array<rte_mbuf*, 2 * kBurst> frames;
    std::array<bool, 2 * kBurst> is_honest;
    const std::size_t honest = std::min(segments.size(), kBurst);
    const std::size_t count = honest + spoofed;
    if (count == 0) return;
    if (rte_pktmbuf_alloc_bulk(&pool_, frames.data(), static_cast<unsigned>(count)) != 0)
      throw std::runtime_error("out of mbufs");
    std::size_t filled = 0;  // Of the honest ones.
    for (std::size_t i = 0; i < count; ++i) {
      is_honest[i] = rng_.below(count - i) < honest - filled;
      if (is_honest[i]) {
        fill(*frames[i], segments[filled++]);
      } else {
        const std::span<std::byte> at = grow(*frames[i], syn.size());
        syn.stamp(rng_, at);
      }
    }
    segments.erase(segments.begin(), segments.begin() + static_cast<std::ptrdiff_t>(honest));
    const std::size_t taken = port_.tx_burst({frames.data(), count}, Instant{});
    for (std::size_t i = 0; i < count; ++i) {
      ++(is_honest[i] ? counts_.honest_offered : counts_.spoofed_offered);
      if (i < taken) ++(is_honest[i] ? counts_.honest_taken : counts_.spoofed_taken);
    }
    if (taken < count) rte_pktmbuf_free_bulk(&frames[taken], static_cast<unsigned>(count - taken));
  }

  void receive(HonestFlows* flows, Instant now) {
    std::array<rte_mbuf*, 2 * kBurst> frames;
    const std::uint16_t count = port_.rx_burst(frames, now);
    for (std::uint16_t i = 0; i < count; ++i)
      read({rte_pktmbuf_mtod(frames[i], const std::byte*), frames[i]->data_len}, flows, now);
    if (count > 0) rte_pktmbuf_free_bulk(frames.data(), count);
  }

  void read(std::span<const std::byte> frame, HonestFlows* flows, Instant now) {
    const auto ethernet = wire::parse_ethernet(frame);
    if (!ethernet) return;
    const std::span<const std::byte> packet = frame.subspan(ethernet->length());
    if (ethernet->ether_type == wire::ether_type::kArp) return on_arp(packet);
    if (ethernet->ether_type != wire::ether_type::kIpv4 || flows == nullptr) return;
    const auto ip = wire::parse_ipv4(packet);
    if (!ip || ip->protocol != wire::ip_protocol::kTcp) return;
    if (!HonestFlows::is_client(ip->destination)) {
      ++counts_.syn_acks;  // Spoofed sources sent nothing but SYNs.
      return;
    }
    wire::TcpHeader tcp;
    if (!wire::parse_tcp(packet.subspan(ip->header_length, ip->payload_length()), tcp).ok) return;
    flows->on_segment(ip->destination, tcp, ip->payload_length() - std::uint32_t{tcp.header_length},
                      now);
  }

  void on_arp(std::span<const std::byte> packet) {
    const auto arp = wire::parse_arp(packet);
    if (!arp) return;
    if (arp->sender_ip == options_.server) {
      server_mac_ = arp->sender_mac;
      has_server_ = true;
    }
    if (arp->operation == wire::ArpOperation::kRequest && arp->target_ip == options_.gateway)
      send_arp({.operation = wire::ArpOperation::kReply,
                .sender_mac = kGatewayMac,
                .sender_ip = options_.gateway,
                .target_mac = arp->sender_mac,
                .target_ip = arp->sender_ip},
               arp->sender_mac);
  }

  void send_arp(const wire::ArpPacket& arp, MacAddr to) {
    rte_mbuf* frame = rte_pktmbuf_alloc(&pool_);
    if (frame == nullptr) throw std::runtime_error("out of mbufs");
    const std::span<std::byte> at = grow(*frame, wire::kEthernetHeader + wire::kArpPacket);
    wire::emit_ethernet(
        {.destination = to, .source = kGatewayMac, .ether_type = wire::ether_type::kArp}, at);
    wire::emit_arp(arp, at.subspan(wire::kEthernetHeader));
    if (port_.tx_burst({&frame, 1}, Instant{}) == 0) rte_pktmbuf_free(frame);
  }

  static std::span<std::byte> grow(rte_mbuf& frame, std::size_t octets) {
    char* const at = rte_pktmbuf_append(&frame, static_cast<std::uint16_t>(octets));
    if (at == nullptr) throw std::runtime_error("a frame does not fit its mbuf");
    return {reinterpret_cast<std::byte*>(at), octets};
  }

  void fill(rte_mbuf& frame, const HonestSegment& segment) {
    const std::size_t payload = segment.is_text ? sizeof kText : 0;
    const std::size_t tcp_octets = wire::tcp_header_length(segment.tcp) + payload;
    const std::span<std::byte> at = grow(frame, kTcpAt + tcp_octets);
    wire::emit_ethernet(
        {.destination = server_mac_, .source = kGatewayMac, .ether_type = wire::ether_type::kIpv4},
        at);
    wire::Ipv4Header ip{.source = segment.source,
                        .destination = options_.server,
                        .protocol = wire::ip_protocol::kTcp,
                        .ttl = 57};
    ip.dont_fragment = true;
    ip.total_length = static_cast<std::uint16_t>(wire::kIpv4MinHeader + tcp_octets);
    const std::span<std::byte> ip_at = at.subspan(wire::kEthernetHeader, wire::kIpv4MinHeader);
    wire::emit_ipv4(ip, ip_at);
    wire::set_ipv4_checksum(ip_at);
    const std::span<std::byte> tcp_at = at.subspan(kTcpAt);
    const std::size_t header = wire::emit_tcp(segment.tcp, tcp_at);
    std::memcpy(tcp_at.data() + header, kText, payload);
    wire::Checksum sum;
    sum.add_pseudo_header(segment.source, options_.server, wire::ip_protocol::kTcp,
                          static_cast<std::uint32_t>(tcp_octets));
    sum.add(tcp_at);
    wire::set_tcp_checksum(tcp_at, sum.finish());
  }

  packet::PortQueue& port_;
  rte_mempool& pool_;
  Options options_;
  Rng rng_{static_cast<std::uint64_t>(clock_now().ns())};
  bool has_server_ = false;
  MacAddr server_mac_;
  Instant paid_until_;
  Counts counts_;
};

Ipv4Addr parse_address(const std::string& text) {
  in_addr address{};
  if (inet_pton(AF_INET, text.c_str(), &address) != 1)
    throw std::runtime_error("no IPv4 address: " + text);
  return Ipv4Addr{ntohl(address.s_addr)};
}

Duration seconds_of(double seconds) {
  return Duration::from_ns(static_cast<std::int64_t>(seconds * 1e9));
}

void generate(const std::string& device, const std::string& instance, const Options& options) {
  const drivers::PoolOptions pool_options{
      .name = "generator", .receive_pkts = 16384, .control_pkts = 1024, .indirect_pkts = 1024};
  const auto memory =
      static_cast<unsigned>(drivers::WorkerPools::memory_needed(pool_options) >> 20) + 64;
  drivers::EalOptions eal_options;
  eal_options.program = "bench_memif";
  eal_options.instance = instance;
  eal_options.devices = {device};
  eal_options.memory_mb = memory;
  eal_options.huge_pages = drivers::HugePages::kOff;
  drivers::Eal eal(eal_options);
  const drivers::WorkerPools pools(pool_options);
  drivers::DeviceOptions device_options;
  device_options.device = device;
  device_options.receive_pools = {pools.get().receive};
  drivers::DpdkDevice memif(device_options);
  Gateway gateway(memif.queue(0), *pools.get().receive, options);
  gateway.find_server();
  HonestFlows flows(options.honest, clock_now());
  const Counts counts = gateway.run(flows);
  fmt::print(
      "{{\"spoofed_offered\":{},\"spoofed_taken\":{},\"honest_offered\":{},\"honest_taken\":{},"
      "\"syn_acks\":{},\"seconds\":{:.6f},\"honest\":{}}}\n",
      counts.spoofed_offered, counts.spoofed_taken, counts.honest_offered, counts.honest_taken,
      counts.syn_acks, counts.seconds, flows.json());
}

int run(int argc, char** argv) {
  cxxopts::Options options("bench_memif", "A flood and honest clients behind a memif");
  options.add_options()("device", "net_memif0,role=client,socket=...",
                        cxxopts::value<std::string>())(
      "instance", "names DPDK's files", cxxopts::value<std::string>()->default_value("generator"))(
      "gateway", "our address", cxxopts::value<std::string>())("address", "the server's",
                                                               cxxopts::value<std::string>())(
      "port", "the server's", cxxopts::value<std::uint16_t>()->default_value("7"))(
      "spoofed", "SYNs a second; -1: as many as possible",
      cxxopts::value<double>()->default_value("0"))("honest", "clients that arrive a second",
                                                    cxxopts::value<double>()->default_value("0"))(
      "seconds", "for so long they arrive", cxxopts::value<double>()->default_value("1"))(
      "bound", "seconds until one gives up", cxxopts::value<double>()->default_value("8"));
  const auto given = options.parse(argc, argv);
  const Port port{given["port"].as<std::uint16_t>()};
  const Duration lasts = seconds_of(given["seconds"].as<double>());
  generate(given["device"].as<std::string>(), given["instance"].as<std::string>(),
           {.gateway = parse_address(given["gateway"].as<std::string>()),
            .server = parse_address(given["address"].as<std::string>()),
            .port = port,
            .spoofed = given["spoofed"].as<double>(),
            .lasts = lasts,
            .honest = {.server = port,
                       .rate = given["honest"].as<double>(),
                       .lasts = lasts,
                       .bound = seconds_of(given["bound"].as<double>()),
                       .seed = static_cast<std::uint64_t>(clock_now().ns())}});
  return 0;
}

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) {
  try {
    return sluice::bench::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_memif: %s\n", error.what());
    return 2;
  }
}
