#include "stack/egress.hpp"

#include <rte_ip.h>

#include "tests/unit/stack/net_fixture.hpp"

namespace {

using namespace sluice;
using stack::Egress;
using stack::NetFixture;
using support::Octets;
using telemetry::Counter;
using telemetry::Outcome;

TEST_CASE("the first segment to a neighbour goes out once ARP has its answer", "[stack][egress]") {
  NetFixture fixture;
  fixture.egress.send(fixture.make_segment(100), fixture.now);
  auto sent = fixture.sent();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].ethernet.destination == MacAddr::broadcast());
  REQUIRE(sent[0].arp);
  CHECK(sent[0].arp->operation == wire::ArpOperation::kRequest);
  CHECK(sent[0].arp->sender_ip == fixture.ends.destination_ip);
  CHECK(sent[0].arp->sender_mac == fixture.ends.destination_mac);
  CHECK(sent[0].arp->target_ip == fixture.ends.source_ip);
  CHECK(sent[0].arp->target_mac.is_zero());
  CHECK(fixture.count(Counter::kNeighborQueued) == 1);

  CHECK(fixture.receive(fixture.arp_reply(fixture.ends.source_ip, fixture.ends.source_mac)) ==
        Outcome::kArpReplyLearnt);
  sent = fixture.sent();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].ethernet.destination == fixture.ends.source_mac);
  CHECK(sent[0].ethernet.source == fixture.ends.destination_mac);
  CHECK(sent[0].is_ip_checksum_right);
  CHECK(sent[0].is_payload_checksum_right);
  CHECK(sent[0].payload == support::pattern(100));
  fixture.require_clean();
}

TEST_CASE("every address is announced three times, two seconds apart, a batch at a time",
          "[stack][egress][rfc5227]") {
  NetFixture::Options options;
  const std::size_t many = link::Announcer::kBatch + 5;
  options.config.interfaces[0].addresses.clear();
  for (unsigned i = 0; i < many; ++i)
    options.config.interfaces[0].addresses.push_back(
        {Ipv4Addr::from_octets(10, 0, 0, static_cast<std::uint8_t>(10 + i)), 24});
  NetFixture fixture(options);
  CHECK(fixture.egress.next_deadline().is_never());
  const Instant began = fixture.now;
  fixture.egress.announce(fixture.now);
  std::vector<Instant> heard[256];
  while (!fixture.egress.next_deadline().is_never()) {
    fixture.now = std::max(fixture.now, fixture.egress.next_deadline());
    fixture.egress.advance(fixture.now);
    const auto sent = fixture.sent();
    CHECK(sent.size() <= link::Announcer::kBatch);
    for (const auto& frame : sent) {
      REQUIRE(frame.arp);
      CHECK(frame.ethernet.destination == MacAddr::broadcast());
      CHECK(frame.arp->operation == wire::ArpOperation::kRequest);
      CHECK(frame.arp->sender_ip == frame.arp->target_ip);
      CHECK(frame.arp->sender_mac == fixture.ends.destination_mac);
      heard[frame.arp->sender_ip.value & 0xff].push_back(fixture.now);
    }
  }
  for (unsigned i = 0; i < many; ++i) {
    const std::vector<Instant>& times = heard[10 + i];
    REQUIRE(times.size() == 3);
    CHECK(times[0] - began <= Duration::from_ms(10));
    for (unsigned n = 1; n < 3; ++n) CHECK(times[n] - times[n - 1] == Duration::from_s(2));
  }
  fixture.require_clean();
}

//= rfc9293#3.9.2 MUST-49 test
//= rfc9293#3.9.1.9 SHLD-22 test
TEST_CASE("an IPv4 header has the config's TTL, the segment's class, DF and no identification",
          "[stack][egress][rfc6864]") {
  NetFixture::Options options;
  options.config.ttl = 33;
  NetFixture fixture(options);
  fixture.know_peer();
  auto segment = fixture.make_segment();
  segment.traffic_class = 0xba;
  fixture.egress.send(std::move(segment), fixture.now);
  const auto sent = fixture.sent();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].ip->ttl == 33);
  CHECK(sent[0].ip->traffic_class == 0xba);
  CHECK(sent[0].ip->dont_fragment);
  CHECK(sent[0].ip->identification == 0);
  CHECK(sent[0].ip->total_length == 40);
  CHECK(fixture.count(Counter::kTxPackets) == 2);  // The ARP reply of know_peer() is one.
  fixture.require_clean();
}

