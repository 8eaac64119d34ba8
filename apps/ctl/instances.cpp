#include "apps/ctl/instances.hpp"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <stdexcept>

#include "apps/ctl/names.hpp"
#include "apps/ctl/options.hpp"
#include "apps/ctl/table.hpp"
#include "base/seqlock.hpp"

namespace sluice::ctl {
namespace {

Instant monotonic_now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return Instant::from_ns(std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec);
}

Instance open_one(const std::string& name) {
  telemetry::RegionView view = telemetry::RegionView::open(name);
  const bool is_alive = view.is_owner_alive();
  return {name, std::move(view), is_alive, monotonic_now()};
}

/// Since the last round of the worker whose last one is longest ago: tells one that hangs. Nullopt:
/// its time is not ours, because the owner is dead, or not begun.
std::optional<Duration> last_round_age(const Instance& instance) {
  if (!instance.is_alive) return std::nullopt;
  std::optional<Duration> oldest;
  for (std::uint32_t worker = 0; worker < instance.view.workers(); ++worker) {
    const std::int64_t last = instance.info(worker).last_round;
    if (last == 0) return std::nullopt;
    const Duration age = instance.now - Instant::from_ns(last);
    oldest = std::max({oldest.value_or(Duration::zero()), age});
  }
  return oldest;
}

void warn_if_dead(const Instance& instance, Streams streams) {
  if (instance.is_alive) return;
  streams.err << fmt::format(
      "sluicectl: {} (pid {}) of instance '{}' is dead: this is what it left\n",
      instance.view.program(), instance.view.header().pid, instance.name);
}

}  // namespace

telemetry::WorkerInfo Instance::info(std::uint32_t worker) const {
  const auto section =
      view.section<telemetry::WorkerInfo>(telemetry::SectionKind::kWorkerInfo, worker);
  telemetry::WorkerInfo copy{};
  if (!section.empty()) static_cast<void>(read_record(section[0], copy));
  return copy;
}

Instant Instance::now_of(std::uint32_t worker) const {
  return is_alive ? now : Instant::from_ns(info(worker).last_round);
}

std::int64_t Instance::wall_ns(Instant instant) const {
  return view.header().started_wall + (instant.ns() - view.header().started_monotonic);
}

std::vector<Instance> open_instances(const std::string& name, Streams streams) {
  std::vector<Instance> instances;
  if (!name.empty()) {
    instances.push_back(open_one(name));
    warn_if_dead(instances.back(), streams);
    return instances;
  }
  const std::vector<std::string> names = telemetry::RegionView::instances();
  if (names.empty())
    throw std::runtime_error("no instance: nothing of Sluice runs, or has left its state");
  for (const std::string& each : names) {
    try {
      instances.push_back(open_one(each));
    } catch (const std::runtime_error& error) {
      streams.err << fmt::format("sluicectl: left out: {}\n", error.what());
      continue;
    }
    warn_if_dead(instances.back(), streams);
  }
  if (instances.empty()) throw std::runtime_error("no instance can be read");
  return instances;
}

int run_instances(Arguments arguments, Streams streams) {
  auto options =
      make_options("instances",
                   "Processes whose state can be read, dead ones too. Last round: how long "
                   "ago the slowest worker\nlast looked for work; more than 100 ms: it "
                   "hangs, or its process is stopped.",
                   "");
  const auto parsed = parse(options, "instances", arguments, streams);
  if (!parsed) return 0;
  using Json = nlohmann::ordered_json;
  Json list = Json::array();
  Table table({{"Instance", Align::kLeft},
               {"Program", Align::kLeft},
               {"Pid", Align::kRight},
               {"Owner", Align::kLeft},
               {"Workers", Align::kRight},
               {"Connections", Align::kRight},
               {"Half-open", Align::kRight},
               {"Time-wait", Align::kRight},
               {"Last round", Align::kRight},
               {"Started", Align::kLeft}});
  for (const Instance& instance : open_instances(chosen_instance(*parsed), streams)) {
    const telemetry::RegionHeader& header = instance.view.header();
    std::uint64_t connections = 0, half_open = 0, time_wait = 0;
    for (std::uint32_t worker = 0; worker < instance.view.workers(); ++worker) {
      const telemetry::WorkerInfo info = instance.info(worker);
      connections += info.tcbs_in_use;
      half_open += info.half_open_in_use;
      time_wait += info.time_wait_in_use;
    }
    const std::string started = wall_text(header.started_wall);
    const std::optional<Duration> age = last_round_age(instance);
    table.add({instance.name, std::string(instance.view.program()), fmt::format("{}", header.pid),
               instance.is_alive ? "alive" : "dead", fmt::format("{}", instance.view.workers()),
               fmt::format("{}", connections), fmt::format("{}", half_open),
               fmt::format("{}", time_wait), age ? remaining_text(*age) : "-", started});
    list.push_back({{"instance", instance.name},
                    {"program", instance.view.program()},
                    {"pid", header.pid},
                    {"owner_alive", instance.is_alive},
                    {"workers", instance.view.workers()},
                    {"connections", connections},
                    {"half_open", half_open},
                    {"time_wait", time_wait},
                    {"last_round_ms_ago", age ? Json(age->ms()) : Json()},
                    {"started", started},
                    {"region_bytes", header.size}});
  }
  streams.out << (parsed->count("json") != 0 ? json_text(list) : table.text());
  return 0;
}

}  // namespace sluice::ctl
