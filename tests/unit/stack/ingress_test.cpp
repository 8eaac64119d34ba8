#include "stack/ingress.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <set>

#include "drivers/sim/router.hpp"
#include "tests/unit/stack/net_fixture.hpp"

namespace {

using namespace sluice;
using stack::NetFixture;
using support::ChecksumField;
using support::Octets;
using telemetry::Counter;
using telemetry::Outcome;

support::TcpFrame segment_frame() {
  support::TcpFrame frame;
  frame.tcp.source = Port{40000};
  frame.tcp.destination = Port{80};
  frame.tcp.flags = wire::kSyn;
  frame.payload = support::pattern(10);
  return frame;
}

support::ArpFrame arp_frame(wire::ArpOperation operation) {
  const support::Endpoints ends;
  support::ArpFrame frame;
  frame.ethernet = {.destination = MacAddr::broadcast(), .source = ends.source_mac};
  frame.arp = {operation, ends.source_mac, ends.source_ip, {}, ends.destination_ip};
  return frame;
}

support::IcmpFrame icmp_frame(std::uint8_t type, std::uint8_t code) {
  support::IcmpFrame frame;
  frame.icmp = {type, code, 0, 7};
  frame.data = support::pattern(40);
  return frame;
}

support::IcmpFrame error_about_us() {
  support::TcpFrame ours;
  std::swap(ours.ip.source, ours.ip.destination);
  ours.tcp.source = Port{80};
  ours.tcp.destination = Port{40000};
  ours.tcp.seq = wire::SeqNum(77);
  support::IcmpFrame frame = icmp_frame(wire::icmp_type::kUnreachable, 4);
  frame.icmp.rest = 1280;
  frame.data = support::ip_packet_of(support::build(ours));
  return frame;
}

/// One frame for each outcome that is decided below the engine.
struct Case {
  Outcome outcome;
  Octets frame;
  std::function<void(NetFixture&)> before = [](NetFixture&) {};
};

template <class Frame>
Octets with(Frame frame, const std::function<void(Frame&)>& change) {
  change(frame);
  return support::build(frame);
}
Octets ip_with(const std::function<void(support::Ipv4Frame&)>& change, std::uint8_t protocol = 6,
               std::size_t payload = 20) {
  support::Ipv4Frame frame;
  change(frame);
  return support::build_ipv4(frame, protocol, Octets(payload));
}
Octets ethernet_with(const std::function<void(wire::EthernetHeader&)>& change) {
  const support::Endpoints ends;
  wire::EthernetHeader header{.destination = ends.destination_mac,
                              .source = ends.source_mac,
                              .ether_type = wire::ether_type::kIpv4};
  change(header);
  Octets frame(60);
  wire::emit_ethernet(header, frame);
  return frame;
}
Octets patched(Octets frame, std::size_t offset, unsigned value) {
  frame[offset] = static_cast<std::byte>(value);
  return frame;
}

std::vector<Case> link_cases() {
  using wire::ArpOperation;
  const support::Endpoints ends;
  const auto ask_peer = [](NetFixture& fixture) {
    fixture.egress.send(fixture.make_segment(), fixture.now);
  };
  const auto pin_peer = [](NetFixture& fixture) {
    fixture.network.neighbors().add_static({0, fixture.ends.source_ip}, MacAddr{{2, 9, 9, 9, 9, 9}},
                                           fixture.egress.neighbor_sink(), fixture.now);
  };
  return {
      {Outcome::kEthTruncated, Octets(13)},
      {Outcome::kEthNotForUs, ethernet_with([](auto& h) { h.destination.octets[5] = 9; })},
      {Outcome::kEthMulticast, ethernet_with([](auto& h) {
         h.destination = {{1, 0, 0x5e, 0, 0, 1}};
       })},
      {Outcome::kEthUnknownType, ethernet_with([](auto& h) { h.ether_type = 0x88cc; })},
      {Outcome::kEthSourceInvalid,
       ethernet_with([&](auto& h) { h.source = ends.destination_mac; })},
      {Outcome::kVlanUnknown, ethernet_with([](auto& h) { h.has_vlan = true, h.vlan_tci = 5; })},
      {Outcome::kIpv6Unsupported,
       ethernet_with([](auto& h) { h.ether_type = wire::ether_type::kIpv6; })},
      {Outcome::kArpMalformed, patched(support::build(arp_frame(ArpOperation::kRequest)), 14, 9)},
      {Outcome::kArpRequestAnswered, support::build(arp_frame(ArpOperation::kRequest))},
      {Outcome::kArpRequestOther,
       with<support::ArpFrame>(arp_frame(ArpOperation::kRequest),
                               [](auto& f) { ++f.arp.target_ip.value; })},
      {Outcome::kArpReplyLearnt, support::build(arp_frame(ArpOperation::kReply)), ask_peer},
      {Outcome::kArpReplyUnsolicited, support::build(arp_frame(ArpOperation::kReply))},
      {Outcome::kArpConflict,
       with<support::ArpFrame>(arp_frame(ArpOperation::kRequest),
                               [&](auto& f) { f.arp.sender_ip = ends.destination_ip; })},
      {Outcome::kArpPinned, support::build(arp_frame(ArpOperation::kRequest)), pin_peer},
      {Outcome::kArpOtherMac,
       with<support::ArpFrame>(arp_frame(ArpOperation::kRequest),
                               [](auto& f) {
                                 f.arp.sender_mac = {{2, 6, 6, 6, 6, 6}};
                               }),
       [](NetFixture& fixture) { fixture.know_peer(); }},
      {Outcome::kArpSpoofed,
       with<support::ArpFrame>(arp_frame(ArpOperation::kRequest),
                               [](auto& f) { f.arp.sender_ip = Ipv4Addr{0x7f000001}; })},
  };
}

std::vector<Case> ip_cases() {
  using support::Ipv4Frame;
  const Octets right = support::build(segment_frame());
  return {
      {Outcome::kIpTruncated, patched(right, 16, 0x40)},
      {Outcome::kIpVersion, patched(right, 14, 0x65)},
      {Outcome::kIpHeaderLength, patched(right, 14, 0x44)},
      {Outcome::kIpChecksum, ip_with([](Ipv4Frame& f) { f.ip_checksum = ChecksumField::kWrong; })},
      {Outcome::kIpMartianSource, ip_with([](Ipv4Frame& f) { f.ip.source.value = 0x7f000001; })},
      {Outcome::kIpMartianDestination,
       ip_with([](Ipv4Frame& f) { f.ethernet.destination = MacAddr::broadcast(); })},
      {Outcome::kIpNotForUs, ip_with([](Ipv4Frame& f) { f.ip.destination.value += 1; })},
      {Outcome::kIpSourceRouted, ip_with([](Ipv4Frame& f) {
         f.ip_options = support::octets({131, 3, 4, 0});
       })},
      {Outcome::kIpOptionMalformed, ip_with([](Ipv4Frame& f) {
         f.ip_options = support::octets({7, 1, 0, 0});
       })},
      {Outcome::kIpFragmentKept, ip_with([](Ipv4Frame& f) { f.ip.more_fragments = true; }, 6, 24)},
      {Outcome::kIpFragment, ip_with([](Ipv4Frame& f) { f.ip.fragment_offset = 65528; })},
      {Outcome::kSourceDenied, right,
       [](NetFixture& fixture) {
         static const ip::PrefixFilter kNobody({}, ip::SourceAction::kDeny);
         fixture.ingress.set_prefix_filter(&kNobody);
       }},
      {Outcome::kIpUnknownProtocol, ip_with([](Ipv4Frame&) {}, 132)},
      {Outcome::kUdpMalformed, with<support::UdpFrame>({}, [](auto& f) { f.length = 9; })},
      {Outcome::kUdpUnreachable, support::build(support::UdpFrame())},
  };
}

std::vector<Case> icmp_and_tcp_cases() {
  using support::Ipv4Frame;
  using support::TcpFrame;
  using namespace wire::icmp_type;
  const Octets right = support::build(segment_frame());
  const std::size_t tcp_at = 34;
  return {
      {Outcome::kIcmpTruncated, ip_with([](Ipv4Frame&) {}, 1, 7)},
      {Outcome::kIcmpChecksum, patched(support::build(icmp_frame(kEchoRequest, 0)), 50, 1)},
      {Outcome::kIcmpEchoAnswered, support::build(icmp_frame(kEchoRequest, 0))},
      {Outcome::kIcmpEchoLimited, support::build(icmp_frame(kEchoRequest, 0)),
       [](NetFixture& fixture) {
         for (std::uint32_t i = 0; i < fixture.config.echo_limit.burst; ++i) {
           fixture.receive(support::build(icmp_frame(kEchoRequest, 0)));
           fixture.sent_octets();
         }
       }},
      {Outcome::kIcmpErrorDelivered, support::build(error_about_us())},
      {Outcome::kIcmpErrorUnmatched,
       with<support::IcmpFrame>(error_about_us(), [](auto& f) { f.data[15] = std::byte{9}; })},
      {Outcome::kIcmpIgnored, support::build(icmp_frame(kEchoReply, 0))},
      {Outcome::kTcpTruncated, ip_with([](Ipv4Frame&) {}, 6, 19)},
      {Outcome::kTcpDataOffset, patched(right, tcp_at + 12, 0x40)},
      {Outcome::kTcpChecksum,
       with<TcpFrame>(segment_frame(),
                      [](TcpFrame& f) { f.tcp_checksum = ChecksumField::kWrong; })},
      {Outcome::kTcpAddressInvalid,
       with<TcpFrame>(segment_frame(), [](TcpFrame& f) { f.tcp.source = Port{0}; })},
  };
}

TEST_CASE("every outcome below the engine is reached by a frame", "[stack][ingress]") {
  std::set<Outcome> reached;
  for (const auto& cases : {link_cases(), ip_cases(), icmp_and_tcp_cases()}) {
    for (const Case& one : cases) {
      INFO(telemetry::name_of(one.outcome));
      NetFixture fixture;
      one.before(fixture);
      CHECK(fixture.receive(one.frame) == one.outcome);
      reached.insert(one.outcome);
      fixture.require_clean();
    }
  }
  for (auto i = static_cast<std::uint16_t>(Outcome::kEthTruncated);
       i < static_cast<std::uint16_t>(Outcome::kNoMemory); ++i) {
    // Only one of several workers has this one: it has a test of its own.
    if (static_cast<Outcome>(i) == Outcome::kArpReplyElsewhere) continue;
    INFO(telemetry::name_of(static_cast<Outcome>(i)));
    CHECK(reached.count(static_cast<Outcome>(i)) == 1);
  }
}

TEST_CASE("a segment reaches the engine at its TCP header, without the link's padding",
          "[stack][ingress]") {
  NetFixture fixture;
  auto frame = segment_frame();
  frame.ip.traffic_class = 0xb9;
  frame.padding = 9;
  frame.ip_options = support::octets({1, 1, 1, 0});
  CHECK_FALSE(fixture.receive(support::build(frame)));
  REQUIRE(fixture.segments.size() == 1);
  const tcp::InboundSegment& segment = fixture.segments[0];
  CHECK(segment.source == IpAddr(fixture.ends.source_ip));
  CHECK(segment.destination == IpAddr(fixture.ends.destination_ip));
  CHECK(segment.ecn == 1);
  CHECK(segment.packet->pkt_len == 30);
  wire::TcpHeader header;
  const Octets octets = support::octets_of(*segment.packet);
  REQUIRE(wire::parse_tcp(octets, header).ok);
  CHECK(header.destination == Port{80});
  CHECK(Octets(octets.begin() + 20, octets.end()) == frame.payload);
  CHECK(fixture.count(Counter::kRxPackets) == 1);
  CHECK(fixture.count(Counter::kRxBytes) == 14 + 24 + 30 + 9);
  fixture.require_clean();
}

TEST_CASE("a segment that came in fragments, in any order, is one to the engine",
          "[stack][ingress]") {
  auto frame = segment_frame();
  frame.ip.dont_fragment = false;
  frame.payload = support::pattern(1000);
  const std::vector<Octets> fragments = drivers::fragments_of(support::build(frame), 364);
  REQUIRE(fragments.size() == 3);
  std::array<std::size_t, 3> order{0, 1, 2};
  do {
    NetFixture fixture;
    CHECK(fixture.receive(fragments[order[0]]) == Outcome::kIpFragmentKept);
    CHECK(fixture.receive(fragments[order[1]]) == Outcome::kIpFragmentKept);
    CHECK_FALSE(fixture.receive(fragments[order[2]]));
    REQUIRE(fixture.segments.size() == 1);
    const tcp::InboundSegment& segment = fixture.segments[0];
    CHECK(segment.packet->data_len >= wire::kTcpMinHeader);
    const Octets octets = support::octets_of(*segment.packet);
    CHECK(Octets(octets.begin() + 20, octets.end()) == frame.payload);
    CHECK(fixture.count(Counter::kDatagramsReassembled) == 1);
    fixture.require_clean();
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE("what came in fragments is checked as anything else", "[stack][ingress]") {
  NetFixture fixture;
  const auto last_outcome_of = [&](const Octets& whole) {
    std::optional<Outcome> outcome;
    for (const Octets& fragment : drivers::fragments_of(whole, 44))
      outcome = fixture.receive(fragment);
    return outcome;
  };
  auto wrong = segment_frame();
  wrong.ip.dont_fragment = false;
  wrong.tcp_checksum = ChecksumField::kWrong;
  CHECK(last_outcome_of(support::build(wrong)) == Outcome::kTcpChecksum);
  auto echo = icmp_frame(wire::icmp_type::kEchoRequest, 0);
  echo.ip.dont_fragment = false;
  CHECK(last_outcome_of(support::build(echo)) == Outcome::kIcmpEchoAnswered);
  // Longer than an mbuf, and than what a frame holds: the answer is cut, not left out.
  echo.data = support::pattern(3000);
  std::optional<Outcome> outcome;
  for (const Octets& fragment : drivers::fragments_of(support::build(echo), 1500))
    outcome = fixture.receive(fragment);
  CHECK(outcome == Outcome::kIcmpEchoAnswered);
  fixture.require_clean();
}

TEST_CASE("of several workers the one that has a datagram's fragments gives it back as a frame",
          "[stack][ingress]") {
  NetFixture::Options options;
  options.config.workers = 2;
  NetFixture fixture(options), owner(options);
  auto frame = segment_frame();
  frame.ip.dont_fragment = false;
  for (const Octets& fragment : drivers::fragments_of(support::build(frame), 36))
    CHECK(fixture.receive(fragment) == Outcome::kIpFragmentKept);
  CHECK(fixture.segments.empty());
  std::array<rte_mbuf*, 2> frames;
  REQUIRE(fixture.ingress.take_reassembled(frames) == 1);
  CHECK(fixture.ingress.take_reassembled(std::span(frames).last(1)) == 0);
  CHECK_FALSE(owner.receive(packet::PacketPtr(frames[0])));
  REQUIRE(owner.segments.size() == 1);
  const Octets octets = support::octets_of(*owner.segments[0].packet);
  CHECK(Octets(octets.begin() + 20, octets.end()) == frame.payload);

  for (std::uint16_t port = 1; port <= 3; ++port) {
    frame.tcp.source = Port{port};
    frame.ip.identification = port;
    for (const Octets& fragment : drivers::fragments_of(support::build(frame), 36))
      fixture.receive(fragment);
  }
  owner.segments.clear();
  while (const std::size_t count = fixture.ingress.take_reassembled(frames))
    for (std::size_t i = 0; i < count; ++i) owner.receive(packet::PacketPtr(frames[i]));
  REQUIRE(owner.segments.size() == 3);
  for (std::uint16_t i = 0; i < 3; ++i) {
    const Octets next = support::octets_of(*owner.segments[i].packet);
    CHECK(wire::load_be16(next.data()) == i + 1);
  }
  owner.require_clean();
  fixture.require_clean();
}

TEST_CASE("a frame in pieces of any size is gathered", "[stack][ingress]") {
  auto frame = segment_frame();
  frame.payload = support::pattern(300);
  frame.tcp.options.has_timestamps = true;
  frame.padding = 40;
  const Octets whole = support::build(frame);
  for (const std::size_t piece : {1u, 7u, 13u, 14u, 33u, 60u, 138u, 139u, 350u, 380u}) {
    INFO("pieces of " << piece);
    NetFixture fixture;
    std::vector<Octets> pieces;
    for (std::size_t at = 0; at < whole.size(); at += piece)
      pieces.emplace_back(
          whole.begin() + static_cast<std::ptrdiff_t>(at),
          whole.begin() + static_cast<std::ptrdiff_t>(std::min(at + piece, whole.size())));
    CHECK_FALSE(fixture.receive(support::make_packet(fixture.pools.receive(), pieces)));
    REQUIRE(fixture.segments.size() == 1);
    const rte_mbuf& packet = *fixture.segments[0].packet;
    CHECK(packet.data_len >= 32);
    CHECK(packet.pkt_len == 332);
    CHECK(rte_pktmbuf_headroom(&packet) > 0);
    const char* why = nullptr;
    CHECK(rte_mbuf_check(&packet, 1, &why) == 0);
    const Octets octets = support::octets_of(packet);
    CHECK(Octets(octets.begin() + 32, octets.end()) == frame.payload);
    fixture.require_clean();
  }
}

TEST_CASE("the short way of a plain frame and the long way agree about any frame",
          "[stack][ingress]") {
  NetFixture::Options options;
  options.config.interfaces[0].addresses.push_back(*parse_prefix("192.0.2.5/28"));
  NetFixture whole(options), scattered(options);
  whole.know_peer();
  scattered.know_peer();
  Rng rng(3);
  std::size_t segments = 0, refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    auto frame = segment_frame();
    frame.payload = support::pattern(rng.below(40));
    frame.padding = rng.below(4) == 0 ? rng.below(20) : 0;
    frame.ip.traffic_class = static_cast<std::uint8_t>(rng.next());
    frame.tcp.options.has_timestamps = rng.below(2) == 0;
    const std::uint32_t sources[] = {0x0a000001, 0x0a0000ff, 0x0a000000, 0x0a000002,
                                     0xc0000205, 0xc000020f, 0xc0000210, 0xe0000001,
                                     0xffffffff, 0x7f000001, 0x00000001, 0x08080808};
    if (rng.below(2) == 0) frame.ip.source.value = sources[rng.below(std::size(sources))];
    if (rng.below(4) == 0) frame.ip.destination.value = sources[rng.below(std::size(sources))];
    Octets octets = support::build(frame);
    // One octet of the headers is another; mostly the checksums are wrong then, and not always.
    if (rng.below(2) == 0) octets[rng.below(60)] = static_cast<std::byte>(rng.next());
    INFO("round " << round);
    const std::vector<Octets> pieces = {Octets(octets.begin(), octets.begin() + 9),
                                        Octets(octets.begin() + 9, octets.end())};
    const auto outcome = whole.receive(octets);
    REQUIRE(outcome == scattered.receive(support::make_packet(scattered.pools.receive(), pieces)));
    REQUIRE(whole.sent_octets() == scattered.sent_octets());
    REQUIRE(whole.segments.size() == scattered.segments.size());
    ++(outcome ? refused : segments);
    if (outcome) continue;
    const tcp::InboundSegment &a = whole.segments.back(), &b = scattered.segments.back();
    REQUIRE(a.source == b.source);
    REQUIRE(a.destination == b.destination);
    REQUIRE(a.ecn == b.ecn);
    REQUIRE(support::octets_of(*a.packet) == support::octets_of(*b.packet));
    whole.segments.clear();
    scattered.segments.clear();
  }
  CHECK(segments > 3'000);
  CHECK(refused > 3'000);
  whole.require_clean();
  scattered.require_clean();
}

TEST_CASE("a scattered frame without an mbuf for its head is dropped and counted",
          "[stack][ingress]") {
  NetFixture::Options options;
  options.pools.receive = 8;
  NetFixture fixture(options);
  const Octets whole = support::build(segment_frame());
  const std::vector<Octets> pieces = {Octets(whole.begin(), whole.begin() + 30),
                                      Octets(whole.begin() + 30, whole.end())};
  auto frame = support::make_packet(fixture.pools.receive(), pieces);
  std::vector<packet::PacketPtr> taken;
  while (rte_mbuf* mbuf = rte_pktmbuf_alloc(&fixture.pools.receive())) taken.emplace_back(mbuf);
  CHECK(fixture.receive(std::move(frame)) == Outcome::kNoMemory);
  taken.clear();
  fixture.require_clean();
}

//= rfc9293#3.1 MUST-3 test
TEST_CASE("a port's word about checksums is taken only if it gives one", "[stack][ingress]") {
  auto frame = segment_frame();
  frame.tcp_checksum = ChecksumField::kZero;
  const Octets octets = support::build(frame);
  const struct {
    bool rx_checksum;
    std::uint64_t flags;
    bool is_accepted;
  } cases[] = {{true, RTE_MBUF_F_RX_L4_CKSUM_GOOD, true},
               {true, RTE_MBUF_F_RX_L4_CKSUM_NONE, true},
               {true, RTE_MBUF_F_RX_L4_CKSUM_BAD, false},
               {true, RTE_MBUF_F_RX_L4_CKSUM_UNKNOWN, false},
               {false, RTE_MBUF_F_RX_L4_CKSUM_GOOD, false}};
  for (const auto& [rx_checksum, flags, is_accepted] : cases) {
    NetFixture::Options options;
    options.capabilities.rx_checksum = rx_checksum;
    NetFixture fixture(options);
    auto packet = support::make_packet(fixture.pools.receive(), octets);
    packet->ol_flags |= flags;
    const auto outcome = fixture.receive(std::move(packet));
    if (is_accepted) {
      CHECK_FALSE(outcome);
    } else {
      CHECK(outcome == Outcome::kTcpChecksum);
    }
    fixture.require_clean();
  }
  // A right segment that the driver calls wrong is looked at again.
  NetFixture::Options options;
  options.capabilities.rx_checksum = true;
  NetFixture fixture(options);
  auto packet = support::make_packet(fixture.pools.receive(), support::build(segment_frame()));
  packet->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_BAD | RTE_MBUF_F_RX_IP_CKSUM_BAD;
  CHECK_FALSE(fixture.receive(std::move(packet)));
  fixture.require_clean();
}

//= rfc9293#3.9.2.3 MUST-57 test
TEST_CASE("TCP by broadcast is refused and not answered", "[stack][ingress][rfc1122]") {
  NetFixture fixture;
  for (const std::uint32_t destination : {0x0a0000ffu, 0xffffffffu}) {
    auto frame = segment_frame();
    frame.ethernet.destination = MacAddr::broadcast();
    frame.ip.destination.value = destination;
    CHECK(fixture.receive(support::build(frame)) == Outcome::kTcpAddressInvalid);
  }
  CHECK(fixture.sent_octets().empty());
  fixture.require_clean();
}

TEST_CASE("an ARP request is answered on the port where it came in", "[stack][ingress][arp]") {
  NetFixture::Options options;
  options.ports = 2;
  NetFixture fixture(options);
  CHECK(fixture.receive(support::build(arp_frame(wire::ArpOperation::kRequest)), 1) ==
        Outcome::kArpRequestAnswered);
  CHECK(fixture.sent(0).empty());
  const auto sent = fixture.sent(1);
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].ethernet.destination == fixture.ends.source_mac);
  CHECK(sent[0].ethernet.source == fixture.ends.destination_mac);
  CHECK(sent[0].arp == wire::ArpPacket{wire::ArpOperation::kReply, fixture.ends.destination_mac,
                                       fixture.ends.destination_ip, fixture.ends.source_mac,
                                       fixture.ends.source_ip});
  CHECK(fixture.count(Counter::kArpRepliesSent) == 1);
  fixture.require_clean();
}

TEST_CASE("every address of an interface answers ARP and ping", "[stack][ingress]") {
  NetFixture::Options options;
  options.config.interfaces[0].addresses.push_back(*parse_prefix("192.0.2.5/24"));
  NetFixture fixture(options);
  auto arp = arp_frame(wire::ArpOperation::kRequest);
  arp.arp.sender_ip = Ipv4Addr::from_octets(192, 0, 2, 1);
  arp.arp.target_ip = Ipv4Addr::from_octets(192, 0, 2, 5);
  CHECK(fixture.receive(support::build(arp)) == Outcome::kArpRequestAnswered);
  CHECK(fixture.sent().size() == 1);
  auto ping = icmp_frame(wire::icmp_type::kEchoRequest, 0);
  ping.ip.source = arp.arp.sender_ip;
  ping.ip.destination = arp.arp.target_ip;
  CHECK(fixture.receive(support::build(ping)) == Outcome::kIcmpEchoAnswered);
  const auto sent = fixture.sent();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].ip->source == arp.arp.target_ip);
  CHECK(sent[0].ip->destination == arp.arp.sender_ip);
  fixture.require_clean();
}

