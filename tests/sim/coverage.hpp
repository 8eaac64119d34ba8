#pragma once

// What a run of many worlds has reached: every outcome, transition and timer that exists should
// have fired, but for those that only other suites can reach.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "telemetry/metrics.hpp"
#include "tests/sim/attack/plan.hpp"
#include "tests/sim/attack/tally.hpp"

namespace sluice::sim {

/// Adds every counter of `metrics` to `sum`.
void add(telemetry::Metrics& sum, const telemetry::Metrics& metrics);

/// RFC 9293 3.3.2's diagram, with what the text adds to it. Numbers are tcp::State values.
bool is_transition_legal(std::size_t from, std::size_t to);

/// A table of all counts. `missing` gets what should have fired and did not, and what fired
/// although an exception says that it cannot.
std::string coverage_table(const telemetry::Metrics& sum, std::vector<std::string>& missing);

/// What attackers did in a run, and what it came to.
struct AttackSums {
  std::uint64_t worlds = 0;
  AttackTally tally;
  /// Of worlds with one attacker and no stranger: what there is, that kind has reached.
  std::array<telemetry::Metrics, kAttacks> alone{};
};

/// The same for attackers: each kind must have done all it can do, and must have met each defence
/// that it is there to try. Luck, too, has a bound.
std::string attack_table(const AttackSums& sums, std::vector<std::string>& missing);

}  // namespace sluice::sim