TEST_CASE("the identification of a packet that is no segment does not count packets",
          "[stack][egress][rfc6864]") {
  NetFixture fixture;
  fixture.know_peer();
  std::vector<std::uint16_t> seen;
  for (int i = 0; i < 64; ++i) {
    packet::PacketPtr message(rte_pktmbuf_alloc(&fixture.pools.control()));
    REQUIRE(packet::append(*message, 8) != nullptr);
    stack::OutboundPacket outbound{.packet = std::move(message),
                                   .source = fixture.ends.destination_ip,
                                   .destination = fixture.ends.source_ip,
                                   .protocol = wire::ip_protocol::kIcmp};
    fixture.egress.send(std::move(outbound), fixture.now);
    const auto sent = fixture.sent();
    REQUIRE(sent.size() == 1);
    seen.push_back(sent[0].ip->identification);
  }
  // Steps of a counter are small, whoever else moves it between two packets of ours.
  int small_steps = 0;
  for (std::size_t i = 1; i < seen.size(); ++i)
    if (static_cast<std::uint16_t>(seen[i] - seen[i - 1]) < 1024) ++small_steps;
  CHECK(small_steps < 8);
  fixture.require_clean();
}

TEST_CASE("a destination behind a gateway resolves the gateway", "[stack][egress]") {
  NetFixture fixture;
  fixture.egress.send(fixture.make_segment(0, "203.0.113.9"), fixture.now);
  auto sent = fixture.sent();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].arp->target_ip == Ipv4Addr::from_octets(10, 0, 0, 254));
  const MacAddr gateway{{2, 0, 0, 0, 0, 0xfe}};
  fixture.receive(fixture.arp_reply(Ipv4Addr::from_octets(10, 0, 0, 254), gateway));
  sent = fixture.sent();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].ethernet.destination == gateway);
  CHECK(sent[0].ip->destination == Ipv4Addr::from_octets(203, 0, 113, 9));
  fixture.require_clean();
}

TEST_CASE("without a route a segment is counted and reported", "[stack][egress]") {
  NetFixture::Options options;
  options.config.interfaces[0].routes.clear();
  NetFixture fixture(options);
  const auto report_for = [&](const char* destination) {
    fixture.egress.clear_reports();
    fixture.egress.send(fixture.make_segment(10, destination), fixture.now);
    REQUIRE(fixture.egress.reports().size() == 1);
    return fixture.egress.reports()[0];
  };
  const tcp::IcmpError report = report_for("203.0.113.9");
  CHECK(report.kind == tcp::IcmpErrorKind::kNoRoute);
  CHECK(report.flow ==
        tcp::FlowKey{fixture.ends.destination_ip, *parse_ip("203.0.113.9"), Port{80}, Port{40000}});
  CHECK(report.seq == wire::SeqNum(1000));
  CHECK(report_for("10.0.0.255").kind == tcp::IcmpErrorKind::kNoRoute);  // Broadcast.
  CHECK(report_for("10.0.0.2").kind == tcp::IcmpErrorKind::kNoRoute);    // Ourselves.
  CHECK(report_for("2001:db8::1").kind == tcp::IcmpErrorKind::kNoRoute);
  CHECK(fixture.count(Counter::kTxNoRoute) == 4);
  CHECK(fixture.sent_octets().empty());
  fixture.require_clean();
}

TEST_CASE("a neighbour that stays silent is reported after three requests, then at once",
          "[stack][egress]") {
  NetFixture fixture;
  fixture.egress.send(fixture.make_segment(), fixture.now);
  fixture.egress.send(fixture.make_segment(50), fixture.now);
  fixture.pass(Duration::from_ms(2900));
  CHECK(fixture.egress.reports().empty());
  fixture.pass(Duration::from_ms(200));
  CHECK(fixture.count(Counter::kArpRequestsSent) == 3);
  REQUIRE(fixture.egress.reports().size() == 2);
  CHECK(fixture.egress.reports()[0].kind == tcp::IcmpErrorKind::kNoNeighbor);
  CHECK(fixture.egress.reports()[0].flow.remote == IpAddr(fixture.ends.source_ip));
  CHECK(fixture.count(Counter::kNeighborFailed) == 2);
  fixture.egress.send(fixture.make_segment(), fixture.now);
  CHECK(fixture.egress.reports().size() == 3);
  fixture.egress.clear_reports();
  CHECK(fixture.egress.reports().empty());
  fixture.require_clean();
}