TEST_CASE("ping is answered with the same data, in pieces or shared too",
          "[stack][ingress][icmp]") {
  NetFixture fixture;
  fixture.know_peer();
  auto ping = icmp_frame(wire::icmp_type::kEchoRequest, 0);
  ping.data = support::pattern(999);
  ping.ip.traffic_class = 0x20;
  const Octets whole = support::build(ping);
  const auto check_reply = [&] {
    const auto sent = fixture.sent();
    REQUIRE(sent.size() == 1);
    CHECK(sent[0].ethernet.destination == fixture.ends.source_mac);
    CHECK(sent[0].is_ip_checksum_right);
    CHECK(sent[0].is_payload_checksum_right);
    CHECK(sent[0].icmp->type == wire::icmp_type::kEchoReply);
    CHECK(sent[0].ip->traffic_class == 0x20);
    CHECK(sent[0].ip->ttl == fixture.config.ttl);
    CHECK(sent[0].payload == ping.data);
  };
  CHECK(fixture.receive(whole) == Outcome::kIcmpEchoAnswered);
  check_reply();

  const std::vector<Octets> pieces = {Octets(whole.begin(), whole.begin() + 500),
                                      Octets(whole.begin() + 500, whole.end())};
  CHECK(fixture.receive(support::make_packet(fixture.pools.receive(), pieces)) ==
        Outcome::kIcmpEchoAnswered);
  check_reply();

  // Somebody else holds the frame (a capture): its octets stay as they are.
  auto shared = support::make_packet(fixture.pools.receive(), whole);
  rte_mbuf* const raw = shared.get();
  rte_mbuf_refcnt_update(raw, 1);
  CHECK(fixture.receive(std::move(shared)) == Outcome::kIcmpEchoAnswered);
  check_reply();
  CHECK(rte_pktmbuf_prepend(raw, 34) != nullptr);
  CHECK(support::octets_of(*raw) == whole);
  packet::PacketPtr(raw).reset();
  fixture.require_clean();
}

