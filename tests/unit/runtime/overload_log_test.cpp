#include "runtime/overload_log.hpp"

#include <catch2/catch.hpp>

namespace sluice::runtime {

using telemetry::Counter;
using telemetry::SectionKind;

TEST_CASE("what a worker shed since the last look is one line, said once", "[runtime][overload]") {
  std::vector<telemetry::SectionPlan> plan;
  for (const std::uint32_t worker : {0u, 1u})
    plan.push_back({SectionKind::kMetrics, worker, sizeof(telemetry::Metrics), 1});
  auto region = telemetry::StateRegion::anonymous(plan);
  OverloadLog log{region};
  using Lines = std::vector<std::string>;
  CHECK(log.changes().empty());
  auto& metrics = region.section<telemetry::Metrics>(SectionKind::kMetrics, 1)[0];
  metrics.count(Counter::kShedIdle, 12);
  metrics.count(Counter::kShedSlowReader, 3);
  metrics.count(Counter::kOverloadFull);
  CHECK(log.changes() == Lines{"worker 1: overload: shed 12 idle, 3 slow readers"});
  CHECK(log.changes().empty());
  metrics.count(Counter::kShedHalfOpen, 700);
  metrics.count(Counter::kShedIdle);
  CHECK(log.changes() == Lines{"worker 1: overload: shed 700 half-open, 1 idle"});
}

}  // namespace sluice::runtime
