// Whole workers on threads of their own, over ports in memory: what ThreadSanitizer watches.

#include <atomic>
#include <catch2/catch.hpp>
#include <map>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "runtime/ports.hpp"
#include "runtime/remote_queue.hpp"
#include "runtime/worker_loop.hpp"
#include "tests/support/mbuf_pool.hpp"
#include "tests/support/packet_builder.hpp"
#include "tests/support/tcp_rig.hpp"
#include "tests/unit/tcp/stack_rig.hpp"

namespace sluice::runtime {
namespace {

using packet::PacketPtr;
using telemetry::Counter;
using telemetry::Outcome;

const HashKey kKey{{4, 4, 4}};

/// Two rings: the test's thread is the peer behind them.
class MemoryPort final : public packet::PortQueue {
 public:
  ~MemoryPort() override {
    for (TxRing* ring : {&to_worker, &from_worker})
      ring->consume_all([](rte_mbuf* frame) { rte_pktmbuf_free(frame); });
  }
  std::uint16_t rx_burst(std::span<rte_mbuf*> out, Instant) override {
    return static_cast<std::uint16_t>(to_worker.pop(out.data(), out.size()));
  }
  std::uint16_t tx_burst(std::span<rte_mbuf*> frames, Instant) override {
    return static_cast<std::uint16_t>(from_worker.push(frames.data(), frames.size()));
  }
  const packet::PortCapabilities& capabilities() const override { return capabilities_; }
  MacAddr mac() const override { return support::Endpoints{}.destination_mac; }
  std::string name() const override { return "memory"; }

  TxRing to_worker;
  TxRing from_worker;

 private:
  packet::PortCapabilities capabilities_{.tx_multi_segment = true};
};

struct Echo final : StreamHandler {
  void on_data(Stream stream, RxData& data) override { static_cast<void>(stream.send(data)); }
};

struct EchoFactory final : HandlerFactory {
  std::size_t object_size() const override { return sizeof(Echo); }
  std::size_t object_alignment() const override { return alignof(Echo); }
  StreamHandler* construct(void* memory) override { return new (memory) Echo; }
};

/// `kWorkers` echo servers behind one address. Workers 0 and 1 have a port each; the last has none:
/// it receives and transmits by the others.
struct Crew {
  static constexpr unsigned kWorkers = 3;
  static constexpr unsigned kPorts = 2;

  explicit Crew(Duration longest_sleep) {
    config = testing::small_stack();
    config.workers = kWorkers;
    config.tcp.max_connections = 256;
    config.tcp.max_half_open = 256;
    std::vector<telemetry::SectionPlan> plan;
    for (unsigned worker = 0; worker < kWorkers; ++worker)
      stack::Stack::plan_state(config, worker, plan);
    region = std::make_unique<telemetry::StateRegion>(telemetry::StateRegion::anonymous(plan));
    for (auto& mailbox : mailboxes) mailbox = std::make_unique<Mailbox>();
    for (unsigned worker = 0; worker < kWorkers; ++worker) add(worker, longest_sleep);
    // The last one transmits on both ports by their workers.
    for (unsigned port = 0; port < kPorts; ++port) {
      ways.push_back(std::make_unique<TxRing>());
      remote.push_back(std::make_unique<RemoteQueue>(ports[port], *ways[port], &wakers[port],
                                                     metrics(kWorkers - 1)));
      handovers.push_back(std::make_unique<TxHandover>(*ways[port], ports[port]));
      loops[port]->add_handover(*handovers[port]);
    }
    for (unsigned worker = 0; worker < kWorkers; ++worker) {
      for (unsigned port = 0; port < kPorts; ++port)
        if (worker == port || worker == kWorkers - 1)
          loops[worker]->add_port({.queue = worker == port
                                                ? static_cast<packet::PortQueue&>(ports[port])
                                                : *remote[port],
                                   .device = port,
                                   .counts = counts[worker][port],
                                   .is_polled = worker == port});
      // A port of another worker that nothing is sent by: handed frames name it.
      if (worker < kPorts) {
        const unsigned other = 1 - worker;
        idle_ways.push_back(std::make_unique<TxRing>());
        remote.push_back(std::make_unique<RemoteQueue>(ports[other], *idle_ways.back(), nullptr,
                                                       metrics(worker)));
        loops[worker]->add_port({.queue = *remote.back(),
                                 .device = other,
                                 .counts = counts[worker][other],
                                 .is_polled = false});
      }
      threads.emplace_back([this, worker] { reset[worker] = loops[worker]->run(stop); });
    }
  }

