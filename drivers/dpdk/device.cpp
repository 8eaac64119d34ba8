#include "drivers/dpdk/device.hpp"

#include <fmt/format.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mempool.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <optional>
#include <vector>

#include "base/keyed_hash.hpp"
#include "drivers/dpdk/device_error.hpp"
#include "drivers/dpdk/diagnose.hpp"
#include "drivers/dpdk/eal.hpp"
#include "drivers/dpdk/rss.hpp"

namespace sluice::drivers {
namespace {

constexpr std::uint64_t kRxChecksums = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
constexpr std::uint64_t kTxChecksums = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM;

void require(int status, const DeviceOptions& options, const char* what) {
  if (status >= 0) return;
  throw DeviceError(fmt::format("device {}: {}: {}", options.device, what, rte_strerror(-status)));
}

std::uint16_t find_port(const std::string& name) {
  for (std::uint16_t id = 0; id < RTE_MAX_ETHPORTS; ++id) {
    rte_eth_dev_info info{};
    if (rte_eth_dev_is_valid_port(id) == 0 || rte_eth_dev_info_get(id, &info) != 0) continue;
    if (info.device != nullptr && name == rte_dev_name(info.device)) return id;
  }
  return RTE_MAX_ETHPORTS;
}

std::uint16_t probe(const DeviceOptions& options, const std::string& name, LogCapture& log) {
  const std::string obstacle = obstacle_to(options.device);
  if (!obstacle.empty()) throw DeviceError(obstacle);
  const int status = rte_dev_probe(options.device.c_str());
  const std::uint16_t port = find_port(name);
  if (port != RTE_MAX_ETHPORTS) return port;
  throw DeviceError(diagnose({options.device, name, status, log.first_complaint()}));
}

/// Drivers whose offload of checksums is software of their own, in DPDK 22.11 with sums over a
/// chain of segments that are wrong behind one that ends at an odd octet (rte_raw_cksum_mbuf()
/// loses its carries, net_tap takes no notice): the peer would drop such a frame however often it
/// is sent.
bool has_right_checksums(std::string_view driver) {
  return driver != "net_tap" && driver != "net_vhost";
}

packet::PortCapabilities capabilities_of(const rte_eth_dev_info& info, bool checksum_offload) {
  packet::PortCapabilities can;
  if (checksum_offload) {
    can.tx_ipv4_checksum = (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) != 0;
    can.tx_tcp_checksum = (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_TCP_CKSUM) != 0;
    can.rx_checksum = (info.rx_offload_capa & kRxChecksums) == kRxChecksums;
  }
  can.tx_multi_segment = (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0;
  // A frame to be cut is a chain, and each piece needs both checksums made anew.
  can.tx_tso = can.tx_ipv4_checksum && can.tx_tcp_checksum && can.tx_multi_segment &&
               (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_TCP_TSO) != 0;
  can.rss_programmable = info.reta_size > 0 && has_rss(info);
  return can;
}

/// While it lives no real-time signal is free. net_tap's driver would take one and have the kernel
/// raise it for every frame; they queue, each interrupts the thread that polls, and a tap carries a
/// tenth. Finding none the driver reads the tap at each poll instead, until it is empty.
class NoFreeSignal {
 public:
  NoFreeSignal() {
    for (int number = SIGRTMIN; number <= SIGRTMAX; ++number) {
      struct sigaction action {};
      if (sigaction(number, nullptr, &action) != 0 || action.sa_handler != SIG_DFL) continue;
      std::signal(number, SIG_IGN);
      held_.push_back(number);
    }
  }
  ~NoFreeSignal() {
    for (const int number : held_) std::signal(number, SIG_DFL);
  }
  NoFreeSignal(const NoFreeSignal&) = delete;
  NoFreeSignal& operator=(const NoFreeSignal&) = delete;

 private:
  std::vector<int> held_;
};

}  // namespace

/// One (rx, tx) queue pair of the port.
class DpdkDevice::Queue final : public packet::PortQueue {
 public:
  Queue(const DpdkDevice& device, std::uint16_t index) : device_(device), index_(index) {}

