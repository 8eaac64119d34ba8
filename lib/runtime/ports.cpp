#include "runtime/ports.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace sluice::runtime {

using stack::PortSteering;
using stack::PortVerdict;
using telemetry::SectionKind;

namespace {

template <std::size_t size>
void copy_text(std::string_view text, std::array<char, size>& to) {
  text = text.substr(0, size - 1);
  std::copy(text.begin(), text.end(), to.begin());
}

}  // namespace

Steering choose_steering(const HashKey& key, unsigned workers, std::span<const SpreadPort> ports) {
  using Kind = packet::RssState::Kind;
  for (const Kind kind : {Kind::kProgrammed, Kind::kFixed}) {
    for (const SpreadPort& port : ports) {
      ToeplitzTable table = ToeplitzTable::of(port.rss, port.owners);
      if (port.rss.kind == kind && table.is_usable(port.rss, workers))
        return {key, workers, std::move(table)};
    }
  }
  return {key, workers};
}

PortSteering steering_of(const Steering& steering, unsigned workers, const SpreadPort& port) {
  if (workers == 1) return PortSteering::kOneWorker;
  const ToeplitzTable table = ToeplitzTable::of(port.rss, port.owners);
  if (!steering.is_toeplitz() || !table.is_usable(port.rss, workers) ||
      !table.agrees_with(steering.table()))
    return PortSteering::kSoftware;
  return port.rss.kind == packet::RssState::Kind::kProgrammed ? PortSteering::kProgrammed
                                                              : PortSteering::kFixed;
}

std::vector<std::uint16_t> queue_owners(unsigned first, unsigned queues, unsigned workers) {
  std::vector<std::uint16_t> owners;
  owners.reserve(queues);
  for (unsigned queue = 0; queue < queues; ++queue)
    owners.push_back(static_cast<std::uint16_t>((first + queue) % workers));
  return owners;
}

// --- making ---

void Ports::plan_state(const Config& config, std::vector<telemetry::SectionPlan>& plan) {
  const auto devices = static_cast<std::uint32_t>(config.devices.size());
  plan.push_back(
      {SectionKind::kPorts, telemetry::kSharedSection, sizeof(stack::PortRecord), devices});
  for (unsigned worker = 0; worker < config.workers; ++worker)
    plan.push_back({SectionKind::kPortCounts, worker, sizeof(stack::PortCounts), devices});
}

std::uint64_t Ports::memory_needed(const Config& config) {
  // At most one ring a device and worker besides.
  return std::uint64_t{config.workers} * (config.workers - 1) * sizeof(Mailbox) +
         config.workers * config.devices.size() * sizeof(TxRing);
}

Ports::Ports(const Deps& deps)
    : deps_(deps), workers_(deps.config.workers), group_(deps.config.workers) {
  for (const std::string& device : deps.config.devices) open(device);
  capture();
  choose();
  const bool are_all_virtual = std::all_of(devices_.begin(), devices_.end(),
                                           [](const auto& device) { return device->is_virtual(); });
  may_sleep_ = deps.config.idle == IdleMode::kSleep ||
               (deps.config.idle == IdleMode::kAuto && are_all_virtual);
  wakers_ = std::make_unique<Waker[]>(workers_);  // setup; one worker is given orders, too
  if (workers_ > 1) make_ways();
}

void Ports::open(const std::string& device) {
  const Config& config = deps_.config;
  // A device with fewer queues than workers goes on where the one before it ended: four of one
  // queue each serve four workers.
  unsigned first = 0;
  if (!devices_.empty())
    first = (first_owner_.back() + devices_.back()->capabilities().rx_queues) % workers_;
  drivers::DeviceOptions options;
  options.device = device;
  for (unsigned position = 0; position < workers_; ++position)
    options.receive_pools.push_back(deps_.pools[(first + position) % workers_].receive);
  options.rx_descriptors = config.rx_descriptors;
  options.tx_descriptors = config.tx_descriptors;
  options.mtu = config.mtu;
  options.checksum_offload = config.checksum_offload;
  options.mac = config.mac;
  options.instance = config.instance;
  options.rss_key = deps_.rss_key;
  devices_.push_back(std::make_unique<drivers::DpdkDevice>(options));
  first_owner_.push_back(first);
  auto& queues = queues_.emplace_back();
  for (unsigned queue = 0; queue < devices_.back()->capabilities().tx_queues; ++queue)
    queues.push_back(&devices_.back()->queue(queue));
}

/// Wraps all queues in writers, each into its worker's file.
void Ports::capture() {
  const std::string& path = deps_.config.pcap;
  if (path.empty()) return;
  for (unsigned worker = 0; worker < workers_; ++worker)
    captures_.push_back(std::make_unique<drivers::PcapFile>(
        worker == 0 ? path : fmt::format("{}.{}", path, worker), deps_.wall_anchor_ns));
  for (std::size_t device = 0; device < devices_.size(); ++device) {
    for (unsigned queue = 0; queue < queues_[device].size(); ++queue) {
      const unsigned worker = (first_owner_[device] + queue) % workers_;
      capture_ports_.push_back(
          std::make_unique<drivers::PcapWriter>(*queues_[device][queue], *captures_[worker]));
      queues_[device][queue] = capture_ports_.back().get();
    }
  }
}

