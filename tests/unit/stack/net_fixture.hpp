#pragma once

#include <catch2/catch.hpp>
#include <optional>
#include <vector>

#include "stack/ingress.hpp"
#include "tests/support/packet_builder.hpp"
#include "tests/support/require_pools_full.hpp"

namespace sluice::stack {

/// Everything below the engine on one port, facing the peer of support::Endpoints: we are
/// 10.0.0.2/24 at 02:..:02, the peer is 10.0.0.1 at 02:..:01, the gateway is 10.0.0.254.
struct NetFixture {
  struct Options {
    packet::PortCapabilities capabilities = {.tx_multi_segment = true};
    StackConfig config = default_config();
    support::TestPools::Sizes pools = {};
    unsigned ports = 1;
  };

  support::TestPools pools;
  StackConfig config;
  telemetry::StateRegion region;
  telemetry::Metrics metrics;
  Rng rng{1};
  Instant now = Instant::from_ns(1'000'000'000'000);
  Network network;
  Egress egress;
  Ingress ingress;
  support::Endpoints ends;
  std::vector<tcp::InboundSegment> segments;  ///< All that reached the engine.
  std::vector<tcp::IcmpError> errors;

  NetFixture() : NetFixture(Options{}) {}
  explicit NetFixture(const Options& options)
      : pools(options.pools),
        config(options.config),
        region(make_region(config)),
        network(config, region, 0, rng, now),
        egress(config, {network, pools.pools(), metrics, rng}),
        ingress(config, {network, egress, pools.pools(), metrics}) {
    for (unsigned i = 0; i < options.ports; ++i)
      egress.attach(options.capabilities, ends.destination_mac, 0);
  }

  static StackConfig default_config() {
    StackConfig config;
    InterfaceConfig interface;
    interface.addresses = {*parse_prefix("10.0.0.2/24")};
    interface.routes = {{*parse_prefix("0.0.0.0/0"), *parse_ip("10.0.0.254")}};
    config.interfaces = {interface};
    return config;
  }
  static telemetry::StateRegion make_region(const StackConfig& config) {
    std::vector<telemetry::SectionPlan> plan;
    Network::plan(config, 0, plan);
    return telemetry::StateRegion::anonymous(plan);
  }

  /// Gives one frame to ingress. The outcome it was counted under, or nullopt if it became a
  /// segment. Fails the test unless it ended in exactly one of the two.
  std::optional<telemetry::Outcome> receive(packet::PacketPtr frame, unsigned port = 0) {
    const auto before = metrics.outcomes;
    rte_mbuf* frames[] = {frame.release()};
    tcp::InboundSegment segment[1];
    tcp::IcmpError error[1];
    const auto yield = ingress.process(port, frames, now, segment, error);
    if (yield.segments > 0) segments.push_back(std::move(segment[0]));
    if (yield.errors > 0) {
      errors.push_back(error[0]);
      metrics.count(telemetry::Outcome::kIcmpErrorDelivered);  // As Stack does for a known flow.
    }
    std::optional<telemetry::Outcome> outcome;
    std::uint64_t counted = 0;
    for (std::size_t i = 0; i < before.size(); ++i) {
      counted += metrics.outcomes[i] - before[i];
      if (metrics.outcomes[i] != before[i]) outcome = static_cast<telemetry::Outcome>(i);
    }
    CHECK(counted + yield.segments == 1);
    return outcome;
  }
  std::optional<telemetry::Outcome> receive(const support::Octets& frame, unsigned port = 0) {
    return receive(support::make_packet(pools.receive(), frame), port);
  }

  /// All frames that wait for `port`, as octets; they are freed.
  std::vector<support::Octets> sent_octets(unsigned port = 0) {
    std::vector<support::Octets> sent;
    rte_mbuf* out[64];
    while (const std::size_t count = egress.fill(port, out))
      for (std::size_t i = 0; i < count; ++i)
        sent.push_back(support::octets_of(*packet::PacketPtr(out[i])));
    return sent;
  }
  /// The same, parsed.
  std::vector<support::ParsedFrame> sent(unsigned port = 0) {
    std::vector<support::ParsedFrame> frames;
    for (const auto& octets : sent_octets(port)) {
      auto parsed = support::parse_frame(octets);
      REQUIRE(parsed);
      frames.push_back(*parsed);
    }
    return frames;
  }

  /// A segment as the engine makes it: headers in a mbuf of their own, payload chained behind.
  tcp::OutboundSegment make_segment(std::size_t payload = 0, const char* destination = "10.0.0.1",
                                    std::uint8_t flags = wire::kAck) {
    wire::TcpHeader header;
    header.source = Port{80};
    header.destination = Port{40000};
    header.seq = wire::SeqNum(1000);
    header.flags = flags;
    support::Octets octets(wire::tcp_header_length(header));
    wire::emit_tcp(header, octets);
    tcp::OutboundSegment segment;
    segment.packet = packet::PacketPtr(rte_pktmbuf_alloc(&pools.control()));
    REQUIRE(segment.packet);
    std::byte* at = packet::append(*segment.packet, static_cast<std::uint16_t>(octets.size()));
    std::memcpy(at, octets.data(), octets.size());
    segment.packet->l4_len = octets.size() & 0xff;
    if (payload > 0) {
      auto data = support::make_packet(pools.receive(), support::pattern(payload));
      REQUIRE(rte_pktmbuf_chain(segment.packet.get(), data.release()) == 0);
    }
    segment.source = ends.destination_ip;
    segment.destination = *parse_ip(destination);
    return segment;
  }

  support::Octets arp_reply(Ipv4Addr from, const MacAddr& mac) {
    support::ArpFrame frame;
    frame.ethernet = {.destination = ends.destination_mac, .source = mac};
    frame.arp = {wire::ArpOperation::kReply, mac, from, ends.destination_mac, ends.destination_ip};
    return support::build(frame);
  }
  /// Makes the peer a neighbour that is known.
  void know_peer() {
    support::ArpFrame frame;
    frame.ethernet = {.destination = MacAddr::broadcast(), .source = ends.source_mac};
    frame.arp = {
        wire::ArpOperation::kRequest, ends.source_mac, ends.source_ip, {}, ends.destination_ip};
    REQUIRE(receive(support::build(frame)) == telemetry::Outcome::kArpRequestAnswered);
    sent_octets();
  }
  /// Lets time pass, waking egress exactly when it asks for it.
  void pass(Duration time) {
    const Instant end = now + time;
    while (egress.next_deadline() <= end) {
      now = std::max(now, egress.next_deadline());
      egress.advance(now);
    }
    now = end;
  }
  std::uint64_t count(telemetry::Counter counter) const { return metrics.of(counter); }

  /// The last line of a test: nothing leaked. What waits for a neighbour is given up first.
  void require_clean() {
    segments.clear();
    ingress.advance(now + ip::FragmentTable::kLifetime + Duration::from_s(2));
    if (network.neighbors().waiting() > 0) pass(Duration::from_s(5));
    CHECK(network.neighbors().waiting() == 0);
    for (unsigned port = 0; port < network.ports().size(); ++port) sent_octets(port);
    support::require_pools_full(pools);
  }
};

}  // namespace sluice::stack
