// sluicectl stats: every counter of the workers.

#include <fmt/format.h>

#include <array>
#include <atomic>
#include <cstring>
#include <ostream>

#include "apps/ctl/instances.hpp"
#include "apps/ctl/names.hpp"
#include "apps/ctl/options.hpp"
#include "apps/ctl/table.hpp"
#include "telemetry/metrics.hpp"

namespace sluice::ctl {
namespace {

using Json = nlohmann::ordered_json;
using telemetry::Metrics;
using telemetry::SectionKind;

struct WorkerStats {
  std::string instance;
  std::uint32_t worker;
  telemetry::WorkerInfo info;
  Metrics metrics;
};

/// Counters move while they are read; each word is whole.
Metrics copy_of(const Metrics& source) {
  static_assert(sizeof(Metrics) % sizeof(std::uint64_t) == 0);
  Metrics copy;
  std::uint64_t words[sizeof(Metrics) / sizeof(std::uint64_t)];
  const auto* from = reinterpret_cast<const std::uint64_t*>(&source);
  for (std::size_t word = 0; word < std::size(words); ++word)
    words[word] = std::atomic_ref<std::uint64_t>(const_cast<std::uint64_t&>(from[word]))
                      .load(std::memory_order_relaxed);
  std::memcpy(&copy, words, sizeof copy);
  return copy;
}

std::vector<WorkerStats> read_stats(const std::vector<Instance>& instances, Streams streams) {
  std::vector<WorkerStats> all;
  for (const Instance& instance : instances) {
    bool has_metrics = false;
    for (std::uint32_t worker = 0; worker < instance.view.workers(); ++worker) {
      const auto section = instance.view.section<Metrics>(SectionKind::kMetrics, worker);
      if (section.empty()) continue;
      has_metrics = true;
      all.push_back({instance.name, worker, instance.info(worker), copy_of(section[0])});
    }
    if (!has_metrics)
      streams.err << fmt::format(
          "sluicectl: instance '{}' has no counters that this version knows: use its own "
          "sluicectl\n",
          instance.name);
  }
  return all;
}

std::string_view kind_name(telemetry::OutcomeKind kind) {
  static constexpr std::array<std::string_view, 3> kNames = {"accept", "drop", "reply"};
  return kNames[static_cast<std::size_t>(kind)];
}

struct Options {
  bool with_zeros;
};

template <class Enum, class Values, class Cells>
void add_rows(Table& table, const Values& values, Options options, Cells&& cells) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] == 0 && !options.with_zeros) continue;
    std::vector<std::string> row = {fmt::format("{}", values[i])};
    for (std::string_view cell : cells(static_cast<Enum>(i))) row.emplace_back(cell);
    table.add(std::move(row));
  }
}

std::string transitions_text(const Metrics& metrics, Options options) {
  Table table({{"Times", Align::kRight}, {"Transition", Align::kLeft}});
  for (std::uint8_t from = 0; from < telemetry::kStateCount; ++from)
    for (std::uint8_t to = 0; to < telemetry::kStateCount; ++to)
      if (const std::uint64_t times = metrics.transitions[from][to];
          times != 0 || (options.with_zeros && from != to))
        table.add(
            {fmt::format("{}", times), fmt::format("{} -> {}", state_name(from), state_name(to))});
  return table.text();
}

