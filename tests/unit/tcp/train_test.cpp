#include <catch2/catch.hpp>

#include "tests/support/tcp_app.hpp"

// Bulk data leaves as trains: segments under one header, which egress or the port cuts. The rig
// cuts them too, so that every test of the engine sees what the wire does; short_way_test compares
// them with segments sent one by one.

namespace sluice::tcp {
namespace {

using namespace support;

constexpr std::uint32_t kMss = 1448;

struct Sender {
  explicit Sender(const EngineConfig& config = TcpRig::small_config(),
                  TcpPeer::Options options = {})
      : rig(config), peer(rig, wide(options)), handle(establish(rig, peer)) {}
  static TcpPeer::Options wide(TcpPeer::Options options) {
    options.window = 65535;
    return options;
  }
  Tcb& block() { return rig.ctx().tcb(handle.index); }
  std::vector<SentSegment> send(std::size_t octets) {
    REQUIRE(send_octets(rig, handle, pattern(octets)) == octets);
    return peer.read();
  }

  TcpRig rig;
  TcpPeer peer;
  ConnHandle handle;
};

}  // namespace

TEST_CASE("full segments of one turn go as a train, the last short one alone", "[tcp][output]") {
  Sender at;
  const auto sent = at.send(5 * kMss + 10);
  REQUIRE(sent.size() == 6);
  CHECK(at.rig.trained() == 4);
  SeqNum seq = sent[0].header.seq;
  std::vector<std::byte> octets;
  for (const SentSegment& segment : sent) {
    CHECK(segment.header.seq == seq);
    seq = segment.end();
    CHECK(segment.has(wire::kPsh) == (&segment == &sent.back()));
    octets.insert(octets.end(), segment.payload.begin(), segment.payload.end());
  }
  CHECK(octets == pattern(5 * kMss + 10));
  CHECK(at.rig.metrics().of(Counter::kPayloadSent) == 5 * kMss + 10);
  at.peer.acknowledge();
  require_nothing_left(at.rig);
}

//= rfc9293#3.9.1.2 MUST-61 test
TEST_CASE("PSH is the last segment's of a train that ends with the queue", "[tcp][output]") {
  Sender at;
  const auto sent = at.send(4 * kMss);
  REQUIRE(sent.size() == 4);
  CHECK(at.rig.trained() == 3);
  for (const SentSegment& segment : sent)
    CHECK(segment.has(wire::kPsh) == (&segment == &sent.back()));
  require_nothing_left(at.rig);
}

//= rfc5681#3 MUST-1 test
TEST_CASE("a train is no longer than the congestion window", "[tcp][output]") {
  Sender at;
  at.rig.ctx().touch(at.handle.index).cwnd = 3 * kMss + 100;
  CHECK(at.send(20 * kMss).size() == 3);
  CHECK(at.rig.trained() == 2);
  require_nothing_left(at.rig);
}

//= rfc9293#3.8.6 MUST-34 test
TEST_CASE("a train is no longer than the peer's window", "[tcp][output]") {
  Sender at;
  at.peer.window = 2 * kMss + 1000;
  at.peer.acknowledge();
  static_cast<void>(at.peer.read());
  CHECK(at.send(20 * kMss).size() == 2);
  CHECK(at.rig.trained() == 1);
  require_nothing_left(at.rig);
}

//= rfc3168#6.1.2 test
TEST_CASE("CWR goes with the first segment alone", "[tcp][output]") {
  Sender at;
  at.rig.ctx().touch(at.handle.index).ecn = kEcnOk | kEcnSendCwr;
  const auto sent = at.send(4 * kMss);
  REQUIRE(sent.size() == 4);
  CHECK(at.rig.trained() == 2);
  for (const SentSegment& segment : sent) {
    CHECK(segment.has(wire::kCwr) == (&segment == &sent.front()));
    CHECK(segment.ecn == 2);
  }
  require_nothing_left(at.rig);
}

TEST_CASE("a paced connection's trains are as long as what is due", "[tcp][output]") {
  EngineConfig config = TcpRig::small_config();
  config.pacing = true;
  std::size_t sizes[2];
  for (const bool is_traced : {false, true}) {
    Sender at(config);
    Tcb& block = at.rig.ctx().touch(at.handle.index);
    if (is_traced) block.set(kTraced);
    block.srtt_us8 = 8 * 10'000;
    const auto sent = at.send(10 * kMss);
    CHECK(sent.size() > 1);
    CHECK(sent.size() < 10);
    CHECK(at.rig.trained() == (is_traced ? 0 : sent.size() - 1));
    sizes[is_traced ? 1 : 0] = sent.size();
    require_nothing_left(at.rig);
  }
  CHECK(sizes[0] == sizes[1]);
}

TEST_CASE("where mbufs lack for a train a segment goes", "[tcp][output]") {
  Sender at;
  std::vector<packet::PacketPtr> hoard;
  REQUIRE(tcp::send(at.rig.ctx(), at.handle, pattern(5 * kMss)).has_value());
  rte_mempool* const pool = at.rig.pools().pools().indirect;
  while (rte_mbuf* const mbuf = rte_pktmbuf_alloc(pool)) hoard.emplace_back(mbuf);
  hoard.pop_back();
  hoard.pop_back();
  at.rig.settle();
  CHECK(at.rig.trained() == 0);
  CHECK(at.peer.read().size() >= 1);
  hoard.clear();
  at.rig.settle();
  require_nothing_left(at.rig);
}

TEST_CASE("one run of the scoreboard holds a train, and a loss in it is found and repaired",
          "[tcp][output]") {
  Sender at;
  const auto sent = at.send(10 * kMss);
  REQUIRE(sent.size() == 10);
  CHECK(at.rig.trained() == 9);
  const SendRecord& record = at.rig.ctx().sends.slab[at.block().send_record];
  CHECK(record.run_count == 1);
  CHECK(at.rig.ctx().runs.slab[record.first_run].segments() == 10);
  // The third is lost: what came behind it is SACKed.
  at.rig.run_for(Duration::from_us(500));
  REQUIRE(at.rig.take_sent().empty());
  PeerSegment ack = at.peer.segment(wire::kAck);
  ack.ack = sent[2].header.seq;
  ack.options.sack_count = 1;
  ack.options.sack[0] = {sent[3].header.seq, sent[9].end()};
  at.peer.give(ack);
  const auto again = at.rig.take_sent();
  REQUIRE(again.size() == 1);
  CHECK(again[0].header.seq == sent[2].header.seq);
  CHECK(again[0].payload == sent[2].payload);
  require_nothing_left(at.rig);
}

}  // namespace sluice::tcp