TEST_CASE("reports are bounded", "[stack][egress]") {
  NetFixture fixture;
  for (std::size_t i = 0; i < Egress::kMaxReports + 10; ++i)
    fixture.egress.send(fixture.make_segment(0, "10.0.0.255"), fixture.now);
  CHECK(fixture.egress.reports().size() == Egress::kMaxReports);
  fixture.require_clean();
}

TEST_CASE("packets that wait for neighbours are bounded and counted", "[stack][egress]") {
  NetFixture::Options options;
  options.config.neighbor_queue_packets = 2;
  options.config.neighbor_pending_total = 3;
  options.config.max_neighbors = 3;
  NetFixture fixture(options);
  tcp::PathHint hint;
  const auto send = [&](const char* destination, tcp::PathHint* of_connection) {
    auto segment = fixture.make_segment(0, destination);
    segment.hint = of_connection;
    fixture.egress.send(std::move(segment), fixture.now);
  };
  for (int i = 0; i < 4; ++i) send("10.0.0.1", &hint);
  CHECK(fixture.count(Counter::kNeighborQueued) == 4);
  CHECK(fixture.count(Counter::kNeighborQueueFull) == 2);
  send("10.0.0.7", &hint);
  send("10.0.0.8", &hint);
  CHECK(fixture.count(Counter::kNeighborQueueFull) == 3);
  CHECK(fixture.network.neighbors().waiting() == 3);
  // An answer to a source that may be forged finds no entry: connections have them all.
  send("10.0.0.9", nullptr);
  CHECK(fixture.count(Counter::kNeighborTableFull) == 1);
  fixture.require_clean();
}

TEST_CASE("a table full of neighbours in use drops and counts", "[stack][egress]") {
  NetFixture::Options options;
  options.config.max_neighbors = 1;
  NetFixture fixture(options);
  fixture.egress.send(fixture.make_segment(), fixture.now);
  fixture.egress.send(fixture.make_segment(0, "10.0.0.7"), fixture.now);
  CHECK(fixture.count(Counter::kNeighborTableFull) == 1);
  fixture.require_clean();
}

TEST_CASE("a hint is filled in, used, and void after any change of the ways", "[stack][egress]") {
  NetFixture fixture;
  fixture.know_peer();
  tcp::PathHint hint;
  const auto send = [&](const char* destination = "10.0.0.1") {
    auto segment = fixture.make_segment(0, destination);
    segment.hint = &hint;
    fixture.egress.send(std::move(segment), fixture.now);
    return fixture.sent();
  };
  CHECK(send().size() == 1);
  CHECK(hint.route_generation == fixture.network.path_generation());
  const tcp::PathHint first = hint;
  // Proof of use: with the hint, even an address without a route goes to the remembered neighbour.
  const auto astray = send("10.0.0.255");
  REQUIRE(astray.size() == 1);
  CHECK(astray[0].ethernet.destination == fixture.ends.source_mac);
  CHECK(hint.route_generation == first.route_generation);

  REQUIRE(fixture.network.routes().add({.destination = *parse_prefix("198.51.100.0/24"),
                                        .gateway = *parse_ip("10.0.0.1")}) ==
          sluice::ip::RouteTable::AddResult::kAdded);
  CHECK(send("10.0.0.255").empty());
  CHECK(send().size() == 1);
  CHECK(hint.route_generation != first.route_generation);

  fixture.network.neighbors().remove({0, fixture.ends.source_ip}, fixture.egress.neighbor_sink(),
                                     fixture.now);
  const auto sent = send();  // Waits; only a request goes out.
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].arp);
  fixture.require_clean();
}

TEST_CASE("a stale neighbour is polled while segments go on", "[stack][egress]") {
  NetFixture fixture;
  fixture.know_peer();
  tcp::PathHint hint;
  const auto send = [&] {
    auto segment = fixture.make_segment();
    segment.hint = &hint;
    fixture.egress.send(std::move(segment), fixture.now);
    return fixture.sent();
  };
  CHECK(send().size() == 1);
  fixture.pass(Duration::from_s(61));
  const auto sent = send();
  REQUIRE(sent.size() == 2);
  CHECK(sent[0].arp->operation == wire::ArpOperation::kRequest);
  CHECK(sent[0].ethernet.destination == fixture.ends.source_mac);
  CHECK(sent[1].tcp);
  CHECK(send().size() == 1);
  fixture.require_clean();
}

