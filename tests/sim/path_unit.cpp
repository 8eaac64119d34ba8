// What a path does beyond single faults: bursts, policing, marks, changes, routers, filters.

#include <catch2/catch.hpp>

#include "drivers/sim/router.hpp"
#include "tests/sim/rejoiner.hpp"
#include "tests/sim/wire_rig.hpp"
#include "tests/support/require_pools_full.hpp"
#include "wire/icmp.hpp"

using namespace sluice;
using drivers::Ecn;
using drivers::FrameFate;
using drivers::LinkOptions;
using sim::kBegin;
using sim::Wire;
using support::Octets;

namespace {

Duration us(std::int64_t n) {
  return Duration::from_us(n);
}

Octets tcp_frame(Ecn ecn, std::size_t payload = 400) {
  support::TcpFrame frame;
  frame.ip.traffic_class = static_cast<std::uint8_t>(0xb8 | static_cast<unsigned>(ecn));
  frame.payload = support::pattern(payload);
  return support::build(frame);
}

/// Lengths of the runs of frames that did not come, of `count` sent one by one.
std::vector<std::size_t> losses_in_runs(const LinkOptions& options, std::size_t count) {
  Wire wire(options, 5);
  std::vector<std::size_t> runs;
  bool was_lost = false;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t before = wire.arrivals.size();
    REQUIRE(wire.send(support::pattern(60)));
    wire.run();
    const bool is_lost = wire.arrivals.size() == before;
    if (is_lost && was_lost) ++runs.back();
    if (is_lost && !was_lost) runs.push_back(1);
    was_lost = is_lost;
  }
  return runs;
}

}  // namespace

