#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "stack/port_record.hpp"
#include "tests/unit/ctl/fake_instance.hpp"

namespace {

using namespace sluice;
using namespace sluice::ctl::test;
using Catch::Matchers::Contains;
using stack::PortCounts;
using stack::PortRecord;
using telemetry::SectionKind;

PortRecord& port_of(FakeInstance& instance, std::size_t index) {
  return instance.record<PortRecord>(SectionKind::kPorts, index, telemetry::kSharedSection);
}

void fill(FakeInstance& instance) {
  PortRecord& tap = port_of(instance, 0);
  tap.is_in_use = 1;
  tap.rx_queues = 1;
  tap.tx_queues = 3;
  tap.steering = stack::PortSteering::kSoftware;
  tap.mac = MacAddr{{2, 0, 0, 0, 0, 7}};
  std::string_view("net_tap0").copy(tap.device.data(), 63);
  std::string_view("net_tap").copy(tap.driver.data(), 63);
  std::string_view("tap0").copy(tap.interface.data(), 15);
  PortRecord& nic = port_of(instance, 1);
  nic.is_in_use = 1;
  nic.rx_queues = nic.tx_queues = 4;
  nic.reta_entries = 128;
  nic.steering = stack::PortSteering::kProgrammed;
  nic.verdict = stack::PortVerdict::kVerified;
  std::string_view("0000:01:00.0").copy(nic.device.data(), 63);
  std::string_view("net_e1000_igb").copy(nic.driver.data(), 63);
  instance.record<PortCounts>(SectionKind::kPortCounts, 0) = {1000, 20, 3, 0, 0};
  instance.record<PortCounts>(SectionKind::kPortCounts, 1) = {77, 0, 0, 64, 1};
}

TEST_CASE("ports shows queues, steering, verdict and what went where", "[ctl][ports]") {
  FakeInstance instance("ports");
  fill(instance);
  const CommandResult text = run({"ports", "--instance", instance.name()});
  CHECK(text.code == 0);
  CHECK_THAT(text.out, Contains("net_tap0") && Contains("02:00:00:00:00:07") && Contains("1+2") &&
                           Contains("software") && Contains("verified"));

  const auto json =
      nlohmann::json::parse(run({"ports", "--json", "--instance", instance.name()}).out);
  REQUIRE(json.size() == 2);  // the third place is not in use
  CHECK(json[0]["interface"] == "tap0");
  CHECK(json[0]["tx_queues"] == 3);
  CHECK(json[0]["verdict"].is_null());
  CHECK(json[0]["received"] == 1000);
  CHECK(json[0]["handed_on"] == 20);
  CHECK(json[0]["lost"] == 3);
  CHECK(json[1]["steering"] == "RSS, our key");
  CHECK(json[1]["verdict"] == "verified");
  CHECK(json[1]["interface"].is_null());
  CHECK(json[1]["not_predicted"] == 1);
  CHECK(json[1]["workers"].size() == 1);
}

TEST_CASE("ports survives any octets in a record", "[ctl][ports]") {
  FakeInstance instance("ports-garbage");
  PortRecord& port = port_of(instance, 0);
  std::memset(static_cast<void*>(&port), 0xfe, sizeof port);
  const CommandResult text = run({"ports", "--instance", instance.name()});
  CHECK(text.code == 0);
  CHECK_THAT(text.out, Contains("?"));
  port.version.value = 1;  // for ever being written
  const auto json =
      nlohmann::json::parse(run({"ports", "--json", "--instance", instance.name()}).out);
  CHECK(json[0]["torn"] == true);
}

}  // namespace
