#include <atomic>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "runtime/control_socket.hpp"
#include "runtime/gate_commands.hpp"
#include "tests/unit/ctl/fake_instance.hpp"

namespace {

using namespace sluice;
using namespace sluice::ctl::test;
using Catch::Matchers::Contains;
using runtime::ControlCommand;
using runtime::Json;

/// A living instance whose control socket is served by a thread, as a server's is.
class Controlled {
 public:
  explicit Controlled(const std::string& suffix) : fake(suffix) {
    serve(runtime::gate_commands({.filter = filter,
                                  .settle = [this] { return behind.load(); },
                                  .log = [](const std::string&) {}}));
  }
  ~Controlled() { end(); }
  Controlled(const Controlled&) = delete;
  Controlled& operator=(const Controlled&) = delete;

  /// Serves these commands instead.
  void serve(std::vector<ControlCommand> commands) {
    end();
    socket_.emplace(telemetry::control_socket_path(fake.name()), std::move(commands));
    is_over_ = false;
    thread_ = std::thread([this] {
      while (!is_over_) socket_->serve(Instant::from_ns(1), Duration::from_ms(1));
    });
  }
  void end() {
    is_over_ = true;
    if (thread_.joinable()) thread_.join();
    socket_.reset();
  }
  CommandResult gate(std::vector<std::string> words) {
    words.insert(words.begin(), {"gate", "--instance", fake.name()});
    return run(words);
  }

  FakeInstance fake;
  runtime::SourceFilter filter{{}, ip::SourceAction::kAllow, 3};
  std::atomic<std::size_t> behind = 0;

 private:
  std::optional<runtime::ControlSocket> socket_;
  std::atomic<bool> is_over_ = false;
  std::thread thread_;
};

}  // namespace

TEST_CASE("gate deny, allow and forget say what they did", "[ctl][gate][threads]") {
  Controlled server("prefixes");
  const std::string name = server.fake.name();
  CommandResult result = server.gate({"deny", "203.0.113.0/24", "2001:db8::/32"});
  CHECK(result.code == 0);
  CHECK(result.out == name + ": 2 prefixes denied, 2 in the list\n");
  CHECK(result.err.empty());
  CHECK(server.gate({"allow", "203.0.113.7"}).out == name + ": 1 prefix allowed, 3 in the list\n");
  CHECK(server.gate({"forget", "203.0.113.7"}).out ==
        name + ": 1 prefix no longer in the list, 2 in the list\n");
  result = server.gate({"forget", "2001:db8::/32", "192.0.2.1", "192.0.2.2"});
  CHECK(result.code == 1);
  CHECK_THAT(result.err, Contains("2 of 3 were not in the list"));
  CHECK(nlohmann::json::parse(server.gate({"deny", "192.0.2.0/24", "--json"}).out)["rules"] == 2);
}

TEST_CASE("gate prefixes shows the list and how many packets it denied", "[ctl][gate][threads]") {
  Controlled server("prefixes-list");
  server.fake.record<telemetry::Metrics>(telemetry::SectionKind::kMetrics)
      .outcomes[static_cast<std::size_t>(telemetry::Outcome::kSourceDenied)] = 1234;
  CHECK(server.gate({"prefixes"}).out ==
        server.fake.name() +
            ": 0 of at most 65536 prefixes; other sources: allow; denied since "
            "the start: 1234 packets\n");
  server.gate({"deny", "203.0.113.0/24"});
  server.gate({"allow", "203.0.113.7"});
  CHECK_THAT(server.gate({"prefixes"}).out,
             Contains("Prefix          Sources\n") && Contains("203.0.113.0/24  denied\n") &&
                 Contains("203.0.113.7/32  allowed\n") && Contains(": 2 of at most"));
  const auto json = nlohmann::json::parse(server.gate({"prefixes", "--json"}).out);
  REQUIRE(json.size() == 1);
  CHECK(json[0]["deny"] == nlohmann::json({"203.0.113.0/24"}));
  CHECK(json[0]["allow"] == nlohmann::json({"203.0.113.7/32"}));
  CHECK(json[0]["other_sources"] == "allow");
  CHECK(json[0]["denied_packets_total"] == 1234);
}

TEST_CASE("a worker that has yet to take the list is told of", "[ctl][gate][threads]") {
  Controlled server("prefixes-behind");
  server.behind = 2;
  const CommandResult result = server.gate({"deny", "203.0.113.0/24"});
  CHECK(result.code == 0);
  CHECK_THAT(result.err, Contains("2 of 3 workers have not taken the list yet"));
}

TEST_CASE("a slip of the pen at gate's prefixes is a matter of usage", "[ctl][gate]") {
  FakeInstance fake("prefixes-usage");
  const auto complaint = [&](std::vector<std::string> words) {
    words.insert(words.begin(), {"gate", "--instance", fake.name()});
    const CommandResult result = run(words);
    CHECK(result.code == 2);
    CHECK(result.out.empty());
    return result.err;
  };
  CHECK(complaint({"deny"}) == "sluicectl: gate deny: which prefixes? (sluicectl gate --help)\n");
  CHECK_THAT(complaint({"deny", "10.0.0.0/8", "10.0.0.1/8"}),
             Contains("gate deny: '10.0.0.1/8' is no prefix: expected 203.0.113.0/24"));
  CHECK_THAT(complaint({"admit", "10.0.0.0/8"}), Contains("gate: what is 'admit'?"));
  CHECK_THAT(complaint({"prefixes", "10.0.0.0/8"}), Contains("what is '10.0.0.0/8'?"));
  CHECK_THAT(complaint({"deny", "10.0.0.0/8", "--watch"}), Contains("--watch goes with"));
}

TEST_CASE("who cannot be asked is named with the reason", "[ctl][gate][threads]") {
  Controlled server("prefixes-refusal");
  server.serve({{"gate.deny",
                 [](const Json&) -> Json { throw runtime::CommandError("the list is full"); }}});
  const auto complaint = [&](std::vector<std::string> words) {
    const CommandResult result = server.gate(std::move(words));
    CHECK(result.code == 1);
    return result.err;
  };
  const std::string name = server.fake.name();
  CHECK(complaint({"deny", "10.0.0.1"}) ==
        "sluicectl: instance '" + name + "' refuses: the list is full\n");
  CHECK_THAT(complaint({"allow", "10.0.0.1"}),
             Contains("refuses: no command 'gate.allow' here; there are: gate.deny"));
  server.end();
  CHECK_THAT(complaint({"deny", "10.0.0.1"}), Contains("takes no commands: there is no /dev/shm/"));
  server.fake.die();
  CHECK_THAT(complaint({"deny", "10.0.0.1"}), Contains("is dead: it takes no commands"));
  CHECK_THAT(complaint({"prefixes"}), Contains("is dead: it takes no commands"));
}
