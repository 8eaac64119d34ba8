#include "runtime/source_filter.hpp"

#include <atomic>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "runtime/gate_commands.hpp"

namespace sluice::runtime {
namespace {

using Catch::Matchers::Contains;
using ip::PrefixFilter;
using ip::SourceAction;
using Prefixes = std::vector<Prefix>;

Prefix prefix(std::string_view text) {
  return *ip::parse_source_prefix(text);
}

/// A worker's side: what its stack goes by.
struct FakeWorker {
  SourceFilter& filter;
  std::size_t number = 0;
  const PrefixFilter* current = filter.first();

  void round() {
    filter.handover(number).take(
        [this](const PrefixFilter* next) { return std::exchange(current, next); });
  }
  bool denies(std::string_view address) const {
    return current != nullptr && current->is_denied(*parse_ip(address));
  }
};

/// The commands, over a filter of two workers that take what they are offered.
struct Gate {
  SourceFilter filter{std::vector<ip::PrefixRule>{}, SourceAction::kAllow, 2};
  FakeWorker workers[2] = {{filter, 0}, {filter, 1}};
  std::vector<std::string> lines;
  std::vector<ControlCommand> commands =
      gate_commands({.filter = filter,
                     .settle =
                         [this] {
                           filter.hand_out();
                           for (FakeWorker& worker : workers) worker.round();
                           return filter.hand_out();
                         },
                     .log = [this](const std::string& line) { lines.push_back(line); }});

