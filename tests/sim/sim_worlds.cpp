// Runs seeded worlds and says what broke. A world that fails is run again by the one command that
// is printed with it.

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cxxopts.hpp>
#include <string>
#include <string_view>

#include "tests/sim/coverage.hpp"
#include "tests/sim/trace_line.hpp"
#include "tests/sim/world.hpp"
#include "tests/support/eal.hpp"

namespace sluice::sim {
namespace {

/// Fewer worlds than this cannot be expected to reach everything.
constexpr std::uint64_t kWorldsForCoverage = 1500;
/// Every so many worlds are run twice, and must leave the same trace.
constexpr std::uint64_t kRepeatEvery = 25;

/// A fault that is put in, and what of its own the checker says that finds it: a run that failed by
/// anything else proves nothing.
struct CanaryFault {
  std::string_view name;
  Canary canary;
  std::string_view finding;
};
constexpr CanaryFault kCanaries[] = {
    {"payload", Canary::kPayload, "of the stream are not what was sent"},
    {"leak", Canary::kLeak, "mbufs out: 1 receive, 0 control, 0 indirect"},
    {"silence", Canary::kSilence, "the network bearable, yet it failed"},
    {"trace", Canary::kTrace, "left another trace"},
    {"sack", Canary::kSack, "have come, which is not so"},
    {"ack", Canary::kAck, "of a stream of which"},
    {"timer", Canary::kTimer, ": not over after "},
    {"reset-number", Canary::kResetNumber, "a reset that nobody meant"},
    {"data-ack", Canary::kDataAck, "of the stream are not what was sent"},
    {"no-cap", Canary::kNoCap, "strays answered, above the cap"},
};

const CanaryFault* find_canary(std::string_view name) {
  for (const CanaryFault& each : kCanaries)
    if (each.name == name) return &each;
  return nullptr;
}

bool says(const std::vector<std::string>& faults, std::string_view finding) {
  return std::any_of(faults.begin(), faults.end(), [finding](const std::string& fault) {
    return fault.find(finding) != std::string::npos;
  });
}

struct Settings {
  std::uint64_t seed = 1;
  std::uint64_t worlds = 3000;
  std::string coverage = "auto";
  const CanaryFault* canary = nullptr;
  std::string program;  ///< As it was called, for the command that runs a world again.
  bool is_verbose = false;
};

struct Totals {
  std::uint64_t passed = 0;
  std::uint64_t failed = 0;
  std::uint64_t repeated = 0;
  bool is_canary_found = false;
  std::uint64_t octets = 0;
  std::uint64_t given_up = 0;
  Duration virtual_time;
  std::int64_t closest_percent = 0;  ///< Of a bound of liveness.
  std::uint64_t closest_seed = 0;
  telemetry::Metrics metrics;
  AttackSums attacks;
  decltype(WorldResult::fates) fates{};
  decltype(WorldResult::reasons) reasons{};
};

using Pools = std::array<std::unique_ptr<support::TestPools>, kHosts>;

Pools make_pools() {
  Pools pools;
  for (auto& each : pools)
    each = std::make_unique<support::TestPools>(
        support::TestPools::Sizes{.receive = 4096, .control = 1024, .indirect = 2048});
  return pools;
}

WorldResult run_once(const WorldPlan& plan, const RunOptions& options, Pools& pools) {
  World world(plan, options, pools);
  return world.run();
}

void report(const WorldPlan& plan, const Settings& settings,
            const std::vector<std::string>& faults) {
  fmt::print("FAILED: world {}\n", plan.seed);
  for (const std::string& fault : faults) fmt::print("  {}\n", fault);
  fmt::print("{}  replay: {} --seed {} --worlds 1 --verbose\n", describe(plan), settings.program,
             plan.seed);
  std::fflush(stdout);
}

void add_attacks(const WorldPlan& plan, const WorldResult& result, AttackSums& sums) {
  if (plan.attacks.empty()) return;
  ++sums.worlds;
  for (std::size_t i = 0; i < result.tally.acts.size(); ++i)
    sums.tally.acts[i] += result.tally.acts[i];
  if (plan.attacks.size() == 1 && plan.stranger_frames == 0)
    add(sums.alone[static_cast<std::size_t>(plan.attacks[0].kind)], result.metrics);
}

bool run_world(std::uint64_t seed, const Settings& settings, Pools& pools, Totals& totals) {
  const WorldPlan plan = draw_world(seed);
  if (settings.is_verbose) fmt::print("{}", describe(plan));
  const Canary canary = settings.canary != nullptr ? settings.canary->canary : Canary::kNone;
  RunOptions options{.is_verbose = settings.is_verbose,
                     .canary = canary == Canary::kTrace ? Canary::kNone : canary};
  WorldResult result = run_once(plan, options, pools);
  if (seed % kRepeatEvery == 0 && result.faults.empty()) {
    options.is_verbose = false;
    options.canary = canary;
    const WorldResult again = run_once(plan, options, pools);
    ++totals.repeated;
    if (again.trace != result.trace)
      result.faults.push_back("the same seed left another trace the second time");
  }
  add(totals.metrics, result.metrics);
  add_attacks(plan, result, totals.attacks);
  totals.octets += result.octets;
  totals.given_up += result.given_up;
  if (result.bound_used_percent > totals.closest_percent) {
    totals.closest_percent = result.bound_used_percent;
    totals.closest_seed = seed;
  }
  totals.virtual_time = totals.virtual_time + result.lasted;
  for (std::size_t i = 0; i < result.fates.size(); ++i) totals.fates[i] += result.fates[i];
  for (std::size_t i = 0; i < result.reasons.size(); ++i) totals.reasons[i] += result.reasons[i];
  if (!result.faults.empty()) report(plan, settings, result.faults);
  if (settings.canary != nullptr && says(result.faults, settings.canary->finding))
    totals.is_canary_found = true;
  return result.faults.empty();
}

void print_totals(const Totals& totals) {
  fmt::print("frames on the wire:\n");
  for (std::size_t i = 0; i < totals.fates.size(); ++i)
    fmt::print("  {:<34} {:>12}\n", name_of(static_cast<drivers::FrameFate>(i)), totals.fates[i]);
  fmt::print("ends of connections:\n");
  for (std::size_t i = 0; i <= static_cast<std::size_t>(CloseReason::kOverload); ++i)
    fmt::print("  {:<34} {:>12}\n", to_string(static_cast<CloseReason>(i)), totals.reasons[i]);
  fmt::print("  {:<34} {:>12}\n", "of connections given up at last", totals.given_up);
  fmt::print("{} octets delivered and checked, {} s of virtual time, {} worlds run twice\n",
             totals.octets, totals.virtual_time.s(), totals.repeated);
  fmt::print("nearest to its bound of liveness: world {}, {} % of it\n", totals.closest_seed,
             totals.closest_percent);
}

int run(const Settings& settings) {
  support::start_eal();
  Pools pools = make_pools();
  Totals totals;
  constexpr std::uint64_t kEnoughFailures = 10;
  for (std::uint64_t i = 0;
       i < settings.worlds && totals.failed < kEnoughFailures && !totals.is_canary_found; ++i)
    ++(run_world(settings.seed + i, settings, pools, totals) ? totals.passed : totals.failed);
  if (totals.failed == kEnoughFailures) fmt::print("stopped after {} failures\n", kEnoughFailures);

  if (settings.canary != nullptr) {
    const bool is_found = totals.is_canary_found;
    fmt::print("canary {}: its fault was {}\n{} passed, {} failed\n", settings.canary->name,
               is_found ? "found" : "NOT found: these worlds prove nothing", is_found ? 1 : 0,
               is_found ? 0 : 1);
    return is_found ? 0 : 1;
  }

  std::vector<std::string> missing;
  const std::string table =
      coverage_table(totals.metrics, missing) + attack_table(totals.attacks, missing);
  const bool is_coverage_required =
      settings.coverage == "on" ||
      (settings.coverage == "auto" && settings.worlds >= kWorldsForCoverage);
  if (settings.worlds > 1) fmt::print("{}", table);
  print_totals(totals);
  if (is_coverage_required) {
    for (const std::string& line : missing) fmt::print("FAILED: coverage: {}\n", line);
    ++(missing.empty() ? totals.passed : totals.failed);
  } else if (settings.worlds > 1) {
    fmt::print("coverage is not required of fewer than {} worlds\n", kWorldsForCoverage);
  }
  fmt::print("{} passed, {} failed\n", totals.passed, totals.failed);
  return totals.failed == 0 ? 0 : 1;
}

}  // namespace

int parse_and_run(int argc, char** argv) {
  cxxopts::Options options("sim_worlds", "Seeded worlds of two stacks on a faulty wire");
  options.add_options()  //
      ("seed", "seed of the first world; the next ones follow",
       cxxopts::value<std::uint64_t>()->default_value("1"))                                  //
      ("worlds", "how many worlds", cxxopts::value<std::uint64_t>()->default_value("3000"))  //
      ("verbose", "the world's parameters, and a line for each frame")                       //
      ("coverage", "on, off, auto: whether what never fired fails the run",
       cxxopts::value<std::string>()->default_value("auto"))  //
      ("canary",
       "a fault that the run must find: payload, leak, silence, trace, sack, ack, timer; or a "
       "defence "
       "that is missing: reset-number, data-ack, no-cap",
       cxxopts::value<std::string>()->default_value(""))  //
      ("help", "this text");
  const auto given = options.parse(argc, argv);
  if (given.count("help") > 0) {
    fmt::print("{}\n", options.help());
    return 0;
  }
  const std::string name = given["canary"].as<std::string>();
  const CanaryFault* const canary = find_canary(name);
  if (!name.empty() && canary == nullptr) {
    fmt::print(stderr, "sim_worlds: no such canary: {}\n", name);
    return 2;
  }
  return run({.seed = given["seed"].as<std::uint64_t>(),
              .worlds = given["worlds"].as<std::uint64_t>(),
              .coverage = given["coverage"].as<std::string>(),
              .canary = canary,
              .program = argv[0],
              .is_verbose = given.count("verbose") > 0});
}

}  // namespace sluice::sim

int main(int argc, char** argv) {
  try {
    return sluice::sim::parse_and_run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "sim_worlds: {}\n", error.what());
    return 2;
  }
}
