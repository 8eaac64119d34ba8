#include "runtime/steering.hpp"

#include <catch2/catch.hpp>
#include <set>

#include "base/rng.hpp"
#include "runtime/ports.hpp"
#include "tests/support/mbuf_pool.hpp"
#include "tests/support/packet_builder.hpp"

namespace sluice::runtime {
namespace {

using support::Octets;
using Kind = Sight::Kind;

const HashKey kKey{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};

/// The key and the flows of Microsoft's "Verifying the RSS hash calculation", which drivers cite.
const std::vector<std::uint8_t> kVerificationKey = {
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
    0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
    0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

packet::RssState rss(unsigned queues, std::size_t entries = 128) {
  packet::RssState state;
  state.kind = packet::RssState::Kind::kProgrammed;
  state.sets_hash = true;
  state.key = kVerificationKey;
  for (std::size_t entry = 0; entry < entries; ++entry)
    state.reta.push_back(static_cast<std::uint16_t>(entry % queues));
  return state;
}

SpreadPort port(const packet::RssState& state, unsigned queues, unsigned workers) {
  return {state, queue_owners(0, queues, workers)};
}

struct Flow {
  Ipv4Addr remote = Ipv4Addr::from_octets(10, 0, 0, 1);
  Ipv4Addr local = Ipv4Addr::from_octets(10, 0, 0, 2);
  Port remote_port{40000};
  Port local_port{80};

  tcp::FlowKey key() const { return {local, remote, local_port, remote_port}; }
  support::TcpFrame frame() const {
    support::TcpFrame made;
    made.ip.source = remote;
    made.ip.destination = local;
    made.tcp.source = remote_port;
    made.tcp.destination = local_port;
    made.tcp.flags = wire::kAck;
    return made;
  }
  /// What we sent of it, as an IP packet.
  Octets sent() const {
    support::TcpFrame made;
    made.ip.source = local;
    made.ip.destination = remote;
    made.tcp.source = local_port;
    made.tcp.destination = remote_port;
    return support::ip_packet_of(support::build(made));
  }
};

Flow random_flow(Rng& rng) {
  return {Ipv4Addr{static_cast<std::uint32_t>(rng.next())},
          Ipv4Addr{static_cast<std::uint32_t>(rng.next())},
          Port{static_cast<std::uint16_t>(rng.next())},
          Port{static_cast<std::uint16_t>(rng.next())}};
}

struct Eyes {
  support::TestPools pools;
  Sight see(const Steering& steering, const Octets& frame) {
    return steering.look_at(*support::make_packet(pools.receive(), frame));
  }
};

TEST_CASE("Toeplitz gives the hashes that Microsoft published", "[runtime][steering]") {
  Eyes eyes;
  const Steering steering(kKey, 4, ToeplitzTable::of(rss(4), queue_owners(0, 4, 4)));
  struct Vector {
    Flow flow;
    std::uint32_t hash;
  };
  const Vector vectors[] = {
      {{Ipv4Addr::from_octets(66, 9, 149, 187), Ipv4Addr::from_octets(161, 142, 100, 80),
        Port{2794}, Port{1766}},
       0x51ccc178},
      {{Ipv4Addr::from_octets(199, 92, 111, 2), Ipv4Addr::from_octets(65, 69, 140, 83), Port{14230},
        Port{4739}},
       0xc626b0ea},
      {{Ipv4Addr::from_octets(24, 19, 198, 95), Ipv4Addr::from_octets(12, 22, 207, 184),
        Port{12898}, Port{38024}},
       0x5c2b394a},
  };
  for (const Vector& vector : vectors) {
    const Sight sight = eyes.see(steering, support::build(vector.flow.frame()));
    CHECK(sight.kind == Kind::kSegment);
    CHECK(sight.hash == vector.hash);
    CHECK(sight.worker == vector.hash % 128 % 4);
  }
}

TEST_CASE("a flow has one owner, whatever of it is seen, and owners share the flows evenly",
          "[runtime][steering]") {
  Eyes eyes;
  constexpr unsigned kWorkers = 4;
  const bool is_toeplitz = GENERATE(false, true);
  const Steering steering =
      is_toeplitz ? Steering(kKey, kWorkers,
                             ToeplitzTable::of(rss(kWorkers), queue_owners(0, kWorkers, kWorkers)))
                  : Steering(kKey, kWorkers);
  Rng rng(7);
  std::array<unsigned, kWorkers> flows{};
  for (int i = 0; i < 4000; ++i) {
    const Flow flow = random_flow(rng);
    const std::uint16_t owner = steering.owner_of(flow.key());
    REQUIRE(owner < kWorkers);
    ++flows[owner];
    support::TcpFrame frame = flow.frame();
    switch (i % 4) {
      case 1:
        frame.payload = support::pattern(900);
        break;
      case 2:
        frame.ethernet.has_vlan = true;
        frame.ethernet.vlan_tci = 0x2005;
        break;
      case 3:
        frame.ip_options = support::octets({1, 1, 1, 0});
        break;
    }
    const Sight sight = eyes.see(steering, support::build(frame));
    REQUIRE(sight.kind == Kind::kSegment);
    REQUIRE(sight.worker == owner);

    support::IcmpFrame error;
    error.ip.source = Ipv4Addr::from_octets(10, 9, 9, 9);  // a router on the way
    error.icmp.type = wire::icmp_type::kUnreachable;
    error.icmp.code = wire::icmp_unreachable::kFragmentationNeeded;
    error.data = flow.sent();
    error.data.resize(28);
    const Sight related = eyes.see(steering, support::build(error));
    REQUIRE(related.kind == Kind::kRelated);
    REQUIRE(related.worker == owner);
  }
  for (const unsigned count : flows) CHECK((count > 850 && count < 1150));
}

TEST_CASE("another key spreads flows another way", "[runtime][steering]") {
  HashKey other = kKey;
  other.octets[0] ^= 1;
  const Steering one(kKey, 2), two(other, 2);
  Rng rng(3);
  unsigned same = 0;
  for (int i = 0; i < 1000; ++i) {
    const tcp::FlowKey flow = random_flow(rng).key();
    same += one.owner_of(flow) == two.owner_of(flow);
  }
  CHECK((same > 430 && same < 570));
}

TEST_CASE("all fragments of a datagram come together, those of others elsewhere",
          "[runtime][steering]") {
  Eyes eyes;
  const Steering steering(kKey, 4);
  std::set<std::uint16_t> owners;
  for (std::uint16_t id = 0; id < 64; ++id) {
    support::Ipv4Frame frame;
    frame.ip.identification = id;
    frame.ip.dont_fragment = false;
    frame.ip.more_fragments = true;
    const Sight first = eyes.see(
        steering, support::build_ipv4(frame, wire::ip_protocol::kTcp, support::pattern(64)));
    frame.ip.more_fragments = false;
    frame.ip.fragment_offset = 64;
    const Sight last = eyes.see(
        steering, support::build_ipv4(frame, wire::ip_protocol::kTcp, support::pattern(64, 9)));
    CHECK(first.kind == Kind::kRelated);
    CHECK(last.kind == Kind::kRelated);
    CHECK(first.worker == last.worker);
    owners.insert(first.worker);
  }
  CHECK(owners.size() == 4);
}

TEST_CASE("ARP replies concern all; what has no flow stays with whoever has it",
          "[runtime][steering]") {
  Eyes eyes;
  const Steering steering(kKey, 4);
  support::ArpFrame arp;
  arp.arp.operation = wire::ArpOperation::kReply;
  CHECK(eyes.see(steering, support::build(arp)).kind == Kind::kAll);
  arp.arp.operation = wire::ArpOperation::kRequest;
  CHECK(eyes.see(steering, support::build(arp)).kind == Kind::kAnyone);

  support::IcmpFrame echo;
  echo.icmp.type = wire::icmp_type::kEchoRequest;
  echo.data = Flow{}.sent();  // looks like a quotation, and is none
  CHECK(eyes.see(steering, support::build(echo)).kind == Kind::kAnyone);
  support::IcmpFrame udp_error;
  udp_error.icmp.type = wire::icmp_type::kUnreachable;
  udp_error.data = Flow{}.sent();
  udp_error.data[9] = std::byte{17};
  CHECK(eyes.see(steering, support::build(udp_error)).kind == Kind::kAnyone);

  // Every front of a segment and of an error is survived; too short a one has no owner.
  support::IcmpFrame error = udp_error;
  error.data = Flow{}.sent();
  for (const Octets& whole : {support::build(Flow{}.frame()), support::build(error)}) {
    for (std::size_t length = 1; length < whole.size(); ++length) {
      const Octets front(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
      const Sight sight = eyes.see(steering, front);
      CHECK(sight.worker < 4);
      if (length < 14 + 20 + 4) CHECK(sight.kind == Kind::kAnyone);
    }
  }
  Octets bad = support::build(Flow{}.frame());
  bad[14] = std::byte{0x41};  // a header of four octets
  CHECK(eyes.see(steering, bad).kind == Kind::kAnyone);
  bad[14] = std::byte{0x65};
  CHECK(eyes.see(steering, bad).kind == Kind::kAnyone);
}

TEST_CASE("headers that lie scattered over mbufs are seen", "[runtime][steering]") {
  Eyes eyes;
  const Steering steering(kKey, 4);
  const Octets whole = support::build(Flow{}.frame());
  const std::vector<std::byte> parts[] = {{whole.begin(), whole.begin() + 20},
                                          {whole.begin() + 20, whole.end()}};
  const auto packet = support::make_packet(eyes.pools.receive(), parts);
  CHECK(steering.look_at(*packet).worker == steering.owner_of(Flow{}.key()));
}

TEST_CASE("a worker's home are the flows that it owns", "[runtime][steering]") {
  const Steering steering(kKey, 3);
  const WorkerHome homes[] = {{steering, 0}, {steering, 1}, {steering, 2}};
  Rng rng(11);
  for (int i = 0; i < 200; ++i) {
    const tcp::FlowKey flow = random_flow(rng).key();
    for (unsigned worker = 0; worker < 3; ++worker)
      CHECK(homes[worker].is_home(flow) == (steering.owner_of(flow) == worker));
  }
}

// --- which hash a runtime has ---

TEST_CASE("a port's own hash serves the runtime only if it reaches every worker and sees ports",
          "[runtime][steering]") {
  const auto is_hardware = [](const packet::RssState& state, unsigned queues, unsigned workers) {
    const SpreadPort one[] = {port(state, queues, workers)};
    return choose_steering(kKey, workers, one).is_toeplitz();
  };
  CHECK(is_hardware(rss(4), 4, 4));
  CHECK_FALSE(is_hardware(rss(2), 2, 4));  // two workers would have no flow
  CHECK_FALSE(is_hardware({}, 4, 4));
  packet::RssState state = rss(4);
  state.hashes_ports = false;
  CHECK_FALSE(is_hardware(state, 4, 4));
  state = rss(4);
  state.key.resize(15);
  CHECK_FALSE(is_hardware(state, 4, 4));
  state = rss(4);
  state.reta[5] = 9;  // a queue that is not there
  CHECK_FALSE(is_hardware(state, 4, 4));
}

TEST_CASE("one hash for all ports: those that agree with it are trusted, the others are not",
          "[runtime][steering]") {
  packet::RssState fixed = rss(2);
  fixed.kind = packet::RssState::Kind::kFixed;
  fixed.key[3] ^= 1;
  packet::RssState large = rss(2, 512);
  packet::RssState odd = rss(2);
  odd.reta[127] = 0;
  const SpreadPort ports[] = {port(fixed, 2, 2), port(rss(2), 2, 2), port(large, 2, 2),
                              port(odd, 2, 2), port({}, 1, 2)};
  const Steering steering = choose_steering(kKey, 2, ports);
  CHECK(steering.table().key == kVerificationKey);  // ours goes before one that was found
  using stack::PortSteering;
  CHECK(steering_of(steering, 2, ports[0]) == PortSteering::kSoftware);
  CHECK(steering_of(steering, 2, ports[1]) == PortSteering::kProgrammed);
  CHECK(steering_of(steering, 2, ports[2]) == PortSteering::kProgrammed);
  CHECK(steering_of(steering, 2, ports[3]) == PortSteering::kSoftware);
  CHECK(steering_of(steering, 2, ports[4]) == PortSteering::kSoftware);
  CHECK(steering_of(steering, 1, ports[1]) == PortSteering::kOneWorker);
  const Steering learnt = choose_steering(kKey, 2, std::span(ports).first(1));
  CHECK(steering_of(learnt, 2, ports[0]) == PortSteering::kFixed);
}

TEST_CASE("a table of 512 entries over three queues does not repeat one of 128",
          "[runtime][steering]") {
  const auto small = ToeplitzTable::of(rss(3), queue_owners(0, 3, 3));
  const auto large = ToeplitzTable::of(rss(3, 512), queue_owners(0, 3, 3));
  CHECK(small.agrees_with(small));
  CHECK_FALSE(small.agrees_with(large));
  CHECK_FALSE(large.agrees_with(small));
}

TEST_CASE("queues go to workers in turn, from where the device before ended",
          "[runtime][steering]") {
  using Owners = std::vector<std::uint16_t>;
  CHECK(queue_owners(0, 4, 4) == Owners{0, 1, 2, 3});
  CHECK(queue_owners(2, 1, 4) == Owners{2});
  CHECK(queue_owners(3, 2, 4) == Owners{3, 0});
}

}  // namespace
}  // namespace sluice::runtime
