#include "runtime/control_thread.hpp"

#include <fmt/format.h>
#include <rte_lcore.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "runtime/gate_commands.hpp"
#include "runtime/join.hpp"
#include "runtime/network_commands.hpp"

namespace sluice::runtime {

ControlThread::ControlThread(Deps deps)
    : source_filter_(deps.source_filter),
      program_(std::move(deps.program)),
      gate_log_(deps.region),
      neighbor_log_(deps.region),
      overload_log_(deps.region),
      port_log_(deps.region),
      reloader_(std::move(deps.reload)),
      memory_(std::move(deps.memory)) {
  populate();
  socket_.emplace(telemetry::control_socket_path(deps.instance), commands(deps.orders));
  // Signals are the workers': they end a sleep, and a tap has one for every frame.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const auto start = [](void* self) -> void* {
    static_cast<ControlThread*>(self)->run();
    return nullptr;
  };
  is_running_ = rte_ctrl_thread_create(&thread_, "control", nullptr, start, this) == 0;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (!is_running_) {
    socket_.reset();
    log("no control thread: no log of the gate, and no commands are taken");
  }
}

ControlThread::~ControlThread() {
  is_ending_.store(true, std::memory_order_release);
  if (is_running_) pthread_join(thread_, nullptr);
}

std::vector<ControlCommand> ControlThread::commands(Orders& orders) {
  const auto say = [this](const std::string& line) { log(line); };
  std::vector<ControlCommand> all =
      gate_commands({.filter = source_filter_, .settle = [this] { return settle(); }, .log = say});
  for (ControlCommand& command : network_commands({.orders = orders, .log = say}))
    all.push_back(std::move(command));
  all.push_back({"reload", [this](const Json&) { return reload(); }});
  return all;
}

Json ControlThread::reload() {
  const Json reply = reloader_.run();
  const auto listed = [&](const char* name) {
    const auto keys = reply.at(name).get<std::vector<std::string>>();
    return keys.empty() ? std::string("nothing") : join(keys, ", ");
  };
  log(fmt::format("reloaded {}: changed: {}; needs a restart: {}",
                  reply.at("file").get<std::string>(), listed("changed"), listed("needs_restart")));
  return reply;
}

void ControlThread::log(const std::string& line) const {
  fmt::print(stderr, "{}: {}\n", program_, line);
}

/// A round of this thread takes 50 ms as a rule. In that time tables do not outgrow the lead.
void ControlThread::populate() {
  const auto is_refused = [](GrowingMemory* memory) { return !memory->populate_ahead(); };
  if (std::none_of(memory_.begin(), memory_.end(), is_refused)) return;
  log("the kernel does not populate memory ahead of the tables: workers fault it in themselves");
  memory_.clear();
}

void ControlThread::run() {
  constexpr auto kPause = Duration::from_ms(50);  // so that the end need not wait
  constexpr auto kBetweenLooks = Duration::from_ms(500);
  constexpr auto kBetweenSheds = Duration::from_s(10);
  const auto log_all = [this](const std::vector<std::string>& lines) {
    for (const std::string& line : lines) log(line);
  };
  Instant next_look = clock_.now(), next_sheds = next_look + kBetweenSheds;
  while (!is_ending_.load(std::memory_order_acquire)) {
    const Instant now = clock_.now();
    if (now >= next_look) {
      log_all(gate_log_.changes());
      log_all(neighbor_log_.due(now));
      log_all(port_log_.changes());
      next_look = now + kBetweenLooks;
    }
    if (now >= next_sheds) {
      log_all(overload_log_.changes());
      next_sheds = now + kBetweenSheds;
    }
    source_filter_.hand_out();
    populate();
    if (ReloadSignal::take()) {
      try {
        reload();
      } catch (const CommandError& error) {
        log(fmt::format("not reloaded: {}", error.what()));
      }
    }
    socket_->serve(now, kPause);
  }
}

/// A worker that serves takes a filter within its longest sleep, 100 ms at most; one that hangs
/// shall not keep the operator waiting.
std::size_t ControlThread::settle() {
  std::size_t behind = source_filter_.hand_out();
  for (int tries = 0; tries < 250 && behind > 0; ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    behind = source_filter_.hand_out();
  }
  return behind;
}

}  // namespace sluice::runtime
