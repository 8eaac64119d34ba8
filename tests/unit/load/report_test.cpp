#include "apps/load/report.hpp"

#include <catch2/catch.hpp>

#include "apps/load/progress.hpp"
#include "apps/load/text.hpp"

namespace load {
namespace {

using Catch::Matchers::Contains;
using sluice::Duration;

TEST_CASE("three digits are shown, with a unit", "[load]") {
  CHECK(time_text(Duration::from_ns(999)) == "999 ns");
  CHECK(time_text(Duration::from_ns(1000)) == "1.00 us");
  CHECK(time_text(Duration::from_ns(9'996)) == "10.0 us");
  CHECK(time_text(Duration::from_ns(99'960)) == "100 us");
  CHECK(time_text(Duration::from_ns(999'600)) == "1.00 ms");
  CHECK(time_text(Duration::from_s(100)) == "100 s");
  CHECK(with_unit(0) == "0.00");
  CHECK(with_unit(987) == "987");
  CHECK(with_unit(12'345) == "12.3 k");
  CHECK(with_unit(3'370'000) == "3.37 M");
  CHECK(grouped(0) == "0");
  CHECK(grouped(999) == "999");
  CHECK(grouped(1000) == "1,000");
  CHECK(grouped(1'234'567) == "1,234,567");
}

/// A run of two steps after a warm-up, on two workers.
struct Fixture {
  Options options;
  RunResult result;

  Fixture() {
    options.target = *sluice::parse_endpoint("10.0.0.2:80");
    options.path = "/";
    options.is_open_loop = true;
    options.phases = {{Duration::from_s(1), 100, 100, true},
                      {Duration::from_s(2), 100, 100},
                      {Duration::from_s(4), 200, 200}};
    for (int i = 0; i < 2; ++i) {
      WorkerResult worker;
      worker.phases.resize(3);
      worker.phases[0].tally.issued = worker.phases[0].tally.failures[0] = 1000;
      Tally& step = worker.phases[1].tally;
      step.issued = 100;
      step.answered = 98;
      step.late = 8;
      step.unsent = 5;
      step.failures[static_cast<std::size_t>(Failure::kReset)] = 2;
      for (int k = 1; k <= 98; ++k) worker.phases[1].latency.record(Duration::from_us(k));
      worker.phases[2].tally.issued = worker.phases[2].tally.answered = 400;
      worker.retransmitted = 3;
      worker.lasted = Duration::from_s(7);
      result.add(worker);
    }
    result.addresses = 1;
  }
};

TEST_CASE("totals leave the warm-up out and hold all workers", "[load]") {
  const Fixture run;
  const Tally total = total_of(run.options, run.result);
  CHECK(total.issued == 1000);
  CHECK(total.failed() == 4);
  CHECK(run.result.workers == 2);
  CHECK(run.result.retransmitted == 6);
}

TEST_CASE("JSON has each phase with its rates, failures and latencies", "[load]") {
  const Fixture run;
  const nlohmann::json json = report_json(run.options, run.result);
  REQUIRE(json["phases"].size() == 2);
  const auto& step = json["phases"][0];
  CHECK(step["seconds"] == 2.0);
  CHECK(step["issued"] == 200);
  CHECK(step["answered_in_time_per_s"] == 90.0);
  CHECK(step["never_sent"] == 10);
  CHECK(step["failures"]["reset"] == 4);
  CHECK(step["failures"].size() == kFailures);
  CHECK(step["offered_per_s"]["to"] == 100.0);
  CHECK(step["latency_us"]["count"] == 196);
  CHECK(step["latency_us"]["p50"].get<double>() == Approx(49).epsilon(0.001));
  CHECK(step["latency_us"]["max"] == 98.0);
  CHECK(step["connect_us"] == nlohmann::json{{"count", 0}});
  CHECK(json["phases"][1]["answered_in_time_per_s"] == 200.0);
  CHECK(json["retransmitted_segments"] == 6);
}

TEST_CASE("the table names failures with their mend, and what was never sent", "[load]") {
  const Fixture run;
  const std::string table = report_table(run.options, run.result);
  CHECK_THAT(table, Contains("http to 10.0.0.2:80, GET /, 64 connections, open loop"));
  CHECK_THAT(table, Contains("reset") && Contains(std::string(mend_of(Failure::kReset))));
  CHECK_THAT(table, Contains("never sent") && Contains("worse than shown"));
  CHECK_THAT(table, Contains("90.0/s within the time, 16 later"));
  CHECK_THAT(table, Contains("all steps"));
  CHECK_THAT(table, !Contains("refused") && !Contains("interrupted"));
}

TEST_CASE("an interrupted run counts the time that it had", "[load]") {
  Fixture run;
  run.result.was_interrupted = true;
  run.result.lasted = Duration::from_s(2);
  CHECK(lasted(run.options, run.result, 0) == Duration::from_s(1));
  CHECK(lasted(run.options, run.result, 1) == Duration::from_s(1));
  CHECK(lasted(run.options, run.result, 2) == Duration::zero());
  CHECK_THAT(report_table(run.options, run.result), Contains("interrupted after 2.00 s"));
}

TEST_CASE("a closed loop says what its latencies leave out, or corrects them", "[load]") {
  Fixture run;
  run.options.is_open_loop = false;
  CHECK_THAT(report_table(run.options, run.result), Contains("A closed loop waits"));
  run.options.expected_interval = Duration::from_us(10);
  CHECK_THAT(report_table(run.options, run.result),
             Contains("corrected") && !Contains("A closed loop waits"));
  const auto json = report_json(run.options, run.result);
  CHECK(json["phases"][0]["latency_corrected_us"]["count"] > 196);
}

TEST_CASE("a set-up that failed is one line with the mend", "[load]") {
  Options options;
  options.target = *sluice::parse_endpoint("10.0.0.2:80");
  options.setup_timeout = Duration::from_s(10);
  RunResult result;
  result.to_open = 64;
  CHECK_THAT(set_up_problem(options, result), Contains("10.0.0.2:80 does not answer"));
  result.last_failure = Failure::kRefused;
  CHECK_THAT(set_up_problem(options, result), Contains("refused: nobody listens there"));
  result.opened = 7;
  CHECK_THAT(set_up_problem(options, result), Contains("only 7 of 64 connections"));
}

TEST_CASE("a CSV line has as many fields as its header", "[load]") {
  const auto fields = [](const std::string& line) {
    return std::count(line.begin(), line.end(), ',');
  };
  Glimpse glimpse;
  glimpse.latency.record(Duration::from_us(5));
  CHECK(fields(csv_line(glimpse, 1)) == fields(csv_header()));
}

TEST_CASE("the live line tells set-up, warm-up and steps apart", "[load]") {
  const Fixture run;
  Glimpse glimpse;
  CHECK_THAT(progress_line(glimpse, run.options, 1), Contains("set-up"));
  glimpse.is_running = true;
  CHECK_THAT(progress_line(glimpse, run.options, 1), Contains("warm-up"));
  glimpse.phase = 2;
  glimpse.tally.answered = 500;
  CHECK_THAT(progress_line(glimpse, run.options, 0.5),
             Contains("step 2") && Contains("1.00 k answers/s") && !Contains("failed"));
}

}  // namespace
}  // namespace load
