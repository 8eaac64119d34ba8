#include <catch2/catch.hpp>

#include "base/rng.hpp"
#include "tests/support/tcp_app.hpp"

namespace sluice::tcp {
namespace {

using namespace support;
using telemetry::Outcome;
using wire::kAck;
using wire::kFin;

/// `count` octets of the peer's stream that begin `offset` after its next one.
PeerSegment piece(const TcpPeer& peer, std::uint32_t offset, std::size_t count,
                  std::uint8_t flags = kAck) {
  PeerSegment segment = peer.segment(flags);
  segment.seq = peer.nxt + offset;
  segment.payload = pattern(count, wire::seq_distance(peer.iss() + 1, segment.seq));
  return segment;
}

/// A SACK block, from the peer's next octet on.
using Blocks = std::vector<std::pair<std::int32_t, std::int32_t>>;

Blocks blocks_of(const SentSegment& segment, const TcpPeer& peer) {
  const wire::TcpOptions& options = segment.header.options;
  Blocks blocks;
  for (std::uint8_t i = 0; i < options.sack_count; ++i)
    blocks.emplace_back(wire::seq_offset(peer.nxt, options.sack[i].left),
                        wire::seq_offset(peer.nxt, options.sack[i].right));
  return blocks;
}

/// What the one ACK says that answers `count` octets at `offset`.
Blocks blocks_after(TcpRig& rig, TcpPeer& peer, std::int32_t offset, std::size_t count) {
  peer.give(piece(peer, static_cast<std::uint32_t>(offset), count));
  const auto answer = rig.take_sent();
  REQUIRE(answer.size() == 1);
  return blocks_of(answer[0], peer);
}

/// 100 octets read, then [200, 300), [400, 500) and [600, 700) of the stream behind gaps. Offsets
/// count from the octet after the 100: -100, 100, 300 and 500.
ConnHandle receive_with_gaps(TcpRig& rig, TcpPeer& peer) {
  const ConnHandle connection = establish(rig, peer);
  peer.send(kAck, 100);
  read_octets(rig, connection);
  for (const std::uint32_t offset : {100u, 300u, 500u}) peer.give(piece(peer, offset, 100));
  static_cast<void>(rig.take_sent());
  return connection;
}

}  // namespace

//= rfc9293#3.10.7.4 SHLD-31 test
TEST_CASE("overlapping segments in any order give each octet once", "[tcp][input][reassembly]") {
  const std::uint64_t seed = GENERATE(range(1u, 40u));
  INFO("seed " << seed);
  Rng rng(seed);
  TcpRig rig;
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  constexpr std::uint32_t kTotal = 5000;
  std::vector<std::byte> got;
  for (int i = 0; i < 400; ++i) {
    const auto offset = static_cast<std::uint32_t>(rng.below(kTotal));
    const auto count = std::min<std::size_t>(1 + rng.below(400), kTotal - offset);
    const bool is_last = offset + count == kTotal;
    peer.give(piece(peer, offset, count, is_last && rng.chance(1, 2) ? kAck | kFin : kAck));
    if (rng.chance(1, 3)) {
      const auto more = read_octets(rig, connection);
      got.insert(got.end(), more.begin(), more.end());
    }
  }
  for (std::uint32_t offset = 0; offset < kTotal; offset += 500)
    peer.give(piece(peer, offset, 500, offset + 500 == kTotal ? kAck | kFin : kAck));
  const auto more = read_octets(rig, connection);
  got.insert(got.end(), more.begin(), more.end());
  CHECK(got == pattern(kTotal));
  CHECK(find_tcb(rig.ctx(), connection)->state == State::kCloseWait);
  CHECK(rig.ctx().reassembly_segments == 0);
  require_nothing_left(rig);
}

//= rfc2018#4 MUST-2, SHLD-5, SHLD-6 test
TEST_CASE("the SACK block of the newest segment comes first, then the ones before",
          "[tcp][input][rfc2018]") {
  TcpRig rig;
  TcpPeer peer(rig, {.timestamps = false});
  establish(rig, peer);
  const auto after = [&](std::int32_t offset, std::size_t count) {
    return blocks_after(rig, peer, offset, count);
  };
  CHECK(after(500, 500) == Blocks{{500, 1000}});
  CHECK(after(1500, 500) == Blocks{{1500, 2000}, {500, 1000}});
  CHECK(after(2500, 500) == Blocks{{2500, 3000}, {1500, 2000}, {500, 1000}});
  CHECK(after(1000, 500) == Blocks{{500, 2000}, {2500, 3000}});
  // A duplicate is told, and the run that holds it comes to the front again.
  CHECK(after(2600, 100) == Blocks{{2600, 2700}, {2500, 3000}, {500, 2000}});
  CHECK(after(4000, 10) == Blocks{{4000, 4010}, {2500, 3000}, {500, 2000}});
  CHECK(after(0, 500) == Blocks{{4000, 4010}, {2500, 3000}});
  require_nothing_left(rig);
}

TEST_CASE("a SACK block spans all packets that lie without a gap, in whatever order they came",
          "[tcp][input][rfc2018]") {
  const auto order = GENERATE(
      std::vector<std::int32_t>{100, 200, 300, 400}, std::vector<std::int32_t>{400, 300, 200, 100},
      std::vector<std::int32_t>{200, 400, 100, 300}, std::vector<std::int32_t>{100, 300, 400, 200});
  TcpRig rig;
  TcpPeer peer(rig);
  establish(rig, peer);
  Blocks last;
  for (const std::int32_t offset : order) last = blocks_after(rig, peer, offset, 100);
  CHECK(last == Blocks{{100, 500}});
  require_nothing_left(rig);
}

TEST_CASE("of more than four runs behind gaps the newest four are told", "[tcp][input][rfc2018]") {
  TcpRig rig;
  TcpPeer peer(rig, {.timestamps = false});
  const ConnHandle connection = establish(rig, peer);
  peer.send(kAck, 100);
  read_octets(rig, connection);
  static_cast<void>(rig.take_sent());
  for (std::int32_t i = 1; i <= 5; ++i) blocks_after(rig, peer, i * 100, 50);
  CHECK(blocks_after(rig, peer, 600, 50) == Blocks{{600, 650}, {500, 550}, {400, 450}, {300, 350}});
  // With a duplicate to tell, the newest three.
  CHECK(blocks_after(rig, peer, -1, 1) == Blocks{{-1, 0}, {600, 650}, {500, 550}, {400, 450}});
  require_nothing_left(rig);
}

TEST_CASE("the first octets of a segment that came before are told in a D-SACK block",
          "[tcp][input][rfc2883]") {
  struct Case {
    std::int32_t offset;
    std::size_t count;
    Blocks blocks;
  };
  // Behind the duplicate: the run that holds it, where it lies behind a gap, then the others.
  const auto now = GENERATE(values<Case>({
      {-50, 25, {{-50, -25}, {500, 600}, {300, 400}, {100, 200}}},   // old, whole
      {-50, 100, {{-50, 0}, {500, 600}, {300, 400}, {100, 200}}},    // old, then new
      {-50, 350, {{-50, 0}, {500, 600}}},                            // ... and the gap closes
      {-50, 700, {{-50, 0}}},                                        // everything
      {0, 150, {{100, 150}, {500, 600}, {300, 400}}},                // new, then behind a gap
      {0, 450, {{100, 200}, {500, 600}}},                            // of two runs the first
      {100, 100, {{100, 200}, {100, 200}, {500, 600}, {300, 400}}},  // behind a gap, whole
      {50, 100, {{100, 150}, {50, 200}, {500, 600}, {300, 400}}},    // its run grows to the left
      {150, 100, {{150, 200}, {100, 250}, {500, 600}, {300, 400}}},  // ... to the right
      {150, 400, {{150, 200}, {100, 600}}},                          // ... and joins two more
      {0, 100, {{500, 600}, {300, 400}}},                            // nothing came before
      {200, 100, {{100, 400}, {500, 600}}},                          // nor here
  }));
  TcpRig rig;
  TcpPeer peer(rig, {.timestamps = false});
  receive_with_gaps(rig, peer);
  INFO("offset " << now.offset << ", " << now.count << " octets");
  CHECK(blocks_after(rig, peer, now.offset, now.count) == now.blocks);
  require_nothing_left(rig);
}

TEST_CASE("a duplicate is told once, and costs no record afterwards", "[tcp][input][rfc2883]") {
  TcpRig rig;
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  peer.send(kAck, 100);
  read_octets(rig, connection);
  static_cast<void>(rig.take_sent());
  CHECK(blocks_after(rig, peer, -100, 100) == Blocks{{-100, 0}});
  CHECK(find_tcb(rig.ctx(), connection)->receive_record == kNoIndex);
  peer.give(piece(peer, 0, 100));
  rig.run_for(Duration::from_ms(50));
  const auto sent = rig.take_sent();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].header.options.sack_count == 0);
  require_nothing_left(rig);
}

