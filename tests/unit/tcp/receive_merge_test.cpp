#include <catch2/catch.hpp>
#include <functional>

#include "tcp/output/window.hpp"
#include "tests/support/tcp_app.hpp"

// Segments of one burst that continue each other are taken together, and acknowledged once. That
// they leave what one after the other would have left is short_way_test's to show.

namespace sluice::tcp {
namespace {

using namespace support;

constexpr std::uint32_t kMss = 1448;

struct Receiver {
  explicit Receiver(const EngineConfig& config = TcpRig::small_config())
      : rig(config), peer(rig, {.window = 65535}), handle(establish(rig, peer)) {}

  /// `count` segments of `size` octets, in order.
  std::vector<PeerSegment> train(std::size_t count, std::uint32_t size) {
    std::vector<PeerSegment> burst;
    for (; count > 0; --count) {
      burst.push_back(peer.segment(wire::kAck, size));
      peer.nxt += size;
    }
    return burst;
  }
  void receive(const std::vector<PeerSegment>& burst) { rig.receive_burst(peer.flow(), burst); }
  std::uint64_t merged() { return rig.metrics().of(Counter::kSegmentsMerged); }
  std::uint64_t processed() { return rig.metrics().of(Outcome::kSegmentProcessed); }

  TcpRig rig;
  TcpPeer peer;
  ConnHandle handle;
};

EngineConfig roomy_config() {
  EngineConfig config = TcpRig::small_config();
  config.receive_buffer_bytes = 256 << 10;
  return config;
}

}  // namespace

//= rfc9293#3.10.7.4 MUST-58, MUST-59 test
TEST_CASE("a burst of segments in order is told once and acknowledged once", "[tcp][input]") {
  const bool is_merged = GENERATE(true, false);
  Receiver at(roomy_config());
  if (!is_merged) at.rig.ctx().touch(at.handle.index).set(kTraced);
  const SeqNum first = at.peer.nxt;
  const std::uint64_t before = at.processed();
  at.receive(at.train(32, kMss));
  const auto sent = at.peer.read();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].payload.empty());
  CHECK(sent[0].header.ack == first + 32 * kMss);
  CHECK(at.rig.take_told().size() == 1);
  CHECK(at.processed() - before == 32);
  CHECK(at.merged() == (is_merged ? 31 : 0));
  CHECK(read_octets(at.rig, at.handle) == pattern(std::size_t{32} * kMss));
  require_nothing_left(at.rig);
}

TEST_CASE("what is unusual ends a merge, and is treated as it would be alone", "[tcp][input]") {
  struct Change {
    const char* what;
    std::function<void(PeerSegment&)> make;
    std::uint64_t merged;  ///< Of ten segments, of which the sixth is changed.
    bool is_taken = true;  ///< All of the octets, at last.
  };
  const Change changes[] = {
      {"nothing", [](PeerSegment&) {}, 9},
      {"PSH", [](PeerSegment& segment) { segment.flags |= wire::kPsh; }, 9},
      {"a newer timestamp, which the next do not have",
       [](PeerSegment& segment) { segment.options.ts_val += 1; }, 9},
      {"a window", [](PeerSegment& segment) { segment.window = 1000; }, 7},
      {"an old timestamp", [](PeerSegment& segment) { segment.options.ts_val -= 1; }, 4, false},
      {"URG", [](PeerSegment& segment) { segment.flags |= wire::kUrg; }, 7},
      {"no timestamp", [](PeerSegment& segment) { segment.options.has_timestamps = false; }, 4,
       false},
      {"an ACK of what was never sent", [](PeerSegment& segment) { segment.ack += 1; }, 4, false},
      {"SACK",
       [](PeerSegment& segment) {
         segment.options.sack_count = 1;
         segment.options.sack[0] = {segment.ack - 1, segment.ack};
       },
       7},
      {"a gap before", [](PeerSegment& segment) { segment.seq += 1; }, 4, false},
      {"octets that came before", [](PeerSegment& segment) { segment.seq = segment.seq - 1; }, 4,
       false},
      {"FIN", [](PeerSegment& segment) { segment.flags |= wire::kFin; }, 4, false}};
  for (const Change& change : changes) {
    INFO(change.what);
    Receiver at;
    const SeqNum first = at.peer.nxt;
    auto burst = at.train(10, 100);
    change.make(burst[5]);
    at.receive(burst);
    CHECK(at.merged() == change.merged);
    const SeqNum nxt = at.rig.ctx().tcb(at.handle.index).rcv.nxt;
    CHECK((nxt == first + 1000) == change.is_taken);
    CHECK(wire::seq_geq(nxt, first + 500));
    static_cast<void>(read_octets(at.rig, at.handle));
    require_nothing_left(at.rig);
  }
}

