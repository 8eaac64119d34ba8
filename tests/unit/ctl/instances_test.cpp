#include <time.h>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "tests/unit/ctl/fake_instance.hpp"

namespace sluice::ctl::test {
namespace {

using Catch::Matchers::Contains;

std::int64_t monotonic_ns() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

nlohmann::json row_of(const FakeInstance& instance) {
  const CommandResult result = run({"instances", "--instance", instance.name(), "--json"});
  CHECK(result.code == 0);
  return nlohmann::json::parse(result.out).at(0);
}

}  // namespace

TEST_CASE("instances tells how long ago a worker made its last round", "[ctl][instances]") {
  FakeInstance instance("rounds");
  CHECK(row_of(instance).at("last_round_ms_ago").is_null());  // it has made none yet

  auto& info = instance.record<telemetry::WorkerInfo>(telemetry::SectionKind::kWorkerInfo);
  info.last_round = monotonic_ns() - 42'000'000'000;
  const auto age = row_of(instance).at("last_round_ms_ago").get<std::int64_t>();
  CHECK(age >= 42'000);
  CHECK(age < 102'000);
  const CommandResult shown = run({"instances", "--instance", instance.name()});
  CHECK_THAT(shown.out, Contains("Last round"));

  instance.die();
  CHECK(row_of(instance).at("last_round_ms_ago").is_null());  // its clock may be another boot's
}

}  // namespace sluice::ctl::test
