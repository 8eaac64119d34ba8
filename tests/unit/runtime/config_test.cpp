#include "runtime/config.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "runtime/command_line.hpp"
#include "runtime/config_values.hpp"

namespace sluice::runtime {
namespace {

/// A configuration file that goes away with the test.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& text) {
    char name[] = "/tmp/sluice-config-XXXXXX";
    const int fd = ::mkstemp(name);
    REQUIRE(fd >= 0);
    ::close(fd);
    path_ = name;
    std::ofstream(path_) << text;
  }
  ~TemporaryFile() { std::filesystem::remove(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::string error_of(const std::string& text) {
  const TemporaryFile file(text);
  Config config;
  try {
    refuse_contradiction(config, load_file(file.path(), config));
  } catch (const SetupError& error) {
    REQUIRE(error.exit_code() == 2);
    const std::string line = error.what();
    REQUIRE(line.starts_with(file.path()));
    return line.substr(file.path().size());
  }
  return {};
}

CommandLine parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "sluice-test");
  const ProgramInfo info{.name = "sluice-test",
                         .summary = "test",
                         .default_ports = {Port{7}},
                         .options = {{"root", "directory", "here"}}};
  return parse_command_line(static_cast<int>(arguments.size()), arguments.data(), info);
}

std::string flag_error(std::vector<const char*> arguments) {
  try {
    parse(std::move(arguments));
  } catch (const SetupError& error) {
    REQUIRE(error.exit_code() == 2);
    return error.what();
  }
  return {};
}

std::string read_annotated_file() {
  std::ifstream file("config/sluice.toml");
  if (!file) file.open(SLUICE_SOURCE_DIR "/config/sluice.toml");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST_CASE("config/sluice.toml is what the key table says", "[runtime][config]") {
  REQUIRE(read_annotated_file() == annotated_defaults());
}

TEST_CASE("the annotated file parses to the defaults, and holds every key", "[runtime][config]") {
  const TemporaryFile file(annotated_defaults());
  Config config;
  load_file(file.path(), config);
  const Config defaults;
  std::set<std::string_view> names;
  for (const Key& key : keys()) {
    INFO(key.name);
    CHECK(render(key, config) == render(key, defaults));
    CHECK(names.insert(key.name).second);
  }
}

TEST_CASE("a default lies in its own key's range", "[runtime][config]") {
  for (const Key& key : keys()) {
    INFO(key.name);
    Config config;
    if (const auto* list = std::get_if<ListField>(&key.field)) {
      const auto items = list->get(config);
      CHECK_FALSE(set(key, config, items).has_value());
      continue;
    }
    std::string text = render(key, config);
    if (text.starts_with('"')) text = text.substr(1, text.size() - 2);
    CHECK_FALSE(set_from_text(key, config, text).has_value());
  }
  CHECK_FALSE(contradiction(Config{}).has_value());
}

TEST_CASE("a mistake in the file is told with its line", "[runtime][config]") {
  CHECK(error_of("[tcp]\nsack = true\nsakc = true\n") == ":3: no such key: tcp.sakc");
  CHECK(error_of("[tpc]\nsack = true\n") == ":1: no such section: [tpc]");
  CHECK(error_of("sack = true\n") == ":1: 'sack' stands outside of a section");
  CHECK(error_of("[tcp]\n\ntime_wait = \"2 s\"\n")
            .starts_with(":3: tcp.time_wait: expected 1ms to "));
  CHECK(error_of("[tcp]\ntime_wait = 2\n").starts_with(":2: tcp.time_wait: expected "));
  CHECK(error_of("[tcp]\ntime_wait = \"9h\"\n").starts_with(":2: tcp.time_wait: expected "));
  CHECK(error_of("[tcp]\nsack = 1\n") == ":2: tcp.sack: expected true or false, not 1");
  CHECK(error_of("[runtime]\nworkers = 0\n") == ":2: runtime.workers: expected 1 to 64, not 0");
  CHECK(error_of("[runtime]\nworkers = 1.5\n") == ":2: runtime.workers: expected 1 to 64, not 1.5");
  CHECK(error_of("[runtime]\nworkers = \"2\"\n") ==
        ":2: runtime.workers: expected 1 to 64, not \"2\"");
  CHECK(error_of("[tcp]\ntime_wait = \"5 min\"\n") ==
        ":2: tcp.time_wait: expected 1ms to 8m (us, ms, s, m, h), not \"5 min\"");
  CHECK(error_of("[runtime]\nlisten = [80, 70000]\n").starts_with(":2: runtime.listen: "));
  CHECK(error_of("[interface]\naddresses = [\"10.0.0.256/24\"]\n").starts_with(":2: interface."));
  CHECK(error_of("[runtime]\nlisten = 7\n") ==
        ":2: runtime.listen: expected a list of ports from 1 to 65535, not 7");
  CHECK(error_of("[tcp]\nsack = yes\n").starts_with(":2: "));
  CHECK(error_of("[tcp\n").starts_with(":1: "));
}

TEST_CASE("a secret that was mistyped is not repeated", "[runtime][config]") {
  const std::string said = error_of("[gate]\nfleet_key = \"00112233445566778899aabbccddeefg\"\n");
  CHECK_THAT(said, Catch::StartsWith(":2: gate.fleet_key: expected 32 hexadecimal digits"));
  CHECK_THAT(said, !Catch::Contains("0011"));
}

TEST_CASE("a mistake in a list is told with its item's line", "[runtime][config]") {
  CHECK(error_of("[runtime]\nlisten = [7,\n 8,\n 99999]\n") ==
        ":4: runtime.listen: expected ports from 1 to 65535, not 99999");
  CHECK(error_of("[runtime]\nlisten = [7, [8]]\n") ==
        ":2: runtime.listen: expected ports from 1 to 65535, not a list");
  // Numbers are numbers in a list, too, and texts are texts.
  CHECK(error_of("[runtime]\nlisten = [\"7\"]\n") ==
        ":2: runtime.listen: expected ports from 1 to 65535, not \"7\"");
  CHECK(error_of("[device]\ndevices = [7]\n").ends_with(", not 7"));
}

TEST_CASE("what a file contradicts is judged behind the flags", "[runtime][config]") {
  const TemporaryFile file(
      "[interface]\ngateway = \"10.5.0.1\"\n[runtime]\nworkers = 1\n\ncpus = [0, 1]\n");
  const char* const path = file.path().c_str();
  CHECK(flag_error({"--config", path, "--address", "10.5.0.2/24", "--workers", "2"}).empty());
  // What is left of the file is told with its line, what a flag replaced is not.
  CHECK(flag_error({"--config", path, "--address", "10.5.0.2/24"}) ==
        file.path() + ":6: runtime.cpus: 2 given for 1 of runtime.workers; give one each, or none");
  CHECK(flag_error({"--config", path, "--address", "10.5.0.2/24", "--set", "runtime.cpus=0",
                    "--workers", "2"}) ==
        "runtime.cpus: 1 given for 2 of runtime.workers; give one each, or none");
  CHECK(flag_error({"--config", path, "--workers", "2"}).starts_with(file.path() + ":2: "));
  const TemporaryFile none("[interface]\naddresses = []\n");
  CHECK(flag_error({"--config", none.path().c_str()}).starts_with(none.path() + ":2: "));
  CHECK(flag_error({"--config", none.path().c_str(), "--address", "10.5.0.2/24"}).empty());
}

TEST_CASE("a contradiction is told with the line of the key that the file has",
          "[runtime][config]") {
  CHECK(error_of("[tcp]\n\nrto_min = \"5s\"\n") ==
        ":3: tcp.rto_initial: must lie between tcp.rto_min and tcp.rto_max");
  CHECK(error_of("[runtime]\nlisten = [7, 7]\n") == ":2: runtime.listen: 7 is given twice");
  CHECK(flag_error({"--listen", "7", "--listen", "7"}) == "runtime.listen: 7 is given twice");
}

TEST_CASE("a configuration that cannot be read is told, with the reason", "[runtime][config]") {
  CHECK_THAT(flag_error({"--config", "/tmp"}), Catch::StartsWith("/tmp: Is a directory: "));
  CHECK_THAT(flag_error({"--config", ""}), Catch::StartsWith("--config \"\": No such file"));
  CHECK_THAT(flag_error({"--config", "/nonexistent/sluice.toml"}),
             Catch::StartsWith("/nonexistent/sluice.toml: No such file or directory: "));
}

TEST_CASE("a flag without its value or with a value that ends EAL is told", "[runtime][config]") {
  CHECK(flag_error({"--set", "tcp.rto_min"}) ==
        "--set tcp.rto_min: \"=VALUE\" is missing; expected tcp.rto_min=VALUE, 1ms to 60s (us, ms, "
        "s, m, h)");
  CHECK(flag_error({"--listen", ""}).starts_with("--listen \"\": expected "));
  for (const char* const asks : {"-h", "--help", "-n 2 --hel"})
    CHECK_THAT(flag_error({"--eal", asks}), Catch::Contains("-h and --help"));
  CHECK(flag_error({"--eal", "--huge-dir /mnt -n 2"}).empty());
}

TEST_CASE("every size of a table that the keys admit is one that the engine takes",
          "[runtime][config]") {
  CHECK(flag_error({"--set", "tcp.max_listeners=4096"}).empty());
  CHECK(flag_error({"--set", "tcp.max_listeners=4097"}) ==
        "--set tcp.max_listeners 4097: expected 1 to 4096");
}

TEST_CASE("an instance's name is what the state region takes", "[runtime][config]") {
  for (const char* const wrong : {"-x", ".x", "a b", "a/b", ""})
    CHECK_THAT(flag_error({"--instance", wrong}), Catch::Contains("expected 1 to 48 of"));
  CHECK(flag_error({"--instance", std::string(48, 'a').c_str()}).empty());
  CHECK_FALSE(flag_error({"--instance", std::string(49, 'a').c_str()}).empty());
}

TEST_CASE("a range of addresses gives each of it, in order", "[runtime][config]") {
  const Config config =
      parse({"--address", "10.0.0.254-10.0.1.2/16", "--address", "192.0.2.1/24"}).config;
  std::vector<std::string> shown;
  for (const Prefix& prefix : config.addresses) shown.push_back(sluice::to_string(prefix));
  CHECK(shown == std::vector<std::string>{"10.0.0.254/16", "10.0.0.255/16", "10.0.1.0/16",
                                          "10.0.1.1/16", "10.0.1.2/16", "192.0.2.1/24"});
  for (const char* const wrong :
       {"10.0.0.9-10.0.0.8/24", "10.0.0.1-10.0.1.1/24", "10.0.0.1-/24", "-10.0.0.1/24",
        "10.0.0.1-10.0.0.2", "10.0.0.1/24-10.0.0.2/24", "10.0.0.1-10.0.16.1/8",
        "10.0.0.0-10.0.0.3/24", "10.0.0.253-10.0.0.255/24"})
    CHECK(flag_error({"--address", wrong}).starts_with(fmt::format("--address {}: ", wrong)));
  CHECK(flag_error({"--address", "10.0.0.1-10.0.0.3/24", "--address", "10.0.0.2/24"}) ==
        "interface.addresses: 10.0.0.2 is given twice");
}

TEST_CASE("a program's flag that is one of Sluice's is told, not a crash", "[runtime][config]") {
  const char* const arguments[] = {"sluice-test"};
  for (const char* const name : {"idle", "device", "set", "version"}) {
    const ProgramInfo info{.name = "sluice-test", .options = {{name, "twice"}}};
    CHECK_THROWS_WITH(parse_command_line(1, arguments, info),
                      Catch::StartsWith(fmt::format("--{}: sluice-test and Sluice both", name)));
  }
}

TEST_CASE("a program's own defaults stand behind file and flags", "[runtime][config]") {
  const ProgramInfo info{.name = "sluice-test",
                         .options = {{"quiet", "no text", "no", "yes|no", "yes"}},
                         .config_defaults = {"runtime.instance=own", "tcp.nodelay=true",
                                             "interface.addresses=10.0.0.1/24"},
                         .notes = "\nThe end.\n"};
  const auto parsed = [&](std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "sluice-test");
    return parse_command_line(static_cast<int>(arguments.size()), arguments.data(), info);
  };
  CHECK(parsed({}).config.instance == "own");
  CHECK(parsed({}).config.stack.tcp.nodelay);
  CHECK(parsed({"--instance", "other"}).config.instance == "other");
  const TemporaryFile file("[tcp]\nnodelay = false\n[interface]\naddresses = [\"10.0.0.7/24\"]\n");
  const Config config = parsed({"--config", file.path().c_str()}).config;
  CHECK_FALSE(config.stack.tcp.nodelay);
  REQUIRE(config.addresses.size() == 1);
  CHECK(sluice::to_string(config.addresses[0]) == "10.0.0.7/24");

  CHECK(parsed({}).options.at("quiet") == "no");
  CHECK(parsed({"--quiet"}).options.at("quiet") == "yes");
  CHECK(parsed({"--quiet=no"}).options.at("quiet") == "no");
  const std::string help = parsed({"--help"}).print;
  CHECK(help.find("--quiet") < help.find("--device"));
  CHECK(help.find("(default: \"own\")") != std::string::npos);
  CHECK(help.ends_with("\nThe end.\n"));
}

TEST_CASE("keys that contradict each other are told with a line", "[runtime][config]") {
  CHECK(error_of("[tcp]\nephemeral_last = 2000\nephemeral_first = 3000\n")
            .starts_with(":3: tcp.ephemeral_first: "));
  CHECK(error_of("[interface]\ngateway = \"192.0.2.1\"\n").starts_with(":2: interface.gateway: "));
  CHECK(error_of("[runtime]\nworkers = 2\ncpus = [0]\n").starts_with(":3: runtime.cpus: "));
}

TEST_CASE("an address that no host may have is refused, at the start as by sluicectl",
          "[runtime][config]") {
  for (const char* const wrong : {"240.0.0.1/24", "0.1.2.3/8", "0.0.0.0/24", "10.0.0.255/24",
                                  "10.0.0.0/24", "10.255.255.255/8", "224.0.0.1/24", "127.0.0.1/8",
                                  "255.255.255.255/32", "255.255.255.255/24", "10.0.0.2/0"}) {
    CHECK(flag_error({"--address", wrong})
              .starts_with(
                  fmt::format("--address {}: expected addresses that a host may have", wrong)));
    CHECK_FALSE(parse_interface_prefix(wrong));
  }
  for (const char* const right : {"10.0.0.0/31", "10.0.0.1/31", "10.0.0.0/32", "10.0.0.255/32",
                                  "10.0.0.255/16", "10.0.1.0/16", "223.255.255.254/24"})
    CHECK(flag_error({"--address", right}).empty());
}

TEST_CASE("a gateway, route or pinned neighbour that cannot be is refused by sluicectl's rules",
          "[runtime][config]") {
  for (const char* const wrong : {"10.0.0.2", "10.0.0.255", "10.0.0.0", "10.0.9.1"})
    CHECK(error_of(fmt::format("[interface]\ngateway = \"{}\"\n", wrong)) ==
          fmt::format(":2: interface.gateway: {}: the gateway is no other host in a subnet of "
                      "interface.addresses",
                      wrong));
  for (const char* const wrong : {"203.0.113.9", "10.0.0.2", "10.0.0.255", "240.0.0.1"})
    CHECK(error_of(fmt::format("[interface]\n\nroutes = [\"10.1.0.0/16 via {}\"]\n", wrong)) ==
          fmt::format(":3: interface.routes: 10.1.0.0/16 via {}: the gateway is no other host in a "
                      "subnet of interface.addresses",
                      wrong));
  // One that is there already: the default route, another, our own subnet's.
  for (const char* const wrong :
       {"gateway = \"10.0.0.1\"\nroutes = [\"0.0.0.0/0 via 10.0.0.3\"]",
        "routes = [\"10.1.0.0/16 via 10.0.0.1\", \"10.1.2.3/16 via 10.0.0.3\"]",
        "routes = [\"10.0.0.0/24 congestion bbr\"]"})
    CHECK(error_of(fmt::format("[interface]\n{}\n", wrong))
              .ends_with(": that prefix has a route already, or is a subnet of "
                         "interface.addresses; leave one out"));
  CHECK(error_of("[interface]\nneighbors = [\"10.0.0.2=02:00:00:00:00:01\"]\n") ==
        ":2: interface.neighbors: 10.0.0.2 is no other host's address");
  CHECK(error_of("[interface]\nneighbors = [\"10.0.0.1=02:00:00:00:00:01\", "
                 "\"10.0.0.1=02:00:00:00:00:03\"]\n") ==
        ":2: interface.neighbors: 10.0.0.1 is given twice");
  CHECK(error_of("[interface]\ngateway = \"10.0.0.1\"\nroutes = [\"10.1.0.0/16 via 10.0.0.1\", "
                 "\"10.0.0.0/16\", \"10.2.0.0/16\"]\n"
                 "neighbors = [\"10.9.0.1=02:00:00:00:00:01\"]\n")
            .empty());
}

TEST_CASE("more routes or pinned neighbours than their tables hold are refused with the number",
          "[runtime][config]") {
  const auto with_routes = [](std::string_view most) {
    // Two subnets, one of them twice; a host's address has none; a route and the gateway.
    return error_of(
        fmt::format("[interface]\naddresses = [\"10.0.0.2-10.0.0.3/24\", "
                    "\"192.0.2.1/24\", \"198.51.100.1/32\"]\ngateway = \"10.0.0.1\"\n"
                    "routes = [\"10.1.0.0/16 via 10.0.0.1\"]\nmax_routes = {}\n",
                    most));
  };
  CHECK(with_routes("3") ==
        ":5: interface.max_routes: 3 are too few for 4: subnets of interface.addresses, "
        "interface.routes and interface.gateway; give more");
  CHECK(with_routes("4").empty());
  CHECK(flag_error({"--gateway", "10.0.0.1", "--set", "interface.max_routes=1"})
            .starts_with("interface.max_routes: 1 are too few for 2: "));
  CHECK(flag_error({"--set", "interface.max_routes=1"}).empty());

  std::string pinned;
  for (const char* const digits : {"11", "12", "13", "14", "15", "16", "17", "18", "19"})
    pinned += fmt::format("\"10.0.0.{0}=02:00:00:00:00:{0}\",", digits);
  const auto with_neighbors = [&](std::string_view most) {
    return error_of(
        fmt::format("[neighbor]\nmax_entries = {}\n[interface]\nneighbors = [{}]\n", most, pinned));
  };
  CHECK(with_neighbors("8") ==
        ":2: neighbor.max_entries: 8 are too few for 9 of interface.neighbors; give more");
  CHECK(with_neighbors("9").empty());
}

TEST_CASE("the documented sizes of tables are those that they can have", "[runtime][config]") {
  CHECK(range_of(*find_key("neighbor.max_entries")) == "8 to 65535");
  CHECK(range_of(*find_key("interface.max_routes")) == "1 to 65535");
}

TEST_CASE("a file that is not there is one line", "[runtime][config]") {
  CHECK(
      flag_error({"--config", "/nonexistent/sluice.toml"}).starts_with("/nonexistent/sluice.toml"));
}

TEST_CASE("durations are an integer and a unit", "[runtime][config]") {
  CHECK(parse_duration("200ms") == Duration::from_ms(200));
  CHECK(parse_duration("100us") == Duration::from_us(100));
  CHECK(parse_duration("5m") == Duration::from_s(300));
  CHECK(parse_duration("2h") == Duration::from_s(7200));
  for (const char* wrong : {"", "5", "s", "1.5s", "-1s", "1 s", "1sec", "9223372036854775807h"})
    CHECK_FALSE(parse_duration(wrong).has_value());
  for (const std::int64_t ns : {1'000L, 40'000'000L, 60'000'000'000L, 900'000'000'000L})
    CHECK(parse_duration(to_string(Duration::from_ns(ns))) == Duration::from_ns(ns));
}

TEST_CASE("flags override the file, and a repeated flag makes a list", "[runtime][config]") {
  const TemporaryFile file(
      "[interface]\naddresses = [\"10.9.9.9/24\"]\n[tcp]\ntime_wait = \"9s\"\nsack = false\n");
  const CommandLine line =
      parse({"--config", file.path().c_str(), "--address", "10.0.0.2/24", "--address",
             "10.0.1.2/24", "--time-wait=2s", "--listen", "80", "--listen", "81", "--device",
             "net_tap0,iface=a,mac=fixed", "--set", "tcp.rto_min=100ms", "--eal",
             "--log-level=8 -v", "--root", "/srv"});
  REQUIRE(line.config.addresses.size() == 2);
  CHECK(sluice::to_string(line.config.addresses[1]) == "10.0.1.2/24");
  CHECK(line.config.stack.tcp.time_wait == Duration::from_s(2));
  CHECK_FALSE(line.config.stack.tcp.sack);
  CHECK(line.config.stack.tcp.rto_min == Duration::from_ms(100));
  CHECK(line.config.listen == std::vector<Port>{Port{80}, Port{81}});
  CHECK(line.config.devices == std::vector<std::string>{"net_tap0,iface=a,mac=fixed"});
  CHECK(line.config.eal_args == "--log-level=8 -v");
  CHECK(line.options.at("root") == "/srv");
}

TEST_CASE("without flags a program serves its own ports and options", "[runtime][config]") {
  const CommandLine line = parse({});
  CHECK(line.config.listen == std::vector<Port>{Port{7}});
  CHECK(line.options.at("root") == "here");
  CHECK(line.print.empty());
}

TEST_CASE("a mistake in a flag names the flag", "[runtime][config]") {
  CHECK(flag_error({"--workers", "0"}) == "--workers 0: expected 1 to 64");
  CHECK(flag_error({"--address", "10.0.0.2"}).starts_with("--address 10.0.0.2: expected "));
  CHECK(flag_error({"--set", "tcp.nothing=1"}).starts_with("--set tcp.nothing=1: no such key"));
  CHECK(flag_error({"--set", "tcp.sack=maybe"}) == "--set tcp.sack maybe: expected true or false");
  CHECK(flag_error({"--nonsense"}).find("nonsense") != std::string::npos);
  CHECK(flag_error({"stray"}).find("stray") != std::string::npos);
  CHECK(flag_error({"--gateway", "10.0.9.1"}).starts_with("interface.gateway: "));
}

TEST_CASE("help names every flag with unit and default", "[runtime][config]") {
  const std::string help = parse({"--help"}).print;
  for (const char* flag :
       {"--config", "--device", "--address", "--gateway", "--listen", "--workers", "--instance",
        "--eal", "--pcap", "--time-wait", "--help", "--version", "--root"})
    CHECK(help.find(flag) != std::string::npos);
  CHECK(help.find("net_tap0,iface=sluice0") != std::string::npos);
  // How it ends: scripts and supervisors must know.
  CHECK(help.find("Exit code: 0: every") != std::string::npos);
  CHECK(help.find("3: some had to be reset") != std::string::npos);
  CHECK(help.find("second\none resets at once") != std::string::npos);
  CHECK(parse({"--version"}).print.starts_with("sluice-test "));
}

TEST_CASE("a fleet's key is 32 hexadecimal digits or none", "[runtime][config]") {
  Config config;
  const Key& key = *find_key("gate.fleet_key");
  for (const char* wrong :
       {"x", "00", "000102030405060708090a0b0c0d0e", "0001020304050607 8090a0b0c0d0e0f",
        "000102030405060708090a0b0c0d0e0f00"})
    CHECK(set_from_text(key, config, wrong).has_value());
  CHECK_FALSE(set_from_text(key, config, "000102030405060708090a0b0c0d0eff").has_value());
  REQUIRE(config.fleet_key.has_value());
  CHECK(config.fleet_key->octets[15] == 0xff);
  CHECK(render(key, config) == "\"000102030405060708090a0b0c0d0eff\"");
  CHECK_FALSE(set_from_text(key, config, "").has_value());
  CHECK_FALSE(config.fleet_key.has_value());
}

TEST_CASE("the gate's lists become its rules, and a prefix is refused with its line",
          "[runtime][config][gate]") {
  const TemporaryFile file(
      "[gate]\ndeny = [\"0.0.0.0/0\", \"2001:db8::/32\"]\nallow = [\"203.0.113.7\"]\n"
      "other_sources = \"deny\"\n");
  Config config;
  CHECK(source_rules(config).empty());
  CHECK(config.other_sources == ip::SourceAction::kAllow);
  load_file(file.path(), config);
  CHECK(source_rules(config) ==
        std::vector<ip::PrefixRule>{{*parse_prefix("0.0.0.0/0"), ip::SourceAction::kDeny},
                                    {*parse_prefix("2001:db8::/32"), ip::SourceAction::kDeny},
                                    {*parse_prefix("203.0.113.7/32"), ip::SourceAction::kAllow}});
  CHECK(config.other_sources == ip::SourceAction::kDeny);
  CHECK(render(*find_key("gate.allow"), config) == "[\"203.0.113.7/32\"]");

  CHECK(error_of("[gate]\ndeny = [\"10.0.0.0/8\",\n \"10.0.0.1/8\"]\n")
            .starts_with(":3: gate.deny: expected prefixes such as 203.0.113.0/24"));
  CHECK(error_of("[gate]\nallow = \"10.0.0.0/8\"\n").starts_with(":2: gate.allow: expected "));
  CHECK(error_of("[gate]\nother_sources = \"drop\"\n") ==
        ":2: gate.other_sources: expected allow or deny, not \"drop\"");
  CHECK(error_of("[gate]\nallow = [\"10.0.0.1\"]\ndeny = [\"10.0.0.1/32\"]\n") ==
        ":2: gate.allow: 10.0.0.1/32 stands in gate.deny, too");
  std::string many = "[gate]\n\ndeny = [";
  for (unsigned i = 0; i <= 65'536; ++i)
    many += fmt::format("\"10.{}.{}.{}\",", i >> 16, i >> 8 & 0xff, i & 0xff);
  CHECK(error_of(many + "]\n") == ":3: gate.deny: with gate.allow at most 65536 prefixes");
}

TEST_CASE("totals are divided among workers and never become nothing", "[runtime][config]") {
  Config config;
  config.workers = 4;
  config.stack.tcp.max_connections = 1001;
  config.stack.tcp.reset_limit = {2, 9};
  config.stack.tcp.max_half_open = 4001;
  config.stack.icmp_error_limit = {0, 1};
  config.gateway = Ipv4Addr::from_octets(10, 0, 0, 1);
  const stack::StackConfig divided = stack_config(config);
  CHECK(divided.tcp.max_connections == 251);
  CHECK(divided.tcp.reset_limit.rate_per_s == 1);
  CHECK(divided.tcp.reset_limit.burst == 3);
  CHECK(divided.tcp.max_half_open == 1001);
  CHECK(divided.icmp_error_limit.rate_per_s == 0);  // but nothing stays nothing
  CHECK(divided.icmp_error_limit.burst == 1);
  // So are a listener's backlogs; 0, the cap, stays 0.
  CHECK(divide(1, 4) == 1);
  CHECK(divide(1024, 4) == 256);
  CHECK(divide(0, 4) == 0);
  REQUIRE(divided.interfaces.size() == 1);
  REQUIRE(divided.interfaces[0].routes.size() == 1);
  CHECK(divided.interfaces[0].routes[0].destination.length == 0);
}

}  // namespace
}  // namespace sluice::runtime
