#include "runtime/exchange.hpp"

#include <catch2/catch.hpp>
#include <memory>
#include <vector>

#include "runtime/port_log.hpp"
#include "runtime/ports.hpp"
#include "runtime/remote_queue.hpp"
#include "tests/support/mbuf_pool.hpp"
#include "tests/support/packet_builder.hpp"

namespace sluice::runtime {
namespace {

using packet::PacketPtr;
using Frames = std::vector<support::Octets>;
using stack::PortSteering;
using stack::PortVerdict;
using telemetry::Counter;
using telemetry::Outcome;

const HashKey kKey{{9, 8, 7, 6, 5, 4, 3, 2, 1}};

packet::RssState rss(unsigned queues) {
  packet::RssState state;
  state.kind = packet::RssState::Kind::kProgrammed;
  for (unsigned octet = 0; octet < 40; ++octet)
    state.key.push_back(static_cast<std::uint8_t>(17 * octet + 3));
  for (unsigned entry = 0; entry < 128; ++entry)
    state.reta.push_back(static_cast<std::uint16_t>(entry % queues));
  return state;
}

/// `kWorkers` workers and a device with a queue each, without loops and stacks.
struct Office {
  static constexpr unsigned kWorkers = 3;

  explicit Office(const packet::RssState& state = {})
      : steering(choose_steering(kKey, kWorkers, spread(state))) {
    record.steering = steering_of(steering, kWorkers, spread(state)[0]);
    record.verdict = steering.is_toeplitz() ? PortVerdict::kPending : PortVerdict::kNone;
    if (steering.is_toeplitz()) test = std::make_unique<SelfTest>(record, record.verdict);
    for (auto& mailbox : mailboxes) mailbox = std::make_unique<Mailbox>();
    for (unsigned worker = 0; worker < kWorkers; ++worker) {
      std::vector<Exchange::Peer> peers(kWorkers);
      for (unsigned other = 0; other < kWorkers; ++other)
        if (other != worker) peers[other] = {&mailbox(other, worker), &mailbox(worker, other)};
      exchanges.push_back(std::make_unique<Exchange>(
          Exchange::Deps{steering, worker, metrics[worker], pools.control(), std::move(peers)}));
      exchanges.back()->add_device(test.get(), counts[worker]);
    }
  }
  ~Office() {
    exchanges.clear();
    CHECK(pools.mbufs_out() == 0);
  }

  static std::vector<SpreadPort> spread(const packet::RssState& state) {
    return {{state, queue_owners(0, kWorkers, kWorkers)}};
  }
  Mailbox& mailbox(unsigned from, unsigned to) { return *mailboxes[from * kWorkers + to]; }

  static support::TcpFrame segment(std::uint16_t remote_port) {
    support::TcpFrame frame;
    frame.tcp.source = Port{remote_port};
    frame.tcp.destination = Port{80};
    return frame;
  }
  Sight see(const support::Octets& frame) {
    return steering.look_at(*support::make_packet(pools.receive(), frame));
  }
  /// A peer's port whose flow `worker` owns; another each time.
  std::uint16_t port_of(unsigned worker) {
    for (;;) {
      const std::uint16_t port = next_port++;
      if (see(support::build(segment(port))).worker == worker) return port;
    }
  }

  /// What `worker` keeps of one frame that it polled; empty if it went elsewhere.
  PacketPtr poll(unsigned worker, PacketPtr frame) {
    rte_mbuf* frames[] = {frame.release()};
    return PacketPtr(exchanges[worker]->keep_ours(frames, 0) == 1 ? frames[0] : nullptr);
  }
  PacketPtr poll(unsigned worker, const support::Octets& frame) {
    return poll(worker, support::make_packet(pools.receive(), frame));
  }
  /// A segment as a port that hashes gives it to the queue of `worker`.
  PacketPtr hashed(std::uint16_t remote_port, std::uint32_t error = 0) {
    const support::Octets octets = support::build(segment(remote_port));
    PacketPtr frame = support::make_packet(pools.receive(), octets);
    frame->hash.rss = see(octets).hash ^ error;
    frame->ol_flags |= RTE_MBUF_F_RX_RSS_HASH;
    return frame;
  }
  /// Frames that others handed to `worker`.
  std::vector<support::Octets> take(unsigned worker) {
    std::vector<support::Octets> taken;
    while (exchanges[worker]->take([&](unsigned device, std::span<rte_mbuf* const> frames) {
      CHECK(device == 0);
      for (rte_mbuf* const frame : frames) taken.push_back(support::octets_of(*PacketPtr(frame)));
    })) {
    }
    return taken;
  }

