#include <atomic>
#include <catch2/catch.hpp>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "ip/address_table.hpp"
#include "runtime/control_socket.hpp"
#include "tests/unit/ctl/fake_instance.hpp"

namespace {

using namespace sluice;
using namespace sluice::ctl::test;
using Catch::Matchers::Contains;
using runtime::Json;

/// A living instance whose control socket answers every command alike, and keeps what it was asked.
class Asked {
 public:
  explicit Asked(const std::string& suffix) : fake(suffix) {
    std::vector<runtime::ControlCommand> commands;
    for (const char* name :
         {"addr.add", "addr.del", "route.add", "route.del", "neigh.add", "neigh.del", "reload"})
      commands.push_back({name, [this](const Json& request) {
                            const std::lock_guard turn(mutex_);
                            last_ = request.dump();
                            if (!refusal.empty()) throw runtime::CommandError(refusal);
                            return reply;
                          }});
    socket_.emplace(telemetry::control_socket_path(fake.name()), std::move(commands));
    thread_ = std::thread([this] {
      while (!is_over_) socket_->serve(Instant::from_ns(1), Duration::from_ms(1));
    });
  }
  ~Asked() {
    is_over_ = true;
    thread_.join();
  }
  Asked(const Asked&) = delete;
  Asked& operator=(const Asked&) = delete;

  CommandResult run(std::vector<std::string> words) {
    words.insert(words.end(), {"--instance", fake.name()});
    return ctl::test::run(words);
  }
  /// What the server was asked.
  std::string request(const std::vector<std::string>& words) {
    CHECK(run(words).code == 0);
    const std::lock_guard turn(mutex_);
    return last_;
  }

  FakeInstance fake;
  Json reply = {{"workers", 2}, {"changed", 2}};
  std::string refusal;

 private:
  std::mutex mutex_;
  std::string last_;
  std::optional<runtime::ControlSocket> socket_;
  std::atomic<bool> is_over_ = false;
  std::thread thread_;
};

}  // namespace

TEST_CASE("addr, route and neigh take iproute2's words and ask the server",
          "[ctl][network][threads]") {
  Asked server("words");
  CHECK(server.request({"addr", "add", "10.0.0.3/24"}) ==
        R"({"address":"10.0.0.3/24","command":"addr.add"})");
  CHECK(server.request({"addr", "delete", "10.0.0.3", "dev", "1"}) ==
        R"({"address":"10.0.0.3/32","interface":1,"command":"addr.del"})");
  CHECK(server.request({"route", "add", "default", "via", "10.0.0.1"}) ==
        R"({"destination":"0.0.0.0/0","gateway":"10.0.0.1","command":"route.add"})");
  CHECK(server.request(
            {"route", "add", "192.0.2.0/24", "via", "10.0.0.1", "dev", "0", "congctl", "bbr"}) ==
        R"({"destination":"192.0.2.0/24","gateway":"10.0.0.1","interface":0,"congestion":"bbr",)"
        R"("command":"route.add"})");
  CHECK(server.request({"routes", "del", "192.0.2.0/24"}) ==
        R"({"destination":"192.0.2.0/24","command":"route.del"})");
  CHECK(server.request({"neigh", "add", "10.0.0.9", "lladdr", "02:00:00:00:00:09", "permanent"}) ==
        R"({"address":"10.0.0.9","mac":"02:00:00:00:00:09","command":"neigh.add"})");
  CHECK(server.request({"neigh", "add", "10.0.0.9", "dev", "0", "lladdr", "02:00:00:00:00:09",
                        "nud", "permanent"}) ==
        R"({"address":"10.0.0.9","interface":0,"mac":"02:00:00:00:00:09","command":"neigh.add"})");
  CHECK(server.request({"neigh", "del", "10.0.0.9"}) ==
        R"({"address":"10.0.0.9","command":"neigh.del"})");
  const std::string name = server.fake.name();
  CHECK(server.run({"addr", "add", "10.0.0.3/24"}).out ==
        name + ": addr 10.0.0.3/24 added (2 workers)\n");
  server.reply["changed"] = 1;
  CHECK(server.run({"neigh", "del", "10.0.0.9"}).out ==
        name + ": neigh 10.0.0.9 deleted (1 worker)\n");
  CHECK(nlohmann::json::parse(server.run({"neigh", "del", "10.0.0.9", "--json"}).out)["workers"] ==
        2);
  server.refusal = "worker 1 did not answer in time and will not do it: nothing has changed";
  const CommandResult result = server.run({"route", "del", "default"});
  CHECK(result.code == 1);
  CHECK(result.err == "sluicectl: instance '" + name + "' refuses: " + server.refusal + "\n");
}