  std::uint16_t rx_burst(std::span<rte_mbuf*> out, Instant) override {
    if (index_ >= device_.capabilities_.rx_queues) return 0;  // one more to transmit by
    return rte_eth_rx_burst(device_.port_id_, index_, out.data(),
                            static_cast<std::uint16_t>(out.size()));
  }

  std::uint16_t tx_burst(std::span<rte_mbuf*> frames, Instant) override {
    const auto offered = static_cast<std::uint16_t>(frames.size());
    const std::uint16_t ready =
        needs_preparation() ? rte_eth_tx_prepare(device_.port_id_, index_, frames.data(), offered)
                            : offered;
    const std::uint16_t taken = rte_eth_tx_burst(device_.port_id_, index_, frames.data(), ready);
    if (taken < ready || ready == offered) return taken;
    // The driver refuses this frame for good: offering it again would block the queue.
    rte_pktmbuf_free(frames[ready]);
    return static_cast<std::uint16_t>(ready + 1);
  }

  const packet::PortCapabilities& capabilities() const override { return device_.capabilities_; }
  MacAddr mac() const override { return device_.mac_; }
  std::string name() const override { return fmt::format("{}/{}", device_.name_, index_); }

 private:
  bool needs_preparation() const {
    return device_.capabilities_.tx_tcp_checksum || device_.capabilities_.tx_ipv4_checksum;
  }