  support::TestPools pools{{.receive = 2048, .control = 64, .indirect = 16}};
  std::array<telemetry::Metrics, kWorkers> metrics{};
  std::array<stack::PortCounts, kWorkers> counts{};
  stack::PortRecord record{};
  Steering steering;
  std::unique_ptr<SelfTest> test;
  std::array<std::unique_ptr<Mailbox>, kWorkers * kWorkers> mailboxes;
  std::vector<std::unique_ptr<Exchange>> exchanges;
  std::uint16_t next_port = 1024;
};

TEST_CASE("a burst is sorted: ours stay in order, every other frame goes to its owner in order",
          "[runtime][exchange]") {
  Office office;
  std::vector<support::Octets> sent[Office::kWorkers];
  std::vector<rte_mbuf*> burst;
  for (unsigned i = 0; i < kBurst; ++i) {
    const unsigned owner = (i * 7 + i / 5) % Office::kWorkers;
    sent[owner].push_back(support::build(Office::segment(office.port_of(owner))));
    burst.push_back(support::make_packet(office.pools.receive(), sent[owner].back()).release());
  }
  const std::size_t kept = office.exchanges[1]->keep_ours(burst, 0);
  REQUIRE(kept == sent[1].size());
  for (std::size_t i = 0; i < kept; ++i)
    CHECK(support::octets_of(*PacketPtr(burst[i])) == sent[1][i]);
  CHECK(office.exchanges[0]->has_mail());
  CHECK_FALSE(office.exchanges[1]->has_mail());
  CHECK(office.take(0) == sent[0]);
  CHECK(office.take(2) == sent[2]);
  CHECK_FALSE(office.exchanges[0]->has_mail());
  CHECK(office.metrics[1].of(Counter::kFramesHandedOn) == kBurst - kept);
  CHECK(office.metrics[0].of(Counter::kFramesHandedIn) == sent[0].size());
  CHECK(office.counts[1].handed_on == kBurst - kept);
  CHECK(office.counts[1].lost == 0);
}

TEST_CASE("a frame whose owner's mailbox is full is lost, and has that for its one outcome",
          "[runtime][exchange]") {
  Office office;
  const support::Octets frame = support::build(Office::segment(office.port_of(2)));
  for (std::size_t i = 0; i < kMailboxFrames; ++i) CHECK_FALSE(office.poll(0, frame));
  CHECK(office.counts[0].lost == 0);
  std::vector<rte_mbuf*> burst;
  for (int i = 0; i < 5; ++i)
    burst.push_back(support::make_packet(office.pools.receive(), frame).release());
  CHECK(office.exchanges[0]->keep_ours(burst, 0) == 0);
  CHECK(office.counts[0].lost == 5);
  CHECK(office.counts[0].handed_on == kMailboxFrames);
  CHECK(office.metrics[0].of(Outcome::kMisdeliveredFull) == 5);
  CHECK(office.metrics[0].of(Counter::kRxPackets) == 5);
  CHECK(office.metrics[0].of(Counter::kRxBytes) == 5 * frame.size());
  CHECK(office.take(2).size() == kMailboxFrames);
  CHECK_FALSE(office.poll(0, frame));  // and there is room again
  CHECK(office.counts[0].lost == 5);
  CHECK(office.take(2).size() == 1);
}

TEST_CASE("an ARP reply is handed to every other worker as a copy, and stays here, too",
          "[runtime][exchange]") {
  Office office;
  support::ArpFrame arp;
  arp.arp.operation = wire::ArpOperation::kReply;
  const support::Octets reply = support::build(arp);
  CHECK(office.poll(0, reply));
  CHECK(office.take(1) == Frames{reply});
  CHECK(office.take(2) == Frames{reply});
  arp.arp.operation = wire::ArpOperation::kRequest;
  CHECK(office.poll(0, support::build(arp)));
  CHECK(office.take(1).empty());

  // Without an mbuf for the copies the reply still counts here.
  std::vector<PacketPtr> all;
  while (rte_mbuf* mbuf = rte_pktmbuf_alloc(&office.pools.control())) all.emplace_back(mbuf);
  CHECK(office.poll(0, reply));
  CHECK(office.take(1).empty());
  CHECK(office.metrics[0].of(Outcome::kMisdeliveredFull) == 0);
}

TEST_CASE("an ICMP error goes to the owner of the segment that it quotes, also past a trusted port",
          "[runtime][exchange]") {
  Office office(rss(Office::kWorkers));
  const std::uint16_t port = office.port_of(2);
  support::TcpFrame ours;
  std::swap(ours.ip.source, ours.ip.destination);
  ours.tcp.source = Port{80};
  ours.tcp.destination = Port{port};
  support::IcmpFrame error;
  error.icmp.type = wire::icmp_type::kTimeExceeded;
  error.data = support::ip_packet_of(support::build(ours));
  for (unsigned i = 0; i < SelfTest::kEnough; ++i) office.test->note_as_predicted();
  REQUIRE(office.test->verdict() == PortVerdict::kVerified);
  CHECK_FALSE(office.poll(0, support::build(error)));
  CHECK(office.take(2) == Frames{support::build(error)});
}

// --- the start-up test ---

TEST_CASE("a port whose frames come as its key and table say is verified, then trusted",
          "[runtime][exchange][selftest]") {
  Office office(rss(Office::kWorkers));
  CHECK(office.record.steering == PortSteering::kProgrammed);
  const bool has_hash = GENERATE(false, true);
  const auto frame = [&](unsigned worker) {
    PacketPtr made = office.hashed(office.port_of(worker));
    if (!has_hash) made->ol_flags &= ~RTE_MBUF_F_RX_RSS_HASH;
    return made;
  };
  for (unsigned i = 0; i < SelfTest::kEnough; ++i) {
    CHECK(office.test->is_pending());
    CHECK(office.poll(i % 3, frame(i % 3)));
  }
  CHECK(office.test->verdict() == PortVerdict::kVerified);
  CHECK(office.record.verdict == PortVerdict::kVerified);
  CHECK(office.counts[0].as_predicted + office.counts[1].as_predicted +
            office.counts[2].as_predicted ==
        SelfTest::kEnough);

  // From now on nobody computes: the queue, or the hash in the mbuf, is believed even against it.
  PacketPtr of_another = frame(2);
  const bool is_kept = static_cast<bool>(office.poll(0, std::move(of_another)));
  CHECK(is_kept == !has_hash);
  CHECK(office.take(2).size() == (has_hash ? 1 : 0));
  PacketPtr lies = office.hashed(office.port_of(1), 1);
  const std::uint32_t hash = lies->hash.rss;
  lies->ol_flags |= RTE_MBUF_F_RX_RSS_HASH;
  const std::uint16_t said = office.steering.owner_of_hash(hash);
  CHECK(office.poll(said, std::move(lies)));
}

TEST_CASE("a port that brings frames by other queues is not as predicted: each is hashed for ever",
          "[runtime][exchange][selftest]") {
  Office office(rss(Office::kWorkers));
  for (unsigned i = 0; i <= SelfTest::kForgiven; ++i) {
    CHECK(office.test->is_pending());
    CHECK_FALSE(office.poll(0, office.hashed(office.port_of(1))));
  }
  CHECK(office.test->verdict() == PortVerdict::kNotAsPredicted);
  CHECK(office.record.verdict == PortVerdict::kNotAsPredicted);
  CHECK(office.counts[0].not_predicted == SelfTest::kForgiven + 1);
  CHECK(office.take(1).size() == SelfTest::kForgiven + 1);  // and not one of them went astray
  for (unsigned i = 0; i < 2 * SelfTest::kEnough; ++i)
    CHECK(office.poll(0, office.hashed(office.port_of(0))));
  CHECK_FALSE(office.poll(0, office.hashed(office.port_of(2), 5)));  // whatever the mbuf says
  CHECK(office.take(2).size() == 1);
  CHECK(office.test->verdict() == PortVerdict::kNotAsPredicted);
}

TEST_CASE("a hash in mbufs that is not Toeplitz by the key is not as predicted, right queue or not",
          "[runtime][exchange][selftest]") {
  Office office(rss(Office::kWorkers));
  for (unsigned i = 0; i <= SelfTest::kForgiven; ++i)
    CHECK(office.poll(0, office.hashed(office.port_of(0), 0x80)));
  CHECK(office.test->verdict() == PortVerdict::kNotAsPredicted);
}

TEST_CASE(
    "one flow proves nothing by many frames, and frames from before the table was set are "
    "forgiven",
    "[runtime][exchange][selftest]") {
  Office office(rss(Office::kWorkers));
  const std::uint16_t port = office.port_of(0);
  for (unsigned i = 0; i < 4 * SelfTest::kEnough; ++i) CHECK(office.poll(0, office.hashed(port)));
  CHECK(office.test->is_pending());
  CHECK_FALSE(office.poll(0, office.hashed(office.port_of(1))));
  CHECK(office.take(1).size() == 1);
  for (unsigned i = 0; i < SelfTest::kEnough; ++i) {
    CHECK(office.test->is_pending());
    CHECK(office.poll(0, office.hashed(office.port_of(0))));
  }
  CHECK(office.test->verdict() == PortVerdict::kVerified);
}

TEST_CASE("the log says how each port finds its workers, and each verdict once",
          "[runtime][exchange][selftest]") {
  const telemetry::SectionPlan plan[] = {
      {telemetry::SectionKind::kPorts, telemetry::kSharedSection, sizeof(stack::PortRecord), 3}};
  auto region = telemetry::StateRegion::anonymous(plan);
  const auto records =
      region.section<stack::PortRecord>(telemetry::SectionKind::kPorts, telemetry::kSharedSection);
  const char* const names[] = {"net_tap0", "0000:01:00.0", "0000:01:00.1"};
  const PortSteering steerings[] = {PortSteering::kSoftware, PortSteering::kProgrammed,
                                    PortSteering::kFixed};
  for (std::size_t i = 0; i < records.size(); ++i) {
    std::string_view(names[i]).copy(records[i].device.data(), 63);
    records[i].rx_queues = records[i].tx_queues = 2;
    records[i].reta_entries = 128;
    records[i].steering = steerings[i];
    records[i].verdict = i == 0 ? PortVerdict::kNone : PortVerdict::kPending;
  }
  records[0].rx_queues = 1;
  PortLog log(region);
  const std::vector<std::string> all = log.all();
  REQUIRE(all.size() == 3);
  CHECK(all[0] ==
        "net_tap0: 1 queue (and 1 more to transmit), software steering (how the port spreads "
        "flows is not known)");
  CHECK(all[1] ==
        "0000:01:00.0: 2 queues, RSS by our key and a table of 128, which the first "
        "frames are to prove");
  CHECK(log.changes().empty());
  SelfTest good(records[1], PortVerdict::kPending), bad(records[2], PortVerdict::kPending);
  for (unsigned i = 0; i < SelfTest::kEnough; ++i) good.note_as_predicted();
  for (unsigned i = 0; i <= SelfTest::kForgiven; ++i) bad.note_not_predicted();
  CHECK(log.changes() ==
        std::vector<std::string>{
            "0000:01:00.0: 2 queues, RSS by our key verified: the queues are trusted",
            "0000:01:00.1: 2 queues, RSS by the port's own key not as predicted: software steering "
            "is used"});
  CHECK(log.changes().empty());
}

// --- transmitting for others ---

/// Takes `room` frames, then none.
class NarrowQueue final : public packet::PortQueue {
 public:
  std::uint16_t rx_burst(std::span<rte_mbuf*>, Instant) override { return 0; }
  std::uint16_t tx_burst(std::span<rte_mbuf*> frames, Instant) override {
    const std::size_t taken = std::min(room, frames.size());
    for (rte_mbuf* const frame : frames.first(taken))
      sent.push_back(support::octets_of(*PacketPtr(frame)));
    room -= taken;
    return static_cast<std::uint16_t>(taken);
  }
  const packet::PortCapabilities& capabilities() const override { return capabilities_; }
  MacAddr mac() const override { return MacAddr{{2, 0, 0, 0, 0, 2}}; }
  std::string name() const override { return "narrow"; }

