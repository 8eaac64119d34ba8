#include "runtime/neighbor_log.hpp"

#include <catch2/catch.hpp>

namespace sluice::runtime {
namespace {

using link::NeighborAlarm;
using link::NeighborAlarmRecord;
using telemetry::SectionKind;
using Lines = std::vector<std::string>;

const MacAddr kOurs{{2, 0, 0, 0, 0, 2}}, kGateway{{2, 0, 0, 0, 0, 1}}, kOther{{2, 6, 6, 6, 6, 6}};

/// Alarms as the stacks of some workers would write them.
struct Alarms {
  static telemetry::StateRegion make(std::uint32_t workers) {
    std::vector<telemetry::SectionPlan> plan;
    for (std::uint32_t worker = 0; worker < workers; ++worker) {
      plan.push_back({SectionKind::kWorkerInfo, worker, sizeof(telemetry::WorkerInfo), 1});
      plan.push_back({SectionKind::kNeighborAlarms, worker, sizeof(NeighborAlarmRecord),
                      link::kNeighborAlarms});
    }
    return telemetry::StateRegion::anonymous(plan);
  }
  explicit Alarms(std::uint32_t workers = 1) : region(make(workers)) {}

  void claim(NeighborAlarm alarm, const MacAddr& known, std::uint32_t worker = 0) {
    auto& record = region.section<NeighborAlarmRecord>(SectionKind::kNeighborAlarms,
                                                       worker)[static_cast<std::size_t>(alarm)];
    record.address = Ipv4Addr::from_octets(10, 0, 0, 1);
    record.known = known;
    record.claimed = kOther;
    ++record.count;
    record.at = now.ns();
  }
  Lines after(Duration time) { return log.due(now = now + time); }

  telemetry::StateRegion region;
  NeighborLog log{region};
  Instant now = Instant::from_ns(5'000'000'000);
};

TEST_CASE("a conflict is said at once, then once a minute with the number of claims",
          "[runtime][neighbor]") {
  Alarms alarms;
  CHECK(alarms.after(Duration::zero()).empty());
  alarms.claim(NeighborAlarm::kOtherMac, kGateway);
  const std::string line =
      "ARP conflict: 02:06:06:06:06:06 claims 10.0.0.1, known as 02:00:00:00:00:01: a failover if "
      "02:00:00:00:00:01 is silent now, else two hosts with one address or an attack: find the "
      "port "
      "of 02:06:06:06:06:06 on the switch, pin 10.0.0.1 in interface.neighbors; nothing was learnt "
      "from it";
  CHECK(alarms.after(Duration::from_ms(500)) == Lines{line});
  for (int i = 0; i < 1'000'000; ++i) alarms.claim(NeighborAlarm::kOtherMac, kGateway);
  CHECK(alarms.after(Duration::from_ms(59'500)).empty());
  CHECK(alarms.after(Duration::from_ms(500)) ==
        Lines{line + " (1000000 since the last such line)"});
  CHECK(alarms.after(Duration::from_s(3600)).empty());
  alarms.claim(NeighborAlarm::kOtherMac, kGateway);
  CHECK(alarms.after(Duration::zero()) == Lines{line + " (1 since the last such line)"});
}

TEST_CASE("each kind of claim has lines of its own, and says what to look at",
          "[runtime][neighbor]") {
  Alarms alarms;
  alarms.claim(NeighborAlarm::kOurAddress, kOurs);
  alarms.claim(NeighborAlarm::kPinned, kGateway);
  alarms.claim(NeighborAlarm::kUnsolicited, MacAddr{});
  const Lines lines = alarms.after(Duration::zero());
  REQUIRE(lines.size() == 3);
  using Catch::Matchers::Contains;
  CHECK_THAT(lines[0], Contains("02:06:06:06:06:06 claims 10.0.0.1, which is ours "
                                "(02:00:00:00:00:02): look for a second host"));
  CHECK_THAT(lines[1], Contains("which interface.neighbors pins to 02:00:00:00:00:01"));
  CHECK_THAT(lines[2], Contains("02:06:06:06:06:06 says that it is 10.0.0.1"));
}

TEST_CASE("workers' claims are one line; a reply that another worker asked for is none",
          "[runtime][neighbor]") {
  Alarms alarms(2);
  alarms.claim(NeighborAlarm::kOurAddress, kOurs, 0);
  alarms.claim(NeighborAlarm::kOurAddress, kOurs, 1);
  alarms.claim(NeighborAlarm::kUnsolicited, MacAddr{}, 1);
  CHECK(alarms.after(Duration::zero()).size() == 1);
  alarms.claim(NeighborAlarm::kOurAddress, kOurs, 1);
  CHECK_THAT(alarms.after(NeighborLog::kInterval).at(0),
             Catch::Matchers::Contains("(1 since the last such line)"));
}

}  // namespace
}  // namespace sluice::runtime
