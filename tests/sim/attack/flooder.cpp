#include "tests/sim/attack/flooder.hpp"

#include <iterator>

#include "tests/sim/dice.hpp"

namespace sluice::sim {
namespace {

using support::Octets;
using support::TcpFrame;

constexpr unsigned kVolley = 8;  // at one instant: the smallest receive ring holds it many times

constexpr bool is_on_segment(Ipv4Addr address) {
  return address.value >> 8 == Plan::kHost[0].value >> 8;
}

}  // namespace

Flooder::Flooder(const Scene& scene, const AttackPlan& plan, std::uint64_t seed)
    : Attacker(scene, plan, seed), is_from_many_(!rng_.chance(1, 4)) {
  const Duration fast = ms(static_cast<std::int64_t>(4 + rng_.below(8)));
  const std::int64_t volleys = plan.frames / kVolley + 1;
  const Duration steady = Duration::from_ns((plan.until - plan.from).ns() / volleys);
  pause_ = rng_.chance(1, 2) ? steady : fast;
  at(plan.from, 0);
}

void Flooder::on_event(std::uint64_t, Instant now) {
  if (!is_active()) return;
  for (unsigned i = 0; i < kVolley; ++i) {
    if (!spend()) return;
    flood();
  }
  scene_.clock.schedule(now + pause_, *this);
}

void Flooder::flood() {
  const std::uint64_t roll = rng_.below(10);
  if (roll < 6) {
    syn();
  } else if (roll < 8) {
    cookie_ack();
  } else {
    stray();
  }
}

Ipv4Addr Flooder::source() {
  if (plan_.uses_neighbors && rng_.chance(1, 8)) {
    if (rng_.chance(1, 4)) return Plan::kHost[1 - plan_.victim];
    return Ipv4Addr{Plan::kHost[0].value + 99 + static_cast<std::uint32_t>(rng_.below(32))};
  }
  // 198.18.0.0/15 is for such tests (RFC 2544), 203.0.113.0/24 for examples (RFC 5737).
  return is_from_many_ ? Ipv4Addr{198u << 24 | 18u << 16 | (any32() & 0x1'ffff)}
                       : Ipv4Addr::from_octets(203, 0, 113, static_cast<std::uint8_t>(any16()));
}

TcpFrame Flooder::segment(Ipv4Addr source, std::uint16_t port, std::uint8_t flags) {
  TcpFrame frame(in_the_name_of(source, plan_.victim));
  frame.tcp.source = Port{static_cast<std::uint16_t>(1024 + rng_.below(60'000))};
  frame.tcp.destination = Port{port};
  frame.tcp.seq = wire::SeqNum(any32());
  frame.tcp.flags = flags;
  frame.tcp.window = any16();
  return frame;
}

void Flooder::syn() {
  const Ipv4Addr from = source();
  scene_.tally.count(is_on_segment(from) ? Act::kFloodSynOfNeighbor : Act::kFloodSyn);
  TcpFrame frame = segment(from, listener(rng_), wire::kSyn);
  wire::TcpOptions& options = frame.tcp.options;
  options.has_mss = rng_.chance(3, 4);
  options.mss = any16();
  options.has_timestamps = rng_.chance(1, 2);
  options.ts_val = any32();
  options.has_window_scale = rng_.chance(1, 2);
  options.window_scale = static_cast<std::uint8_t>(rng_.below(16));
  options.has_sack_permitted = rng_.chance(1, 2);
  send(plan_.victim, build(frame));
  if (rng_.chance(1, 16)) send(plan_.victim, build(frame));  // impatient
}

/// What the answer to a cookie looks like, with any numbers.
void Flooder::cookie_ack() {
  scene_.tally.count(Act::kFloodCookieAck);
  const Ipv4Addr from =
      source();  // each draw in a statement: compilers order arguments as they like
  TcpFrame frame = segment(from, listener(rng_), wire::kAck);
  frame.tcp.ack = wire::SeqNum(any32());
  if (rng_.chance(1, 2)) {
    frame.tcp.options.has_timestamps = true;
    frame.tcp.options.ts_val = any32();
    frame.tcp.options.ts_ecr = any32();
  }
  if (rng_.chance(1, 3)) frame.payload = Octets(1 + rng_.below(200), std::byte{0xf1});
  send(plan_.victim, build(frame));
}

void Flooder::stray() {
  scene_.tally.count(Act::kFloodStray);
  static constexpr std::uint8_t kFlags[] = {
      wire::kAck, wire::kRst, wire::kFin | wire::kAck, wire::kSyn | wire::kAck, wire::kPsh, 0};
  const auto any_port = static_cast<std::uint16_t>(100 + rng_.below(900));
  const Ipv4Addr from = source();
  const std::uint16_t to = rng_.chance(1, 3) ? listener(rng_) : any_port;
  TcpFrame frame = segment(from, to, kFlags[rng_.below(std::size(kFlags))]);
  if (frame.tcp.has(wire::kAck)) frame.tcp.ack = wire::SeqNum(any32());
  send(plan_.victim, build(frame));
}

}  // namespace sluice::sim