// --- what ports can ---

/// One segment of 700 octets whose payload lies in two mbufs, one of them indirect and shared.
tcp::OutboundSegment shared_segment(NetFixture& fixture, packet::PacketPtr& kept) {
  auto segment = fixture.make_segment(300);
  kept = support::make_packet(fixture.pools.receive(), support::pattern(400, 300));
  packet::PacketPtr view(rte_pktmbuf_clone(kept.get(), &fixture.pools.indirect()));
  REQUIRE(view);
  REQUIRE(rte_pktmbuf_chain(segment.packet.get(), view.release()) == 0);
  return segment;
}

struct WireForm {
  Octets octets;
  std::uint16_t segments;
  std::uint64_t flags;
};

/// What a port with `capabilities` is given for that segment; its queued payload stays untouched.
WireForm form_for(const packet::PortCapabilities& capabilities) {
  NetFixture::Options options;
  options.capabilities = capabilities;
  NetFixture fixture(options);
  fixture.know_peer();
  packet::PacketPtr kept;
  fixture.egress.send(shared_segment(fixture, kept), fixture.now);
  rte_mbuf* out[4];
  REQUIRE(fixture.egress.fill(0, out) == 1);
  packet::PacketPtr frame(out[0]);
  const char* why = nullptr;
  CHECK(rte_mbuf_check(frame.get(), 1, &why) == 0);
  WireForm form{support::octets_of(*frame), frame->nb_segs, frame->ol_flags};
  if (capabilities.tx_ipv4_checksum || capabilities.tx_tcp_checksum) {
    CHECK(frame->l2_len == 14);
    CHECK(frame->l3_len == 20);
    CHECK(rte_validate_tx_offload(frame.get()) == 0);
  }
  if (capabilities.tx_tcp_checksum) CHECK(frame->l4_len == 20);
  CHECK(support::octets_of(*kept) == support::pattern(400, 300));
  const bool is_copied = !capabilities.tx_multi_segment || !capabilities.tx_indirect;
  CHECK(fixture.count(Counter::kTxLinearized) == (is_copied ? 1 : 0));
  frame.reset();
  kept.reset();
  fixture.require_clean();
  return form;
}

TEST_CASE("a port that takes chains gets the shared payload itself", "[stack][egress]") {
  const WireForm form = form_for({.tx_multi_segment = true});
  CHECK(form.segments == 3);
}

TEST_CASE("ports without multi-segment or indirect mbufs get one copied mbuf", "[stack][egress]") {
  const WireForm reference = form_for({.tx_multi_segment = true});
  const WireForm no_chains = form_for({.tx_multi_segment = false});
  CHECK(no_chains.segments == 1);
  CHECK(no_chains.octets == reference.octets);
  const WireForm no_indirect = form_for({.tx_multi_segment = true, .tx_indirect = false});
  CHECK(no_indirect.segments == 1);
  CHECK(no_indirect.octets == reference.octets);
}

//= rfc9293#3.1 MUST-2 test
TEST_CASE("checksums in hardware come out as those in software", "[stack][egress]") {
  const WireForm software = form_for({.tx_multi_segment = true});
  const auto parsed = support::parse_frame(software.octets);
  REQUIRE(parsed);
  CHECK(parsed->is_ip_checksum_right);
  CHECK(parsed->is_payload_checksum_right);
  CHECK((software.flags & RTE_MBUF_F_TX_OFFLOAD_MASK) == 0);

  for (const bool multi_segment : {true, false}) {
    WireForm hardware = form_for(
        {.tx_ipv4_checksum = true, .tx_tcp_checksum = true, .tx_multi_segment = multi_segment});
    CHECK((hardware.flags & RTE_MBUF_F_TX_OFFLOAD_MASK) ==
          (RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM));
    // What the device does: DPDK's own sums over what we handed it.
    auto* const ip = reinterpret_cast<rte_ipv4_hdr*>(hardware.octets.data() + 14);
    auto* const tcp = hardware.octets.data() + 34;
    CHECK(ip->hdr_checksum == 0);
    std::uint16_t pseudo;
    std::memcpy(&pseudo, tcp + 16, 2);
    CHECK(pseudo == rte_ipv4_phdr_cksum(ip, hardware.flags));
    const auto sum = static_cast<std::uint16_t>(~rte_raw_cksum(tcp, hardware.octets.size() - 34));
    std::memcpy(tcp + 16, &sum, 2);
    ip->hdr_checksum = rte_ipv4_cksum(ip);
    CHECK(hardware.octets == software.octets);
  }
}