TEST_CASE("bursts of loss are as long and as frequent as the two-state chain says", "[sim][path]") {
  const auto runs = losses_in_runs(
      {.burst_loss = {.turns_bad = {1, 100}, .turns_good = {1, 8}, .loss_when_bad = {1, 1}}},
      20'000);
  std::size_t lost = 0;
  for (const std::size_t run : runs) lost += run;
  // A good spell lasts 100 frames on average and a bad one 8: 185 bursts, give or take 14.
  CHECK(runs.size() > 140);
  CHECK(runs.size() < 230);
  CHECK(lost / runs.size() >= 6);
  CHECK(lost / runs.size() <= 10);
}

TEST_CASE("a path that never turns bad loses nothing by bursts", "[sim][path]") {
  CHECK(losses_in_runs({.burst_loss = {.loss_when_bad = {1, 1}}}, 500).empty());
}

TEST_CASE("a policer drops what exceeds its burst, and lets the rate pass", "[sim][path]") {
  Wire wire({.policer = {.bits_per_second = 1'000'000, .burst_bytes = 1000}});
  wire.send_many(6, 250);
  CHECK(wire.link->count(FrameFate::kPoliced) == 2);
  wire.run();
  CHECK(wire.arrivals.size() == 4);  // at once: a policer keeps nothing
  for (const auto& arrival : wire.arrivals) CHECK(arrival.when == kBegin);
  wire.clock.run_until(kBegin + us(1999));  // 250 octets are worth 2,000 us
  REQUIRE(wire.send(support::pattern(250)));
  CHECK(wire.link->count(FrameFate::kPoliced) == 3);
  wire.clock.run_until(kBegin + us(2000));
  REQUIRE(wire.send(support::pattern(250)));
  CHECK(wire.link->count(FrameFate::kPoliced) == 3);
  wire.run();
  support::require_pools_full(wire.pools);
}

TEST_CASE("a step marks every ECN-capable frame that finds so much waiting",
          "[sim][path][rfc8257]") {
  Wire wire({.bits_per_second = 1'000'000, .marking = {.first_bytes = 1000, .last_bytes = 1000}});
  const Octets sent = tcp_frame(Ecn::kEct0, 446);  // 500 octets
  REQUIRE(sent.size() == 500);
  for (int i = 0; i < 4; ++i) REQUIRE(wire.send(sent));
  REQUIRE(wire.send(tcp_frame(Ecn::kNotEct, 446)));
  wire.run();
  REQUIRE(wire.arrivals.size() == 5);
  CHECK(wire.link->count(FrameFate::kMarked) == 2);
  for (std::size_t i = 0; i < 4; ++i) {
    const auto frame = support::parse_frame(wire.arrivals[i].octets);
    REQUIRE(frame);
    CHECK(frame->is_ip_checksum_right);
    CHECK(frame->ip->traffic_class == (i < 2 ? 0xba : 0xbb));
  }
  CHECK(drivers::ecn_of(wire.arrivals[4].octets) == Ecn::kNotEct);
}

TEST_CASE("a queue that cannot mark a frame drops it early, if it is told to", "[sim][path]") {
  Wire wire({.bits_per_second = 1'000'000,
             .marking = {.first_bytes = 1000, .last_bytes = 1000, .drops_others = true}});
  for (int i = 0; i < 3; ++i) REQUIRE(wire.send(tcp_frame(Ecn::kNotEct, 446)));
  REQUIRE(wire.send(tcp_frame(Ecn::kEct1, 446)));
  wire.run();
  CHECK(wire.link->count(FrameFate::kEarlyDrop) == 1);
  CHECK(wire.link->count(FrameFate::kMarked) == 1);
  CHECK(wire.arrivals.size() == 3);
  support::require_pools_full(wire.pools);
}

TEST_CASE("on the ramp marks grow likelier with the queue", "[sim][path]") {
  // Below 10 frames none, from 110 on all, between them up to one in two.
  Wire wire({.bits_per_second = 1'000'000'000,
             .marking = {.first_bytes = 5000, .last_bytes = 55'000, .most_between = {1, 2}}},
            9);
  std::array<std::uint64_t, 4> marks{};
  const Octets sent = tcp_frame(Ecn::kEct0, 446);
  for (int round = 0; round < 40; ++round) {
    for (std::size_t i = 0; i < 120; ++i) {
      const std::uint64_t before = wire.link->count(FrameFate::kMarked);
      REQUIRE(wire.send(sent));
      const std::size_t part = i < 10 ? 0 : i < 60 ? 1 : i < 110 ? 2 : 3;
      marks[part] += wire.link->count(FrameFate::kMarked) - before;
    }
    wire.run();
  }
  CHECK(marks[0] == 0);
  CHECK(marks[1] > 150);  // 2,000 frames at an eighth on average
  CHECK(marks[1] < 350);
  CHECK(marks[2] > 600);  // at three eighths
  CHECK(marks[2] < 900);
  CHECK(marks[3] == 400);
}

TEST_CASE("the mark of an IPv6 packet lies in its traffic class", "[sim][path]") {
  Octets frame(14 + 40);
  frame[12] = std::byte{0x86}, frame[13] = std::byte{0xdd};
  frame[14] = std::byte{0x6b}, frame[15] = std::byte{0x2a};  // class 0xb2, flow label 0xa....
  CHECK(drivers::ecn_of(frame) == Ecn::kEct0);
  drivers::mark_congestion(frame);
  CHECK(drivers::ecn_of(frame) == Ecn::kCe);
  CHECK(frame[14] == std::byte{0x6b});
  CHECK(frame[15] == std::byte{0x3a});
  CHECK(drivers::ecn_of(support::octets({1, 2, 3})) == Ecn::kNotEct);
}

TEST_CASE("jitter of a path that reorders lets later frames overtake", "[sim][path]") {
  Wire wire({.delay = us(100), .jitter = us(1000), .jitter_reorders = true}, 3);
  for (std::size_t i = 0; i < 50; ++i) REQUIRE(wire.send(support::pattern(60, i)));
  wire.run();
  REQUIRE(wire.arrivals.size() == 50);
  std::size_t out_of_place = 0;
  for (std::size_t i = 0; i < 50; ++i)
    out_of_place += wire.arrivals[i].octets != support::pattern(60, i) ? 1u : 0u;
  CHECK(out_of_place > 25);
}

TEST_CASE("a path changes at its time, and its frames overtake those on the old one",
          "[sim][path]") {
  Wire wire({.delay = us(1000)});
  wire.link->change_path(kBegin + us(100), 0, {.delay = us(50), .mtu = 600});
  REQUIRE(wire.send(support::pattern(800)));
  wire.clock.run_until(kBegin + us(100));
  REQUIRE(wire.send(support::pattern(500)));
  REQUIRE(wire.send(support::pattern(700)));
  wire.run();
  REQUIRE(wire.arrivals.size() == 2);
  CHECK(wire.arrivals[0].when == kBegin + us(150));
  CHECK(wire.arrivals[0].octets.size() == 500);
  CHECK(wire.arrivals[1].when == kBegin + us(1000));
  CHECK(wire.link->count(FrameFate::kTooLong) == 1);
}

TEST_CASE("a transmit ring that filled on a slow path empties in order on a fast one",
          "[sim][path]") {
  Wire wire({.bits_per_second = 1'000'000}, 1, {.tx_ring_frames = 2});
  wire.link->change_path(kBegin + us(1), 0, {.bits_per_second = 100'000'000});
  REQUIRE(wire.send(support::pattern(125)));  // 1,000 us
  wire.clock.run_until(kBegin + us(1));
  REQUIRE(wire.send(support::pattern(125)));  // 10 us
  CHECK_FALSE(wire.send(support::pattern(125)));
  const Instant ready = wire.link->port(0).tx_ready_at(wire.clock.now());
  REQUIRE(ready == kBegin + us(1000));
  wire.clock.run_until(ready);
  CHECK(wire.send(support::pattern(125)));
}

TEST_CASE("the two directions of a link have nothing in common", "[sim][path]") {
  Wire wire({.delay = us(100), .bits_per_second = 1'000'000, .loss = {1, 1}});
  REQUIRE(wire.send(support::pattern(125)));
  packet::PacketPtr packet = support::make_packet(wire.pools.receive(), support::pattern(90));
  rte_mbuf* frames[] = {packet.release()};
  REQUIRE(wire.link->port(1).tx_burst(frames, kBegin) == 1);
  wire.clock.run_until(kBegin);
  CHECK(wire.link->port(0).rx_waiting() == 1);
  wire.run();
  CHECK(wire.arrivals.empty());
  REQUIRE(wire.link->port(0).rx_burst(frames, wire.clock.now()) == 1);
  rte_pktmbuf_free(frames[0]);
}

TEST_CASE("a cut cable loses every frame until it is mended", "[sim][path]") {
  Wire wire({});
  wire.link->cut();
  wire.send_many(5, 60);
  wire.run();
  CHECK(wire.arrivals.empty());
  CHECK(wire.link->count(FrameFate::kLost) == 5);
  wire.link->mend();
  wire.send_many(2, 60);
  wire.run();
  CHECK(wire.arrivals.size() == 2);
}

TEST_CASE("a path that cuts makes fragments of what is too long", "[sim][path]") {
  Wire wire({.mtu = 600, .cuts = true});
  const Octets sent = tcp_frame(Ecn::kEct0, 1000);
  REQUIRE(wire.send(tcp_frame(Ecn::kEct0, 400)));
  REQUIRE(wire.send(sent));
  REQUIRE(wire.send(support::pattern(700)));  // not IPv4
  wire.run();
  CHECK(wire.link->count(FrameFate::kFragmented) == 1);
  CHECK(wire.link->count(FrameFate::kTooLong) == 1);
  CHECK(wire.link->in_flight() == 0);
  REQUIRE(wire.arrivals.size() == 3);
  sim::Rejoiner rejoiner;
  std::optional<Octets> whole;
  std::size_t next = 0;
  for (std::size_t i = 1; i < 3; ++i) {
    REQUIRE_FALSE(whole);
    const Octets& fragment = wire.arrivals[i].octets;
    CHECK(fragment.size() <= 14 + 600);
    const auto ip = wire::parse_ipv4(std::span(fragment).subspan(14));
    REQUIRE(ip);
    CHECK_FALSE(ip->dont_fragment);
    CHECK(ip->fragment_offset == next);
    CHECK(ip->more_fragments == (i == 1));
    CHECK(ip->traffic_class == 0xba);
    next += ip->payload_length();
    whole = rejoiner.on_arrived(1, fragment);
  }
  REQUIRE(whole);
  const auto before = support::parse_frame(sent), after = support::parse_frame(*whole);
  REQUIRE(after);
  CHECK(after->is_ip_checksum_right);
  CHECK(after->is_payload_checksum_right);
  CHECK(after->payload == before->payload);
}

TEST_CASE("a router says what fits its path, and a black hole says nothing",
          "[sim][path][rfc1191]") {
  const Ipv4Addr router = Ipv4Addr::from_octets(10, 0, 0, 254);
  const Octets sent = tcp_frame(Ecn::kNotEct, 1000);
  for (const bool is_black_hole : {false, true}) {
    LinkOptions options{.delay = us(10), .mtu = 600};
    if (!is_black_hole) options.router_ip = router;
    Wire wire(options);
    REQUIRE(wire.send(sent));
    wire.run();
    CHECK(wire.arrivals.empty());
    CHECK(wire.link->count(FrameFate::kTooLong) == 1);
    if (is_black_hole) {
      CHECK(wire.link->port(0).rx_waiting() == 0);
      continue;
    }
    rte_mbuf* answer[1];
    REQUIRE(wire.link->port(0).rx_burst(answer, wire.clock.now()) == 1);
    const packet::PacketPtr packet(answer[0]);
    const auto frame = support::parse_frame(support::octets_of(*packet));
    REQUIRE(frame);
    REQUIRE(frame->icmp);
    CHECK(frame->is_ip_checksum_right);
    CHECK(frame->is_payload_checksum_right);
    CHECK(frame->ip->source == router);
    CHECK(frame->ip->destination == Ipv4Addr::from_octets(10, 0, 0, 1));
    CHECK(frame->icmp->type == wire::icmp_type::kUnreachable);
    CHECK(frame->icmp->code == wire::icmp_unreachable::kFragmentationNeeded);
    CHECK(frame->icmp->next_hop_mtu() == 600);
    const Octets whole = support::ip_packet_of(sent);
    CHECK(std::equal(whole.begin(), whole.begin() + 28, frame->payload.begin()));
  }
}

TEST_CASE("nobody is told of what RFC 1122 forbids to answer", "[sim][path][rfc1122]") {
  const Ipv4Addr router = Ipv4Addr::from_octets(10, 0, 0, 254);
  support::TcpFrame tcp;
  tcp.payload = support::pattern(100);
  CHECK_FALSE(drivers::fragmentation_needed(support::build(tcp), router, 68).empty());
  tcp.ip.dont_fragment = false;
  CHECK(drivers::fragmentation_needed(support::build(tcp), router, 68).empty());
  support::IcmpFrame icmp;
  icmp.data = support::pattern(100);
  CHECK(drivers::fragmentation_needed(support::build(icmp), router, 68).empty());
  CHECK(drivers::fragmentation_needed(support::build(support::ArpFrame{}), router, 68).empty());
}

TEST_CASE("a filter rewrites, swallows and adds frames in its order", "[sim][path]") {
  struct Filter final : drivers::LinkFilter {
    void on_sent(unsigned, std::vector<Octets>& frames, Instant) override {
      ++seen;
      if (seen == 1) frames.clear();
      if (seen == 2) frames.insert(frames.begin(), support::pattern(70));
      if (seen == 3) frames[0] = support::pattern(80);
    }
    int seen = 0;
  } filter;
  Wire wire({}, 1, {}, &filter);
  wire.send_many(3, 60);
  wire.run();
  REQUIRE(wire.arrivals.size() == 3);
  CHECK(wire.arrivals[0].octets == support::pattern(70));
  CHECK(wire.arrivals[1].octets == support::pattern(60, 1));
  CHECK(wire.arrivals[2].octets == support::pattern(80));
  CHECK(wire.link->count(FrameFate::kSent) == 3);
  CHECK(wire.link->in_flight() == 0);
}
