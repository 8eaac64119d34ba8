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

}  // namespace

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

TEST_CASE("the SACK block of the newest segment comes first, then the ones before",
          "[tcp][input][rfc2018]") {
  TcpRig rig;
  TcpPeer peer(rig, {.timestamps = false});
  establish(rig, peer);
  const auto blocks_after = [&](std::uint32_t offset, std::size_t count) {
    peer.give(piece(peer, offset, count));
    const auto answer = rig.take_sent();
    REQUIRE(answer.size() == 1);
    std::vector<std::pair<std::uint32_t, std::uint32_t>> blocks;
    for (std::uint8_t i = 0; i < answer[0].header.options.sack_count; ++i)
      blocks.emplace_back(wire::seq_distance(peer.nxt, answer[0].header.options.sack[i].left),
                          wire::seq_distance(peer.nxt, answer[0].header.options.sack[i].right));
    return blocks;
  };
  using Blocks = std::vector<std::pair<std::uint32_t, std::uint32_t>>;
  CHECK(blocks_after(500, 500) == Blocks{{500, 1000}});
  CHECK(blocks_after(1500, 500) == Blocks{{1500, 2000}, {500, 1000}});
  CHECK(blocks_after(2500, 500) == Blocks{{2500, 3000}, {1500, 2000}, {500, 1000}});
  CHECK(blocks_after(1000, 500) == Blocks{{500, 2000}, {2500, 3000}});
  CHECK(blocks_after(600, 100) == Blocks{{500, 2000}, {2500, 3000}});  // a duplicate is told again
  CHECK(blocks_after(4000, 10) == Blocks{{4000, 4010}, {500, 2000}, {2500, 3000}});
  CHECK(blocks_after(0, 500) == Blocks{{4000, 4010}, {2500, 3000}});
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