TEST_CASE("no mbuf for a copy: the segment is dropped and counted", "[stack][egress]") {
  NetFixture::Options options;
  options.capabilities.tx_multi_segment = false;
  NetFixture fixture(options);
  fixture.know_peer();
  auto segment = fixture.make_segment(10);
  std::vector<packet::PacketPtr> taken;
  while (rte_mbuf* mbuf = rte_pktmbuf_alloc(&fixture.pools.receive())) taken.emplace_back(mbuf);
  fixture.egress.send(std::move(segment), fixture.now);
  CHECK(fixture.count(Counter::kTxNoBuffer) == 1);
  CHECK(fixture.sent_octets().empty());
  taken.clear();
  fixture.require_clean();
}

TEST_CASE("a segment above the port's MTU is dropped and reported with it", "[stack][egress]") {
  NetFixture::Options options;
  options.capabilities.mtu = 576;
  NetFixture fixture(options);
  fixture.know_peer();
  fixture.egress.send(fixture.make_segment(536), fixture.now);
  CHECK(fixture.sent().size() == 1);
  fixture.egress.send(fixture.make_segment(537), fixture.now);
  CHECK(fixture.sent().empty());
  REQUIRE(fixture.egress.reports().size() == 1);
  CHECK(fixture.egress.reports()[0].kind == tcp::IcmpErrorKind::kFragmentationNeeded);
  CHECK(fixture.egress.reports()[0].mtu == 576);
  fixture.require_clean();
}

TEST_CASE("a port that needs copies has no larger MTU than an mbuf holds", "[stack][egress]") {
  NetFixture::Options options;
  options.capabilities.tx_multi_segment = false;
  options.capabilities.mtu = 9000;
  NetFixture fixture(options);
  CHECK(fixture.network.path_to(fixture.ends.source_ip, {})->mtu == 2048);
}

TEST_CASE("the queue keeps places for control packets when data fills it", "[stack][egress]") {
  NetFixture::Options options;
  options.pools.receive = 2048;
  options.pools.control = 2048;
  NetFixture fixture(options);
  fixture.know_peer();
  CHECK(fixture.egress.room() == Egress::kQueueFrames - Egress::kControlReserve);
  while (fixture.egress.room(0) > 0) fixture.egress.send(fixture.make_segment(1), fixture.now);
  CHECK(fixture.egress.room() == 0);
  CHECK(fixture.count(Counter::kTxDropped) == 0);
  fixture.egress.send(fixture.make_segment(1), fixture.now);
  CHECK(fixture.count(Counter::kTxDropped) == 1);
  for (std::size_t i = 0; i < Egress::kControlReserve; ++i)
    fixture.egress.send(fixture.make_segment(0), fixture.now);
  CHECK(fixture.count(Counter::kTxDropped) == 1);
  fixture.egress.send(fixture.make_segment(0), fixture.now);
  CHECK(fixture.count(Counter::kTxDropped) == 2);
  CHECK(fixture.egress.has_frames());
  // In order of arrival.
  const auto sent = fixture.sent();
  REQUIRE(sent.size() == Egress::kQueueFrames);
  CHECK(sent.front().payload.size() == 1);
  CHECK(sent.back().payload.empty());
  CHECK_FALSE(fixture.egress.has_frames());
  CHECK(fixture.egress.room() == Egress::kQueueFrames - Egress::kControlReserve);
  fixture.require_clean();
}

TEST_CASE("sent frames and octets are counted when a port takes them", "[stack][egress]") {
  NetFixture fixture;
  fixture.know_peer();
  const std::uint64_t packets = fixture.count(Counter::kTxPackets);
  const std::uint64_t bytes = fixture.count(Counter::kTxBytes);
  fixture.egress.send(fixture.make_segment(100), fixture.now);
  CHECK(fixture.count(Counter::kTxPackets) == packets);
  fixture.sent_octets();
  CHECK(fixture.count(Counter::kTxPackets) == packets + 1);
  CHECK(fixture.count(Counter::kTxBytes) == bytes + 154);
  fixture.require_clean();
}

}  // namespace