  std::size_t room = 0;
  std::vector<support::Octets> sent;

 private:
  packet::PortCapabilities capabilities_{.tx_multi_segment = true};
};

TEST_CASE("a full queue of another worker pushes back through the ring; nothing is lost or swapped",
          "[runtime][exchange]") {
  support::TestPools pools{{.receive = 2048, .control = 16, .indirect = 16}};
  telemetry::Metrics metrics{};
  NarrowQueue queue;
  auto ring = std::make_unique<TxRing>();
  const Instant now = Instant::from_ns(1);
  std::size_t offered = 0, taken = 0;
  {
    RemoteQueue sender(queue, *ring, nullptr, metrics);
    TxHandover owner(*ring, queue);
    CHECK(sender.capabilities().tx_multi_segment);
    CHECK(sender.mac() == queue.mac());
    CHECK_FALSE(owner.has_frames());
    std::vector<PacketPtr> waiting;
    for (; offered < 1500; ++offered)
      waiting.push_back(support::make_packet(pools.receive(), support::pattern(60, offered)));
    const auto offer = [&] {
      std::vector<rte_mbuf*> raw;
      for (std::size_t i = taken; i < offered; ++i) raw.push_back(waiting[i].get());
      const std::size_t count = sender.tx_burst(raw, now);
      for (std::size_t i = 0; i < count; ++i) static_cast<void>(waiting[taken + i].release());
      taken += count;
    };
    offer();
    CHECK(taken == kMailboxFrames);
    CHECK(owner.has_frames());
    CHECK_FALSE(owner.send(now));  // takes a burst off the ring, which the queue does not take
    offer();
    CHECK(taken == kMailboxFrames + kBurst);
    queue.room = 5;
    CHECK(owner.send(now));
    CHECK(queue.sent.size() == 5);
    queue.room = 10'000;
    while (owner.send(now)) offer();
    CHECK(taken == offered);
    REQUIRE(queue.sent.size() == offered);
    for (std::size_t i = 0; i < offered; ++i) REQUIRE(queue.sent[i] == support::pattern(60, i));
    CHECK(metrics.of(Counter::kTxHandedOn) == offered);
  }
  CHECK(pools.mbufs_out() == 0);
}

TEST_CASE("what waits for a worker that ends is given back", "[runtime][exchange]") {
  support::TestPools pools;
  {
    telemetry::Metrics metrics{};
    NarrowQueue queue;
    auto ring = std::make_unique<TxRing>();
    RemoteQueue sender(queue, *ring, nullptr, metrics);
    TxHandover owner(*ring, queue);
    for (unsigned i = 0; i < 2 * kBurst; ++i) {
      rte_mbuf* frames[] = {support::make_packet(pools.receive(), support::pattern(60)).release()};
      REQUIRE(sender.tx_burst(frames, Instant::from_ns(1)) == 1);
    }
    CHECK_FALSE(owner.send(Instant::from_ns(1)));
  }
  CHECK(pools.mbufs_out() == 0);
}

}  // namespace
}  // namespace sluice::runtime