TEST_CASE("UDP and unknown protocols are refused by ICMP, within the limit",
          "[stack][ingress][icmp]") {
  NetFixture::Options options;
  options.config.icmp_error_limit = {10, 2};
  NetFixture fixture(options);
  fixture.know_peer();
  support::UdpFrame frame;
  frame.data = support::pattern(12);
  CHECK(fixture.receive(support::build(frame)) == Outcome::kUdpUnreachable);
  CHECK(fixture.receive(support::build_ipv4(frame, 99, Octets(20))) == Outcome::kIpUnknownProtocol);
  CHECK(fixture.receive(support::build(frame)) == Outcome::kUdpUnreachable);
  const auto sent = fixture.sent();
  REQUIRE(sent.size() == 2);
  CHECK(sent[0].icmp->type == wire::icmp_type::kUnreachable);
  CHECK(sent[0].icmp->code == wire::icmp_unreachable::kPort);
  CHECK(sent[0].is_payload_checksum_right);
  const Octets offender = support::ip_packet_of(support::build(frame));
  CHECK(sent[0].payload == Octets(offender.begin(), offender.begin() + 28));
  CHECK(sent[1].icmp->code == wire::icmp_unreachable::kProtocol);
  CHECK(fixture.count(Counter::kIcmpSent) == 2);
  CHECK(fixture.count(Counter::kIcmpLimited) == 1);
  fixture.require_clean();
}