TEST_CASE("a slip of the pen at addr, route and neigh is a matter of usage", "[ctl][network]") {
  FakeInstance fake("words-usage");
  const auto complaint = [&](std::vector<std::string> words) {
    words.insert(words.end(), {"--instance", fake.name()});
    const CommandResult result = run(words);
    CHECK(result.code == 2);
    CHECK(result.out.empty());
    return result.err;
  };
  CHECK(complaint({"addr", "show"}) ==
        "sluicectl: addr: what is 'show'? (sluicectl addr --help)\n");
  CHECK_THAT(complaint({"addr", "add"}), Contains("addr add: address with its length is missing"));
  CHECK_THAT(complaint({"addr", "add", "10.0.0.300/24"}), Contains("'10.0.0.300/24' is no IPv4"));
  CHECK_THAT(complaint({"addr", "add", "10.0.0.3/24", "dev", "eth0"}), Contains("numbered from 0"));
  CHECK_THAT(complaint({"addr", "add", "10.0.0.3/24", "via", "10.0.0.1"}),
             Contains("what is 'via'?"));
  CHECK_THAT(complaint({"route", "add", "default", "via"}),
             Contains("the gateway behind via is missing"));
  CHECK_THAT(complaint({"route", "del", "default", "congctl", "bbr"}),
             Contains("what is 'congctl'?"));
  CHECK_THAT(complaint({"neigh", "add", "10.0.0.9"}), Contains("lladdr MAC is missing"));
  CHECK_THAT(complaint({"neigh", "add", "10.0.0.9", "lladdr", "here"}),
             Contains("'here' is no MAC"));
  CHECK_THAT(complaint({"neigh", "add", "10.0.0.9", "nud", "reachable"}), Contains("no other nud"));
  CHECK_THAT(complaint({"neigh", "del", "10.0.0.9", "lladdr", "02:00:00:00:00:09"}),
             Contains("what is 'lladdr'?"));
}

TEST_CASE("addr lists our addresses", "[ctl][network]") {
  FakeInstance fake("addr-list");
  auto& record = fake.record<ip::AddressRecord>(telemetry::SectionKind::kAddresses, 0,
                                                telemetry::kSharedSection);
  record.in_use = 1;
  record.prefix_length = 24;
  record.address = *parse_ip("10.0.0.2");
  CHECK_THAT(run({"addr", "--instance", fake.name()}).out, Contains("10.0.0.2/24"));
  const auto json = nlohmann::json::parse(run({"addr", "--instance", fake.name(), "--json"}).out);
  REQUIRE(json.size() == 1);
  CHECK(json[0]["address"] == "10.0.0.2/24");
}

TEST_CASE("reload says what changed and what needs a restart", "[ctl][reload][threads]") {
  Asked server("reload");
  server.reply = {{"file", "f"},
                  {"changed", {"tcp.nodelay", "tcp.rto_min"}},
                  {"needs_restart", {"tcp.max_connections"}}};
  const std::string name = server.fake.name();
  CHECK(server.run({"reload"}).out == name + ": changed: tcp.nodelay, tcp.rto_min\n" + name +
                                          ": needs a restart: tcp.max_connections\n");
  server.reply = {{"file", "f"}, {"changed", Json::array()}, {"needs_restart", Json::array()}};
  CHECK(server.run({"reload"}).out == name + ": nothing has changed\n");
  server.refusal = "/etc/sluice.toml:3: no such key: tcp.x: nothing has changed";
  const CommandResult result = server.run({"reload"});
  CHECK(result.code == 1);
  CHECK_THAT(result.err, Contains("refuses: /etc/sluice.toml:3: no such key"));
}
