#include "tests/sim/attack/attackers.hpp"

#include <algorithm>

#include "tests/sim/attack/believable.hpp"
#include "tests/sim/attack/flooder.hpp"
#include "tests/sim/attack/guesser.hpp"
#include "tests/sim/attack/replayer.hpp"
#include "tests/sim/rebuild.hpp"

namespace sluice::sim {
namespace {

MacAddr mac_at(std::span<const std::byte> frame, std::size_t offset) {
  MacAddr mac;
  if (frame.size() >= wire::kEthernetHeader)
    std::transform(frame.begin() + static_cast<std::ptrdiff_t>(offset),
                   frame.begin() + static_cast<std::ptrdiff_t>(offset + mac.octets.size()),
                   mac.octets.begin(),
                   [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
  return mac;
}
MacAddr source_of(std::span<const std::byte> frame) {
  return mac_at(frame, 6);
}

}  // namespace

Attackers::Attackers(const Scene& scene, const WorldPlan& plan, MissingDefence missing)
    : scene_(scene), missing_(missing) {
  for (const AttackPlan& attack : plan.attacks) {
    if (attack.kind == Attack::kGuesser || attack.kind == Attack::kReplayer)
      watched_until_ = std::max(watched_until_, plan.begin + attack.until);
    const std::uint64_t seed = mix(plan.seed, 0xa77ac4, static_cast<std::uint64_t>(attack.kind));
    switch (attack.kind) {
      case Attack::kGuesser:
        attackers_.push_back(std::make_unique<Guesser>(scene, attack, seed));
        break;
      case Attack::kReplayer:
        attackers_.push_back(std::make_unique<Replayer>(scene, attack, seed));
        break;
      case Attack::kFlooder:
        attackers_.push_back(std::make_unique<Flooder>(scene, attack, seed));
        break;
      case Attack::kSlowReader: {
        auto reader = std::make_unique<SlowReader>(scene, attack, seed);
        slow_reader_ = reader.get();
        attackers_.push_back(std::move(reader));
        break;
      }
      case Attack::kCount:
        break;
    }
  }
}

void Attackers::on_passing(unsigned from, std::span<const std::byte> octets) {
  if (scene_.clock.now() >= watched_until_) return;  // most of a world's frames
  const auto frame = support::parse_frame(octets);
  if (!frame || !frame->tcp || frame->ip->source != Plan::kHost[from] ||
      frame->ip->destination != Plan::kHost[1 - from])
    return;
  for (const auto& attacker : attackers_) attacker->on_passing(from, *frame, octets);
}

bool Attackers::takes_as_gateway(unsigned from, std::span<const std::byte> octets) {
  if (mac_at(octets, 0) != Plan::kGatewayMac) return false;
  if (const auto frame = support::parse_frame(octets); frame && frame->ip)
    for (const auto& attacker : attackers_) attacker->on_gateway(from, *frame);
  return true;
}

bool Attackers::is_forged(std::span<const std::byte> frame) {
  const MacAddr source = source_of(frame);
  return source == Plan::kGatewayMac || source == Plan::kTapMacForOld;
}

bool Attackers::is_attackers(std::span<const std::byte> frame) const {
  const MacAddr source = source_of(frame);
  return source == Plan::kGatewayMac || source == Plan::kTapMac || source == Plan::kTapMacForOld;
}

/// What no rule tells from the truth is taken away, and counted: it must stay rare.
bool Attackers::passes(unsigned host, std::span<std::byte> octets) {
  auto frame = support::parse_frame(octets);
  // What the path itself sends again is the peer's word, as long as its connection is the one.
  if (!frame || !frame->ip || source_of(octets) == Plan::kTapMac) return true;
  if (!frame->icmp && frame->ip->source != Plan::kHost[1 - host]) return true;
  telemetry::StateRegion& region = *scene_.regions[host];
  switch (belief_in(region, *frame)) {
    case Belief::kNo:
      weaken(region, octets, *frame);
      return true;
    case Belief::kYes:
      scene_.tally.count(source_of(octets) == Plan::kTapMacForOld ? Act::kOldLifeBelievable
                                                                  : Act::kTrueHit);
      return false;
    case Belief::kSimultaneous:
      scene_.tally.count(Act::kBlindOpen);
      return false;
  }
  return true;
}

/// As if the stack did not look at one number: the number is put right.
void Attackers::weaken(telemetry::StateRegion& region, std::span<std::byte> octets,
                       support::ParsedFrame& frame) const {
  if (missing_ == MissingDefence::kNone || !frame.tcp) return;
  const tcp::Tcb* const block = find_connection(region, tuple_at_receiver(frame));
  if (block == nullptr) return;
  wire::TcpHeader& tcp = *frame.tcp;
  if (missing_ == MissingDefence::kResetNumber) {
    if (!tcp.has(wire::kRst) ||
        !(wire::seq_geq(tcp.seq, block->rcv.nxt) && wire::seq_lt(tcp.seq, block->rcv.adv)))
      return;
    tcp.seq = block->rcv.nxt;
  } else {
    if (frame.payload.empty() || !tcp.has(wire::kAck)) return;
    tcp.ack = block->snd.nxt;
  }
  const support::Octets changed = rebuild(frame);
  std::copy_n(changed.begin(), std::min(changed.size(), octets.size()), octets.begin());
}

}  // namespace sluice::sim
