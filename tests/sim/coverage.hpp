#pragma once

// What a run of many worlds has reached: every outcome, transition and timer that exists should
// have fired, but for those that only other suites can reach.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "telemetry/metrics.hpp"

namespace sluice::sim {

/// Adds every counter of `metrics` to `sum`.
void add(telemetry::Metrics& sum, const telemetry::Metrics& metrics);

/// RFC 9293 3.3.2's diagram, with what the text adds to it. Numbers are tcp::State values.
bool is_transition_legal(std::size_t from, std::size_t to);

/// A table of all counts. `missing` gets what should have fired and did not, and what fired
/// although an exception says that it cannot.
std::string coverage_table(const telemetry::Metrics& sum, std::vector<std::string>& missing);

}  // namespace sluice::sim
