#pragma once

// What a run came to: a table for people, JSON for programs.

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "driver.hpp"
#include "figures.hpp"
#include "options.hpp"

namespace load {

/// All workers together.
struct RunResult {
  unsigned workers = 0;
  std::size_t addresses = 0;
  std::vector<PhaseFigures> phases;  ///< As of Options.
  std::uint64_t retransmitted = 0;
  std::uint64_t held_lost = 0;
  Histogram<11> set_up_connect;
  sluice::Duration lasted;
  bool was_interrupted = false;
  /// Of set-up that failed, for what is said then.
  std::uint64_t opened = 0;
  std::uint64_t to_open = 0;
  std::optional<Failure> last_failure;

  void add(const WorkerResult& worker);
};

/// How long the phase lasted: all of it, or up to an interruption.
sluice::Duration lasted(const Options& options, const RunResult& result, std::size_t phase);
/// Of all phases that count.
Tally total_of(const Options& options, const RunResult& result);

std::string report_table(const Options& options, const RunResult& result);
nlohmann::json report_json(const Options& options, const RunResult& result);
/// One line: why the target could not be loaded at all, and the mend.
std::string set_up_problem(const Options& options, const RunResult& result);

}  // namespace load
