#pragma once

// Bulk transfers through one bottleneck: what the tables of goodput and fairness are made of.
//
//   host 0: sources --> queue, rate, loss, RTT/2 --> host 1: sinks
//                  <-- RTT/2, each flow's own delay <--

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/time.hpp"
#include "drivers/sim/link_options.hpp"
#include "tests/sim/plan_addresses.hpp"
#include "tests/support/mbuf_pool.hpp"

namespace sluice::sim {

/// A congestion-control algorithm of the engine, by name, and the bottleneck that suits it.
struct Algorithm {
  std::string_view name;
  bool wants_marks = false;  ///< The queue marks CE from a step on.
};

/// Those that the engine has: a part of every table each.
inline constexpr std::array kAlgorithms = {Algorithm{"newreno"}, Algorithm{"cubic"},
                                           Algorithm{.name = "dctcp", .wants_marks = true},
                                           Algorithm{"bbr"}};

struct BulkFlow {
  Algorithm algorithm = kAlgorithms[0];
  Duration extra_delay = {};  ///< Of its ACKs, beyond the path's.
};

struct BulkPlan {
  std::uint64_t bits_per_second = 20'000'000;
  Duration round_trip = Duration::from_ms(20);  ///< Without queueing.
  std::uint32_t buffer_percent = 100;           ///< Of bandwidth times round trip.
  drivers::Ratio loss = {};                     ///< Of data frames, each alone.
  std::vector<BulkFlow> flows = {BulkFlow{}};
  Duration warm_up;  ///< From the first SYN; flows start 50 ms after each other.
  Duration measured;
  std::uint64_t seed = 1;
};

/// Goodput of each flow in kbit/s: payload that its sink took while measured.
std::vector<std::uint64_t> run_bulk(const BulkPlan& plan,
                                    std::array<std::unique_ptr<support::TestPools>, kHosts>& pools);

}  // namespace sluice::sim
