#include <catch2/catch.hpp>
#include <cstring>

#include "base/rng.hpp"
#include "tests/support/tcp_app.hpp"

// Header prediction (of one segment or of a run in one burst), lone segments and trains are short
// ways that traced connections do not take: of two engines with one conversation, one traced, both
// must do the same at every step.

namespace sluice::tcp {
namespace {

using namespace support;

struct Side {
  Side(const EngineConfig& config, const TcpPeer::Options& options, bool is_traced)
      : rig(config), peer(rig, options), handle(establish(rig, peer)) {
    if (is_traced) rig.ctx().touch(handle.index).set(kTraced);
    rig.settle();
  }

  /// The TCB as it would be if the connection were not traced. Which records it has is not looked
  /// at, only whether.
  Tcb facts() {
    Tcb block = rig.ctx().tcb(handle.index);
    block.version = {};
    block.clear(kTraced);
    // Left from a delay that an ACK due at once ended, in the same burst.
    if (!rig.ctx().is_armed(block, kTimerDelayedAck)) block.delayed_ack_at = 0;
    block.send_record = block.send_record == kNoIndex ? 0 : 1;
    block.receive_record = block.receive_record == kNoIndex ? 0 : 1;
    return block;
  }

  TcpRig rig;
  TcpPeer peer;
  ConnHandle handle;
  std::vector<std::byte> read;  ///< By the application.
};

bool is_same(const SentSegment& a, const SentSegment& b) {
  return a.header.seq == b.header.seq && a.header.ack == b.header.ack &&
         a.header.flags == b.header.flags && a.header.window == b.header.window &&
         a.payload == b.payload && a.options == b.options && a.at == b.at && a.ecn == b.ecn;
}

void require_same(Side& plain, Side& traced) {
  const auto sent = plain.peer.read(), expected = traced.peer.read();
  REQUIRE(sent.size() == expected.size());
  for (std::size_t i = 0; i < sent.size(); ++i) REQUIRE(is_same(sent[i], expected[i]));
  const auto told = plain.rig.take_told(), as_told = traced.rig.take_told();
  REQUIRE(told.size() == as_told.size());
  for (std::size_t i = 0; i < told.size(); ++i) REQUIRE(told[i].mask == as_told[i].mask);
  const Tcb a = plain.facts(), b = traced.facts();
  REQUIRE(std::memcmp(&a, &b, sizeof a) == 0);
  TcbTotals of_a = plain.rig.ctx().totals[plain.handle.index];
  TcbTotals of_b = traced.rig.ctx().totals[traced.handle.index];
  of_a.version = of_b.version = {};
  REQUIRE(std::memcmp(&of_a, &of_b, sizeof of_a) == 0);
  REQUIRE(plain.rig.metrics().outcomes == traced.rig.metrics().outcomes);
  REQUIRE(plain.read == traced.read);
  auto counters = plain.rig.metrics().counters;
  counters[static_cast<std::size_t>(Counter::kSegmentsMerged)] = 0;
  REQUIRE(counters == traced.rig.metrics().counters);
  REQUIRE(plain.rig.metrics().timers == traced.rig.metrics().timers);
  REQUIRE(plain.rig.engine().next_deadline() == traced.rig.engine().next_deadline());
}

std::uint32_t payload_size(Rng& rng) {
  constexpr std::uint32_t kMss = 1448;
  switch (rng.below(4)) {
    case 0:
      return kMss;
    case 1:
      return static_cast<std::uint32_t>(1 + rng.below(kMss));
    default:
      return static_cast<std::uint32_t>(1 + rng.below(200));
  }
}

Duration pause(Rng& rng) {
  switch (rng.below(16)) {
    case 0:
      return Duration::from_ms(static_cast<std::int64_t>(rng.below(400)));
    case 1:
      return Duration::from_ms(static_cast<std::int64_t>(rng.below(4000)));
    default:
      return Duration::from_us(static_cast<std::int64_t>(rng.below(3000)));
  }
}

/// One thing that the peer, the application or the clock does, to a side.
struct Step {
  enum class Kind { kData, kBurst, kAck, kQuestion, kAhead, kAgain, kSend, kRead, kWait, kWindow };
  Kind kind;
  std::uint64_t seed;  ///< Of a burst.
  std::uint32_t size;
  Duration wait;
  std::uint16_t window;
};

Step next_step(Rng& rng) {
  constexpr std::uint16_t kWindows[] = {65535, 65535, 8192, 2000, 100, 0};
  constexpr Step::Kind kKinds[] = {
      Step::Kind::kData,     Step::Kind::kData,     Step::Kind::kAck,  Step::Kind::kQuestion,
      Step::Kind::kQuestion, Step::Kind::kQuestion, Step::Kind::kSend, Step::Kind::kRead,
      Step::Kind::kWait,     Step::Kind::kWait,     Step::Kind::kAck,  Step::Kind::kBurst,
      Step::Kind::kBurst};
  Step step{};
  step.kind = kKinds[rng.below(std::size(kKinds))];
  if (rng.below(40) == 0) step.kind = Step::Kind::kAhead;
  if (rng.below(40) == 0) step.kind = Step::Kind::kAgain;
  if (rng.below(60) == 0) step.kind = Step::Kind::kWindow;
  step.size = payload_size(rng);
  step.wait = pause(rng);
  step.window = kWindows[rng.below(std::size(kWindows))];
  step.seed = rng.next();
  return step;
}

/// Segments that follow each other in one burst, but for what makes some of them unusual.
std::vector<PeerSegment> burst_of(TcpPeer& peer, std::uint64_t seed) {
  Rng rng(seed);
  const bool is_bulk = rng.below(2) == 0;
  std::vector<PeerSegment> burst;
  for (std::uint64_t left = 1 + rng.below(40); left > 0; --left) {
    const std::uint32_t size = is_bulk ? 1448 : payload_size(rng);
    PeerSegment segment = peer.segment(wire::kAck, size);
    if (rng.below(8) == 0) segment.flags |= wire::kPsh;
    std::uint32_t advance = size;
    switch (rng.below(60)) {
      case 0:  // lost on the way
        peer.nxt += size;
        continue;
      case 1:  // comes again with the next one
        advance = size / 2;
        break;
      case 2:
        segment.window = static_cast<std::uint16_t>(segment.window / 2);
        break;
      case 3:
        segment.ack = segment.ack - 1;
        break;
      case 4:  // an old duplicate
        segment.options.ts_val -= 5;
        break;
      case 5:
        segment.options.ts_val += 1;
        break;
      case 6:
        segment.options.sack_count = 1;
        segment.options.sack[0] = {segment.ack - 10, segment.ack};
        break;
      case 7:
        segment.flags |= wire::kUrg;
        segment.urgent = 1;
        break;
      case 8:
        segment.payload.clear();
        advance = 0;
        break;
      default:
        break;
    }
    peer.nxt += advance;
    burst.push_back(std::move(segment));
  }
  return burst;
}

void take(Side& side, const Step& step) {
  const auto send = [&](std::uint32_t size) {
    static_cast<void>(tcp::send(side.rig.ctx(), side.handle, pattern(size)));
    side.rig.settle();
  };
  const auto read = [&] {
    const auto octets = read_octets(side.rig, side.handle);
    side.read.insert(side.read.end(), octets.begin(), octets.end());
  };
  switch (step.kind) {
    case Step::Kind::kData:
      return side.peer.send(wire::kAck, step.size);
    case Step::Kind::kBurst:
      // What was lost, or not taken, comes again first.
      if (find_tcb(side.rig.ctx(), side.handle) != nullptr)
        side.peer.nxt = side.rig.ctx().tcb(side.handle.index).rcv.nxt;
      side.rig.receive_burst(side.peer.flow(), burst_of(side.peer, step.seed));
      if (step.seed % 4 != 0) read();
      return;
    case Step::Kind::kAck:
      return side.peer.acknowledge();
    case Step::Kind::kQuestion:  // and its answer
      side.peer.send(wire::kAck | wire::kPsh, step.size % 300 + 1);
      read();
      return send(step.size);
    case Step::Kind::kAhead: {
      PeerSegment segment = side.peer.segment(wire::kAck, step.size);
      segment.seq += 1000;
      return side.peer.give(segment);
    }
    case Step::Kind::kAgain: {
      PeerSegment segment = side.peer.segment(wire::kAck, step.size);
      segment.seq = segment.seq - 50;
      return side.peer.give(segment);
    }
    case Step::Kind::kSend:
      return send(step.size * static_cast<std::uint32_t>(3 + step.seed % 40));
    case Step::Kind::kRead:
      return read();
    case Step::Kind::kWait:
      return side.rig.run_for(step.wait);
    case Step::Kind::kWindow:
      side.peer.window = step.window;
      return side.peer.acknowledge();
  }
}

/// Segments that went by ways which only the plain side takes.
struct ShortWays {
  std::uint64_t merged = 0;
  std::uint64_t trained = 0;
};

/// The conversation that `seed` makes.
void require_same_ways(std::uint64_t seed, ShortWays& ways) {
  Rng rng(seed);
  EngineConfig config = TcpRig::small_config();
  constexpr Algorithm kAlgorithms[] = {Algorithm::kNewReno, Algorithm::kCubic, Algorithm::kCubic,
                                       Algorithm::kDctcp, Algorithm::kBbr};
  config.congestion = kAlgorithms[seed % std::size(kAlgorithms)];
  config.nodelay = seed % 3 == 0;
  config.pacing = seed % 7 == 0;
  const TcpPeer::Options options{
      .window = 65535, .sack = seed % 4 != 0, .window_scale = static_cast<std::uint8_t>(seed % 3)};
  Side plain(config, options, false), traced(config, options, true);
  for (int i = 0; i < 600; ++i) {
    const Step step = next_step(rng);
    take(plain, step);
    take(traced, step);
    require_same(plain, traced);
    if (find_tcb(plain.rig.ctx(), plain.handle) == nullptr) break;
  }
  ways.merged += plain.rig.metrics().of(Counter::kSegmentsMerged);
  ways.trained += plain.rig.trained();
  CHECK(traced.rig.trained() == 0);
  // The end: our FIN goes with the last octets, and the peer's comes before it, with the ACK of it,
  // or after that.
  const std::uint64_t manner = seed % 3;
  const auto both = [&](const auto& act) {
    for (Side* const side : {&plain, &traced})
      if (find_tcb(side->rig.ctx(), side->handle) != nullptr) act(*side);
    require_same(plain, traced);
  };
  const auto finish = [](Side& side) { side.peer.send(wire::kAck | wire::kFin, 10); };
  both([](Side& side) {
    side.peer.window = 65535;
    side.peer.acknowledge();
    static_cast<void>(read_octets(side.rig, side.handle));
    side.rig.run_for(Duration::from_s(5));
  });
  both([](Side& side) { side.peer.acknowledge(); });
  if (manner == 0) both(finish);
  both([](Side& side) {
    static_cast<void>(read_octets(side.rig, side.handle));
    static_cast<void>(tcp::send(side.rig.ctx(), side.handle, pattern(100)));
    static_cast<void>(tcp::close(side.rig.ctx(), side.handle));
    side.rig.settle();
  });
  if (manner == 1) both(finish);
  both([](Side& side) { side.peer.acknowledge(); });
  if (manner == 2) both(finish);
  plain.rig.require_clean();
  require_nothing_left(traced.rig);
}

}  // namespace

TEST_CASE("the short ways do what the long ones do", "[tcp][input][output]") {
  ShortWays ways;
  for (std::uint64_t seed = 1; seed < 25; ++seed) {
    INFO("seed " << seed);
    require_same_ways(seed, ways);
  }
  CHECK(ways.merged > 2000);
  CHECK(ways.trained > 2000);
}

}  // namespace sluice::tcp