TEST_CASE("where a host must be silent nothing is sent", "[stack][ingress][icmp][rfc1122]") {
  NetFixture fixture;
  fixture.know_peer();
  support::UdpFrame broadcast;
  broadcast.ethernet.destination = MacAddr::broadcast();
  broadcast.ip.destination = Ipv4Addr::from_octets(10, 0, 0, 255);
  CHECK(fixture.receive(support::build(broadcast)) == Outcome::kUdpUnreachable);
  CHECK(fixture.receive(support::build_ipv4(broadcast, 99, Octets(20))) ==
        Outcome::kIpUnknownProtocol);
  auto ping = icmp_frame(wire::icmp_type::kEchoRequest, 0);
  ping.ethernet.destination = broadcast.ethernet.destination;
  ping.ip.destination = broadcast.ip.destination;
  CHECK(fixture.receive(support::build(ping)) == Outcome::kIcmpIgnored);
  // In a link broadcast, but to our address.
  broadcast.ip.destination = fixture.ends.destination_ip;
  CHECK(fixture.receive(support::build(broadcast)) == Outcome::kIpMartianDestination);
  for (const Case& one : ip_cases())
    if (telemetry::kind_of(one.outcome) == telemetry::OutcomeKind::drop) fixture.receive(one.frame);
  CHECK(fixture.receive(support::build(error_about_us())) == Outcome::kIcmpErrorDelivered);
  CHECK(fixture.sent_octets().empty());
  fixture.require_clean();
}

