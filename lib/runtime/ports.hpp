#pragma once

// The devices of a runtime, and how their queues and frames are shared among its workers.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/keyed_hash.hpp"
#include "drivers/dpdk/device.hpp"
#include "drivers/middleware/pcap_writer.hpp"
#include "runtime/config.hpp"
#include "runtime/exchange.hpp"
#include "runtime/mailbox.hpp"
#include "runtime/remote_queue.hpp"
#include "runtime/self_test.hpp"
#include "runtime/steering.hpp"
#include "runtime/waker.hpp"
#include "runtime/worker_group.hpp"
#include "runtime/worker_loop.hpp"
#include "telemetry/region.hpp"

namespace sluice::runtime {

/// What is known of a device when its steering is chosen.
struct SpreadPort {
  packet::RssState rss;
  std::vector<std::uint16_t> owners;  ///< Worker of each receive queue.
};

/// The runtime's one hash: that of the first port whose hardware can serve as it (one that took our
/// key before one with a key of its own), else our own.
Steering choose_steering(const HashKey& key, unsigned workers, std::span<const SpreadPort> ports);
/// What `port` does under that hash.
stack::PortSteering steering_of(const Steering& steering, unsigned workers, const SpreadPort& port);

/// Workers of a device's queues, whose first is `first`'s: one each, as far as they go.
std::vector<std::uint16_t> queue_owners(unsigned first, unsigned queues, unsigned workers);

class Ports {
 public:
  static void plan_state(const Config& config, std::vector<telemetry::SectionPlan>& plan);
  /// Octets that the mailboxes take of EAL's memory.
  static std::uint64_t memory_needed(const Config& config);

  /// What is referred to outlives the Ports.
  struct Deps {
    const Config& config;
    telemetry::StateRegion& region;
    std::vector<packet::Pools> pools;  ///< By worker.
    HashKey steering_key;
    std::vector<std::uint8_t> rss_key;
    std::int64_t wall_anchor_ns;
  };
  /// Opens the devices. Throws DeviceError.
  explicit Ports(const Deps& deps);

  std::span<const std::unique_ptr<drivers::DpdkDevice>> devices() const { return devices_; }
  /// Idle workers may: configured, or no device is a NIC.
  bool may_sleep() const { return may_sleep_; }
  /// Null with one worker: every flow is its.
  const tcp::FlowHome* home(unsigned worker) const;

  /// What wakes a worker when others have put something into its mailboxes. Null: it never sleeps.
  Waker* waker(unsigned worker) { return may_sleep_ ? &wakers_[worker] : nullptr; }

  /// Gives a worker its queues, and its ways to the others.
  void connect(unsigned worker, WorkerLoop& loop);

 private:
  /// Number of the device's queue that is the worker's, if it has so many.
  unsigned position(std::size_t device, unsigned worker) const {
    return (worker + workers_ - first_owner_[device]) % workers_;
  }
  void open(const std::string& device);
  void capture();
  void choose();
  void make_ways();
  std::unique_ptr<Exchange> make_exchange(unsigned worker);
  void write_record(std::size_t number, stack::PortSteering steering, stack::PortVerdict verdict);
  telemetry::Metrics& metrics(unsigned worker);
  stack::PortCounts& counts(unsigned worker, std::size_t device);

  Deps deps_;
  const unsigned workers_;
  bool may_sleep_ = false;
  std::vector<std::unique_ptr<drivers::DpdkDevice>> devices_;
  std::vector<unsigned> first_owner_;  ///< By device: the worker of queue 0.
  std::vector<std::unique_ptr<drivers::PcapFile>> captures_;
  std::vector<std::unique_ptr<drivers::PcapWriter>> capture_ports_;
  std::vector<std::vector<packet::PortQueue*>> queues_;  ///< By device and position.

  std::unique_ptr<Steering> steering_;
  std::vector<std::unique_ptr<SelfTest>> tests_;  ///< By device.
  std::vector<WorkerHome> homes_;
  std::unique_ptr<Waker[]> wakers_;
  std::vector<SocketPtr<Mailbox>> mailboxes_;  ///< [to * workers + from]
  /// Of a worker without a queue to transmit by on a device.
  struct RemoteWay {
    unsigned from = 0;
    unsigned owner = 0;
    std::size_t device = 0;
    SocketPtr<TxRing> ring;
    std::unique_ptr<RemoteQueue> queue;
    std::unique_ptr<TxHandover> handover;
  };
  std::vector<RemoteWay> remote_ways_;
  WorkerGroup group_;
};

}  // namespace sluice::runtime
