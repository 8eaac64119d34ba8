#include "tests/sim/bulk.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <stdexcept>

#include "drivers/sim/sim_link.hpp"
#include "sluice/sluice.hpp"
#include "tests/sim/content.hpp"
#include "tests/sim/host.hpp"
#include "wire/byte_order.hpp"
#include "wire/ethernet.hpp"
#include "wire/ipv4.hpp"

namespace sluice::sim {
namespace {

constexpr unsigned kSender = 0, kReceiver = 1;
constexpr std::uint16_t kFirstPort = 20'000;  // flow i connects from kFirstPort + i
// All flows together: more than five times 20 Mbit/s x 300 ms, and within the pools.
constexpr std::uint32_t kBufferBytes = 5 << 20;
constexpr std::size_t kChunk = 65'536;
constexpr Duration kBetweenStarts = Duration::from_ms(50);

/// Sends for ever.
class Source final : public StreamHandler {
 public:
  void on_open(Stream stream) override { fill(stream); }
  void on_writable(Stream stream) override { fill(stream); }
  void on_peer_closed(Stream) override {}

 private:
  void fill(Stream stream) {
    static const std::vector<std::byte> kOctets(kChunk);
    for (;;) {
      const auto taken = stream.send(kOctets);
      if (!taken && taken.error() != Error::kWouldBlock)
        throw std::runtime_error(fmt::format("bulk: send() failed: {}", to_string(taken.error())));
      if (!taken || *taken < kOctets.size()) return;
    }
  }
};

/// Counts what comes, by flow.
class Sink final : public StreamHandler {
 public:
  explicit Sink(std::vector<std::uint64_t>& octets) : octets_(octets) {}
  void on_data(Stream stream, RxData& data) override {
    if (flow_ == nullptr)
      flow_ = &octets_.at(static_cast<std::size_t>(stream.info()->remote.port.value - kFirstPort));
    *flow_ += data.size();
    data.consume(data.size());
  }

 private:
  std::vector<std::uint64_t>& octets_;
  std::uint64_t* flow_ = nullptr;
};

class SinkFactory final : public HandlerFactory {
 public:
  explicit SinkFactory(std::vector<std::uint64_t>& octets) : octets_(octets) {}
  std::size_t object_size() const override { return sizeof(Sink); }
  std::size_t object_alignment() const override { return alignof(Sink); }
  StreamHandler* construct(void* memory) override { return ::new (memory) Sink(octets_); }

 private:
  std::vector<std::uint64_t>& octets_;
};

/// Delays the ACKs of each flow by what is its own: flows of unlike round trips share a queue.
class FlowDelay final : public drivers::LinkFilter {
 public:
  explicit FlowDelay(const BulkPlan& plan) : plan_(plan) {}
  void join(drivers::SimLink& link) { link_ = &link; }

  void on_sent(unsigned direction, std::vector<std::vector<std::byte>>& frames,
               Instant now) override {
    constexpr std::size_t kDestination = wire::kEthernetHeader + wire::kIpv4MinHeader + 2;
    if (direction != kReceiver || frames[0].size() < kDestination + 2) return;
    const std::size_t flow =
        std::size_t{wire::load_be16(frames[0].data() + kDestination)} - kFirstPort;
    if (flow >= plan_.flows.size() || plan_.flows[flow].extra_delay == Duration::zero()) return;
    const Duration whole = link_->options(direction).delay + plan_.flows[flow].extra_delay;
    link_->inject(kSender, frames[0], now + whole);
    frames.clear();
  }