//= rfc1122#4.1.3.4 MUST test
TEST_CASE(
    "a UDP datagram with a wrong checksum or length is dropped in silence, one without a "
    "checksum is answered",
    "[stack][ingress][icmp][rfc1122]") {
  support::UdpFrame right;
  right.data = support::pattern(301);
  const auto with = [&](ChecksumField checksum, std::uint16_t length) {
    support::UdpFrame frame = right;
    frame.udp_checksum = checksum;
    frame.length = length;
    return support::build(frame);
  };
  const struct {
    Octets frame;
    Outcome outcome;
  } cases[] = {
      {with(ChecksumField::kRight, 0), Outcome::kUdpUnreachable},
      {with(ChecksumField::kWrong, 0), Outcome::kUdpMalformed},
      {with(ChecksumField::kZero, 0), Outcome::kUdpUnreachable},
      {with(ChecksumField::kRight, 8), Outcome::kUdpUnreachable},  // the rest is nobody's
      {with(ChecksumField::kRight, 200), Outcome::kUdpUnreachable},
      {with(ChecksumField::kWrong, 200), Outcome::kUdpMalformed},
      {with(ChecksumField::kZero, 7), Outcome::kUdpMalformed},
      {with(ChecksumField::kZero, 310), Outcome::kUdpMalformed},
      {with(ChecksumField::kRight, 310), Outcome::kUdpMalformed},
  };
  unsigned index = 0;
  for (const auto& [octets, outcome] : cases) {
    INFO("case " << index++);
    // Whole, and in two mbufs, the first of which has an odd number of the datagram's octets.
    const std::vector<Octets> pieces = {Octets(octets.begin(), octets.begin() + 151),
                                        Octets(octets.begin() + 151, octets.end())};
    NetFixture fixture;
    fixture.know_peer();
    CHECK(fixture.receive(octets) == outcome);
    CHECK(fixture.receive(support::make_packet(fixture.pools.receive(), pieces)) == outcome);
    CHECK(fixture.sent_octets().size() == (outcome == Outcome::kUdpUnreachable ? 2 : 0));
    fixture.require_clean();
  }
  NetFixture::Options options;
  options.capabilities.rx_checksum = true;
  NetFixture fixture(options);
  CHECK(fixture.receive(ip_with([](support::Ipv4Frame&) {}, 17, 7)) == Outcome::kUdpMalformed);
  // A port that has looked is believed, as with TCP.
  auto packet = support::make_packet(fixture.pools.receive(), with(ChecksumField::kWrong, 0));
  packet->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_GOOD;
  CHECK(fixture.receive(std::move(packet)) == Outcome::kUdpUnreachable);
  fixture.require_clean();
}

