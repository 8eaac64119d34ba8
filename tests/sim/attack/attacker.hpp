#pragma once

// What every attacker has: the clock, the wire, its plan, dice of its own, a budget of frames.

#include <array>
#include <cstdint>
#include <span>

#include "base/rng.hpp"
#include "drivers/sim/sim_link.hpp"
#include "telemetry/region.hpp"
#include "tests/sim/attack/plan.hpp"
#include "tests/sim/attack/tally.hpp"
#include "tests/sim/ledger.hpp"
#include "tests/sim/plan_addresses.hpp"
#include "tests/support/packet_builder.hpp"

namespace sluice::sim {

/// Where attackers are. All of it is borrowed.
struct Scene {
  drivers::SimClock& clock;
  drivers::SimLink& link;
  Ledger& ledger;
  AttackTally& tally;
  /// Of the hosts' stacks. Only the world's knowledge of edges is taken from here: a guess that is
  /// to miss by one needs to know what it misses.
  std::array<telemetry::StateRegion*, kHosts> regions;
  Instant begin;
};

class Attacker : public drivers::SimActor {
 public:
  Attacker(const Scene& scene, const AttackPlan& plan, std::uint64_t seed)
      : scene_(scene), plan_(plan), rng_(seed), left_(plan.frames) {}

  /// A TCP segment from host `from` to the other went by. Who is off the path takes no numbers of
  /// it.
  virtual void on_passing(unsigned, const support::ParsedFrame&, std::span<const std::byte>) {}
  /// Host `from` sent a packet out by the gateway.
  virtual void on_gateway(unsigned, const support::ParsedFrame&) {}

 protected:
  bool is_active() const {
    const Duration age = scene_.clock.now() - scene_.begin;
    return age >= plan_.from && age < plan_.until;
  }
  /// One frame of the budget. False if none is left.
  bool spend() { return left_ > 0 && left_-- > 0; }
  void send(unsigned to, const support::Octets& frame) {
    scene_.link.inject(to, frame, scene_.clock.now());
  }
  void at(Duration after_begin, std::uint64_t token) {
    scene_.clock.schedule(scene_.begin + after_begin, *this, token);
  }
  Duration some_time() {
    return plan_.from + Duration::from_ns(static_cast<std::int64_t>(rng_.below(
                            static_cast<std::uint64_t>((plan_.until - plan_.from).ns()))));
  }
  std::uint32_t any32() { return static_cast<std::uint32_t>(rng_.next()); }
  std::uint16_t any16() { return static_cast<std::uint16_t>(rng_.next()); }
  /// In by the gateway, to a host, in `source`'s name.
  static support::Endpoints in_the_name_of(Ipv4Addr source, unsigned to) {
    return {Plan::kGatewayMac, Plan::kHostMac[to], source, Plan::kHost[to]};
  }
  static std::uint16_t listener(Rng& rng) {
    return rng.chance(1, 2) ? kListenPort.value : kPullListenPort.value;
  }

  Scene scene_;
  const AttackPlan& plan_;
  Rng rng_;
  std::uint32_t left_;
};

}  // namespace sluice::sim
