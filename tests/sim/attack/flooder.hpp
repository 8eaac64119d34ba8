#pragma once

// The attacker who has only numbers: SYNs from many prefixes, ACKs that would be cookies, strays of
// every kind, so many that queues fill and caps are met.

#include "tests/sim/attack/attacker.hpp"

namespace sluice::sim {

class Flooder final : public Attacker {
 public:
  Flooder(const Scene& scene, const AttackPlan& plan, std::uint64_t seed);

  void on_event(std::uint64_t token, Instant now) override;

 private:
  void flood();
  Ipv4Addr source();
  support::TcpFrame segment(Ipv4Addr source, std::uint16_t port, std::uint8_t flags);
  void syn();
  void cookie_ack();
  void stray();

  bool is_from_many_;  ///< Prefixes; or from one network.
  Duration pause_;     ///< Between volleys.
};

}  // namespace sluice::sim
