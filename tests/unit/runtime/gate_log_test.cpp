#include "runtime/gate_log.hpp"

#include <array>
#include <catch2/catch.hpp>

namespace sluice::runtime {
namespace {

using telemetry::SectionKind;
using Lines = std::vector<std::string>;

/// Two workers with a listener each, as their engines would write them.
struct Gates {
  static telemetry::StateRegion make() {
    std::vector<telemetry::SectionPlan> plan;
    for (std::uint32_t worker = 0; worker < 2; ++worker) {
      plan.push_back({SectionKind::kListeners, worker, sizeof(tcp::ListenerRecord), 2});
      plan.push_back({SectionKind::kGate, worker, sizeof(tcp::GateRecord), 2});
      plan.push_back({SectionKind::kTopPrefixes, worker, sizeof(tcp::TopPrefixesRecord), 1});
    }
    return telemetry::StateRegion::anonymous(plan);
  }
  telemetry::StateRegion region = make();
  GateLog log{region};

  Gates() {
    for (std::uint32_t worker = 0; worker < 2; ++worker) {
      listener(worker).is_open = 1;
      listener(worker).port = 80;
      listener(worker).generation = gate(worker).generation = 1;
    }
    CHECK(log.changes().empty());
  }
  tcp::ListenerRecord& listener(std::uint32_t worker) {
    return region.section<tcp::ListenerRecord>(SectionKind::kListeners, worker)[1];
  }
  tcp::GateRecord& gate(std::uint32_t worker) {
    return region.section<tcp::GateRecord>(SectionKind::kGate, worker)[1];
  }
  void attack(std::uint32_t worker) {
    gate(worker).state = tcp::GateState::kAttack;
    gate(worker).reason = tcp::GateReason::kFloodFromMany;
    gate(worker).syns = 5120;
    gate(worker).by_cookie = 103;
    gate(worker).prefixes = 4900;
  }
};

TEST_CASE("each change of a listener's state is one line, said once", "[runtime][gate]") {
  Gates gates;
  gates.attack(1);
  CHECK(gates.log.changes() ==
        Lines{"port 80, worker 1: attack: of 5,120 SYNs/s 2 % complete, from 4,900 prefixes"});
  gates.gate(1).syns = 6000;
  CHECK(gates.log.changes().empty());
  gates.gate(1).state = tcp::GateState::kCalm;
  gates.gate(1).reason = tcp::GateReason::kNone;
  CHECK(gates.log.changes() == Lines{"port 80, worker 1: calm"});
}

TEST_CASE("an attack's line names a prefix that sends a tenth or more", "[runtime][gate]") {
  Gates gates;
  gates.attack(0);
  auto& top = gates.region.section<tcp::TopPrefixesRecord>(SectionKind::kTopPrefixes, 0)[0];
  top.syns.total = 5000;
  top.syns.entries[0] = {tcp::source_prefix(*parse_ip("198.51.100.1")), 499, 0};
  CHECK(gates.log.changes()[0].find("198.51.100") == std::string::npos);
  gates.gate(0).state = tcp::GateState::kCalm;
  CHECK(gates.log.changes().size() == 1);
  top.syns.entries[0].count = 500;
  gates.attack(0);
  CHECK(gates.log.changes() ==
        Lines{"port 80, worker 0: attack: of 5,120 SYNs/s 2 % complete, from 4,900 prefixes; at "
              "least 10 % from 198.51.100.0/24"});
}

TEST_CASE("the begin and the end of cookies are a line each", "[runtime][gate]") {
  Gates gates;
  gates.listener(0).is_sending_cookies = 1;
  gates.listener(0).half_open = 768;
  CHECK(gates.log.changes() == Lines{"port 80, worker 0: cookies begin: 768 half-open entries"});
  CHECK(gates.log.changes().empty());
  gates.listener(0).is_sending_cookies = 0;
  gates.listener(0).half_open = 256;
  gates.listener(0).cookies_sent_total = 9;
  gates.listener(0).cookies_accepted_total = 4;
  gates.listener(0).cookies_rejected_total = 2;
  CHECK(gates.log.changes() ==
        Lines{"port 80, worker 0: cookies end: 256 half-open entries; since the start 9 cookies "
              "were sent, 4 accepted, 2 ACKs rejected"});
}

TEST_CASE("what is being written is said at the next look, a new listener is not an old one",
          "[runtime][gate]") {
  Gates gates;
  gates.attack(0);
  gates.gate(0).version.begin_write();
  CHECK(gates.log.changes().empty());
  gates.gate(0).version.end_write();
  CHECK(gates.log.changes().size() == 1);
  gates.listener(0).generation = 2;  // its gate's record comes half a second later
  CHECK(gates.log.changes().empty());
  gates.gate(0) = tcp::GateRecord{};
  gates.gate(0).generation = 2;
  CHECK(gates.log.changes().empty());
  gates.listener(0).is_open = 0;
  gates.attack(0);
  CHECK(gates.log.changes().empty());
}

}  // namespace
}  // namespace sluice::runtime