  const DpdkDevice& device_;
  std::uint16_t index_;
};

DpdkDevice::DpdkDevice(const DeviceOptions& options)
    : name_(device_name(options.device)), rss_key_(options.rss_key) {
  std::optional<NoFreeSignal> no_free_signal;
  if (name_.starts_with("net_tap")) no_free_signal.emplace();
  LogCapture log;
  port_id_ = probe(options, name_, log);
  try {
    start(options);
  } catch (...) {
    rte_eth_dev_close(port_id_);
    throw;
  }
  // Ports without a link to raise answer ENOTSUP.
  static_cast<void>(rte_eth_dev_set_link_up(port_id_));
  const unsigned queues = std::max(capabilities_.rx_queues, capabilities_.tx_queues);
  for (unsigned index = 0; index < queues; ++index)
    queues_.push_back(std::make_unique<Queue>(*this, static_cast<std::uint16_t>(index)));
}

DpdkDevice::~DpdkDevice() {
  LogCapture log;
  static_cast<void>(rte_eth_dev_stop(port_id_));
  rte_eth_dev_close(port_id_);
}

packet::PortQueue& DpdkDevice::queue(unsigned index) {
  return *queues_[index];
}

void DpdkDevice::start(const DeviceOptions& options) {
  rte_eth_dev_info info{};
  require(rte_eth_dev_info_get(port_id_, &info), options, "cannot be asked what it can");
  driver_ = info.driver_name;
  is_virtual_ = !is_pci_address(options.device);
  if (driver_ == "net_tap") tap_interface_ = tap_interface_name(options.device, info.if_index);

  const auto wanted = static_cast<std::uint16_t>(options.receive_pools.size());
  const std::uint16_t queues = std::min(wanted, info.max_rx_queues);
  const std::uint16_t tx_queues = std::min(wanted, info.max_tx_queues);
  if (queues == 0 || tx_queues < queues)
    throw DeviceError(fmt::format("device {}: has {} receive and {} transmit queues, {} are needed",
                                  options.device, info.max_rx_queues, info.max_tx_queues,
                                  std::max<unsigned>(queues, 1)));
  const std::uint32_t largest_mtu = std::min<std::uint32_t>(
      info.max_mtu, info.max_rx_pktlen - RTE_ETHER_HDR_LEN - RTE_ETHER_CRC_LEN);
  if (options.mtu > largest_mtu)
    throw DeviceError(fmt::format("device {}: its MTU is at most {}, not {}", options.device,
                                  largest_mtu, options.mtu));
  const bool checksum_offload = options.checksum_offload && has_right_checksums(driver_);
  capabilities_ = capabilities_of(info, checksum_offload);
  capabilities_.rx_queues = queues;
  capabilities_.tx_queues = tx_queues;

  // configure() refuses any offload that the port lacks: ask only for what it has.
  rte_eth_conf conf{};
  conf.rxmode.mtu = options.mtu;
  if (capabilities_.rx_checksum) conf.rxmode.offloads |= kRxChecksums;
  if (checksum_offload) conf.txmode.offloads |= info.tx_offload_capa & kTxChecksums;
  if (capabilities_.tx_tso) conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_TCP_TSO;
  conf.txmode.offloads |= info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
  if (queues > 1 && has_rss(info)) request_rss(info, rss_key_, conf);
  int status = rte_eth_dev_configure(port_id_, queues, tx_queues, &conf);
  if (status < 0 && conf.rxmode.mq_mode != RTE_ETH_MQ_RX_NONE) {
    withdraw_rss(conf);
    status = rte_eth_dev_configure(port_id_, queues, tx_queues, &conf);
  }
  require(status, options, "cannot be configured");
  const int mtu_status = rte_eth_dev_set_mtu(port_id_, options.mtu);
  if (mtu_status != -ENOTSUP)
    require(mtu_status, options, fmt::format("cannot use an MTU of {}", options.mtu).c_str());
  capabilities_.mtu = options.mtu;
  set_up_queues(options);
  choose_mac(options);
  require(rte_eth_dev_start(port_id_), options, "cannot start");
  if (conf.rxmode.mq_mode != RTE_ETH_MQ_RX_NONE)
    rss_ = establish_rss(info, conf, {port_id_, queues, rss_key_});
}

void DpdkDevice::set_up_queues(const DeviceOptions& options) {
  std::uint16_t rx_descriptors = options.rx_descriptors;
  std::uint16_t tx_descriptors = options.tx_descriptors;
  require(rte_eth_dev_adjust_nb_rx_tx_desc(port_id_, &rx_descriptors, &tx_descriptors), options,
          "cannot use so many descriptors");
  const auto socket = static_cast<unsigned>(std::max(rte_eth_dev_socket_id(port_id_), 0));
  for (std::uint16_t queue = 0; queue < capabilities_.rx_queues; ++queue)
    require(rte_eth_rx_queue_setup(port_id_, queue, rx_descriptors, socket, nullptr,
                                   options.receive_pools[queue]),
            options, "cannot set up a receive queue");
  for (std::uint16_t queue = 0; queue < capabilities_.tx_queues; ++queue)
    require(rte_eth_tx_queue_setup(port_id_, queue, tx_descriptors, socket, nullptr), options,
            "cannot set up a transmit queue");
}

void DpdkDevice::choose_mac(const DeviceOptions& options) {
  // These drivers give us every frame, and the address of net_tap's port is the kernel's end's.
  const bool is_unfiltered = driver_ == "net_tap" || driver_ == "net_pcap";
  rte_ether_addr address{};
  if (options.mac) {
    mac_ = *options.mac;
    std::memcpy(address.addr_bytes, mac_.octets.data(), mac_.octets.size());
    if (!is_unfiltered)
      require(rte_eth_dev_default_mac_addr_set(port_id_, &address), options, "cannot set its MAC");
    return;
  }
  if (driver_ == "net_tap") {
    const std::string seed = options.instance + '/' + name_;
    const std::uint64_t hash = keyed_hash(HashKey{}, std::as_bytes(std::span(seed)));
    std::memcpy(mac_.octets.data(), &hash, mac_.octets.size());
    mac_.octets[0] = 0x02;  // locally administered, unicast
    return;
  }
  require(rte_eth_macaddr_get(port_id_, &address), options, "has no MAC");
  std::memcpy(mac_.octets.data(), address.addr_bytes, mac_.octets.size());
}

}  // namespace sluice::drivers