TEST_CASE("each duplicate of a burst has an ACK of its own", "[tcp][input][rfc2883]") {
  TcpRig rig;
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  peer.send(kAck, 300);
  read_octets(rig, connection);
  static_cast<void>(rig.take_sent());
  rig.receive_burst(peer.flow(), {piece(peer, 0u - 300, 100), piece(peer, 0u - 200, 100),
                                  piece(peer, 0u - 100, 50)});
  const auto sent = rig.take_sent();
  REQUIRE(sent.size() == 3);
  CHECK(blocks_of(sent[0], peer) == Blocks{{-300, -200}});
  CHECK(blocks_of(sent[1], peer) == Blocks{{-200, -100}});
  CHECK(blocks_of(sent[2], peer) == Blocks{{-100, -50}});
  require_nothing_left(rig);
}

TEST_CASE("octets before the connection's first, and its FIN, are no duplicates",
          "[tcp][input][rfc2883]") {
  TcpRig rig;
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  CHECK(blocks_after(rig, peer, -10, 10).empty());  // an old segment, or a stranger's
  peer.send(kAck, 100);
  read_octets(rig, connection);
  static_cast<void>(rig.take_sent());
  CHECK(blocks_after(rig, peer, -110, 20) == Blocks{{-100, -90}});
  peer.send(kFin | kAck);
  rig.run_for(Duration::from_ms(50));
  static_cast<void>(rig.take_sent());
  CHECK(blocks_after(rig, peer, -2, 2) == Blocks{{-2, -1}});
  require_nothing_left(rig);
}