  Json run(std::string_view name, Json prefixes = Json::array()) {
    for (const ControlCommand& command : commands)
      if (command.name == name) return command.run({{"command", name}, {"prefixes", prefixes}});
    FAIL("no command " << name);
    return {};
  }
};

}  // namespace

TEST_CASE("workers start with the configured list, without one they need no filter",
          "[runtime][gate]") {
  SourceFilter none({}, SourceAction::kAllow, 1);
  CHECK(none.first() == nullptr);
  CHECK(none.hand_out() == 0);
  const std::vector<ip::PrefixRule> rules = {{prefix("203.0.113.0/24"), SourceAction::kDeny}};
  SourceFilter some(rules, SourceAction::kAllow, 1);
  REQUIRE(some.first() != nullptr);
  CHECK(some.first()->is_denied(*parse_ip("203.0.113.9")));
  CHECK(some.hand_out() == 0);
}

TEST_CASE("a change reaches each worker when it takes it, and one that hangs keeps what it has",
          "[runtime][gate]") {
  SourceFilter filter({}, SourceAction::kAllow, 2);
  FakeWorker quick{filter, 0}, hung{filter, 1};
  REQUIRE(filter.set(Prefixes{prefix("10.0.0.1")}, SourceAction::kDeny));
  CHECK(filter.hand_out() == 2);
  CHECK_FALSE(quick.denies("10.0.0.1"));
  quick.round();
  CHECK(quick.denies("10.0.0.1"));
  CHECK(filter.hand_out() == 1);

  // What changes meanwhile comes in one step once it runs again.
  REQUIRE(filter.set(Prefixes{prefix("10.0.0.2")}, SourceAction::kDeny));
  REQUIRE(filter.set(Prefixes{prefix("10.0.0.3")}, SourceAction::kDeny));
  CHECK(filter.hand_out() == 2);
  quick.round();
  CHECK(quick.denies("10.0.0.3"));
  hung.round();
  CHECK((hung.denies("10.0.0.1") && !hung.denies("10.0.0.3")));
  CHECK(filter.hand_out() == 1);
  hung.round();
  CHECK(hung.denies("10.0.0.3"));
  CHECK(filter.hand_out() == 0);
  CHECK(hung.current == quick.current);  // one table for all

  CHECK(filter.forget(Prefixes{prefix("10.0.0.1"), prefix("10.0.0.2"), prefix("10.0.0.3")}) == 3);
  filter.hand_out();
  quick.round();
  hung.round();
  CHECK(filter.hand_out() == 0);
  CHECK((quick.current == nullptr && hung.current == nullptr));
}

TEST_CASE("the list has an end, and what would go beyond it changes nothing", "[runtime][gate]") {
  Prefixes many;
  for (std::uint32_t i = 0; i < SourceFilter::kMaxRules; ++i)
    many.push_back({Ipv4Addr{0x0a000000 + 2 * i}, 32});
  SourceFilter filter({}, SourceAction::kAllow, 1);
  REQUIRE(filter.set(many, SourceAction::kDeny));
  const Prefixes two = {prefix("10.0.0.0"), prefix("192.0.2.1")};
  CHECK(filter.set(two, SourceAction::kAllow).error() == SourceFilter::Error::kFull);
  CHECK(filter.rules().at(two[0]) == SourceAction::kDeny);
  CHECK(filter.forget(Prefixes{prefix("10.0.0.2")}) == 1);
  REQUIRE(filter.set(two, SourceAction::kAllow));
  CHECK(filter.rules().size() == SourceFilter::kMaxRules);
  filter.hand_out();
  FakeWorker worker{filter};
  worker.round();
  CHECK((!worker.denies("10.0.0.0") && !worker.denies("10.0.0.2") && worker.denies("10.0.0.4")));
}

TEST_CASE("gate.deny, gate.allow and gate.forget change the list, gate.prefixes shows it",
          "[runtime][gate][control]") {
  Gate gate;
  CHECK(gate.run("gate.deny", {"203.0.113.0/24", "2001:db8::/32"}).dump() ==
        R"({"changed":2,"rules":2,"workers":2,"workers_behind":0})");
  CHECK(gate.run("gate.allow", {"203.0.113.9"}).at("rules") == 3);
  for (const FakeWorker& worker : gate.workers) {
    CHECK(worker.denies("203.0.113.8"));
    CHECK_FALSE(worker.denies("203.0.113.9"));
    CHECK(worker.denies("2001:db8::1"));
  }
  CHECK(gate.run("gate.prefixes").dump() ==
        R"({"changed":0,"rules":3,"workers":2,"workers_behind":0,"maximum":65536,)"
        R"("other_sources":"allow","deny":["203.0.113.0/24","2001:db8::/32"],)"
        R"("allow":["203.0.113.9/32"]})");
  CHECK(gate.run("gate.deny", {"203.0.113.9"}).at("rules") == 3);  // in place of the old rule
  CHECK(gate.workers[1].denies("203.0.113.9"));
  CHECK(gate.run("gate.forget", {"203.0.113.9", "192.0.2.1"}).at("changed") == 1);
  CHECK(gate.run("gate.forget", {"192.0.2.1"}).at("changed") == 0);
  CHECK(gate.lines ==
        std::vector<std::string>{"gate: deny 203.0.113.0/24 and 1 more: the list has 2 now",
                                 "gate: allow 203.0.113.9/32: the list has 3 now",
                                 "gate: deny 203.0.113.9/32: the list has 3 now",
                                 "gate: forget 203.0.113.9/32 and 1 more: the list has 2 now"});
}

TEST_CASE("a request that names no prefixes, or what is none, changes nothing",
          "[runtime][gate][control]") {
  Gate gate;
  const Json no_prefixes = {{"command", "gate.deny"}};
  CHECK_THROWS_WITH(gate.commands[0].run(no_prefixes), Contains("list of one or more"));
  CHECK_THROWS_WITH(gate.run("gate.deny", Json::array()), Contains("list of one or more"));
  CHECK_THROWS_WITH(gate.run("gate.deny", "10.0.0.1"), Contains("list of one or more"));
  for (const char* name : {"gate.deny", "gate.allow", "gate.forget"}) {
    CHECK_THROWS_WITH(gate.run(name, {"10.0.0.1", "10.0.0.1/24"}),
                      Contains("\"10.0.0.1/24\" is no prefix: expected"));
    CHECK_THROWS_WITH(gate.run(name, {7}), Contains("7 is no prefix"));
  }
  CHECK(gate.filter.rules().empty());
  CHECK(gate.lines.empty());
}

TEST_CASE("a full list says what it holds at most", "[runtime][gate][control]") {
  Gate gate;
  Json many = Json::array();
  for (std::uint32_t i = 0; i <= SourceFilter::kMaxRules; ++i)
    many.push_back(to_string(Ipv4Addr{0x0a000000 + i}));
  CHECK_THROWS_WITH(gate.run("gate.deny", many), Contains("65536") && Contains("forget some"));
  CHECK(gate.filter.rules().empty());
}

TEST_CASE("workers judge by whole filters while the list changes under them",
          "[runtime][gate][threads]") {
  // Either both of a pair are denied or none: a mixture would be a filter that is being made.
  const Prefixes pair = {prefix("10.0.0.0/8"), prefix("192.0.2.0/24")};
  SourceFilter filter({}, SourceAction::kAllow, 2);
  std::atomic<bool> is_over = false;
  std::atomic<std::uint64_t> mixed = 0, swaps = 0;
  const auto work = [&](std::size_t number) {
    FakeWorker worker{filter, number};
    while (!is_over.load(std::memory_order_acquire)) {
      const PrefixFilter* const before = worker.current;
      worker.round();
      swaps += worker.current != before ? 1u : 0u;
      if (worker.denies("10.1.2.3") != worker.denies("192.0.2.200")) ++mixed;
    }
  };
  std::thread first(work, 0), second(work, 1);
  for (int i = 0; i < 500; ++i) {
    if (i % 2 == 0)
      CHECK(filter.set(pair, SourceAction::kDeny));
    else
      filter.forget(pair);
    // Some changes are waited for, others overtake each other.
    do {
      std::this_thread::yield();
    } while (filter.hand_out() > 0 && i % 3 == 0);
  }
  while (filter.hand_out() > 0) std::this_thread::yield();
  is_over.store(true, std::memory_order_release);
  first.join();
  second.join();
  CHECK(mixed == 0);
  CHECK(swaps >= 2 * 500 / 3);
}

}  // namespace sluice::runtime