TEST_CASE("each merged segment lies within the window by itself", "[tcp][input]") {
  EngineConfig config = TcpRig::small_config();
  config.receive_buffer_bytes = 5000;
  config.receive_buffer_max_bytes = 5000;
  Receiver at(config);
  const std::uint32_t window = receive_window(at.rig.ctx().tcb(at.handle.index));
  REQUIRE(window / kMss == 3);
  const SeqNum first = at.peer.nxt;
  at.receive(at.train(5, kMss));
  CHECK(at.merged() == 2);
  // The fourth is cut at the right edge, the fifth lies beyond.
  CHECK(at.rig.ctx().tcb(at.handle.index).rcv.nxt == first + window);
  CHECK(at.rig.metrics().of(Outcome::kOutsideWindow) == 1);
  CHECK(read_octets(at.rig, at.handle) == pattern(window));
  require_nothing_left(at.rig);
}

//= rfc7323#5.3 MUST-1 test
TEST_CASE("no merged segment is older than the one that set TS.Recent", "[tcp][input]") {
  Receiver at;
  auto burst = at.train(4, 100);
  // Each a step ahead of the one before: together half way round.
  for (std::size_t i = 0; i < burst.size(); ++i)
    burst[i].options.ts_val += static_cast<std::uint32_t>(i) * 0x30000000u;
  at.receive(burst);
  CHECK(at.merged() == 2);
  CHECK(at.rig.metrics().of(Outcome::kPawsRejected) == 1);
  require_nothing_left(at.rig);
}

TEST_CASE("segments of other flows between keep a run from being seen, nothing else",
          "[tcp][input]") {
  Receiver at;
  TcpPeer other(at.rig, {.remote_port = Port{40001}, .window = 65535});
  other.connect();
  static_cast<void>(other.read());
  std::vector<InboundSegment> burst;
  auto& pool = at.rig.pools().receive();
  for (int i = 0; i < 8; ++i) {
    TcpPeer& peer = i % 2 == 0 ? at.peer : other;
    const auto octets = octets_of_segment(peer.flow(), peer.segment(wire::kAck, 100));
    burst.push_back({make_packet(pool, octets), peer.flow().remote, peer.flow().local});
    peer.nxt += 100;
  }
  at.rig.engine().receive(burst, at.rig.now());
  at.rig.settle();
  CHECK(at.merged() == 0);
  CHECK(read_octets(at.rig, at.handle) == pattern(400));
  require_nothing_left(at.rig);
}

TEST_CASE("small payloads are copied together and pin one buffer", "[tcp][input]") {
  const std::uint32_t size = GENERATE(50u, 255u, 256u);
  const bool is_small = size < TcpRig::small_config().copy_break_bytes;
  Receiver at;
  const std::size_t before = at.rig.pools().mbufs_out();
  at.receive(at.train(5, size));
  CHECK(at.rig.metrics().of(Counter::kCopyBreak) == (is_small ? 4 : 0));
  CHECK(at.rig.pools().mbufs_out() - before == (is_small ? 1 : 5));
  CHECK(read_octets(at.rig, at.handle) == pattern(5 * std::size_t{size}));
  require_nothing_left(at.rig);
}

TEST_CASE("an unread queue of half-empty buffers is copied together, whatever its payloads",
          "[tcp][input]") {
  Receiver at(roomy_config());
  at.receive(at.train(60, 300));
  const std::uint64_t copied = at.rig.metrics().of(Counter::kCopyBreak);
  CHECK(copied > 0);
  CHECK(at.rig.pools().mbufs_out() <= 60 - copied);
  CHECK(read_octets(at.rig, at.handle) == pattern(60 * 300));
  require_nothing_left(at.rig);
}

}  // namespace sluice::tcp