TEST_CASE("a peer that knows no SACK is told of no duplicate", "[tcp][input][rfc2883]") {
  TcpRig rig;
  TcpPeer peer(rig, {.sack = false});
  receive_with_gaps(rig, peer);
  CHECK(blocks_after(rig, peer, -50, 25).empty());
  CHECK(blocks_after(rig, peer, 100, 100).empty());
  require_nothing_left(rig);
}

TEST_CASE("packets behind gaps are bounded for each connection and for the worker",
          "[tcp][input][reassembly]") {
  EngineConfig config = TcpRig::small_config();
  config.reassembly_segments = 4;
  config.reassembly_worker_segments = 6;
  TcpRig rig(config);
  TcpPeer one(rig), two(rig, {.remote_port = Port{40001}});
  establish(rig, one);
  two.connect();
  accept_on(rig, {0, 1});
  for (std::uint32_t i = 1; i <= 6; ++i) one.give(piece(one, i * 100, 50));
  CHECK(rig.ctx().reassembly_segments == 4);
  CHECK(rig.metrics().of(Outcome::kOutOfOrderFull) == 2);
  for (std::uint32_t i = 1; i <= 6; ++i) two.give(piece(two, i * 100, 50));
  CHECK(rig.ctx().reassembly_segments == 6);
  CHECK(rig.metrics().of(Outcome::kOutOfOrderFull) == 6);
  // What is refused was not acknowledged: it comes again, and the gap closes.
  one.give(piece(one, 0, 700));
  CHECK(rig.ctx().reassembly_segments == 2);
  CHECK(read_octets(rig, {0, 1}) == pattern(700));
  require_nothing_left(rig);
}

TEST_CASE("octets beyond the window are cut off, and the FIN behind them is not taken",
          "[tcp][input][reassembly]") {
  EngineConfig config = TcpRig::small_config();
  config.receive_buffer_bytes = 4000;
  TcpRig rig(config);
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  for (std::uint32_t offset = 0; offset < 3000; offset += 1000) peer.send(kAck, 1000);
  peer.give(piece(peer, 0, 1400, kAck | kFin));
  CHECK(find_tcb(rig.ctx(), connection)->state == State::kEstablished);
  const auto got = read_octets(rig, connection);
  CHECK(got == pattern(4000));
  require_nothing_left(rig);
}

}  // namespace sluice::tcp
