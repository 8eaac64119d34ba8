#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "tcp/config.hpp"
#include "tcp/gate/gate_record.hpp"
#include "tests/unit/ctl/fake_instance.hpp"

namespace {

using namespace sluice;
using namespace sluice::ctl::test;
using Catch::Matchers::Contains;
using telemetry::SectionKind;

const Instant kNow = Instant::from_ns(100'000'000'000);

tcp::ListenerRecord& listener_of(FakeInstance& fake) {
  return fake.record<tcp::ListenerRecord>(SectionKind::kListeners, 1);
}
tcp::GateRecord& gate_of(FakeInstance& fake) {
  return fake.record<tcp::GateRecord>(SectionKind::kGate, 1);
}
tcp::TopPrefixesRecord& top_of(FakeInstance& fake) {
  return fake.record<tcp::TopPrefixesRecord>(SectionKind::kTopPrefixes);
}

/// A listener under attack.
void fill(FakeInstance& fake) {
  fake.record<telemetry::WorkerInfo>(SectionKind::kWorkerInfo).last_round = kNow.ns();
  auto& listener = listener_of(fake);
  listener.is_open = 1;
  listener.generation = 3;
  listener.port = 80;
  listener.half_open = 768;
  listener.syn_backlog = 1024;
  listener.cookie_mode = static_cast<std::uint8_t>(tcp::CookieMode::kAuto);
  listener.is_sending_cookies = 1;
  listener.cookies_sent_total = 50'000;
  listener.cookies_accepted_total = 1'000;
  listener.cookies_rejected_total = 17;
  auto& gate = gate_of(fake);
  gate.generation = 3;
  gate.state = tcp::GateState::kAttack;
  gate.reason = tcp::GateReason::kFloodFromMany;
  gate.state_since = (kNow - Duration::from_s(12)).ns();
  gate.second_end = kNow.ns();
  gate.syns = 5120;
  gate.by_entry = 3;
  gate.by_cookie = 100;
  gate.prefixes = 4900;
  gate.strays = 42;
  gate.half_open = 768;
  gate.syn_backlog = 1024;
  gate.state_changes = 2;
  gate.attacks = 1;
  auto& top = top_of(fake);
  top.syns.second_end = (kNow - Duration::from_ms(300)).ns();
  top.syns.total = 5120;
  top.syns.error = 120;
  top.syns.entries[0] = {tcp::source_prefix(*parse_ip("198.51.100.9")), 1000, 0};
  top.syns.entries[1] = {tcp::source_prefix(*parse_ip("2001:db8::1")), 52, 0};
  top.syns.entries[2] = {tcp::source_prefix(*parse_ip("192.0.2.1")), 51, 0};  // below 1 %
}

CommandResult gate(const FakeInstance& fake, std::vector<std::string> more = {}) {
  std::vector<std::string> arguments = {"gate", "--instance", fake.name()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return run(arguments);
}

}  // namespace

TEST_CASE("gate shows each listener's state, its reason and its cookies", "[ctl][gate]") {
  FakeInstance fake("gate");
  fill(fake);
  fake.die();
  const CommandResult result = gate(fake);
  CHECK(result.code == 0);
  CHECK_THAT(result.out,
             Contains("*:80      attack  12.00s   5120        2%      4900   768/1024          0   "
                      "     42  auto, on  50000      1000        17  " +
                      fake.name() + "/0\n"));
  CHECK_THAT(result.out, Contains("of 5,120 SYNs/s 2 % complete, from 4,900 prefixes"));
}

TEST_CASE("gate shows the largest senders and says how sure it is", "[ctl][gate]") {
  FakeInstance fake("gate-top");
  fill(fake);
  fake.die();
  const CommandResult result = gate(fake);
  CHECK_THAT(result.out, Contains("SYNs by source prefix") &&
                             Contains("5120 in the second that ended 300ms ago") &&
                             Contains("198.51.100.0/24      1000     1120    19%") &&
                             Contains("2001:db8::/64") && !Contains("192.0.2.0/24") &&
                             !Contains("Strays by"));
}

TEST_CASE("gate says so if no sender stands out", "[ctl][gate]") {
  FakeInstance fake("gate-even");
  fill(fake);
  for (auto& entry : top_of(fake).syns.entries) entry.count = entry.count == 0 ? 0 : 3;
  fake.die();
  CHECK_THAT(gate(fake).out, Contains("none stands out: no prefix has more than 123"));
}

TEST_CASE("a calm listener has no note, and one of another generation no figures", "[ctl][gate]") {
  FakeInstance fake("gate-calm");
  fill(fake);
  gate_of(fake).generation = 2;
  fake.die();
  const CommandResult result = gate(fake);
  CHECK_THAT(result.out, Contains("*:80      calm       -      0         -         0   768/1024") &&
                             !Contains("complete, from"));
}

TEST_CASE("gate --json has the figures with their units in the names", "[ctl][gate]") {
  FakeInstance fake("gate-json");
  fill(fake);
  const auto json = nlohmann::json::parse(gate(fake, {"--json"}).out);
  REQUIRE(json["listeners"].size() == 1);
  const auto& listener = json["listeners"][0];
  CHECK(listener["state"] == "attack");
  CHECK(listener["reason"] == "flood-from-many");
  CHECK(listener["syns_per_s"] == 5120);
  CHECK(listener["complete_percent"] == 2);
  CHECK(listener["cookie_mode"] == "auto");
  CHECK(listener["cookies_on"] == true);
  CHECK(listener["cookies_rejected_total"] == 17);
  CHECK_FALSE(listener.contains("torn"));
  REQUIRE(json["top_prefixes"].size() == 1);
  CHECK(json["top_prefixes"][0]["what"] == "SYNs");
  CHECK(json["top_prefixes"][0]["prefixes"][0]["prefix"] == "198.51.100.0/24");
  CHECK(json["top_prefixes"][0]["prefixes"][0]["at_most"] == 1120);
}

TEST_CASE("a gate's record that is being written is shown as torn", "[ctl][gate]") {
  FakeInstance fake("gate-torn");
  fill(fake);
  gate_of(fake).version.begin_write();
  CHECK_THAT(gate(fake).out, Contains("attack torn") && !Contains("; torn"));
  gate_of(fake).version.end_write();
  top_of(fake).version.begin_write();
  CHECK_THAT(gate(fake).out, Contains("ago; torn") && !Contains("attack torn"));
  CHECK(nlohmann::json::parse(gate(fake, {"--json"}).out)["top_prefixes"][0]["torn"] == true);
}

TEST_CASE("any octets in a gate's records are survived", "[ctl][gate]") {
  FakeInstance fake("gate-garbage");
  fill(fake);
  auto* const octets = reinterpret_cast<unsigned char*>(&gate_of(fake));
  std::fill(octets + sizeof(SeqVersion), octets + sizeof(tcp::GateRecord), 0xff);
  gate_of(fake).generation = 3;
  auto* const top = reinterpret_cast<unsigned char*>(&top_of(fake));
  std::fill(top + sizeof(SeqVersion), top + sizeof(tcp::TopPrefixesRecord), 0xff);
  listener_of(fake).cookie_mode = 0xff;
  CHECK(gate(fake).code == 0);
  CHECK(gate(fake, {"--json"}).code == 0);
  top_of(fake).syns.total = 0;
  CHECK(gate(fake).code == 0);
}
