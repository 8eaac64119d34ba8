#pragma once

// Makes one host of a world misbehave at TCP's level: rewrites what it sends, as a MischiefPlan
// says, before the wire sees it. The host itself is honest, and so is judged as one: what the other
// end is told is a lie.

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "base/rng.hpp"
#include "drivers/sim/sim_link.hpp"
#include "tests/sim/network_plan.hpp"
#include "tests/sim/plan_addresses.hpp"
#include "tests/support/packet_builder.hpp"

namespace sluice::sim {

class Troublemaker final : public drivers::LinkFilter {
 public:
  Troublemaker(const MischiefPlan& plan, Instant begin, std::uint64_t seed);

  void on_sent(unsigned direction, std::vector<support::Octets>& frames, Instant now) override;

 private:
  /// What the wire has shown of one connection. `liar` is the host that misbehaves.
  struct Flow {
    bool has_liars_syn = false;
    bool has_victims_syn = false;
    bool may_sack = false;                ///< Both SYNs permitted it.
    wire::SeqNum victims_first{};         ///< The victim's first octet.
    wire::SeqNum victims_next{};          ///< After its farthest octet on the wire.
    wire::SeqNum liars_ack{};             ///< The last that the liar has acknowledged.
    std::optional<wire::SackBlock> gone;  ///< Octets that the liar reports and has not got.
  };
  using Frames = std::vector<support::Octets>;
  using FlowId = std::array<std::uint16_t, 2>;  ///< Port of the liar, of the victim.

  void on_victims(support::ParsedFrame& frame, Flow& flow, Frames& frames);
  void on_liars(support::ParsedFrame& frame, Flow& flow, Frames& frames);
  void split(const support::ParsedFrame& frame, const Flow& flow, Frames& frames);
  bool falsify(support::ParsedFrame& frame, Flow& flow);
  bool misstate_scale(wire::TcpHeader& tcp);
  static void report(wire::TcpHeader& tcp, wire::SackBlock block);
  bool is_drawn() { return rng_.chance(plan_.often.numerator, plan_.often.denominator); }

  const MischiefPlan& plan_;
  Instant begin_;
  Rng rng_;
  std::uint32_t clock_offset_ = 0;  ///< Of the liar's timestamps. It stays when the mischief ends.
  bool is_active_ = false;
  std::map<FlowId, Flow> flows_;
};

}  // namespace sluice::sim
