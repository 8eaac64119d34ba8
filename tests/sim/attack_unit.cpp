// What stands between attackers and the hosts that they attack: what may be believed, told apart
// from what may not, and each frame shown to the judge at the right time.

#include <rte_mbuf.h>

#include <algorithm>
#include <catch2/catch.hpp>

#include "tests/sim/attack/believable.hpp"
#include "tests/sim/attack/watch_port.hpp"
#include "tests/sim/auditor.hpp"
#include "tests/sim/wire_rig.hpp"
#include "tests/support/require_pools_full.hpp"

using namespace sluice;
using sim::Belief;
using sim::belief_in;
using sim::Plan;
using support::Octets;
using telemetry::SectionKind;
using wire::SeqNum;

namespace {

constexpr std::uint16_t kHere = 7, kThere = 40'000;

/// A host with one connection and one half-open entry, from `kThere` and the port after it.
struct Victim {
  Victim()
      : region(telemetry::StateRegion::anonymous(std::vector<telemetry::SectionPlan>{
            {SectionKind::kTcbs, 0, sizeof(tcp::Tcb), 2},
            {SectionKind::kHalfOpen, 0, sizeof(tcp::HalfOpen), 1}})) {
    block().key = {Plan::kHost[1].value, Plan::kHost[0].value, kHere, kThere};
    block().state = tcp::State::kEstablished;
    block().rcv.nxt = SeqNum(0xffff'fff0);
    block().rcv.adv = block().rcv.nxt + 1000;
    block().snd.una = SeqNum(5000);
    block().snd.nxt = SeqNum(5500);
    block().snd_max_wnd = 300;
    tcp::HalfOpen& entry = region.section<tcp::HalfOpen>(SectionKind::kHalfOpen, 0)[0];
    entry.local = Plan::kHost[1];
    entry.remote = Plan::kHost[0];
    entry.local_port = kHere;
    entry.remote_port = kThere + 1;
    entry.listener = 0;
    entry.irs = SeqNum(900);
    entry.iss = SeqNum(100);
  }
  tcp::Tcb& block() { return region.section<tcp::Tcb>(SectionKind::kTcbs, 0)[0]; }

  struct Forged {
    std::uint8_t flags = wire::kAck;
    std::uint32_t seq = 0;  ///< From RCV.NXT.
    std::uint32_t ack = 0;  ///< From SND.NXT.
    std::size_t payload = 0;
    std::optional<std::uint32_t> ts_val = {};
  };
  Belief belief(const Forged& forged) {
    support::TcpFrame frame(
        support::Endpoints{Plan::kGatewayMac, Plan::kHostMac[1], Plan::kHost[0], Plan::kHost[1]});
    frame.tcp.source = Port{kThere};
    frame.tcp.destination = Port{kHere};
    frame.tcp.flags = forged.flags;
    frame.tcp.seq = block().rcv.nxt + forged.seq;
    frame.tcp.ack = block().snd.nxt + forged.ack;
    frame.payload = support::pattern(forged.payload);
    frame.tcp.options.has_timestamps = forged.ts_val.has_value();
    frame.tcp.options.ts_val = forged.ts_val.value_or(0);
    return belief_in(region, *support::parse_frame(build(frame)));
  }
  Belief belief_of_half_open(std::uint8_t flags, std::uint32_t seq, std::uint32_t ack) {
    support::TcpFrame frame(
        support::Endpoints{Plan::kGatewayMac, Plan::kHostMac[1], Plan::kHost[0], Plan::kHost[1]});
    frame.tcp.source = Port{kThere + 1};
    frame.tcp.destination = Port{kHere};
    frame.tcp.flags = flags;
    frame.tcp.seq = SeqNum(seq);
    frame.tcp.ack = SeqNum(ack);
    return belief_in(region, *support::parse_frame(build(frame)));
  }
  telemetry::StateRegion region;
};

}  // namespace

TEST_CASE("a forged RST is believed at RCV.NXT alone, a SYN never", "[sim][attack][rfc5961]") {
  Victim victim;
  CHECK(victim.belief({.flags = wire::kRst}) == Belief::kYes);
  for (const std::uint32_t seq : {~0u, 1u, 999u, 1000u})
    CHECK(victim.belief({.flags = wire::kRst, .seq = seq}) == Belief::kNo);
  CHECK(victim.belief({.flags = wire::kSyn}) == Belief::kNo);
  victim.block().state = tcp::State::kClosed;
  CHECK(victim.belief({.flags = wire::kRst}) == Belief::kNo);
}

TEST_CASE("forged octets are believed if all numbers fit, and not if one is one off",
          "[sim][attack][rfc5961]") {
  Victim victim;
  CHECK(victim.belief({.payload = 10}) == Belief::kYes);
  CHECK(victim.belief({.seq = 999, .payload = 10}) == Belief::kYes);
  CHECK(victim.belief({.seq = ~0u - 8, .payload = 10}) == Belief::kYes);  // the last octet fits
  CHECK(victim.belief({.seq = ~0u - 9, .payload = 10}) == Belief::kNo);
  CHECK(victim.belief({.seq = 1000, .payload = 10}) == Belief::kNo);
  CHECK(victim.belief({.ack = 1, .payload = 10}) == Belief::kNo);
  const std::uint32_t oldest = 0u - 500 - 300;  // SND.UNA - MAX.SND.WND
  CHECK(victim.belief({.ack = oldest, .payload = 10}) == Belief::kYes);
  CHECK(victim.belief({.ack = oldest - 1, .payload = 10}) == Belief::kNo);
  CHECK(victim.belief({.flags = wire::kPsh, .payload = 10}) == Belief::kNo);
  victim.block().set(tcp::kTimestampsOk);
  victim.block().ts_recent = 77;
  CHECK(victim.belief({.payload = 10}) == Belief::kNo);
  CHECK(victim.belief({.payload = 10, .ts_val = 76}) == Belief::kNo);
  CHECK(victim.belief({.payload = 10, .ts_val = 77}) == Belief::kYes);
}

TEST_CASE("while connecting, what does not acknowledge the SYN is not believed, but a SYN",
          "[sim][attack][rfc9293]") {
  Victim victim;
  victim.block().state = tcp::State::kSynSent;
  const std::uint8_t syn_ack = wire::kSyn | wire::kAck, reset = wire::kRst | wire::kAck;
  CHECK(victim.belief({.flags = syn_ack}) == Belief::kYes);
  CHECK(victim.belief({.flags = syn_ack, .ack = 1}) == Belief::kNo);
  CHECK(victim.belief({.flags = reset}) == Belief::kYes);
  CHECK(victim.belief({.flags = reset, .ack = ~0u}) == Belief::kNo);
  CHECK(victim.belief({.flags = wire::kRst}) == Belief::kNo);
  CHECK(victim.belief({.flags = wire::kSyn}) == Belief::kSimultaneous);
}

TEST_CASE("a half-open entry believes its own numbers only", "[sim][attack][rfc9293]") {
  Victim victim;
  CHECK(victim.belief_of_half_open(wire::kRst, 901, 0) == Belief::kYes);
  CHECK(victim.belief_of_half_open(wire::kRst, 902, 0) == Belief::kNo);
  CHECK(victim.belief_of_half_open(wire::kAck, 901, 101) == Belief::kYes);
  CHECK(victim.belief_of_half_open(wire::kAck, 901, 102) == Belief::kNo);
  CHECK(victim.belief_of_half_open(wire::kSyn, 900, 0) == Belief::kNo);  // the SYN again
  CHECK(victim.belief_of_half_open(wire::kSyn, 950, 0) == Belief::kYes);
}

TEST_CASE("an attacker's frame comes in a burst of its own, after all that came before it",
          "[sim][attack]") {
  struct Judge final : sim::FrameJudge {
    bool is_attackers(std::span<const std::byte> frame) const override {
      return frame[0] == std::byte{0xaa};
    }
    bool passes(unsigned, std::span<std::byte> frame) override {
      ++asked;
      return frame[1] == std::byte{1};
    }
    unsigned asked = 0;
  } judge;
  using Frames = std::vector<Octets>;
  sim::Wire wire({});
  sim::WatchPort watch(wire.link->port(1), 1, judge);
  const Octets honest = support::pattern(64);
  Octets passed(64, std::byte{0xaa}), taken = passed;
  passed[1] = std::byte{1};
  for (const Octets& octets : Frames{honest, honest, passed, taken, honest})
    wire.link->inject(1, octets, sim::kBegin);
  struct Deaf final : drivers::SimActor {
    void on_event(std::uint64_t, Instant) override {}
  } nobody;
  wire.link->port(1).wake_on_arrival(nobody, 0);  // Wire would poll at once
  wire.run();
  std::array<rte_mbuf*, 8> burst{};
  const auto poll = [&] {
    const std::uint16_t count = watch.rx_burst(burst, sim::kBegin);
    Frames seen;
    for (std::uint16_t i = 0; i < count; ++i)
      seen.push_back(support::octets_of(*packet::PacketPtr(burst[i])));
    return seen;
  };
  CHECK(poll() == Frames{honest, honest});
  CHECK(judge.asked == 0);
  CHECK(poll() == Frames{passed});
  CHECK(poll() == Frames{honest});
  CHECK(judge.asked == 2);
  CHECK(poll().empty());
  support::require_pools_full(wire.pools);
}