TEST_CASE("an ICMP error reaches the engine with its flow, local side first",
          "[stack][ingress][icmp]") {
  NetFixture fixture;
  CHECK(fixture.receive(support::build(error_about_us())) == Outcome::kIcmpErrorDelivered);
  REQUIRE(fixture.errors.size() == 1);
  const tcp::IcmpError& error = fixture.errors[0];
  CHECK(error.kind == tcp::IcmpErrorKind::kFragmentationNeeded);
  CHECK(error.mtu == 1280);
  CHECK(error.seq == wire::SeqNum(77));
  CHECK(error.flow ==
        tcp::FlowKey{fixture.ends.destination_ip, fixture.ends.source_ip, Port{80}, Port{40000}});
  fixture.require_clean();
}

TEST_CASE("an unsolicited ARP reply changes no record", "[stack][ingress][arp]") {
  NetFixture fixture;
  fixture.know_peer();
  const auto records =
      fixture.region.section<link::NeighborRecord>(telemetry::SectionKind::kNeighbors, 0);
  const std::vector<std::byte> before(std::as_bytes(records).begin(), std::as_bytes(records).end());
  CHECK(fixture.receive(fixture.arp_reply(fixture.ends.source_ip, MacAddr{{2, 6, 6, 6, 6, 6}})) ==
        Outcome::kArpOtherMac);
  CHECK(fixture.receive(
            fixture.arp_reply(Ipv4Addr::from_octets(10, 0, 0, 254), MacAddr{{2, 6, 6, 6, 6, 6}})) ==
        Outcome::kArpReplyUnsolicited);
  CHECK(std::equal(before.begin(), before.end(), std::as_bytes(records).begin()));
  fixture.require_clean();
}