  void add(unsigned worker, Duration longest_sleep) {
    stacks.push_back(std::make_unique<stack::Stack>(config,
                                                    stack::StackDeps{.region = *region,
                                                                     .pools = pools.pools(),
                                                                     .secrets = {},
                                                                     .seed = worker,
                                                                     .worker = worker},
                                                    Clock(Clock::Kind::kMonotonic).now()));
    REQUIRE(stacks.back()->worker().listen({.port = Port{80}}, std::make_unique<EchoFactory>()));
    loops.push_back(std::make_unique<WorkerLoop>(
        *stacks.back(), metrics(worker), Clock(Clock::Kind::kMonotonic),
        LoopOptions{.drain_timeout = Duration::from_s(20),
                    .exit_when_idle = Duration::zero(),
                    .idle = {.spin_rounds = 2, .yield_rounds = 2, .max_sleep = longest_sleep}}));
    std::vector<Exchange::Peer> peers(kWorkers);
    for (unsigned other = 0; other < kWorkers; ++other)
      if (other != worker)
        peers[other] = {mailboxes[other * kWorkers + worker].get(),
                        mailboxes[worker * kWorkers + other].get(), &wakers[other]};
    auto exchange = std::make_unique<Exchange>(
        Exchange::Deps{steering, worker, metrics(worker), pools.control(), std::move(peers)});
    for (unsigned port = 0; port < kPorts; ++port)
      exchange->add_device(nullptr, counts[worker][port]);
    loops.back()->join(group, &wakers[worker]);
    loops.back()->set_exchange(std::move(exchange));
  }

  /// Ends the workers, and everything that holds mbufs.
  void end() {
    ++stop;
    for (Waker& waker : wakers) waker.wake();
    for (std::thread& thread : threads) thread.join();
    loops.clear();
    handovers.clear();
    stacks.clear();
  }

  telemetry::Metrics& metrics(unsigned worker) {
    return region->section<telemetry::Metrics>(telemetry::SectionKind::kMetrics, worker)[0];
  }
  std::uint64_t sum(Outcome outcome) {
    std::uint64_t total = 0;
    for (unsigned worker = 0; worker < kWorkers; ++worker) total += metrics(worker).of(outcome);
    return total;
  }

  // The peer, who has two links and uses them as it likes.
  void send(unsigned port, const support::TcpFrame& frame) {
    PacketPtr packet = support::make_packet(pools.receive(), support::build(frame));
    while (!ports[port].to_worker.push(packet.get())) std::this_thread::yield();
    static_cast<void>(packet.release());
    if (wake_pollers) wakers[port].wake();
  }
  /// The next segment that came back by any port.
  support::ParsedFrame receive() {
    for (;; std::this_thread::yield()) {
      for (MemoryPort& port : ports) {
        rte_mbuf* frame = nullptr;
        if (!port.from_worker.pop(frame)) continue;
        auto parsed = support::parse_frame(support::octets_of(*PacketPtr(frame)));
        REQUIRE(parsed);
        REQUIRE(parsed->is_payload_checksum_right);
        if (parsed->tcp) return *parsed;
      }
    }
  }

  support::TestPools pools{{.receive = 2048, .control = 1024, .indirect = 512}};
  std::array<MemoryPort, kPorts> ports;
  stack::StackConfig config;
  std::unique_ptr<telemetry::StateRegion> region;
  const Steering steering{kKey, kWorkers};
  WorkerGroup group{kWorkers};
  std::array<Waker, kWorkers> wakers;
  StopLevel stop{0};
  bool wake_pollers = false;
  std::array<std::array<stack::PortCounts, kPorts>, kWorkers> counts{};
  std::array<std::unique_ptr<Mailbox>, kWorkers * kWorkers> mailboxes;
  std::vector<std::unique_ptr<TxRing>> ways, idle_ways;
  std::vector<std::unique_ptr<stack::Stack>> stacks;
  std::vector<std::unique_ptr<RemoteQueue>> remote;
  std::vector<std::unique_ptr<TxHandover>> handovers;
  std::vector<std::unique_ptr<WorkerLoop>> loops;
  std::array<std::uint32_t, kWorkers> reset{};
  std::vector<std::thread> threads;
};

/// The client's side of one connection; every segment of it goes by another port than the last.
struct Client {
  std::uint16_t port;
  wire::SeqNum nxt{1000}, ack{};
  unsigned by = 0;
  unsigned echoed = 0;

