#include "runtime/reload.hpp"

#include <signal.h>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "runtime/stop.hpp"
#include "sluice/runtime.hpp"
#include "tests/unit/runtime/workers_fixture.hpp"

namespace sluice::runtime {
namespace {

using Catch::Matchers::Contains;
using testing::Workers;
using Names = std::vector<std::string>;

/// A value that differs from the default, as a file would have it; nullopt: the key has none that
/// could be made up here.
std::optional<Value> other_value(const Key& key, const Config& config) {
  Config copy = config;
  if (const auto* flag = std::get_if<FlagField>(&key.field)) return Value(!flag->at(copy));
  if (const auto* count = std::get_if<CountField>(&key.field))
    return Value(static_cast<std::int64_t>(
        count->get(config) == count->most ? count->least : count->get(config) + 1));
  if (const auto* time = std::get_if<DurationField>(&key.field))
    return Value(to_string(time->at(copy) == time->most ? time->least : time->most));
  return std::nullopt;
}

/// A config whose share for each worker is what Workers started with.
Config config_of(const Workers& workers) {
  Config config;
  config.workers = Workers::kCount;
  config.stack.tcp = workers.config.tcp;
  config.stack.receive_low_watermark_pkts = workers.config.receive_low_watermark_pkts;
  tcp::EngineConfig& tcp = config.stack.tcp;
  for (std::uint32_t* total : {&tcp.max_connections, &tcp.max_half_open, &tcp.max_accept_queue,
                               &tcp.max_time_wait, &tcp.max_in_flight})
    *total *= Workers::kCount;
  return config;
}

LoopOptions loop_of(const Config& config) {
  return {config.drain_timeout,
          config.exit_when_idle,
          {config.idle_spin_rounds, config.idle_yield_rounds, config.idle_max_sleep}};
}

struct Server {
  Workers workers;
  Config config = config_of(workers);
  Config next = config;
  std::string mistake;
  Reloader reloader;

  explicit Server(const std::string& file = "/etc/sluice.toml")
      : reloader({.orders = workers.orders,
                  .file = file,
                  .read =
                      [this] {
                        if (!mistake.empty()) throw SetupError(mistake, 2);
                        return next;
                      },
                  .config = config,
                  .stack = stack_config(config),
                  .loop = loop_of(config)}) {
    for (LoopOptions& options : workers.options) options = loop_of(config);
  }

