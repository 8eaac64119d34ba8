#include "report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "text.hpp"

namespace load {

using nlohmann::json;
using sluice::Duration;

namespace {

struct Quantile {
  const char* name;  ///< In the table.
  const char* key;   ///< In JSON.
  double share;
};
constexpr std::array<Quantile, 6> kQuantiles = {{{"p50", "p50", 0.5},
                                                 {"p90", "p90", 0.9},
                                                 {"p99", "p99", 0.99},
                                                 {"p99.9", "p99_9", 0.999},
                                                 {"p99.99", "p99_99", 0.9999},
                                                 {"max", "max", 1.0}}};

double seconds(Duration duration) {
  return static_cast<double>(duration.ns()) / 1e9;
}
double microseconds(Duration duration) {
  return static_cast<double>(duration.ns()) / 1e3;
}
double per_second(std::uint64_t count, Duration length) {
  return length > Duration::zero() ? static_cast<double>(count) / seconds(length) : 0;
}

std::string latency_row(const char* name, const Histogram<11>& histogram) {
  std::string row = fmt::format("  {:<24}", name);
  if (histogram.is_empty()) return row + "        -\n";
  for (const Quantile& quantile : kQuantiles)
    row += fmt::format("{:>10}", time_text(histogram.quantile(quantile.share)));
  return row + '\n';
}

std::string latency_table(const Options& options, const PhaseFigures& figures) {
  std::string text = fmt::format("  {:<24}", "");
  for (const Quantile& quantile : kQuantiles) text += fmt::format("{:>10}", quantile.name);
  text += '\n';
  text += latency_row(options.is_open_loop ? "latency, from due time" : "latency, from sending",
                      figures.latency);
  if (options.expected_interval > Duration::zero())
    text += latency_row("  corrected", figures.latency.corrected(options.expected_interval));
  if (!figures.connect.is_empty()) text += latency_row("connect", figures.connect);
  return text;
}

std::string failure_rows(const Tally& tally) {
  std::string text;
  for (std::size_t i = 0; i < kFailures; ++i) {
    if (tally.failures[i] == 0) continue;
    const auto failure = static_cast<Failure>(i);
    text += fmt::format("  {:<16}{:>16}   {}\n", name_of(failure), grouped(tally.failures[i]),
                        mend_of(failure));
  }
  return text;
}

std::string offered_text(const Phase& phase) {
  if (phase.from_rate == phase.to_rate) return with_unit(phase.from_rate);
  return fmt::format("{} to {}", with_unit(phase.from_rate), with_unit(phase.to_rate));
}

std::string phase_text(const Options& options, const RunResult& result, std::size_t index) {
  const Phase& phase = options.phases[index];
  const PhaseFigures& figures = result.phases[index];
  const Tally& tally = figures.tally;
  const Duration length = lasted(options, result, index);
  std::string text;
  const auto row = [&](const char* name, std::uint64_t count, const std::string& remark) {
    text += fmt::format("  {:<16}{:>16}   {}\n", name, grouped(count), remark);
  };
  const auto rate = [&](std::uint64_t count) {
    return with_unit(per_second(count, length)) + "/s";
  };
  row("requests", tally.issued,
      options.is_open_loop
          ? fmt::format("{} sent, {}/s offered", rate(tally.issued), offered_text(phase))
          : rate(tally.issued));
  row("answered", tally.answered,
      tally.late == 0 ? rate(tally.answered)
                      : fmt::format("{} within the time, {} later",
                                    rate(tally.answered - tally.late), grouped(tally.late)));
  row("failed", tally.failed(), "");
  text += failure_rows(tally);
  if (tally.unsent > 0)
    row("never sent", tally.unsent,
        "were due, but no connection was free: latencies are worse than shown");
  if (tally.connects > 0)
    row("connections", tally.connected,
        fmt::format("{} of {} begun", rate(tally.connected), grouped(tally.connects)));
  row("octets sent", tally.octets_sent,
      with_unit(8 * per_second(tally.octets_sent, length)) + "bit/s");
  row("octets received", tally.octets_received,
      with_unit(8 * per_second(tally.octets_received, length)) + "bit/s");
  return text + latency_table(options, figures);
}

std::string steps_table(const Options& options, const RunResult& result) {
  std::string text =
      fmt::format("  {:>10}{:>10}{:>10}{:>12}{:>12}{:>10}{:>10}{:>10}{:>10}\n", "offered/s", "time",
                  "in time/s", "failed", "never sent", "p50", "p99", "p99.9", "max");
  for (std::size_t i = 0; i < options.phases.size(); ++i) {
    if (options.phases[i].is_warm_up) continue;
    const PhaseFigures& figures = result.phases[i];
    const Tally& tally = figures.tally;
    const Duration length = lasted(options, result, i);
    text +=
        fmt::format("  {:>10}{:>10}{:>10}{:>12}{:>12}", offered_text(options.phases[i]),
                    time_text(length), with_unit(per_second(tally.answered - tally.late, length)),
                    grouped(tally.failed()), grouped(tally.unsent));
    for (const double share : {0.5, 0.99, 0.999, 1.0})
      text += fmt::format("{:>10}", time_text(figures.latency.quantile(share)));
    text += '\n';
  }
  return text;
}

json latency_json(const Histogram<11>& histogram) {
  json object = {{"count", histogram.count()}};
  if (histogram.is_empty()) return object;
  object["min"] = microseconds(histogram.least());
  object["mean"] = histogram.mean_ns() / 1e3;
  for (const Quantile& quantile : kQuantiles)
    object[quantile.key] = microseconds(histogram.quantile(quantile.share));
  return object;
}

json phase_json(const Options& options, const RunResult& result, std::size_t index) {
  const Phase& phase = options.phases[index];
  const PhaseFigures& figures = result.phases[index];
  const Tally& tally = figures.tally;
  const Duration length = lasted(options, result, index);
  json failures = json::object();
  for (std::size_t i = 0; i < kFailures; ++i)
    failures[std::string(name_of(static_cast<Failure>(i)))] = tally.failures[i];
  json object = {{"seconds", seconds(length)},
                 {"issued", tally.issued},
                 {"answered", tally.answered},
                 {"answered_late", tally.late},
                 {"answered_in_time_per_s", per_second(tally.answered - tally.late, length)},
                 {"never_sent", tally.unsent},
                 {"failed", tally.failed()},
                 {"failures", failures},
                 {"connects", tally.connects},
                 {"connected", tally.connected},
                 {"connected_per_s", per_second(tally.connected, length)},
                 {"octets_sent", tally.octets_sent},
                 {"octets_received", tally.octets_received},
                 {"sent_bits_per_s", 8 * per_second(tally.octets_sent, length)},
                 {"received_bits_per_s", 8 * per_second(tally.octets_received, length)},
                 {"latency_us", latency_json(figures.latency)},
                 {"connect_us", latency_json(figures.connect)}};
  if (options.is_open_loop)
    object["offered_per_s"] = {{"from", phase.from_rate}, {"to", phase.to_rate}};
  if (options.expected_interval > Duration::zero())
    object["latency_corrected_us"] =
        latency_json(figures.latency.corrected(options.expected_interval));
  return object;
}

}  // namespace

void RunResult::add(const WorkerResult& worker) {
  ++workers;
  if (phases.empty()) phases.resize(worker.phases.size());
  for (std::size_t i = 0; i < worker.phases.size(); ++i) phases[i].merge(worker.phases[i]);
  retransmitted += worker.retransmitted;
  held_lost += worker.held_lost;
  set_up_connect.merge(worker.set_up_connect);
  lasted = std::max(lasted, worker.lasted);
  was_interrupted |= worker.was_interrupted;
  opened += worker.opened;
  to_open += worker.to_open;
  if (worker.last_failure) last_failure = worker.last_failure;
}

Duration lasted(const Options& options, const RunResult& result, std::size_t phase) {
  Duration before = Duration::zero();
  for (std::size_t i = 0; i < phase; ++i) before = before + options.phases[i].length;
  return std::clamp(result.lasted - before, Duration::zero(), options.phases[phase].length);
}

Tally total_of(const Options& options, const RunResult& result) {
  Tally total;
  for (std::size_t i = 0; i < options.phases.size(); ++i)
    if (!options.phases[i].is_warm_up) total.add(result.phases[i].tally);
  return total;
}

std::string report_table(const Options& options, const RunResult& result) {
  std::string text = options.summary();
  text += fmt::format(", {} worker{}, {} local address{}\n", result.workers,
                      result.workers == 1 ? "" : "s", result.addresses,
                      result.addresses == 1 ? "" : "es");
  if (result.was_interrupted)
    text += fmt::format("interrupted after {}\n", time_text(result.lasted));
  const std::size_t first = options.phases.front().is_warm_up ? 1 : 0;
  for (std::size_t i = first; i < options.phases.size(); ++i) {
    if (options.phases.size() - first > 1) text += fmt::format("step {}\n", i + 1 - first);
    text += phase_text(options, result, i);
  }
  if (options.phases.size() - first > 1) text += "all steps\n" + steps_table(options, result);
  if (!is_per_connection(options.mode))
    text += latency_row("connect, before the run", result.set_up_connect);
  text += fmt::format("  {:<16}{:>16}   of the whole run\n", "retransmissions",
                      grouped(result.retransmitted));
  if (options.hold > 0)
    text += fmt::format("  {:<16}{:>16}   of {} held idle\n", "lost", grouped(result.held_lost),
                        grouped(options.hold));
  if (!options.is_open_loop && options.expected_interval == Duration::zero())
    text +=
        "A closed loop waits with the server: its latencies leave out what it did not send "
        "meanwhile.\nUse --rate for those that users would see, or --expected-interval.\n";
  return text;
}

json report_json(const Options& options, const RunResult& result) {
  json phases = json::array();
  for (std::size_t i = 0; i < options.phases.size(); ++i)
    if (!options.phases[i].is_warm_up) phases.push_back(phase_json(options, result, i));
  return {{"program", "sluice-load"},
          {"target", sluice::to_string(options.target)},
          {"mode", std::string(to_string(options.mode))},
          {"loop", options.is_open_loop ? "open" : "closed"},
          {"connections", options.connections},
          {"pipeline", options.pipeline},
          {"hold", options.hold},
          {"held_lost", result.held_lost},
          {"workers", result.workers},
          {"local_addresses", result.addresses},
          {"interrupted", result.was_interrupted},
          {"retransmitted_segments", result.retransmitted},
          {"set_up_connect_us", latency_json(result.set_up_connect)},
          {"phases", phases}};
}

std::string set_up_problem(const Options& options, const RunResult& result) {
  std::string line;
  if (result.opened == 0)
    line = fmt::format("{} does not answer", sluice::to_string(options.target));
  else
    line = fmt::format("only {} of {} connections to {} came about", grouped(result.opened),
                       grouped(result.to_open), sluice::to_string(options.target));
  line += fmt::format(" (no progress for {})", time_text(options.setup_timeout));
  if (result.last_failure)
    line += fmt::format(": {}: {}", name_of(*result.last_failure), mend_of(*result.last_failure));
  else
    line +=
        ": nothing came back: is the server up, and the address on this link or behind "
        "--gateway?";
  return line;
}

}  // namespace load