  void send(Crew& crew, std::uint8_t flags, std::size_t payload = 0) {
    support::TcpFrame frame;
    frame.tcp.source = Port{port};
    frame.tcp.destination = Port{80};
    frame.tcp.seq = nxt;
    frame.tcp.ack = ack;
    frame.tcp.flags = flags;
    frame.tcp.window = 60000;
    frame.payload = support::pattern(payload);
    nxt += static_cast<std::uint32_t>(payload) + ((flags & (wire::kSyn | wire::kFin)) != 0 ? 1 : 0);
    crew.send(by++ % Crew::kPorts, frame);
  }
};

/// Opens `count` connections, has each send `rounds` times 100 octets and get them back, and
/// closes.
void converse(Crew& crew, unsigned count, unsigned rounds) {
  std::map<std::uint16_t, Client> clients;
  for (unsigned i = 0; i < count; ++i) {
    const auto port = static_cast<std::uint16_t>(20000 + i);
    clients[port] = {.port = port, .by = i};
    clients[port].send(crew, wire::kSyn);
  }
  for (unsigned closed = 0; closed < count;) {
    const support::ParsedFrame frame = crew.receive();
    Client& client = clients.at(frame.tcp->destination.value);
    REQUIRE_FALSE(frame.tcp->has(wire::kRst));
    if (frame.tcp->has(wire::kSyn)) {
      client.ack = frame.tcp->seq + 1;
      client.send(crew, wire::kAck);
      client.send(crew, wire::kAck | wire::kPsh, 100);
      continue;
    }
    if (frame.tcp->seq != client.ack) continue;
    client.ack = frame.tcp->seq + static_cast<std::uint32_t>(frame.payload.size());
    if (!frame.payload.empty()) {
      REQUIRE(frame.payload == support::pattern(100));
      const bool is_last = ++client.echoed == rounds;
      client.send(crew, is_last ? wire::kAck | wire::kFin : wire::kAck | wire::kPsh,
                  is_last ? 0 : 100);
    }
    if (frame.tcp->has(wire::kFin)) {
      client.ack = client.ack + 1;
      client.send(crew, wire::kAck);
      ++closed;
    }
  }
}

TEST_CASE(
    "connections whose segments come in by any port live each at one worker, with a queue or "
    "without",
    "[runtime][exchange][threads]") {
  Crew crew(Duration::from_us(200));
  constexpr unsigned kConnections = 48, kRounds = 4;
  converse(crew, kConnections, kRounds);
  crew.end();

  std::array<std::uint64_t, Crew::kWorkers> expected{};
  for (unsigned i = 0; i < kConnections; ++i)
    ++expected[crew.steering.owner_of({support::Endpoints{}.destination_ip,
                                       support::Endpoints{}.source_ip, Port{80},
                                       Port{static_cast<std::uint16_t>(20000 + i)}})];
  std::uint64_t received = 0, outcomes = 0, polled = 0;
  for (unsigned worker = 0; worker < Crew::kWorkers; ++worker) {
    CAPTURE(worker);
    CHECK(expected[worker] > 0);
    CHECK(crew.metrics(worker).of(Outcome::kHandshakeCompleted) == expected[worker]);
    CHECK(crew.reset[worker] == 0);
    received += crew.metrics(worker).of(Counter::kRxPackets);
    for (const std::uint64_t count : crew.metrics(worker).outcomes) outcomes += count;
    for (const stack::PortCounts& counts : crew.counts[worker]) polled += counts.received;
  }
  CHECK(crew.sum(Outcome::kStrayAnswered) == 0);
  CHECK(crew.sum(Outcome::kMisdeliveredFull) == 0);
  CHECK(received == polled);
  CHECK(outcomes == polled);
  CHECK(crew.metrics(2).of(Counter::kTxHandedOn) == crew.metrics(2).of(Counter::kTxPackets));
  CHECK(crew.pools.mbufs_out() == 0);
}

/// Gives one frame at each of the first `busy_polls_` polls that nobody answers, then none for
/// ever.
class ShortPort final : public packet::PortQueue {
 public:
  ShortPort(support::TestPools& pools, unsigned busy_polls)
      : pools_(pools), busy_polls_(busy_polls) {}
  std::uint16_t rx_burst(std::span<rte_mbuf*> out, Instant) override {
    if (polls++ >= busy_polls_) return 0;
    out[0] = support::make_packet(pools_.receive(), std::vector<std::byte>(60)).release();
    return 1;
  }
  std::uint16_t tx_burst(std::span<rte_mbuf*>, Instant) override { return 0; }
  const packet::PortCapabilities& capabilities() const override { return capabilities_; }
  MacAddr mac() const override { return support::Endpoints{}.destination_mac; }
  std::string name() const override { return "short"; }

