#include <rte_ip.h>
#include <rte_mbuf.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <vector>

#include "drivers/sim/offload.hpp"
#include "drivers/sim/sim_link.hpp"
#include "tests/sim/content.hpp"
#include "tests/sim/parameters.hpp"
#include "tests/sim/tamper_port.hpp"
#include "tests/sim/wire_rig.hpp"
#include "tests/support/require_pools_full.hpp"

using namespace sluice;
using drivers::FrameFate;
using drivers::LinkOptions;
using drivers::SimClock;
using sim::Arrival;
using sim::kBegin;
using sim::Wire;
using support::Octets;

namespace {

Duration us(std::int64_t n) {
  return Duration::from_us(n);
}

}  // namespace

TEST_CASE("events run in order of time, and those of one instant in the order of scheduling",
          "[sim][clock]") {
  struct Recorder final : drivers::SimActor {
    void on_event(std::uint64_t token, Instant now) override { seen.emplace_back(token, now); }
    std::vector<std::pair<std::uint64_t, Instant>> seen;
  } recorder;
  SimClock clock(kBegin);
  clock.schedule(kBegin + us(5), recorder, 3);
  clock.schedule(kBegin + us(2), recorder, 1);
  clock.schedule(kBegin + us(5), recorder, 4);
  clock.schedule(kBegin + us(2), recorder, 2);
  clock.schedule(Instant::never(), recorder, 9);
  clock.run_until(kBegin + us(5));
  const decltype(recorder.seen) expected = {
      {1, kBegin + us(2)}, {2, kBegin + us(2)}, {3, kBegin + us(5)}, {4, kBegin + us(5)}};
  CHECK(recorder.seen == expected);
  CHECK_FALSE(clock.step());
  clock.run_until(kBegin + us(50));
  CHECK(clock.now() == kBegin + us(50));
}

TEST_CASE("an event of the past runs now", "[sim][clock]") {
  struct Recorder final : drivers::SimActor {
    void on_event(std::uint64_t, Instant now) override { seen = now; }
    Instant seen;
  } recorder;
  SimClock clock(kBegin);
  clock.schedule(Instant::from_ns(1), recorder);
  REQUIRE(clock.step());
  CHECK(recorder.seen == kBegin);
}

TEST_CASE("a link without faults delivers every frame after its delay, unchanged", "[sim][link]") {
  Wire wire({.delay = us(100)});
  wire.send_many(20, 300);
  wire.run();
  REQUIRE(wire.arrivals.size() == 20);
  for (std::size_t i = 0; i < 20; ++i) {
    CHECK(wire.arrivals[i].when == kBegin + us(100));
    CHECK(wire.arrivals[i].octets == support::pattern(300, i));
  }
  CHECK(wire.link->in_flight() == 0);
  support::require_pools_full(wire.pools);
}

TEST_CASE("a frame takes its bits over the rate to leave, one after the other", "[sim][link]") {
  Wire wire({.delay = us(10), .bits_per_second = 1'000'000});
  wire.send_many(3, 125);  // 1,000 bits: 1 ms each
  wire.run();
  REQUIRE(wire.arrivals.size() == 3);
  for (int i = 0; i < 3; ++i)
    CHECK(wire.arrivals[static_cast<std::size_t>(i)].when == kBegin + us(1000 * (i + 1) + 10));
}

TEST_CASE("octets beyond the queue's bound are dropped, and counted", "[sim][link]") {
  Wire wire({.bits_per_second = 1'000'000, .queue_bytes = 1000});
  wire.send_many(12, 250);
  wire.run();
  CHECK(wire.arrivals.size() == 4);
  CHECK(wire.link->count(FrameFate::kQueueFull) == 8);
  support::require_pools_full(wire.pools);
}

