#pragma once

// Any ethdev as a packet::PortQueue a queue: physical NICs and DPDK's virtual devices.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "packet/port.hpp"

struct rte_mempool;

namespace sluice::drivers {

struct DeviceOptions {
  std::string device;                       ///< "0000:01:00.0" or a vdev string.
  std::vector<rte_mempool*> receive_pools;  ///< One for each queue wanted; borrowed.
  std::uint16_t rx_descriptors = 1024;
  std::uint16_t tx_descriptors = 1024;
  std::uint16_t mtu = 1500;      ///< Octets of the largest IP packet.
  bool checksum_offload = true;  ///< Where the port can.
  std::optional<MacAddr> mac;    ///< None: the port's own (net_tap: see DpdkDevice::mac).
  std::string instance;          ///< Seeds the address of a tap's far side.
  /// Secret hash key to program where the port takes one: as many of its first octets as that has.
  /// Empty: what the port came with stays. Entry i of the RETA is set to queue i % queues.
  std::vector<std::uint8_t> rss_key;
};

/// A started ethdev. Stops and closes the port at its end; nothing may poll it then.
class DpdkDevice {
 public:
  /// Probes, configures and starts. Throws DeviceError with one line.
  explicit DpdkDevice(const DeviceOptions& options);
  ~DpdkDevice();
  DpdkDevice(const DpdkDevice&) = delete;
  DpdkDevice& operator=(const DpdkDevice&) = delete;

  /// As many as were wanted, or as the port has: capabilities() says how many receive
  /// (`rx_queues`) and transmit (`tx_queues`, not fewer). Those beyond `rx_queues` only transmit.
  packet::PortQueue& queue(unsigned index);
  const packet::PortCapabilities& capabilities() const { return capabilities_; }
  /// Read back from the port once it had started.
  const packet::RssState& rss() const { return rss_; }
  /// What frames to us are addressed to. A tap's two ends cannot share one address (each end would
  /// see its own as a source), and the driver gives the kernel's end the port's: so ours is
  /// another, made from instance and device name, the same at every start.
  MacAddr mac() const { return mac_; }
  const std::string& name() const { return name_; }
  const std::string& driver() const { return driver_; }
  bool is_virtual() const { return is_virtual_; }
  /// The kernel's interface of a net_tap port, else empty.
  const std::string& tap_interface() const { return tap_interface_; }

 private:
  class Queue;

  void start(const DeviceOptions& options);
  void set_up_queues(const DeviceOptions& options);
  void choose_mac(const DeviceOptions& options);

  std::string name_;
  std::string driver_;
  std::string tap_interface_;
  bool is_virtual_ = true;
  std::uint16_t port_id_ = 0;
  packet::PortCapabilities capabilities_;
  /// Drivers keep the pointer and read it whenever they start the port again.
  std::vector<std::uint8_t> rss_key_;
  packet::RssState rss_;
  MacAddr mac_;
  std::vector<std::unique_ptr<Queue>> queues_;
};

}  // namespace sluice::drivers