  unsigned polls = 0;

 private:
  support::TestPools& pools_;
  unsigned busy_polls_;
  packet::PortCapabilities capabilities_;
};

TEST_CASE("rounds in which something moved count as busy, waiting does not", "[runtime]") {
  constexpr unsigned kBusyRounds = 5;
  support::TestPools pools({.receive = 64, .control = 64, .indirect = 64});
  const stack::StackConfig config = testing::small_stack();
  std::vector<telemetry::SectionPlan> plan;
  stack::Stack::plan_state(config, 0, plan);
  telemetry::StateRegion region = telemetry::StateRegion::anonymous(plan);
  Clock clock(Clock::Kind::kVirtual);  // one microsecond passes in each round, and while it waits
  stack::Stack stack(
      config, {.region = region, .pools = pools.pools(), .secrets = {}, .seed = 1, .worker = 0},
      clock.now());
  auto& metrics = region.section<telemetry::Metrics>(telemetry::SectionKind::kMetrics, 0)[0];
  WorkerGroup group{1};
  WorkerLoop loop(
      stack, metrics, clock,
      {.drain_timeout = Duration::zero(), .exit_when_idle = Duration::from_ms(5), .idle = {}});
  loop.join(group, nullptr);
  ShortPort port(pools, kBusyRounds);
  stack::PortCounts counts{};
  loop.add_port({.queue = port, .device = 0, .counts = counts, .is_polled = true});
  StopLevel stop{0};
  CHECK(loop.run(stop) == 0);
  CHECK(metrics.of(Counter::kRxPackets) == kBusyRounds);
  CHECK(metrics.of(Counter::kBusyTime) == kBusyRounds * 1000);
  CHECK(metrics.of(Counter::kIdleRounds) > 0);
  // The drain has one more round, which is neither.
  CHECK(metrics.of(Counter::kIdleRounds) == port.polls - kBusyRounds - 1);
}

/// Takes nothing, as a port in memory whose peer is gone.
class DeadPort final : public packet::PortQueue {
 public:
  std::uint16_t rx_burst(std::span<rte_mbuf*>, Instant) override { return 0; }
  std::uint16_t tx_burst(std::span<rte_mbuf*>, Instant) override { return 0; }
  const packet::PortCapabilities& capabilities() const override { return capabilities_; }
  MacAddr mac() const override { return support::Endpoints{}.destination_mac; }
  std::string name() const override { return "dead"; }

