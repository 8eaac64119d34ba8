#include <rte_ip.h>
#include <rte_mbuf.h>

#include <catch2/catch.hpp>
#include <cstring>

#include "net_fixture.hpp"

// A train is cut here into the frames that its segments would have been, or by the port.

namespace sluice::stack {
namespace {

using support::Octets;
using telemetry::Counter;

constexpr std::uint16_t kSize = 300;
constexpr std::uint8_t kFlags = wire::kAck | wire::kPsh | wire::kFin;

/// A fixture whose `hint` is the way to the peer, as a connection's is.
struct TrainFixture : NetFixture {
  explicit TrainFixture(const packet::PortCapabilities& capabilities)
      : NetFixture(options_for(capabilities)) {
    know_peer();
    auto first = make_segment();
    first.hint = &hint;
    egress.send(std::move(first), now);
    static_cast<void>(sent());
    packets = count(Counter::kTxPackets);
    bytes = count(Counter::kTxBytes);
  }
  static Options options_for(const packet::PortCapabilities& capabilities) {
    Options options;
    options.capabilities = capabilities;
    return options;
  }
  void send(tcp::OutboundSegment train) {
    train.hint = &hint;
    egress.send(std::move(train), now);
  }

  tcp::PathHint hint;
  std::uint64_t packets;  ///< Sent before, as their octets.
  std::uint64_t bytes;
};

constexpr packet::PortCapabilities kTso{
    .tx_ipv4_checksum = true, .tx_tcp_checksum = true, .tx_multi_segment = true, .tx_tso = true};

/// `count` segments of kSize octets, each in two mbufs that somebody else holds too.
tcp::OutboundSegment make_train(NetFixture& fixture, unsigned count,
                                std::vector<packet::PacketPtr>& kept) {
  auto train = fixture.make_segment(0);
  train.packet->tso_segsz = kSize;
  std::byte* const tcp = rte_pktmbuf_mtod(train.packet.get(), std::byte*);
  wire::store_u8(tcp + 13, kFlags);
  for (unsigned i = 0; i < 2 * count; ++i) {
    const std::size_t length = i % 2 == 0 ? 100 : kSize - 100;
    const std::size_t offset = std::size_t{i / 2} * kSize + (i % 2 == 0 ? 0 : 100);
    kept.push_back(support::make_packet(fixture.pools.receive(), support::pattern(length, offset)));
    packet::PacketPtr view(rte_pktmbuf_clone(kept.back().get(), &fixture.pools.indirect()));
    REQUIRE(view);
    REQUIRE(rte_pktmbuf_chain(train.packet.get(), view.release()) == 0);
  }
  return train;
}

/// Frames as a device with checksum offload would put them on the wire.
Octets on_wire(const rte_mbuf& frame) {
  Octets octets = support::octets_of(frame);
  auto* const ip = reinterpret_cast<rte_ipv4_hdr*>(octets.data() + 14);
  if (frame.ol_flags & RTE_MBUF_F_TX_IP_CKSUM) {
    CHECK(ip->hdr_checksum == 0);
    ip->hdr_checksum = rte_ipv4_cksum(ip);
  }
  if ((frame.ol_flags & RTE_MBUF_F_TX_L4_MASK) == RTE_MBUF_F_TX_TCP_CKSUM) {
    auto* const tcp = octets.data() + 34;
    std::uint16_t pseudo;
    std::memcpy(&pseudo, tcp + 16, 2);
    CHECK(pseudo == rte_ipv4_phdr_cksum(ip, frame.ol_flags));
    const auto sum = static_cast<std::uint16_t>(~rte_raw_cksum(tcp, octets.size() - 34));
    std::memcpy(tcp + 16, &sum, 2);
  }
  return octets;
}

/// The segments that egress has cut a train into, as the wire gets them: one mbuf each or more, but
/// none that the port would cut.
std::vector<Octets> cut_frames(TrainFixture& fixture, bool is_chained) {
  rte_mbuf* out[32];
  const std::size_t count = fixture.egress.fill(0, out);
  std::vector<Octets> frames;
  for (std::size_t i = 0; i < count; ++i) {
    const packet::PacketPtr frame(out[i]);
    const char* why = nullptr;
    CHECK(rte_mbuf_check(frame.get(), 1, &why) == 0);
    CHECK(rte_validate_tx_offload(frame.get()) == 0);
    CHECK((frame->ol_flags & RTE_MBUF_F_TX_TCP_SEG) == 0);
    CHECK((frame->nb_segs > 1) == is_chained);
    frames.push_back(on_wire(*frame));
  }
  return frames;
}

void require_segments(const std::vector<Octets>& frames, unsigned count) {
  REQUIRE(frames.size() == count);
  wire::SeqNum seq{};
  for (unsigned i = 0; i < count; ++i) {
    const auto parsed = support::parse_frame(frames[i]);
    REQUIRE(parsed);
    REQUIRE(parsed->tcp);
    CHECK(parsed->is_ip_checksum_right);
    CHECK(parsed->is_payload_checksum_right);
    if (i == 0) seq = parsed->tcp->seq;
    CHECK(parsed->tcp->seq == seq + i * kSize);
    CHECK(parsed->tcp->flags == (i + 1 == count ? kFlags : std::uint8_t{wire::kAck}));
    CHECK(parsed->payload == support::pattern(kSize, std::size_t{i} * kSize));
  }
}

}  // namespace

TEST_CASE("a train leaves as its segments by a port that does not cut it", "[stack][egress]") {
  const packet::PortCapabilities capabilities =
      GENERATE(packet::PortCapabilities{.tx_multi_segment = true},
               packet::PortCapabilities{
                   .tx_ipv4_checksum = true, .tx_tcp_checksum = true, .tx_multi_segment = true},
               packet::PortCapabilities{
                   .tx_ipv4_checksum = true, .tx_tcp_checksum = true, .tx_multi_segment = false},
               packet::PortCapabilities{.tx_multi_segment = true, .tx_indirect = false},
               packet::PortCapabilities{.tx_ipv4_checksum = true, .tx_multi_segment = false});
  TrainFixture fixture(capabilities);
  std::vector<packet::PacketPtr> kept;
  fixture.send(make_train(fixture, 5, kept));
  const std::vector<Octets> frames =
      cut_frames(fixture, capabilities.tx_multi_segment && capabilities.tx_indirect);
  require_segments(frames, 5);
  CHECK(fixture.count(Counter::kTxGsoPackets) == 1);
  CHECK(fixture.count(Counter::kTxTsoPackets) == 0);
  CHECK(fixture.count(Counter::kTxPackets) - fixture.packets == 5);
  kept.clear();
  fixture.require_clean();
}

TEST_CASE("a train waits in segments for a neighbour that is not known", "[stack][egress]") {
  NetFixture fixture;
  std::vector<packet::PacketPtr> kept;
  fixture.egress.send(make_train(fixture, 2, kept), fixture.now);
  CHECK(fixture.sent().size() == 1);  // the question
  support::ArpFrame answer;
  answer.ethernet = {.destination = fixture.ends.destination_mac,
                     .source = fixture.ends.source_mac};
  answer.arp = {wire::ArpOperation::kReply, fixture.ends.source_mac, fixture.ends.source_ip,
                fixture.ends.destination_mac, fixture.ends.destination_ip};
  static_cast<void>(fixture.receive(support::build(answer)));
  std::vector<Octets> frames;
  rte_mbuf* out[8];
  const std::size_t count = fixture.egress.fill(0, out);
  for (std::size_t i = 0; i < count; ++i)
    frames.push_back(support::octets_of(*packet::PacketPtr(out[i])));
  require_segments(frames, 2);
  kept.clear();
  fixture.require_clean();
}

TEST_CASE("a port with TSO is given the train, and what it needs to cut it", "[stack][egress]") {
  TrainFixture fixture(kTso);
  std::vector<packet::PacketPtr> kept;
  fixture.send(make_train(fixture, 5, kept));
  rte_mbuf* out[8];
  REQUIRE(fixture.egress.fill(0, out) == 1);
  packet::PacketPtr frame(out[0]);
  CHECK((frame->ol_flags & RTE_MBUF_F_TX_OFFLOAD_MASK) ==
        (RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM |
         RTE_MBUF_F_TX_TCP_SEG));
  CHECK(rte_validate_tx_offload(frame.get()) == 0);
  CHECK(frame->l2_len == 14);
  CHECK(frame->l3_len == 20);
  CHECK(frame->l4_len == 20);
  CHECK(frame->tso_segsz == kSize);
  const Octets octets = support::octets_of(*frame);
  const auto* const ip = reinterpret_cast<const rte_ipv4_hdr*>(octets.data() + 14);
  CHECK(rte_be_to_cpu_16(ip->total_length) == 40 + 5 * kSize);
  std::uint16_t pseudo;  // without a length, which is each segment's own
  std::memcpy(&pseudo, octets.data() + 34 + 16, 2);
  CHECK(pseudo == rte_ipv4_phdr_cksum(ip, frame->ol_flags));
  // Counted as the wire carries it.
  CHECK(fixture.count(Counter::kTxTsoPackets) == 1);
  CHECK(fixture.count(Counter::kTxPackets) - fixture.packets == 5);
  CHECK(fixture.count(Counter::kTxBytes) - fixture.bytes == 5 * (14 + 40 + kSize));
  frame.reset();
  kept.clear();
  fixture.require_clean();
}

TEST_CASE("a train of more buffers than NICs take in a packet is cut before them",
          "[stack][egress]") {
  TrainFixture fixture(kTso);
  std::vector<packet::PacketPtr> kept;
  fixture.send(make_train(fixture, 20, kept));
  const std::vector<Octets> frames = cut_frames(fixture, true);
  require_segments(frames, 20);
  kept.clear();
  fixture.require_clean();
}

TEST_CASE("a train whose segments are longer than the MTU is refused as they would be",
          "[stack][egress]") {
  TrainFixture fixture({.mtu = 40 + kSize - 1});
  std::vector<packet::PacketPtr> kept;
  fixture.send(make_train(fixture, 3, kept));
  CHECK(fixture.sent().empty());
  REQUIRE(fixture.egress.reports().size() == 1);
  CHECK(fixture.egress.reports()[0].kind == tcp::IcmpErrorKind::kFragmentationNeeded);
  kept.clear();
  fixture.require_clean();
}

TEST_CASE("without mbufs for its headers a train is lost whole, counted, and nothing leaks",
          "[stack][egress]") {
  TrainFixture fixture({.tx_multi_segment = true});
  std::vector<packet::PacketPtr> kept, hoard;
  auto train = make_train(fixture, 3, kept);
  while (rte_mbuf* const mbuf = rte_pktmbuf_alloc(fixture.pools.pools().control))
    hoard.emplace_back(mbuf);
  fixture.send(std::move(train));
  CHECK(fixture.count(Counter::kTxDropped) == 1);
  CHECK(fixture.sent().empty());
  hoard.clear();
  kept.clear();
  fixture.require_clean();
}

}  // namespace sluice::stack