 private:
  const BulkPlan& plan_;
  drivers::SimLink* link_ = nullptr;
};

HostPlan host_plan(std::size_t flows, unsigned index) {
  HostPlan host;
  stack::InterfaceConfig interface;
  interface.name = "sim0";
  interface.addresses = {Prefix{Plan::kHost[index], 24}};
  interface.neighbors = {{Plan::kHost[1 - index], Plan::kHostMac[1 - index]}};
  host.stack.interfaces = {interface};
  host.stack.max_neighbors = host.stack.max_routes = 16;
  tcp::EngineConfig& tcp = host.stack.tcp;
  tcp.max_connections = tcp.max_half_open = tcp.max_accept_queue = 64;
  tcp.max_in_flight = 2048;  // four runs of the scoreboard each: a full buffer's loss needs as many
  tcp.max_time_wait = 64;
  tcp.max_listeners = 4;
  tcp.recorder_events = 0;
  tcp.receive_buffer_bytes = tcp.send_buffer_bytes =
      kBufferBytes / static_cast<std::uint32_t>(flows);
  tcp.reassembly_segments = tcp.reassembly_worker_segments = 16'384;
  host.port.tx_ipv4_checksum = host.port.tx_tcp_checksum = host.port.rx_checksum = true;
  host.port.tx_multi_segment = host.port.tx_indirect = true;
  host.rx_ring = host.tx_ring = 4096;
  return host;
}

drivers::SimLink::Options link_options(const BulkPlan& plan) {
  drivers::SimLink::Options link;
  link.seed = plan.seed;
  link.directions[kSender].delay = plan.round_trip / 2;
  link.directions[kReceiver].delay = plan.round_trip - plan.round_trip / 2;
  drivers::LinkOptions& bottleneck = link.directions[kSender];
  bottleneck.bits_per_second = plan.bits_per_second;
  bottleneck.loss = plan.loss;
  const auto product =
      static_cast<std::uint64_t>(plan.round_trip.us()) * plan.bits_per_second / 8'000'000;
  constexpr std::uint64_t kLeast = 3 * 1514;  // less holds no burst at all
  bottleneck.queue_bytes =
      static_cast<std::uint32_t>(std::max(product * plan.buffer_percent / 100, kLeast));
  if (std::any_of(plan.flows.begin(), plan.flows.end(),
                  [](const BulkFlow& flow) { return flow.algorithm.wants_marks; })) {
    // RFC 8257 4.2: a sixth to a seventh of the product, and two frames at least.
    const auto step = static_cast<std::uint32_t>(std::max<std::uint64_t>(product / 6, 2 * 1514));
    bottleneck.marking = {.first_bytes = step, .last_bytes = step};
  }
  return link;
}

}  // namespace

std::vector<std::uint64_t> run_bulk(
    const BulkPlan& plan, std::array<std::unique_ptr<support::TestPools>, kHosts>& pools) {
  drivers::SimClock clock(Instant::from_ns(1'000'000'000));
  const Instant begin = clock.now();
  Ledger ledger;
  FlowDelay delays(plan);
  const std::array<HostPlan, kHosts> plans = {host_plan(plan.flows.size(), 0),
                                              host_plan(plan.flows.size(), 1)};
  drivers::SimLink::Options options = link_options(plan);
  options.filter = &delays;
  for (unsigned host = 0; host < kHosts; ++host)
    options.ports[host] = {.name = fmt::format("sim{}", host),
                           .mac = Plan::kHostMac[host],
                           .capabilities = plans[host].port,
                           .receive_pool = &pools[host]->receive(),
                           .rx_ring_frames = plans[host].rx_ring,
                           .tx_ring_frames = plans[host].tx_ring};
  drivers::SimLink link(clock, std::move(options));
  delays.join(link);
  std::vector<std::uint64_t> octets(plan.flows.size());
  std::deque<Source> sources(plan.flows.size());
  std::array<std::unique_ptr<Host>, kHosts> hosts;
  for (unsigned host = 0; host < kHosts; ++host) {
    hosts[host] = std::make_unique<Host>(clock, ledger, plans[host], host,
                                         mix(plan.seed, 100 + host), *pools[host]);
    hosts[host]->attach(link.port(host), link.port(host));
  }
  hosts[kReceiver]->enter(begin);
  if (!hosts[kReceiver]->worker().listen({.port = kListenPort},
                                         std::make_unique<SinkFactory>(octets)))
    throw std::runtime_error("bulk: cannot listen");

  for (std::size_t flow = 0; flow < plan.flows.size(); ++flow) {
    clock.run_until(begin + kBetweenStarts * static_cast<std::int64_t>(flow));
    hosts[kSender]->enter(clock.now());
    const Port from{static_cast<std::uint16_t>(kFirstPort + flow)};
    if (!hosts[kSender]->worker().connect({.remote = {Plan::kHost[kReceiver], kListenPort},
                                           .local_port = from,
                                           .congestion = plan.flows[flow].algorithm.name},
                                          &sources[flow]))
      throw std::runtime_error("bulk: cannot connect");
    hosts[kSender]->wake();
  }
  clock.run_until(begin + plan.warm_up);
  const std::vector<std::uint64_t> before = octets;
  clock.run_until(begin + plan.warm_up + plan.measured);

  std::vector<std::uint64_t> rates(octets.size());
  for (std::size_t flow = 0; flow < rates.size(); ++flow)
    rates[flow] =
        (octets[flow] - before[flow]) * 8 / static_cast<std::uint64_t>(plan.measured.ms());
  for (auto& host : hosts) host.reset();
  for (unsigned host = 0; host < kHosts; ++host)
    if (pools[host]->mbufs_out() != 0 || !ledger.is_clean())
      throw std::runtime_error("bulk: a transfer left mbufs behind, or a host in disorder");
  return rates;
}

}  // namespace sluice::sim
