#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "apps/ctl/connections.hpp"
#include "base/timer_wheel.hpp"
#include "ip/address_table.hpp"
#include "ip/route_table.hpp"
#include "link/neighbor_record.hpp"
#include "tests/unit/ctl/fake_instance.hpp"

namespace {

using namespace sluice;
using namespace sluice::ctl::test;
using Catch::Matchers::Contains;
using telemetry::SectionKind;

const Instant kNow = Instant::from_ns(100'000'000'000);
const Tick kTick = tick_at(kNow);

tcp::Tcb& make_connection(FakeInstance& instance, std::size_t index, tcp::State state) {
  auto& tcb = instance.record<tcp::Tcb>(SectionKind::kTcbs, index);
  tcb.state = state;
  tcb.generation = 9;
  tcb.key = {0x0a000002, 0x0a000001, 80, static_cast<std::uint16_t>(40000 + index)};
  tcb.snd = {wire::SeqNum(1000), wire::SeqNum(1700), 29200};
  tcb.rcv = {wire::SeqNum(50), wire::SeqNum(50 + 65535), wire::SeqNum(50)};
  tcb.receive_charged = 321;
  tcb.flags = tcp::kTimestampsOk | tcp::kSackOk | tcp::kWindowScaleOk;
  tcb.window_scales = 0x97;
  tcb.srtt_us8 = 8 * 512;
  tcb.rttvar_us4 = 4 * 250;
  tcb.rto_us = 204'000;
  tcb.min_rtt_us = 400;
  tcb.snd_mss = 1448;
  tcb.cwnd = 14480;
  tcb.ssthresh = 0x7fffffff;
  tcb.timers_armed = tcp::kTimerRetransmit | tcp::kTimerKeepalive;
  tcb.retransmit_at = kTick + 180;
  tcb.keepalive_at = kTick + 7'199'000;
  tcb.backoff = 2;
  auto& totals = instance.record<tcp::TcbTotals>(SectionKind::kTcbTotals, index);
  totals.send_queued = 1001;
  totals.bytes_acked = 999;
  totals.bytes_received = 49;
  totals.retransmitted_segments = 2;
  totals.opened_at = kTick - 12'000;
  totals.last_received_at = kTick - 50;
  return tcb;
}

void fill(FakeInstance& instance) {
  auto& info = instance.record<telemetry::WorkerInfo>(SectionKind::kWorkerInfo);
  info.last_round = kNow.ns();
  info.tick = kTick;

  auto& listener = instance.record<tcp::ListenerRecord>(SectionKind::kListeners, 1);
  listener.is_open = 1;
  listener.port = 80;
  listener.accept_queued = 5;
  listener.accept_backlog = 128;
  listener.half_open = 3;
  listener.syn_backlog = 1024;
  listener.syn_dropped_total = 17;

  auto& half_open = instance.record<tcp::HalfOpen>(SectionKind::kHalfOpen, 2);
  half_open.listener = 1;
  half_open.local = Ipv4Addr{0x0a000002};
  half_open.remote = Ipv4Addr{0x0a000107};
  half_open.local_port = 80;
  half_open.remote_port = 555;
  half_open.peer_mss = 1460;
  half_open.peer_wscale = 0xff;
  half_open.retransmits = 1;
  half_open.created_at = kTick - 1500;
  half_open.timer.prev = 0;
  half_open.timer.deadline = kTick + 1500;
  instance.record<tcp::HalfOpen>(SectionKind::kHalfOpen, 3).listener = 0xffff;

  make_connection(instance, 4, tcp::State::kEstablished);
  make_connection(instance, 5, tcp::State::kTimeWait).set(tcp::kDetached);
  auto& fin_wait = make_connection(instance, 6, tcp::State::kFinWait2);
  fin_wait.timers_armed = tcp::kTimerLinger;
  fin_wait.linger_at = kTick + 30'500;

  auto& time_wait = instance.record<tcp::TimeWait4>(SectionKind::kTimeWait4, 1);
  time_wait.flags = tcp::kTimeWaitInUse;
  time_wait.key = {0x0a000002, 0x0a000001, 80, 40005};
  time_wait.deadline = kTick + 1420;
}

/// A dead instance: its time stands still at the last round, which the test knows.
struct DeadInstance : FakeInstance {
  explicit DeadInstance(const std::string& suffix) : FakeInstance(suffix) {
    fill(*this);
    die();
  }
  CommandResult conns(std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments = {"conns", "--instance", name()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  }
};

std::size_t rows_in(const CommandResult& result) {
  INFO(result.err);
  REQUIRE(result.code == 0);
  return static_cast<std::size_t>(std::count(result.out.begin(), result.out.end(), '\n')) - 1;
}

}  // namespace

TEST_CASE("conns shows every kind of row with the columns of netstat", "[ctl][conns]") {
  const DeadInstance instance("conns");
  const CommandResult result = instance.conns();
  CAPTURE(result.out);
  REQUIRE(result.code == 0);
  CHECK_THAT(result.err, Contains("fake-server") && Contains("is dead"));
  const std::string where = instance.name() + "/0";
  const auto has_row = [&result](const std::string& pattern) {
    CHECK_THAT(result.out, Catch::Matchers::Matches("(.|\n)*" + pattern + "(.|\n)*"));
  };
  has_row("Recv-Q +Send-Q +Local Address:Port +Foreign Address:Port +State +Instance/Worker.*");
  has_row(" +5 +128 +\\*:80 +\\*:\\* +LISTEN +" + where + " +- +syn:3/1024\n");
  has_row(" +0 +0 +10\\.0\\.0\\.2:80 +10\\.0\\.1\\.7:555 +SYN-RECV +" + where +
          " +- +timer:\\(synack,1\\.50s,1\\)\n");
  has_row(" +321 +1001 +10\\.0\\.0\\.2:80 +10\\.0\\.0\\.1:40004 +ESTABLISHED +" + where +
          " +4 +timer:\\(retransmit,180ms,2\\)\n");
  has_row("FIN-WAIT-2 +" + where + " +6 +timer:\\(finwait2,30\\.50s,0\\)\n");
  has_row(" +0 +0 +10\\.0\\.0\\.2:80 +10\\.0\\.0\\.1:40005 +TIME-WAIT +" + where +
          " +- +timer:\\(timewait,1\\.42s,0\\)\n");
  CHECK(rows_in(result) == 5);  // a detached record is no second row
}

TEST_CASE("conns -i adds a line with RTT, windows, counters and all timers", "[ctl][conns]") {
  const DeadInstance instance("info");
  CHECK_THAT(
      instance.conns({"-i", "--state", "established"}).out,
      Contains("conn:4.9 passive ts sack newreno wscale:7,9 rtt:0.512/0.250ms minrtt:0.400ms "
               "rto:204.000ms backoff:2 mss:1448 cwnd:14480 snd_wnd:29200 rcv_wnd:65535 "
               "unacked:700 retrans:2 bytes_acked:999 bytes_received:49 age:12.00s "
               "lastrcv:50ms timer:(retransmit,180ms,2) timer:(keepalive,7199s,0)"));
}

TEST_CASE("conns filters by state, address, port and listeners", "[ctl][conns]") {
  const DeadInstance instance("filters");
  CHECK(rows_in(instance.conns({"-l"})) == 1);
  CHECK(rows_in(instance.conns({"--state", "syn_recv,Estab"})) == 2);
  CHECK(rows_in(instance.conns({"--state", "TIME-WAIT"})) == 1);
  CHECK(rows_in(instance.conns({"--port", "555"})) == 1);
  CHECK(rows_in(instance.conns({"--port", "80"})) == 5);
  CHECK(rows_in(instance.conns({"--address", "10.0.1.0/24"})) == 1);
  CHECK(rows_in(instance.conns({"--address", "10.0.0.1", "--port", "40005"})) == 1);
  CHECK(rows_in(instance.conns({"--address", "192.0.2.1"})) == 0);
}

TEST_CASE("conns --json has numbers with their units in the names", "[ctl][conns]") {
  const DeadInstance instance("json");
  const auto json = nlohmann::json::parse(instance.conns({"--json"}).out);
  REQUIRE(json.size() == 5);
  CHECK(json[0]["state"] == "LISTEN");
  CHECK(json[0]["listener"]["syn_backlog"] == 1024);
  CHECK_FALSE(json[0].contains("foreign"));
  const auto& connection = json[2];
  CHECK(connection["recv_q"] == 321);
  CHECK(connection["send_q"] == 1001);
  CHECK(connection["foreign"]["port"] == 40004);
  CHECK(connection["connection"]["rtt_us"] == 512);
  CHECK(connection["timers"][0]["remaining_ms"] == 180);
  CHECK(json[4]["timers"][0]["name"] == "timewait");
}

TEST_CASE("times of a living instance are reckoned from now, not from its last round",
          "[ctl][conns]") {
  FakeInstance fake("now");
  fill(fake);
  const auto rows = ctl::read_connections(fake.at(kNow + Duration::from_ms(80)), 0);
  REQUIRE(rows.size() == 5);
  CHECK(rows[2].timers[0].left == Duration::from_ms(100));
}

TEST_CASE("a record that is being written is shown as torn", "[ctl][conns]") {
  FakeInstance fake("torn");
  fill(fake);
  fake.record<tcp::Tcb>(SectionKind::kTcbs, 4).version.begin_write();
  const auto rows = ctl::read_connections(fake.at(kNow), 0);
  CHECK(rows[2].is_torn);
  CHECK_THAT(run({"conns", "--instance", fake.name()}).out, Contains("torn timer:"));
}

TEST_CASE("an IPv6 connection shows the addresses of its side record", "[ctl][conns]") {
  FakeInstance fake("v6");
  auto& tcb = make_connection(fake, 0, tcp::State::kEstablished);
  tcb.set(tcp::kIsV6);
  tcb.key.local = 1;
  auto& key = fake.record<tcp::V6Key>(SectionKind::kV6Keys, 1);
  key.local = *parse_ip("2001:db8::2");
  key.remote = *parse_ip("2001:db8::1");
  CHECK_THAT(run({"conns", "--instance", fake.name()}).out,
             Contains("[2001:db8::2]:80") && Contains("[2001:db8::1]:40000"));
  tcb.key.local = 0xffffffff;  // of a damaged region
  CHECK(run({"conns", "--instance", fake.name()}).code == 0);
}

TEST_CASE("wrong usage is one line and exit code 2", "[ctl]") {
  const FakeInstance fake("usage");
  const auto fails = [](std::vector<std::string> arguments, const char* words) {
    const CommandResult result = run(std::move(arguments));
    CAPTURE(result.err);
    CHECK(result.code == 2);
    CHECK_THAT(result.err, Contains(words));
    CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
    CHECK(result.out.empty());
  };
  fails({}, "which command");
  fails({"frobnicate"}, "no command 'frobnicate'");
  fails({"conns", "--nonsense"}, "nonsense");
  fails({"conns", "stray"}, "stray");
  fails({"conns", "--state", "sleeping"}, "no state 'SLEEPING'");
  fails({"conns", "--address", "10.0.0"}, "no address");
  fails({"conns", "--port", "70000"}, "70000");
  fails({"trace"}, "which connection");
}

TEST_CASE("an instance that does not exist is one line that names those that do, and exit code 1",
          "[ctl]") {
  const FakeInstance fake("there");
  const CommandResult result = run({"conns", "--instance", "unit-nowhere"});
  CHECK(result.code == 1);
  CHECK_THAT(result.err, Contains("no instance 'unit-nowhere'") && Contains(fake.name()));
  CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
}

TEST_CASE("every command has a help and the program a version", "[ctl]") {
  for (const char* command : {"conns", "trace", "stats", "gate", "ports", "neigh", "route", "addr",
                              "reload", "instances"}) {
    const CommandResult result = run({command, "--help"});
    CHECK(result.code == 0);
    CHECK_THAT(result.out, Contains(std::string("sluicectl ") + command) && Contains("--instance"));
    CHECK_THAT(run({"--help"}).out, Contains(command));
  }
  CHECK_THAT(run({"--version"}).out, Contains("sluicectl "));
}

TEST_CASE("stats shows what counted, with --all every counter and drop reason", "[ctl][stats]") {
  FakeInstance fake("stats");
  auto& metrics = fake.record<telemetry::Metrics>(SectionKind::kMetrics);
  metrics.count(telemetry::Outcome::kSynQueueFull);
  metrics.count(telemetry::Counter::kRxPackets, 12);
  metrics.count(telemetry::TimerKind::kTimeWait);
  metrics.transitions[1][3] = 4;

  const CommandResult some = run({"stats", "--instance", fake.name()});
  CHECK_THAT(some.out, Contains("SynQueueFull") && Contains("SYN ignored: half-open queue full") &&
                           Contains("12  RxPackets") && Contains("1  2 MSL") &&
                           Contains("4  LISTEN -> SYN-RECEIVED") && !Contains("EthTruncated"));
  const CommandResult all = run({"stats", "--instance", fake.name(), "--all"});
  for (std::uint16_t i = 0; i < static_cast<std::uint16_t>(telemetry::Outcome::kCount); ++i) {
    const auto outcome = static_cast<telemetry::Outcome>(i);
    CHECK_THAT(all.out, Contains(std::string(telemetry::name_of(outcome))) &&
                            Contains(std::string(telemetry::text_of(outcome))));
  }
  const auto json =
      nlohmann::json::parse(run({"stats", "--instance", fake.name(), "--json"}).out)[0];
  CHECK(json["outcomes"]["SynQueueFull"]["packets"] == 1);
  CHECK(json["outcomes"]["SynQueueFull"]["kind"] == "drop");
  CHECK(json["counters"]["RxPackets"] == 12);
  CHECK(json["transitions"][0]["times"] == 4);
  CHECK(json["outcomes"].size() == 1);
}

TEST_CASE("neigh shows addresses, states and ages", "[ctl][neigh]") {
  FakeInstance fake("neigh");
  fake.record<telemetry::WorkerInfo>(SectionKind::kWorkerInfo).last_round = kNow.ns();
  auto& record =
      fake.record<link::NeighborRecord>(SectionKind::kNeighbors, 2, telemetry::kSharedSection);
  record.state = link::NeighborState::kStale;
  record.address = Ipv4Addr{0x0a000001};
  record.mac = {{2, 0, 0, 0, 0, 1}};
  record.confirmed_at = (kNow - Duration::from_s(61)).ns();
  record.state_since = (kNow - Duration::from_s(1)).ns();
  fake.die();
  CHECK_THAT(run({"neigh", "--instance", fake.name()}).out,
             Contains("10.0.0.1  02:00:00:00:00:01  STALE     1.00s     61.00s"));
  const auto json = nlohmann::json::parse(run({"neigh", "--instance", fake.name(), "--json"}).out);
  REQUIRE(json.size() == 1);
  CHECK(json[0]["state"] == "STALE");
}

TEST_CASE("neigh shows what ARP claimed and was refused", "[ctl][neigh]") {
  FakeInstance fake("claims");
  fake.record<telemetry::WorkerInfo>(SectionKind::kWorkerInfo).last_round = kNow.ns();
  auto& record = fake.record<link::NeighborAlarmRecord>(
      SectionKind::kNeighborAlarms, static_cast<std::size_t>(link::NeighborAlarm::kPinned));
  record.address = Ipv4Addr{0x0a000001};
  record.known = {{2, 0, 0, 0, 0, 1}};
  record.claimed = {{2, 6, 6, 6, 6, 6}};
  record.count = 17;
  record.at = (kNow - Duration::from_s(3)).ns();
  fake.die();
  for (const bool only_refused : {false, true}) {
    const auto text = only_refused ? run({"neigh", "--instance", fake.name(), "--refused"}).out
                                   : run({"neigh", "--instance", fake.name()}).out;
    CHECK_THAT(text,
               Contains("10.0.0.1  02:00:00:00:00:01  02:06:06:06:06:06  pinned      17  3.00s"));
    CHECK((text.find("Queued") == std::string::npos) == only_refused);
  }
  const auto json =
      nlohmann::json::parse(run({"neigh", "--instance", fake.name(), "--refused", "--json"}).out);
  REQUIRE(json.size() == 1);
  CHECK(json[0]["claimed_mac"] == "02:06:06:06:06:06");
  CHECK(json[0]["count"] == 17);
  CHECK(nlohmann::json::parse(run({"neigh", "--instance", fake.name(), "--json"}).out).empty());
}

TEST_CASE("routes shows addresses and routes in order of lookup", "[ctl][routes]") {
  FakeInstance fake("routes");
  auto& address =
      fake.record<ip::AddressRecord>(SectionKind::kAddresses, 0, telemetry::kSharedSection);
  address.in_use = 1;
  address.prefix_length = 24;
  address.address = Ipv4Addr{0x0a000002};
  auto& connected =
      fake.record<ip::RouteRecord>(SectionKind::kRoutes, 0, telemetry::kSharedSection);
  connected.in_use = connected.is_connected = 1;
  connected.prefix_length = 24;
  connected.destination = Ipv4Addr{0x0a000000};
  auto& fallback = fake.record<ip::RouteRecord>(SectionKind::kRoutes, 1, telemetry::kSharedSection);
  fallback.in_use = 1;
  fallback.destination = Ipv4Addr{0};
  fallback.gateway = Ipv4Addr{0x0a0000fe};
  const CommandResult result = run({"routes", "--instance", fake.name()});
  CHECK_THAT(result.out, Contains("10.0.0.2/24") &&
                             Contains("10.0.0.0/24  on-link     connected") &&
                             Contains("default      10.0.0.254  configured"));
  const auto json = nlohmann::json::parse(run({"routes", "--instance", fake.name(), "--json"}).out);
  CHECK(json["routes"][1]["gateway"] == "10.0.0.254");
  CHECK(json["routes"][0]["gateway"].is_null());
}