TEST_CASE(
    "one of several workers takes an ARP reply that it did not ask for as another's, no alarm",
    "[stack][ingress][arp]") {
  auto config = NetFixture::default_config();
  config.workers = 2;
  NetFixture fixture({.config = config});
  const MacAddr gateway{{2, 6, 6, 6, 6, 6}};
  const Ipv4Addr address = Ipv4Addr::from_octets(10, 0, 0, 254);
  CHECK(fixture.receive(fixture.arp_reply(address, gateway)) == Outcome::kArpReplyElsewhere);
  for (const link::NeighborAlarmRecord& alarm : fixture.network.neighbor_alarms())
    CHECK(alarm.count == 0);
  CHECK(fixture.network.neighbors().find({0, address}) == nullptr);
  // What it asked for itself it still learns, and a claim against what it knows is still an alarm.
  fixture.egress.send(fixture.make_segment(0, "10.0.0.254"), fixture.now);
  CHECK(fixture.receive(fixture.arp_reply(address, gateway)) == Outcome::kArpReplyLearnt);
  CHECK(fixture.receive(fixture.arp_reply(address, MacAddr{{2, 7, 7, 7, 7, 7}})) ==
        Outcome::kArpOtherMac);
  fixture.require_clean();
}

TEST_CASE("a burst yields segments and errors in order, and counts every frame once",
          "[stack][ingress]") {
  NetFixture fixture;
  std::vector<rte_mbuf*> frames;
  std::size_t expected_segments = 0;
  for (unsigned i = 0; i < 32; ++i) {
    auto frame = segment_frame();
    frame.tcp.seq = wire::SeqNum(i);
    if (i % 3 == 0) frame.tcp_checksum = ChecksumField::kWrong;
    if (i % 3 != 0) ++expected_segments;
    frames.push_back(
        support::make_packet(fixture.pools.receive(), support::build(frame)).release());
  }
  std::vector<tcp::InboundSegment> segments(frames.size());
  std::vector<tcp::IcmpError> errors(frames.size());
  const auto yield = fixture.ingress.process(0, frames, fixture.now, segments, errors);
  CHECK(yield.segments == expected_segments);
  CHECK(yield.errors == 0);
  CHECK(fixture.metrics.of(Outcome::kTcpChecksum) == 32 - expected_segments);
  std::uint32_t last = 0;
  for (std::size_t i = 0; i < yield.segments; ++i) {
    wire::TcpHeader header;
    REQUIRE(wire::parse_tcp(packet::first_segment(*segments[i].packet), header).ok);
    CHECK(header.seq.value() > last);
    last = header.seq.value();
  }
  segments.clear();
  fixture.require_clean();
}

}  // namespace