std::string worker_text(const WorkerStats& stats, Options options) {
  const telemetry::WorkerInfo& info = stats.info;
  std::string text = fmt::format(
      "instance {}, worker {}: {} connections, {} half-open, {} in TIME-WAIT; free mbufs: {} "
      "receive, "
      "{} control{}\n\n",
      stats.instance, stats.worker, info.tcbs_in_use, info.half_open_in_use, info.time_wait_in_use,
      info.receive_mbufs_free, info.control_mbufs_free, info.draining != 0 ? "; draining" : "");
  Table outcomes({{"Packets", Align::kRight},
                  {"Kind", Align::kLeft},
                  {"Outcome", Align::kLeft},
                  {"What became of received packets", Align::kLeft}});
  add_rows<telemetry::Outcome>(outcomes, stats.metrics.outcomes, options, [](telemetry::Outcome o) {
    return std::array{kind_name(telemetry::kind_of(o)), telemetry::name_of(o),
                      telemetry::text_of(o)};
  });
  Table counters(
      {{"Count", Align::kRight}, {"Counter", Align::kLeft}, {"What happened", Align::kLeft}});
  add_rows<telemetry::Counter>(counters, stats.metrics.counters, options, [](telemetry::Counter c) {
    return std::array{telemetry::name_of(c), telemetry::text_of(c)};
  });
  Table timers({{"Fired", Align::kRight}, {"Timer", Align::kLeft}});
  add_rows<telemetry::TimerKind>(timers, stats.metrics.timers, options, [](telemetry::TimerKind t) {
    return std::array{timer_name(static_cast<std::uint8_t>(t))};
  });
  return text + outcomes.text() + "\n" + counters.text() + "\n" + timers.text() + "\n" +
         transitions_text(stats.metrics, options);
}

Json worker_json(const WorkerStats& stats, Options options) {
  const telemetry::WorkerInfo& info = stats.info;
  Json json = {{"instance", stats.instance},
               {"worker", stats.worker},
               {"connections", info.tcbs_in_use},
               {"half_open", info.half_open_in_use},
               {"time_wait", info.time_wait_in_use},
               {"receive_mbufs_free", info.receive_mbufs_free},
               {"control_mbufs_free", info.control_mbufs_free},
               {"is_draining", info.draining != 0}};
  Json outcomes = Json::object(), counters = Json::object(), timers = Json::object();
  Json transitions = Json::array();
  const auto wanted = [options](std::uint64_t value) { return value != 0 || options.with_zeros; };
  const Metrics& metrics = stats.metrics;
  for (std::size_t i = 0; i < metrics.outcomes.size(); ++i) {
    const auto outcome = static_cast<telemetry::Outcome>(i);
    if (!wanted(metrics.outcomes[i])) continue;
    outcomes[std::string(telemetry::name_of(outcome))] = {
        {"packets", metrics.outcomes[i]},
        {"kind", kind_name(telemetry::kind_of(outcome))},
        {"text", telemetry::text_of(outcome)}};
  }
  for (std::size_t i = 0; i < metrics.counters.size(); ++i)
    if (wanted(metrics.counters[i]))
      counters[std::string(telemetry::name_of(static_cast<telemetry::Counter>(i)))] =
          metrics.counters[i];
  for (std::size_t i = 0; i < metrics.timers.size(); ++i)
    if (wanted(metrics.timers[i]))
      timers[std::string(telemetry::name_of(static_cast<telemetry::TimerKind>(i)))] =
          metrics.timers[i];
  for (std::uint8_t from = 0; from < telemetry::kStateCount; ++from)
    for (std::uint8_t to = 0; to < telemetry::kStateCount; ++to)
      if (metrics.transitions[from][to] != 0)
        transitions.push_back({{"from", state_name(from)},
                               {"to", state_name(to)},
                               {"times", metrics.transitions[from][to]}});
  json["outcomes"] = std::move(outcomes);
  json["counters"] = std::move(counters);
  json["timers"] = std::move(timers);
  json["transitions"] = std::move(transitions);
  return json;
}

}  // namespace

int run_stats(Arguments arguments, Streams streams) {
  auto result = make_options(
      "stats",
      "Counters of every worker since its start: what became of each received packet (one outcome\n"
      "each), what else happened, timers fired, state transitions. Zeros are left out.",
      "");
  result.add_options()("all", "zeros too");
  const auto parsed = parse(result, "stats", arguments, streams);
  if (!parsed) return 0;
  const Options options{.with_zeros = parsed->count("all") != 0};
  const auto all = read_stats(open_instances(chosen_instance(*parsed), streams), streams);
  if (parsed->count("json") != 0) {
    Json list = Json::array();
    for (const WorkerStats& stats : all) list.push_back(worker_json(stats, options));
    streams.out << json_text(list);
  } else {
    std::string text;
    for (const WorkerStats& stats : all)
      text += (text.empty() ? "" : "\n") + worker_text(stats, options);
    streams.out << text;
  }
  return all.empty() ? 1 : 0;
}

}  // namespace sluice::ctl