TEST_CASE("a full transmit ring leaves frames with the caller until one has left", "[sim][port]") {
  Wire wire({.bits_per_second = 1'000'000}, 1, {.tx_ring_frames = 2});
  REQUIRE(wire.send(support::pattern(125)));
  REQUIRE(wire.send(support::pattern(125)));
  CHECK_FALSE(wire.send(support::pattern(125)));
  CHECK(wire.link->port(0).tx_ready_at(wire.clock.now()) == kBegin + us(1000));
  wire.clock.run_until(kBegin + us(1000));
  CHECK(wire.link->port(0).tx_ready_at(wire.clock.now()) == wire.clock.now());
  CHECK(wire.send(support::pattern(125)));
  wire.run();
  CHECK(wire.arrivals.size() == 3);
  support::require_pools_full(wire.pools);
}

TEST_CASE("chances of nought and one are exact, others come near their ratio", "[sim][link]") {
  constexpr std::uint64_t kFrames = 20'000;
  const auto lost_of = [&](drivers::Ratio loss) {
    Wire wire({.loss = loss}, 7);
    for (std::uint64_t i = 0; i < kFrames; ++i) {
      REQUIRE(wire.send(support::pattern(60)));
      if (i % 100 == 0) wire.run();
    }
    wire.run();
    CHECK(wire.arrivals.size() + wire.link->count(FrameFate::kLost) == kFrames);
    return wire.link->count(FrameFate::kLost);
  };
  CHECK(lost_of({0, 1}) == 0);
  CHECK(lost_of({1, 1}) == kFrames);
  const std::uint64_t fifth = lost_of({1, 5});  // mean 4,000, deviation 57
  CHECK(fifth > 3'715);
  CHECK(fifth < 4'285);
}

TEST_CASE("jitter keeps the order of frames and reordering breaks it", "[sim][link]") {
  const auto is_in_order = [](const LinkOptions& options) {
    Wire wire(options, 3);
    for (std::size_t i = 0; i < 200; ++i) {
      REQUIRE(wire.send(support::pattern(60, i)));
      wire.clock.run_until(wire.clock.now() + us(10));
    }
    wire.run();
    REQUIRE(wire.arrivals.size() == 200);
    for (std::size_t i = 0; i < 200; ++i)
      if (wire.arrivals[i].octets != support::pattern(60, i)) return false;
    return true;
  };
  CHECK(is_in_order({.delay = us(100), .jitter = us(1000)}));
  CHECK_FALSE(is_in_order({.delay = us(100), .reorder = {1, 4}, .reorder_delay = us(200)}));
}

TEST_CASE("a duplicated frame arrives twice, with the same octets", "[sim][link]") {
  Wire wire({.duplicate = {1, 1}});
  REQUIRE(wire.send(support::pattern(100)));
  wire.run();
  REQUIRE(wire.arrivals.size() == 2);
  CHECK(wire.arrivals[0].octets == wire.arrivals[1].octets);
  support::require_pools_full(wire.pools);
}

TEST_CASE("corruption changes a frame, and the Internet checksum always finds it", "[sim][link]") {
  Wire wire({.corrupt = {1, 1}}, 11);
  support::TcpFrame frame;
  frame.payload = support::pattern(400);
  const Octets sent = support::build(frame);
  for (int i = 0; i < 3000; ++i) {
    REQUIRE(wire.send(sent));
    wire.run();
  }
  REQUIRE(wire.arrivals.size() == 3000);
  std::size_t unseen = 0;
  for (const Arrival& arrival : wire.arrivals) {
    REQUIRE(arrival.octets.size() == sent.size());
    REQUIRE(arrival.octets != sent);
    const auto parsed = support::parse_frame(arrival.octets);
    if (parsed && parsed->tcp && parsed->is_ip_checksum_right &&
        parsed->is_payload_checksum_right &&
        !std::equal(sent.begin() + wire::kEthernetHeader, sent.end(),
                    arrival.octets.begin() + wire::kEthernetHeader))
      ++unseen;
  }
  CHECK(unseen == 0);
}

TEST_CASE("frames longer than the MTU do not pass", "[sim][link]") {
  drivers::SimPortOptions port;
  port.capabilities.mtu = 576;
  Wire wire({}, 1, port);
  REQUIRE(wire.send(support::pattern(14 + 576)));
  REQUIRE(wire.send(support::pattern(14 + 577)));
  wire.run();
  CHECK(wire.arrivals.size() == 1);
  CHECK(wire.link->count(FrameFate::kTooLong) == 1);
}

TEST_CASE("the same seed gives the same arrivals, another seed others", "[sim][link]") {
  const LinkOptions options{.delay = us(100),
                            .jitter = us(50),
                            .bits_per_second = 10'000'000,
                            .loss = {1, 10},
                            .duplicate = {1, 10},
                            .corrupt = {1, 10},
                            .reorder = {1, 10},
                            .reorder_delay = us(500)};
  const auto arrivals_of = [&](std::uint64_t seed) {
    Wire wire(options, seed);
    for (std::size_t i = 0; i < 300; ++i) {
      REQUIRE(wire.send(support::pattern(60 + i, i)));
      wire.clock.run_until(wire.clock.now() + us(40));
    }
    wire.run();
    return wire.arrivals;
  };
  const auto first = arrivals_of(42);
  CHECK(arrivals_of(42) == first);
  CHECK(arrivals_of(43) != first);
}

TEST_CASE("a frame that finds the receive ring full, or the pool empty, is dropped and counted",
          "[sim][port]") {
  Wire wire({}, 1, {.rx_ring_frames = 4});
  wire.send_many(6, 60);
  for (int i = 0; i < 6; ++i) wire.clock.step();  // arrivals; nobody has polled yet
  CHECK(wire.link->count(FrameFate::kRingFull) == 2);
  std::vector<packet::PacketPtr> hoard;
  while (rte_mbuf* const mbuf = rte_pktmbuf_alloc(&wire.pools.receive())) hoard.emplace_back(mbuf);
  wire.run();
  CHECK(wire.arrivals.empty());
  CHECK(wire.link->count(FrameFate::kNoBuffer) == 4);
  hoard.clear();
  support::require_pools_full(wire.pools);
}

TEST_CASE("a port with checksum offload fills in what the sender left to it", "[sim][port]") {
  drivers::SimPortOptions port;
  port.capabilities.tx_ipv4_checksum = port.capabilities.tx_tcp_checksum = true;
  Wire wire({}, 1, port);
  support::TcpFrame frame;
  frame.payload = support::pattern(101);
  const Octets right = support::build(frame);
  frame.ip_checksum = frame.tcp_checksum = support::ChecksumField::kZero;
  packet::PacketPtr packet = support::make_packet(wire.pools.receive(), support::build(frame));
  packet->ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM;
  packet->l2_len = 14;
  packet->l3_len = 20;
  packet->l4_len = 20;
  rte_mbuf* frames[] = {packet.release()};
  REQUIRE(wire.link->port(0).tx_burst(frames, wire.clock.now()) == 1);
  wire.run();
  REQUIRE(wire.arrivals.size() == 1);
  CHECK(wire.arrivals[0].octets == right);
}

TEST_CASE("a port with TSO makes the frames of a train that its segments would have been",
          "[sim][port]") {
  constexpr std::uint16_t kSize = 100;
  drivers::SimPortOptions port;
  port.capabilities.tx_ipv4_checksum = port.capabilities.tx_tcp_checksum = true;
  port.capabilities.tx_multi_segment = port.capabilities.tx_tso = true;
  Wire wire({.bits_per_second = 8'000'000}, 1, port);
  support::TcpFrame frame;
  frame.tcp.flags = wire::kAck | wire::kPsh;
  frame.payload = support::pattern(250);
  Octets octets = support::build(frame);
  auto* const ip = reinterpret_cast<rte_ipv4_hdr*>(octets.data() + 14);
  ip->hdr_checksum = 0;
  const std::uint16_t pseudo = rte_ipv4_phdr_cksum(ip, RTE_MBUF_F_TX_TCP_SEG);
  std::memcpy(octets.data() + 34 + 16, &pseudo, sizeof pseudo);
  packet::PacketPtr packet = support::make_packet(wire.pools.receive(), octets);
  packet->ol_flags =
      RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_TCP_SEG;
  packet->l2_len = 14;
  packet->l3_len = 20;
  packet->l4_len = 20;
  packet->tso_segsz = kSize;
  rte_mbuf* frames[] = {packet.release()};
  REQUIRE(wire.link->port(0).tx_burst(frames, wire.clock.now()) == 1);
  wire.run();
  REQUIRE(wire.arrivals.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    const auto parsed = support::parse_frame(wire.arrivals[i].octets);
    REQUIRE(parsed);
    CHECK(parsed->is_ip_checksum_right);
    CHECK(parsed->is_payload_checksum_right);
    CHECK(parsed->tcp->seq == frame.tcp.seq + static_cast<std::uint32_t>(i) * kSize);
    CHECK(parsed->tcp->has(wire::kPsh) == (i == 2));
    CHECK(parsed->payload == support::pattern(i == 2 ? 50 : kSize, i * kSize));
  }
  CHECK(wire.arrivals[0].when < wire.arrivals[1].when);
  support::require_pools_full(wire.pools);
}

TEST_CASE("a port with receive offload says which checksums are right", "[sim][port]") {
  support::TcpFrame frame;
  frame.payload = support::pattern(33);
  CHECK(drivers::received_checksum_flags(support::build(frame)) ==
        (RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD));
  frame.tcp_checksum = support::ChecksumField::kWrong;
  CHECK(drivers::received_checksum_flags(support::build(frame)) ==
        (RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_BAD));
  frame.ip_checksum = support::ChecksumField::kWrong;
  CHECK(drivers::received_checksum_flags(support::build(frame)) == RTE_MBUF_F_RX_IP_CKSUM_BAD);
  CHECK(drivers::received_checksum_flags(support::pattern(20)) == 0);
}

TEST_CASE("an injected frame arrives when and where it was told to", "[sim][link]") {
  Wire wire({.delay = us(100), .loss = {1, 1}});
  wire.link->inject(1, support::pattern(64), kBegin + us(7));
  wire.run();
  REQUIRE(wire.arrivals.size() == 1);
  CHECK(wire.arrivals[0].when == kBegin + us(7));
}

TEST_CASE("the canary's port changes payload so that no checksum tells", "[sim][canary]") {
  Wire wire({});
  sim::TamperPort tamper(wire.link->port(1), 1);
  support::TcpFrame frame;
  frame.payload = support::pattern(400);
  const Octets sent = support::build(frame);
  wire.link->inject(1, sent, kBegin);
  REQUIRE(wire.clock.step());
  std::array<rte_mbuf*, 4> burst;
  REQUIRE(tamper.rx_burst(burst, kBegin) == 1);
  const packet::PacketPtr packet(burst[0]);
  const Octets got = support::octets_of(*packet);
  CHECK(got != sent);
  const auto parsed = support::parse_frame(got);
  REQUIRE(parsed);
  CHECK(parsed->is_payload_checksum_right);
}

TEST_CASE("stream content is one function of key and offset, however it is cut", "[sim][content]") {
  const sim::Content content(99);
  Octets whole(1000);
  content.fill(12'345, whole);
  for (std::size_t cut : {1u, 7u, 8u, 500u}) {
    Octets rest(whole.size() - cut);
    content.fill(12'345 + cut, rest);
    CHECK(std::equal(rest.begin(), rest.end(), whole.begin() + static_cast<std::ptrdiff_t>(cut)));
  }
  CHECK(content.matches(12'345, whole));
  CHECK_FALSE(content.matches(12'346, whole));
  CHECK_FALSE(sim::Content(98).matches(12'345, whole));
}

TEST_CASE("a seed always draws the same world", "[sim][parameters]") {
  CHECK(sim::describe(sim::draw_world(5)) == sim::describe(sim::draw_world(5)));
  CHECK(sim::describe(sim::draw_world(5)) != sim::describe(sim::draw_world(6)));
}