void Ports::choose() {
  std::vector<SpreadPort> ports;
  ports.reserve(devices_.size());
  for (std::size_t device = 0; device < devices_.size(); ++device)
    ports.push_back(
        {devices_[device]->rss(),
         queue_owners(first_owner_[device], devices_[device]->capabilities().rx_queues, workers_)});
  steering_ = std::make_unique<Steering>(choose_steering(deps_.steering_key, workers_, ports));
  for (std::size_t device = 0; device < devices_.size(); ++device) {
    const PortSteering steering = steering_of(*steering_, workers_, ports[device]);
    const bool is_tested =
        steering == PortSteering::kFixed || steering == PortSteering::kProgrammed;
    const PortVerdict verdict = is_tested ? PortVerdict::kPending : PortVerdict::kNone;
    write_record(device, steering, verdict);
    auto& record = deps_.region.section<stack::PortRecord>(SectionKind::kPorts,
                                                           telemetry::kSharedSection)[device];
    tests_.push_back(is_tested ? std::make_unique<SelfTest>(record, verdict) : nullptr);
  }
}

void Ports::write_record(std::size_t number, PortSteering steering, PortVerdict verdict) {
  const drivers::DpdkDevice& device = *devices_[number];
  auto& record = deps_.region.section<stack::PortRecord>(SectionKind::kPorts,
                                                         telemetry::kSharedSection)[number];
  record.version.begin_write();
  record.rx_queues = device.capabilities().rx_queues;
  record.tx_queues = device.capabilities().tx_queues;
  record.reta_entries = static_cast<std::uint16_t>(device.rss().reta.size());
  record.steering = steering;
  record.verdict = verdict;
  record.mac = device.mac();
  record.is_in_use = 1;
  copy_text(device.name(), record.device);
  copy_text(device.driver(), record.driver);
  copy_text(device.tap_interface(), record.interface);
  record.version.end_write();
}

void Ports::make_ways() {
  homes_.reserve(workers_);
  for (unsigned to = 0; to < workers_; ++to) {
    homes_.emplace_back(*steering_, to);
    for (unsigned from = 0; from < workers_; ++from)
      mailboxes_.push_back(from == to ? nullptr : make_near_worker<Mailbox>(to));
  }
  for (std::size_t device = 0; device < devices_.size(); ++device) {
    for (unsigned worker = 0; worker < workers_; ++worker) {
      const std::size_t queue = position(device, worker) % queues_[device].size();
      const auto owner = static_cast<unsigned>((first_owner_[device] + queue) % workers_);
      if (owner == worker) continue;
      RemoteWay& way = remote_ways_.emplace_back();
      way.from = worker;
      way.owner = owner;
      way.device = device;
      way.ring = make_near_worker<TxRing>(owner);
      packet::PortQueue& real = *queues_[device][queue];
      way.queue = std::make_unique<RemoteQueue>(real, *way.ring, waker(owner), metrics(worker));
      way.handover = std::make_unique<TxHandover>(*way.ring, real);
    }
  }
}

// --- sharing ---

const tcp::FlowHome* Ports::home(unsigned worker) const {
  return workers_ == 1 ? nullptr : &homes_[worker];
}

telemetry::Metrics& Ports::metrics(unsigned worker) {
  return deps_.region.section<telemetry::Metrics>(SectionKind::kMetrics, worker)[0];
}

stack::PortCounts& Ports::counts(unsigned worker, std::size_t device) {
  return deps_.region.section<stack::PortCounts>(SectionKind::kPortCounts, worker)[device];
}

void Ports::connect(unsigned worker, WorkerLoop& loop) {
  loop.join(group_, waker(worker));
  if (workers_ > 1) loop.set_exchange(make_exchange(worker));
  // What is sent leaves by the port that was added first: queues of its own come before those that
  // only transmit, and these before other workers'.
  const auto add = [&](std::size_t device, packet::PortQueue& queue, bool is_polled) {
    loop.add_port({.queue = queue,
                   .device = static_cast<unsigned>(device),
                   .counts = counts(worker, device),
                   .is_polled = is_polled});
  };
  for (const bool is_polled : {true, false}) {
    for (std::size_t device = 0; device < devices_.size(); ++device) {
      const unsigned at = position(device, worker);
      if (at >= queues_[device].size()) continue;
      if (is_polled == (at < devices_[device]->capabilities().rx_queues))
        add(device, *queues_[device][at], is_polled);
    }
  }
  for (RemoteWay& way : remote_ways_) {
    if (way.from == worker) add(way.device, *way.queue, false);
    if (way.owner == worker) loop.add_handover(*way.handover);
  }
}

std::unique_ptr<Exchange> Ports::make_exchange(unsigned worker) {
  std::vector<Exchange::Peer> peers(workers_);
  for (unsigned other = 0; other < workers_; ++other)
    if (other != worker)
      peers[other] = {mailboxes_[worker * workers_ + other].get(),
                      mailboxes_[other * workers_ + worker].get(), waker(other)};
  auto exchange = std::make_unique<Exchange>(Exchange::Deps{.steering = *steering_,
                                                            .worker = worker,
                                                            .metrics = metrics(worker),
                                                            .copies = *deps_.pools[worker].control,
                                                            .peers = std::move(peers)});
  for (std::size_t device = 0; device < devices_.size(); ++device)
    exchange->add_device(tests_[device].get(), counts(worker, device));
  return exchange;
}

}  // namespace sluice::runtime