  const tcp::EngineConfig& tcp(unsigned worker) {
    return workers.stacks[worker]->impl().engine.context().config;
  }
  std::string refusal() {
    try {
      reloader.run();
    } catch (const CommandError& error) {
      return error.what();
    }
    FAIL("not refused");
    return {};
  }
};

}  // namespace

TEST_CASE("a plan takes the keys that may change, names the others, and leaves the rest",
          "[runtime][reload]") {
  const Config current;
  for (const Key& key : keys()) {
    const auto value = other_value(key, current);
    if (!value) continue;
    INFO(key.name);
    Config next = current;
    REQUIRE_FALSE(set(key, next, *value));
    const ReloadPlan plan = plan_reload(current, next);
    const bool may_change = key.reload != Reload::kRestart;
    CHECK(plan.changed == (may_change ? Names{std::string(key.name)} : Names{}));
    CHECK(plan.needs_restart == (may_change ? Names{} : Names{std::string(key.name)}));
    CHECK(render(key, plan.config) == render(key, may_change ? next : current));
    for (const Key& other : keys())
      if (&other != &key) CHECK(render(other, plan.config) == render(other, current));
  }
}

TEST_CASE("no size may change while connections live, nor what both ends have agreed on",
          "[runtime][reload]") {
  for (const char* name :
       {"runtime.workers", "pools.receive_pkts", "interface.max_routes", "neighbor.max_entries",
        "neighbor.queue_total_pkts", "tcp.max_connections", "tcp.max_half_open",
        "tcp.max_time_wait", "tcp.max_listeners", "tcp.max_in_flight", "tcp.recorder_events",
        "tcp.receive_buffer_bytes", "tcp.receive_buffer_max_bytes", "tcp.timestamps", "tcp.sack",
        "tcp.window_scaling", "tcp.max_mss", "tcp.time_wait", "gate.fleet_key"}) {
    INFO(name);
    REQUIRE(find_key(name) != nullptr);
    CHECK(find_key(name)->reload == Reload::kRestart);
  }
}

TEST_CASE("a reload reaches every worker's engine, tables and loop", "[runtime][reload]") {
  Server server;
  server.next.stack.tcp.nodelay = true;
  server.next.stack.tcp.congestion = tcp::Algorithm::kBbr;
  server.next.stack.tcp.reset_limit.rate_per_s = 10;
  server.next.stack.tcp.max_connections = 1000;
  server.next.stack.ttl = 7;
  server.next.drain_timeout = Duration::from_s(77);
  server.next.idle_max_sleep = Duration::from_ms(2);
  const Json reply = server.reloader.run();
  CHECK(reply.at("file") == "/etc/sluice.toml");
  CHECK(reply.at("changed") ==
        Json({"runtime.drain_timeout", "runtime.idle_max_sleep", "interface.ttl", "tcp.congestion",
              "tcp.nodelay", "tcp.reset_rate"}));
  CHECK(reply.at("needs_restart") == Json({"tcp.max_connections"}));
  for (unsigned worker = 0; worker < Workers::kCount; ++worker) {
    CHECK(server.tcp(worker).nodelay);
    CHECK(server.tcp(worker).congestion == tcp::Algorithm::kBbr);
    CHECK(server.tcp(worker).reset_limit.rate_per_s == 5);  // its share
    CHECK(server.tcp(worker).max_connections == server.workers.config.tcp.max_connections);
    CHECK(server.workers.options[worker].drain_timeout == Duration::from_s(77));
    CHECK(server.workers.options[worker].idle.max_sleep == Duration::from_ms(2));
  }
  // What is in force already is not told again, what needs a restart is.
  const Json again = server.reloader.run();
  CHECK(again.at("changed").empty());
  CHECK(again.at("needs_restart") == Json({"tcp.max_connections"}));
}

TEST_CASE("a mistake in the file changes nothing and is told with its line", "[runtime][reload]") {
  Server server;
  server.next.stack.tcp.nodelay = true;
  server.mistake = "/etc/sluice.toml:3: tcp.rto_min: expected 1ms to 60s (us, ms, s, m, h)";
  CHECK(server.refusal() == server.mistake + ": nothing has changed");
  CHECK_FALSE(server.tcp(0).nodelay);
  server.mistake.clear();
  CHECK(server.reloader.run().at("changed") == Json({"tcp.nodelay"}));
  CHECK(server.tcp(0).nodelay);
}

TEST_CASE("a reload that contradicts what cannot change is refused whole", "[runtime][reload]") {
  Server server;
  server.next.receive_pkts = 65536;
  server.next.stack.receive_low_watermark_pkts = 40000;  // fits the new pool, not the one there is
  server.next.stack.tcp.nodelay = true;
  CHECK_THAT(server.refusal(),
             Contains("pools.receive_low_watermark_pkts") && Contains("nothing has changed"));
  CHECK_FALSE(server.tcp(0).nodelay);
}

TEST_CASE("with a worker that hangs nobody goes by new values", "[runtime][reload]") {
  Server server;
  server.workers.hangs[1] = true;
  server.next.stack.tcp.nodelay = true;
  server.next.drain_timeout = Duration::from_s(77);
  CHECK_THAT(server.refusal(),
             Contains("worker 1 did not answer") && Contains("nothing has changed"));
  server.workers.hangs[1] = false;
  server.workers.round();
  for (unsigned worker = 0; worker < Workers::kCount; ++worker) {
    CHECK_FALSE(server.tcp(worker).nodelay);
    CHECK(server.workers.options[worker].drain_timeout != Duration::from_s(77));
  }
  CHECK(server.reloader.run().at("changed").size() == 2);  // not forgotten
}

TEST_CASE("without a file there is nothing to reload", "[runtime][reload]") {
  Server server("");
  CHECK_THAT(server.refusal(), Contains("--config FILE"));
}

TEST_CASE("workers that never sleep do not begin to", "[runtime][reload]") {
  Server server;
  Reloader reloader(
      {.orders = server.workers.orders,
       .file = "f",
       .read = [&] { return server.next; },
       .config = server.config,
       .stack = stack_config(server.config),
       .loop = {.drain_timeout = {}, .exit_when_idle = {}, .idle = {1, 1, Duration::zero()}}});
  server.next.idle_max_sleep = Duration::from_ms(2);
  reloader.run();
  CHECK(server.workers.options[0].idle.max_sleep == Duration::zero());
}

TEST_CASE("SIGHUP asks for one reload, and stands as before when the server has ended",
          "[runtime][reload]") {
  struct sigaction before {
  }, after{};
  ::sigaction(SIGHUP, nullptr, &before);
  {
    const ReloadSignal signal;
    CHECK_FALSE(ReloadSignal::take());
    ::raise(SIGHUP);
    ::raise(SIGHUP);
    CHECK(ReloadSignal::take());
    CHECK_FALSE(ReloadSignal::take());
  }
  ::sigaction(SIGHUP, nullptr, &after);
  CHECK(after.sa_handler == before.sa_handler);
}

TEST_CASE("SIGTERM and SIGINT are counted, by one at a time in a process", "[runtime][stop]") {
  StopLevel level{0}, other{0};
  const SignalStop first(level);
  CHECK_THROWS_WITH(SignalStop{other}, Contains("one Runtime at a time"));
  ::raise(SIGTERM);
  ::raise(SIGINT);
  CHECK(level == 2);
  CHECK(other == 0);
}

TEST_CASE("live connections go by reloaded values when they next ask for one",
          "[runtime][reload][stack]") {
  sluice::testing::StackRig rig;
  sluice::testing::Scripted handler;
  sluice::testing::Accepting accepting;
  accepting.handler = &handler;
  REQUIRE(rig.worker().listen({.port = Port{80}}, accepting));
  rig.connect();
  const auto resets = [&] {
    support::TcpFrame frame;
    frame.tcp.source = Port{41000};
    frame.tcp.destination = Port{81};
    frame.tcp.flags = wire::kSyn;
    rig.sent.clear();
    rig.give(support::build(frame));
    return rig.sent.size();
  };
  CHECK(resets() == 1);
  stack::StackConfig next = rig.config;
  next.tcp.reset_limit.rate_per_s = 0;
  next.tcp.delayed_ack = Duration::zero();
  next.ttl = 9;
  rig.stack->reconfigure(next);
  CHECK(resets() == 0);
  next.tcp.reset_limit.rate_per_s = 1000;
  rig.stack->reconfigure(next);
  CHECK(resets() == 1);
  CHECK(rig.sent[0].ip->ttl == 9);
  rig.stack->reconfigure(rig.config);

  // Its retransmission timeout is bounded anew.
  REQUIRE(accepting.last.send("Hutu"));
  rig.sent.clear();
  next = rig.config;
  next.tcp.rto_min = next.tcp.rto_initial = next.tcp.rto_max = Duration::from_ms(50);
  rig.stack->reconfigure(next);
  rig.round();
  rig.sent.clear();
  rig.wait(Duration::from_ms(400));
  CHECK(rig.sent.size() >= 3);
  static_cast<void>(accepting.last.abort());
  rig.round();
}

}  // namespace sluice::runtime
