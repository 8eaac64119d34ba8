// Those who watch and those who lie: the auditor sees each false claim, the troublemaker makes
// them.

#include <catch2/catch.hpp>

#include "tests/sim/auditor.hpp"
#include "tests/sim/rebuild.hpp"
#include "tests/sim/troublemaker.hpp"
#include "tests/support/mbuf_pool.hpp"

using namespace sluice;
using sim::Auditor;
using sim::Ledger;
using sim::Mischief;
using sim::Plan;
using sim::RangeSet;
using sim::Troublemaker;
using support::Octets;

namespace {

const Instant kBegin = Instant::from_ns(1'000'000'000);
constexpr std::uint32_t kIss[2] = {0xffff'ff00u, 5000};  // the first wraps soon

/// A segment of a connection from port 40000 of host 0 to port 7 of host 1. `seq` and `ack` count
/// from the two SYNs.
struct Segment {
  unsigned from = 0;
  std::uint32_t seq = 1;
  std::uint32_t ack = 1;
  std::uint8_t flags = wire::kAck;
  std::uint16_t window = 10'000;
  std::size_t payload = 0;
  wire::TcpOptions options{};

  Octets frame() const {
    support::TcpFrame out(support::Endpoints{Plan::kHostMac[from], Plan::kHostMac[1 - from],
                                             Plan::kHost[from], Plan::kHost[1 - from]});
    out.tcp.source = Port{static_cast<std::uint16_t>(from == 0 ? 40'000 : 7)};
    out.tcp.destination = Port{static_cast<std::uint16_t>(from == 0 ? 7 : 40'000)};
    out.tcp.seq = wire::SeqNum(kIss[from]) + seq;
    if ((flags & wire::kAck) != 0) out.tcp.ack = wire::SeqNum(kIss[1 - from]) + ack;
    out.tcp.flags = flags;
    out.tcp.window = window;
    out.tcp.options = options;
    out.payload = support::pattern(payload);
    return support::build(out);
  }
};

wire::TcpOptions syn_options() {
  wire::TcpOptions options;
  options.has_mss = options.has_sack_permitted = options.has_window_scale = true;
  options.mss = 1000;
  options.window_scale = 2;
  return options;
}

wire::TcpOptions sack_of(std::uint32_t left, std::uint32_t right) {
  wire::TcpOptions options;
  options.sack_count = 1;
  options.sack[0] = {wire::SeqNum(kIss[0]) + left, wire::SeqNum(kIss[0]) + right};
  return options;
}

Segment syn() {
  return {.seq = 0, .flags = wire::kSyn, .options = syn_options()};
}
Segment syn_ack() {
  return {.from = 1, .seq = 0, .flags = wire::kSyn | wire::kAck, .options = syn_options()};
}

/// An auditor that has seen a handshake; frames arrive unless it is said that they do not.
struct Audit {
  Audit() {
    pass(syn());
    pass(syn_ack());
    pass({});
  }
  void send(const Segment& segment) { auditor.on_sent(segment.from, segment.frame()); }
  void pass(const Segment& segment) {
    send(segment);
    auditor.on_arrived(1 - segment.from, segment.frame());
  }
  bool is_clean() const { return ledger.is_clean(); }
  Ledger ledger;
  Auditor auditor{ledger};
};

}  // namespace

TEST_CASE("ranges join when they touch, in whatever order they come", "[sim][auditor]") {
  RangeSet set;
  set.add({10, 20});
  set.add({30, 40});
  set.add({5, 5});
  CHECK(set.count() == 2);
  CHECK(set.holds({12, 20}));
  CHECK_FALSE(set.holds({12, 21}));
  CHECK_FALSE(set.holds({25, 26}));
  CHECK(set.run_from(10) == 20);
  CHECK(set.run_from(20) == 20);
  set.add({20, 30});
  CHECK(set.count() == 1);
  CHECK(set.run_from(10) == 40);
  set.add({0, 100});
  CHECK(set.count() == 1);
  CHECK(set.holds({0, 100}));
}

TEST_CASE("the auditor finds an orderly exchange in order, across the wrap", "[sim][auditor]") {
  Audit audit;
  audit.pass({.seq = 1, .payload = 1000});
  audit.send({.seq = 1001, .payload = 1000});  // lost
  audit.pass({.seq = 2001, .payload = 500});
  audit.pass({.from = 1, .ack = 1001, .window = 9750, .options = sack_of(2001, 2501)});
  audit.pass({.seq = 1001, .payload = 1000});
  audit.pass({.from = 1, .ack = 2501, .window = 9375});
  audit.pass({.seq = 2501, .flags = wire::kFin | wire::kAck});
  audit.pass({.from = 1, .ack = 2502, .window = 1});  // after a FIN no window matters
  CHECK(audit.is_clean());
  CHECK(audit.auditor.acks_checked() > 5);
  CHECK(audit.auditor.blocks_checked() == 1);
}

TEST_CASE("the auditor sees each claim that is false", "[sim][auditor]") {
  Audit audit;
  audit.pass({.seq = 1, .payload = 1000});
  audit.send({.seq = 1001, .payload = 1000});  // lost
  audit.pass({.seq = 2001, .payload = 500});
  audit.pass({.from = 1, .ack = 1001, .window = 9750});
  REQUIRE(audit.is_clean());
  SECTION("an octet acknowledged that has not come") {
    audit.send({.from = 1, .ack = 1002});
  }
  SECTION("an acknowledgement over a hole") {
    audit.send({.from = 1, .ack = 2501});
  }
  SECTION("a block longer than what came") {
    audit.send({.from = 1, .ack = 1001, .options = sack_of(2001, 2502)});
  }
  SECTION("a block of nothing") {
    audit.send({.from = 1, .ack = 1001, .options = sack_of(1001, 2001)});
  }
  SECTION("a right edge that moves left") {
    audit.send({.from = 1, .ack = 1001, .window = 9749 - 1});
  }
  SECTION("octets beyond the window") {
    audit.send({.seq = 2501, .payload = 40'000});
  }
  CHECK_FALSE(audit.is_clean());
}

TEST_CASE("a forgery binds nobody, and its octets count only where they are old",
          "[sim][auditor][attack]") {
  Audit audit;
  audit.pass({.seq = 1, .payload = 1000});
  audit.auditor.on_forged(1, Segment{.seq = 0u - 50, .payload = 60}.frame());
  audit.pass({.from = 1, .ack = 1001, .options = sack_of(0u - 50, 10)});  // a duplicate, reported
  CHECK(audit.is_clean());
  const std::uint8_t fin = wire::kFin | wire::kAck;
  audit.auditor.on_forged(1, Segment{.seq = 1001, .flags = fin, .payload = 10}.frame());
  audit.send({.from = 1, .ack = 1011});  // as if the forged octets had been taken
  CHECK_FALSE(audit.is_clean());
}

TEST_CASE("what a host says of a stranger's SYN is not held against it", "[sim][auditor][attack]") {
  Audit audit;
  audit.pass({.seq = 1, .payload = 1000});
  Segment answer = syn_ack();
  answer.seq = 200;     // the server's clock has gone on
  answer.ack = 50'000;  // to a SYN that the client never sent
  audit.send(answer);
  audit.send({.from = 1, .seq = 201, .ack = 50'000});
  CHECK(audit.is_clean());
  audit.send({.from = 1, .seq = 1, .ack = 50'000});
  CHECK_FALSE(audit.is_clean());
}

TEST_CASE("a new SYN on the same ports begins a new account", "[sim][auditor]") {
  Audit audit;
  audit.pass({.seq = 1, .payload = 1000});
  Segment again = syn();
  again.seq = 100'000;
  audit.pass(again);
  audit.send({.from = 1, .ack = 1001});  // TIME-WAIT speaks of the old one
  CHECK(audit.is_clean());
}

namespace {

/// What host 0 sees of one segment, after host 1 was made to misbehave.
struct Lies {
  explicit Lies(Mischief kind)
      : plan{.kind = kind, .host = 1, .often = {1, 1}, .from = {}, .until = Duration::from_s(10)},
        troublemaker(plan, kBegin, 1) {
    pass(syn());
    pass(syn_ack());
  }
  std::vector<support::ParsedFrame> pass(const Segment& segment, Instant now = kBegin) {
    std::vector<Octets> frames = {segment.frame()};
    troublemaker.on_sent(segment.from, frames, now);
    std::vector<support::ParsedFrame> parsed;
    for (const Octets& octets : frames) {
      const auto frame = support::parse_frame(octets);
      REQUIRE(frame);
      CHECK(frame->is_payload_checksum_right);
      CHECK(frame->is_ip_checksum_right);
      parsed.push_back(*frame);
    }
    return parsed;
  }
  sim::MischiefPlan plan;
  Troublemaker troublemaker;
};

std::uint32_t ack_of(const support::ParsedFrame& frame) {
  return wire::seq_distance(wire::SeqNum(kIss[0]), frame.tcp->ack);
}

}  // namespace

TEST_CASE("a split ACK comes in parts that rise to the whole", "[sim][troublemaker]") {
  Lies lies(Mischief::kSplitAcks);
  lies.pass({.seq = 1, .payload = 1000});
  const auto seen = lies.pass({.from = 1, .ack = 1001});
  REQUIRE(seen.size() >= 2);
  CHECK(ack_of(seen.back()) == 1001);
  for (std::size_t i = 1; i < seen.size(); ++i) CHECK(ack_of(seen[i - 1]) < ack_of(seen[i]));
  CHECK(lies.pass({.from = 1, .ack = 1001}).size() == 1);
}

TEST_CASE("duplicated ACKs are the same, an optimistic one is not", "[sim][troublemaker]") {
  Lies duplicates(Mischief::kDuplicateAcks);
  const auto copies = duplicates.pass({.from = 1, .ack = 1});
  REQUIRE(copies.size() >= 2);
  CHECK(ack_of(copies[0]) == ack_of(copies[1]));
  Lies optimist(Mischief::kOptimistic);
  optimist.pass({.seq = 1, .payload = 1000});
  const auto early = optimist.pass({.from = 1, .ack = 1});
  CHECK(ack_of(early[0]) > 1);
  CHECK(ack_of(early[0]) <= 1001);
}

TEST_CASE("a window is shut or shrunk only while the mischief lasts", "[sim][troublemaker]") {
  Lies shut(Mischief::kZeroWindow);
  CHECK(shut.pass({.from = 1})[0].tcp->window == 0);
  CHECK(shut.pass({.from = 1}, kBegin + Duration::from_s(10))[0].tcp->window == 10'000);
  Lies shrunk(Mischief::kShrinkWindow);
  CHECK(shrunk.pass({.from = 1})[0].tcp->window < 10'000);
}

TEST_CASE("what a peer reneges on it has reported first", "[sim][troublemaker]") {
  Lies lies(Mischief::kRenege);
  lies.pass({.from = 1, .ack = 1});
  CHECK(lies.pass({.seq = 1, .payload = 1000}).size() == 1);  // the head is never taken
  CHECK(lies.pass({.seq = 1001, .payload = 500}).empty());
  const auto report = lies.pass({.from = 1, .ack = 1001});
  REQUIRE(report[0].tcp->options.sack_count == 1);
  CHECK(wire::seq_distance(wire::SeqNum(kIss[0]), report[0].tcp->options.sack[0].left) == 1001);
  CHECK(lies.pass({.seq = 1001, .payload = 500}).size() == 1);  // sent again, it passes
  CHECK(lies.pass({.from = 1, .ack = 1501})[0].tcp->options.sack_count == 0);
}

TEST_CASE("a false D-SACK lies below the acknowledgement", "[sim][troublemaker]") {
  Lies lies(Mischief::kFalseDsack);
  lies.pass({.seq = 1, .payload = 1000});
  const auto seen = lies.pass({.from = 1, .ack = 1001});
  REQUIRE(seen[0].tcp->options.sack_count == 1);
  CHECK(wire::seq_leq(seen[0].tcp->options.sack[0].right, seen[0].tcp->ack));
}

TEST_CASE("a clock that jumped is read back by its owner as it stands", "[sim][troublemaker]") {
  Lies lies(Mischief::kClockForward);
  wire::TcpOptions options;
  options.has_timestamps = true;
  options.ts_val = options.ts_ecr = 1000;
  std::uint32_t told = 1000;
  for (int i = 0; i < 2000 && told == 1000; ++i)
    told = lies.pass({.from = 1, .options = options})[0].tcp->options.ts_val;
  REQUIRE(told > 1000);
  wire::TcpOptions echo = options;
  echo.ts_ecr = told;
  CHECK(lies.pass({.seq = 1, .options = echo})[0].tcp->options.ts_ecr == 1000);
  // Nor does it jump back when the mischief is over.
  CHECK(lies.pass({.from = 1, .options = options}, kBegin + Duration::from_s(20))[0]
            .tcp->options.ts_val == told);
}

TEST_CASE("a false echo, a false shift count and ECE are where they should not be",
          "[sim][troublemaker]") {
  Lies echoes(Mischief::kFalseEcho);
  wire::TcpOptions options;
  options.has_timestamps = true;
  options.ts_ecr = 500'000;
  CHECK(echoes.pass({.from = 1, .options = options})[0].tcp->options.ts_ecr != 500'000);
  Lies ece(Mischief::kAlwaysEce);
  CHECK(ece.pass({.from = 1})[0].tcp->has(wire::kEce));
  Lies scale(Mischief::kWindowScale);
  CHECK(scale.pass(syn_ack())[0].tcp->options.window_scale != 2);
  CHECK(scale.pass({.from = 1})[0].tcp->window == 10'000);
}