 private:
  packet::PortCapabilities capabilities_;
};

TEST_CASE("a drain ends though the port takes no frame and there is no room for an RST",
          "[runtime]") {
  testing::StackRig rig;
  REQUIRE(rig.worker().listen({.port = Port{80}}, std::make_unique<EchoFactory>()));
  rig.connect();
  // SYN-ACKs that nobody takes, until there is no room for them at the port nor before it.
  const auto& control = rig.stack->impl().engine.context().control;
  std::uint16_t source_port = 1000;
  while (!control.is_full()) {
    REQUIRE(source_port < 20'000);
    for (int i = 0; i < 1100; ++i) {
      support::TcpFrame frame;
      frame.tcp.source = Port{source_port++};
      frame.tcp.destination = Port{80};
      frame.tcp.flags = wire::kSyn;
      rte_mbuf* frames[] = {
          support::make_packet(support::shared_pools().receive(), support::build(frame)).release()};
      rig.stack->receive(0, frames, rig.now);
    }
    CHECK(rig.stack->transmit(0, {}, rig.now) == 0);
  }
  auto& metrics = rig.region.section<telemetry::Metrics>(telemetry::SectionKind::kMetrics, 0)[0];
  WorkerGroup group{1};
  DeadPort port;
  stack::PortCounts counts{};
  StopLevel stop{1};
  {
    WorkerLoop loop(*rig.stack, metrics, Clock(Clock::Kind::kVirtual),
                    {.drain_timeout = Duration::zero(), .exit_when_idle = {}, .idle = {}});
    loop.join(group, nullptr);
    loop.add_port({.queue = port, .device = 0, .counts = counts, .is_polled = true});
    CHECK(loop.run(stop) == 1);
  }
  CHECK(rig.stack->is_drained());
}

/// Takes everything, and notes when the first FIN and the first RST of port 80 came.
class WatchingPort final : public packet::PortQueue {
 public:
  WatchingPort() { capabilities_.tx_multi_segment = true; }
  std::uint16_t rx_burst(std::span<rte_mbuf*>, Instant) override { return 0; }
  std::uint16_t tx_burst(std::span<rte_mbuf*> frames, Instant now) override {
    for (rte_mbuf* const frame : frames) {
      const auto parsed = support::parse_frame(support::octets_of(*packet::PacketPtr(frame)));
      if (!parsed || !parsed->tcp) continue;
      if (parsed->tcp->has(wire::kFin) && !fin_at) fin_at = now;
      if (parsed->tcp->has(wire::kRst) && !reset_at) reset_at = now;
    }
    return static_cast<std::uint16_t>(frames.size());
  }
  const packet::PortCapabilities& capabilities() const override { return capabilities_; }
  MacAddr mac() const override { return support::Endpoints{}.destination_mac; }
  std::string name() const override { return "watching"; }

  std::optional<Instant> fin_at, reset_at;

 private:
  packet::PortCapabilities capabilities_;
};

TEST_CASE("a drain resets who has not ended when its time is over, not before and not later",
          "[runtime]") {
  testing::StackRig rig;
  // Without the rig's port: the loop's is the only one.
  rig.stack.reset();
  rig.stack = std::make_unique<stack::Stack>(
      rig.config,
      stack::StackDeps{
          .region = rig.region, .pools = support::shared_pools().pools(), .secrets = {}, .seed = 1},
      rig.now);
  auto& metrics = rig.region.section<telemetry::Metrics>(telemetry::SectionKind::kMetrics, 0)[0];
  WorkerGroup group{1};
  WatchingPort port;
  stack::PortCounts counts{};
  StopLevel stop{1};
  const Duration limit = Duration::from_s(3);
  {
    WorkerLoop loop(*rig.stack, metrics, Clock(Clock::Kind::kVirtual),
                    {.drain_timeout = limit, .exit_when_idle = {}, .idle = {}});
    loop.join(group, nullptr);
    loop.add_port({.queue = port, .device = 0, .counts = counts, .is_polled = true});
    REQUIRE(rig.worker().listen({.port = Port{80}}, std::make_unique<EchoFactory>()));
    rig.connect();
    CHECK(loop.run(stop) == 1);
  }
  REQUIRE(port.fin_at);
  REQUIRE(port.reset_at);
  CHECK(*port.reset_at - *port.fin_at >= limit - Duration::from_ms(1));
  CHECK(*port.reset_at - *port.fin_at < limit + Duration::from_ms(100));
  CHECK(rig.stack->is_drained());
}

TEST_CASE("a worker that sleeps for an hour is woken by what others hand to it",
          "[runtime][exchange][threads]") {
  Crew crew(Duration::from_s(3600));
  crew.wake_pollers = true;  // as an interrupt would: ports in memory wake nobody
  converse(crew, 8, 2);
  crew.end();
  CHECK(crew.sum(Outcome::kHandshakeCompleted) == 8);
  CHECK(crew.pools.mbufs_out() == 0);
}

TEST_CASE("a wake-up before the sleep, while it begins or later ends it", "[runtime][threads]") {
  Waker waker;
  std::atomic<unsigned> mail = 0;
  constexpr unsigned kLetters = 20'000;
  std::thread worker([&] {
    for (unsigned read = 0; read < kLetters;) {
      const unsigned now = mail.load(std::memory_order_relaxed);
      if (now != read) {
        read = now;
        continue;
      }
      waker.sleep_until(Instant::never(),
                        [&] { return mail.load(std::memory_order_relaxed) != read; });
    }
  });
  for (unsigned letter = 1; letter <= kLetters; ++letter) {
    mail.store(letter, std::memory_order_relaxed);
    waker.wake();
    if (letter % 3 == 0) std::this_thread::yield();
  }
  worker.join();
  CHECK(mail == kLetters);
}

}  // namespace
}  // namespace sluice::runtime
