#pragma once

// The attacker off the path. It knows the hosts, their listeners and the ports of some connections,
// and forges segments and ICMP errors of them. Sequence numbers it has to guess.

#include <deque>

#include "tests/sim/attack/attacker.hpp"
#include "tests/sim/attack/believable.hpp"

namespace sluice::sim {

class Guesser final : public Attacker {
 public:
  Guesser(const Scene& scene, const AttackPlan& plan, std::uint64_t seed);

  void on_passing(unsigned from, const support::ParsedFrame& frame,
                  std::span<const std::byte> octets) override;
  void on_event(std::uint64_t token, Instant now) override;

 private:
  using FlowId = std::array<std::uint16_t, kHosts>;  ///< Port of each host.

  void guess();
  FlowId pick_flow();
  support::TcpFrame segment_of(const FlowId& id, unsigned to);
  void blind_segment(const FlowId& id, unsigned to);
  void icmp_error(const FlowId& id, unsigned to, wire::SeqNum quoted);
  /// False if there is no connection to miss by so little.
  bool edge(const FlowId& id, unsigned to);
  bool edge_of_opening(const tcp::Tcb& block, const FlowId& id, unsigned to);
  bool edge_of_half_open(const tcp::HalfOpen& entry, const FlowId& id, unsigned to);
  bool edge_of_reset(const tcp::Tcb& block, support::TcpFrame& frame);
  bool edge_of_data(const tcp::Tcb& block, support::TcpFrame& frame);
  /// The next number of a sweep through all, in steps of a window, or any.
  wire::SeqNum next_number();

  std::deque<FlowId> known_;
  std::uint32_t sweep_;
};

}  // namespace sluice::sim
