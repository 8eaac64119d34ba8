#include "options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

namespace load {

using sluice::Duration;

namespace {

constexpr std::array<std::pair<std::string_view, Mode>, 6> kModes = {{
    {"http", Mode::kHttp},
    {"http-close", Mode::kHttpClose},
    {"echo", Mode::kEcho},
    {"connect-close", Mode::kConnectClose},
    {"upload", Mode::kUpload},
    {"download", Mode::kDownload},
}};
constexpr double kMostConnections = 100e6;
constexpr double kMostRate = 1e9;

[[noreturn]] void refuse(const std::string& line) {
  throw sluice::SetupError(line, 2);
}

double parse_within(const std::string& flag, std::string_view text, double least, double most) {
  const double value = parse_amount(flag, text);
  if (value < least || value > most || value != std::floor(value))
    refuse(fmt::format("--{} {}: expected a whole number from {:.0f} to {:.0f}", flag, text, least,
                       most));
  return value;
}

std::uint32_t parse_u32(const std::string& flag, std::string_view text, double least, double most) {
  return static_cast<std::uint32_t>(parse_within(flag, text, least, most));
}

double parse_rate(const std::string& flag, std::string_view text, double least) {
  const std::string_view number = text.ends_with("/s") ? text.substr(0, text.size() - 2) : text;
  const double rate = parse_amount(flag, number);
  if (rate < least || rate > kMostRate)
    refuse(
        fmt::format("--{} {}: expected requests a second, more than 0, such as 50k", flag, text));
  return rate;
}

Duration parse_positive_time(const std::string& flag, std::string_view text) {
  const Duration time = parse_time(flag, text);
  if (time <= Duration::zero()) refuse(fmt::format("--{} {}: expected more than 0", flag, text));
  return time;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

Mode parse_mode(const std::string& text) {
  std::string names;
  for (const auto& [name, mode] : kModes) {
    if (name == text) return mode;
    names += names.empty() ? "" : ", ";
    names += name;
  }
  refuse(fmt::format("--mode {}: expected one of {}", text, names));
}

bool parse_yes_no(const std::string& flag, const std::string& text) {
  if (text != "yes" && text != "no") refuse(fmt::format("--{} {}: expected yes or no", flag, text));
  return text == "yes";
}

ErrorLimit parse_error_limit(const std::string& text) {
  if (!text.ends_with('%'))
    return {.count = static_cast<std::uint64_t>(parse_within("max-errors", text, 0, 1e15))};
  const double percent = parse_amount("max-errors", text.substr(0, text.size() - 1));
  if (percent > 100) refuse(fmt::format("--max-errors {}: expected at most 100%", text));
  return {.share = percent / 100};
}

using Text = std::function<const std::string&(const std::string&)>;

/// "1k:100k:30s"
Phase parse_ramp(const std::string& text) {
  const auto parts = split(text, ':');
  if (parts.size() != 3)
    refuse(fmt::format("--ramp {}: expected FROM:TO:TIME, such as 1k:100k:30s", text));
  const Phase ramp{.length = parse_positive_time("ramp", parts[2]),
                   .from_rate = parse_rate("ramp", parts[0], 0),
                   .to_rate = parse_rate("ramp", parts[1], 0)};
  if (ramp.from_rate + ramp.to_rate <= 0)
    refuse(fmt::format("--ramp {}: one of both rates must be more than 0", text));
  return ramp;
}

/// "50k,100k" of one length each, or "50k:5s,100k:20s".
std::vector<Phase> parse_steps(const std::string& text, std::optional<Duration> length) {
  constexpr std::size_t kMostSteps = 64;
  std::vector<Phase> steps;
  for (const std::string_view step : split(text, ',')) {
    const auto parts = split(step, ':');
    if (parts.size() > 2)
      refuse(fmt::format("--steps {}: expected RATE or RATE:TIME, such as 50k:5s,100k:5s", text));
    if (parts.size() == 2 && length)
      refuse("--steps with times of their own: leave --duration out, or the times");
    const double rate = parse_rate("steps", parts[0], 1e-3);
    steps.push_back({.length = parts.size() == 2 ? parse_positive_time("steps", parts[1])
                                                 : length.value_or(Duration::from_s(10)),
                     .from_rate = rate,
                     .to_rate = rate});
  }
  if (steps.size() > kMostSteps)
    refuse(fmt::format("--steps: {} are too many, {} the most", steps.size(), kMostSteps));
  return steps;
}

void parse_phases(const Text& text, Options& options) {
  std::vector<std::string> given;
  for (const char* const name : {"rate", "ramp", "steps"})
    if (!text(name).empty()) given.emplace_back(name);
  if (given.size() > 1)
    refuse(fmt::format("--{} and --{}: one of them says the rate, leave the other out", given[0],
                       given[1]));
  options.is_open_loop = !given.empty();
  std::optional<Duration> length;
  if (!text("duration").empty()) length = parse_positive_time("duration", text("duration"));
  if (!text("ramp").empty()) {
    if (length) refuse("--ramp has its time in it (FROM:TO:TIME): leave --duration out");
    options.phases = {parse_ramp(text("ramp"))};
  } else if (!text("steps").empty()) {
    options.phases = parse_steps(text("steps"), length);
  } else {
    const double rate = options.is_open_loop ? parse_rate("rate", text("rate"), 1e-3) : 0;
    options.phases = {{length.value_or(Duration::from_s(10)), rate, rate}};
  }
  const Duration warm_up = parse_time("warmup", text("warmup"));
  if (warm_up == Duration::zero()) return;
  const double rate = options.phases.front().from_rate;
  options.phases.insert(options.phases.begin(), {warm_up, rate, rate, true});
}

std::uint64_t default_size(Mode mode) {
  switch (mode) {
    case Mode::kEcho:
      return 64;
    case Mode::kUpload:
    case Mode::kDownload:
      return 100'000'000;
    case Mode::kHttp:
    case Mode::kHttpClose:
    case Mode::kConnectClose:
      return 0;
  }
  return 0;
}

void parse_requests(const Text& text, Options& options) {
  const std::string mode(to_string(options.mode));
  options.size = default_size(options.mode);
  if (!text("size").empty()) {
    if (options.size == 0)
      refuse(fmt::format("--size is for echo, upload and download; with --mode {} {}", mode,
                         is_http(options.mode) ? "say --path /bytes/SIZE" : "nothing is sent"));
    options.size = static_cast<std::uint64_t>(parse_within("size", text("size"), 1, 1e12));
  }
  options.path = text("path");
  if (!options.path.empty() && !is_http(options.mode))
    refuse(fmt::format("--path is for HTTP, not for --mode {}", mode));
  if (options.path.empty()) {
    options.path = options.mode == Mode::kUpload     ? "/sink"
                   : options.mode == Mode::kDownload ? fmt::format("/bytes/{}", options.size)
                                                     : "/bytes/64";
  }
  const bool is_plain = std::all_of(options.path.begin(), options.path.end(),
                                    [](char c) { return c > ' ' && c != 0x7f; });
  if (options.path[0] != '/' || !is_plain)
    refuse(fmt::format("--path {}: expected a path that begins with / and has no blanks",
                       options.path));
  options.pipeline = parse_u32("pipeline", text("pipeline"), 1, 1024);
  const bool may_pipeline = options.mode == Mode::kHttp || options.mode == Mode::kEcho;
  if (options.pipeline > 1 && !may_pipeline)
    refuse(fmt::format("--pipeline {}: only with --mode http or echo", options.pipeline));
}

void parse_crowd(const Text& text, Options& options) {
  const bool is_bulk = options.mode == Mode::kUpload || options.mode == Mode::kDownload;
  options.connections = is_bulk ? 1 : 64;
  if (!text("connections").empty())
    options.connections = parse_u32("connections", text("connections"), 1, kMostConnections);
  options.hold = parse_u32("hold", text("hold"), 0, kMostConnections);
  constexpr double kMostUnderWay = 256e6;
  if (static_cast<double>(options.connections) * options.pipeline > kMostUnderWay)
    refuse(fmt::format("--connections times --pipeline: at most {:.0f}", kMostUnderWay));
}

}  // namespace

std::string_view to_string(Mode mode) {
  for (const auto& [name, value] : kModes)
    if (value == mode) return name;
  return "?";
}

double parse_amount(const std::string& flag, std::string_view text) {
  constexpr std::array<std::pair<char, double>, 4> kUnits = {
      {{'k', 1e3}, {'K', 1e3}, {'M', 1e6}, {'G', 1e9}}};
  std::string_view number = text;
  double unit = 1;
  for (const auto& [letter, factor] : kUnits) {
    if (!number.ends_with(letter)) continue;
    unit = factor;
    number.remove_suffix(1);
    break;
  }
  double value = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value,
                                            std::chars_format::fixed);
  if (error != std::errc{} || end != number.data() + number.size() || !(value >= 0))
    refuse(fmt::format("--{} {}: expected a number such as 64, 10k or 1.5M", flag, text));
  return value * unit;
}

Duration parse_time(const std::string& flag, std::string_view text) {
  // The longer suffix first: "ms" ends with "s", too.
  constexpr std::array<std::pair<std::string_view, double>, 5> kUnits = {
      {{"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}}};
  constexpr double kLongest = 7 * 24 * 3600e9;
  for (const auto& [suffix, ns] : kUnits) {
    if (!text.ends_with(suffix)) continue;
    const std::string_view number = text.substr(0, text.size() - suffix.size());
    double value = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value,
                                              std::chars_format::fixed);
    const bool is_number = error == std::errc{} && end == number.data() + number.size();
    if (!is_number || !(value >= 0) || value * ns > kLongest) break;
    return Duration::from_ns(static_cast<std::int64_t>(std::llround(value * ns)));
  }
  if (text == "0") return Duration::zero();
  refuse(fmt::format("--{} {}: expected a time such as 10s, 500ms or 2m, of a week at most", flag,
                     text));
}

Options parse_options(const Text& text) {
  Options options;
  if (text("target").empty())
    refuse("--target is missing: whom to load, such as --target 10.0.0.2:80");
  const auto target = sluice::parse_endpoint(text("target"));
  if (!target || target->port.value == 0)
    refuse(fmt::format("--target {}: expected ADDRESS:PORT, such as 10.0.0.2:80", text("target")));
  options.target = *target;
  options.mode = parse_mode(text("mode"));
  parse_requests(text, options);
  parse_crowd(text, options);
  parse_phases(text, options);
  if (text("arrivals") != "even" && text("arrivals") != "poisson")
    refuse(fmt::format("--arrivals {}: expected even or poisson", text("arrivals")));
  options.spacing = text("arrivals") == "even" ? Spacing::kEven : Spacing::kPoisson;
  options.timeout = parse_positive_time("timeout", text("timeout"));
  options.setup_timeout = parse_positive_time("setup-timeout", text("setup-timeout"));
  options.interval = parse_positive_time("interval", text("interval"));
  options.expected_interval = parse_time("expected-interval", text("expected-interval"));
  if (options.is_open_loop && options.expected_interval != Duration::zero())
    refuse("--expected-interval is for closed loops: an open one omits nothing");
  options.max_errors = parse_error_limit(text("max-errors"));
  options.seed = static_cast<std::uint64_t>(parse_within("seed", text("seed"), 0, 9e15));
  options.json_file = text("json");
  options.csv_file = text("csv");
  options.is_quiet = parse_yes_no("quiet", text("quiet"));
  return options;
}

Message Options::message() const {
  const std::string host = sluice::to_string(target);
  switch (mode) {
    case Mode::kHttp:
    case Mode::kDownload:
      return {fmt::format("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", path, host), 0, pipeline};
    case Mode::kHttpClose:
      return {fmt::format("GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", path, host),
              0, 1};
    case Mode::kUpload:
      return {fmt::format("PUT {} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n", path, host,
                          size),
              size, 1};
    case Mode::kEcho: {
      // Small ones lie one behind the other, and leave in one call.
      constexpr std::uint64_t kSmall = 16384;
      if (size > kSmall) return {std::string(), size, 1};
      const auto* const octets = reinterpret_cast<const char*>(pattern().data());
      return {std::string(octets, size), 0, pipeline};
    }
    case Mode::kConnectClose:
      return {std::string(), 0, 1};
  }
  return {std::string(), 0, 1};
}

std::string Options::summary() const {
  std::string line = fmt::format("{} to {}", to_string(mode), sluice::to_string(target));
  if (is_http(mode)) line += fmt::format(", {} {}", mode == Mode::kUpload ? "PUT" : "GET", path);
  if (mode == Mode::kEcho || mode == Mode::kUpload) line += fmt::format(", {} octets", size);
  line += fmt::format(", {}{} connection{}", is_per_connection(mode) ? "at most " : "", connections,
                      connections == 1 ? "" : "s");
  if (pipeline > 1) line += fmt::format(", pipeline {}", pipeline);
  if (hold > 0) line += fmt::format(", {} held idle", hold);
  line += is_open_loop ? fmt::format(", open loop, {} arrivals",
                                     spacing == Spacing::kEven ? "even" : "poisson")
                       : ", closed loop";
  return line;
}

std::vector<sluice::ProgramOption> program_options() {
  return {
      {"target", "Whom to load", "", "ADDRESS:PORT"},
      {"mode",
       "What a request is. http: GET on connections that stay; http-close: a connection for each, "
       "which the server closes; echo: octets come back; connect-close: a connection for nothing; "
       "upload, download: PUT or GET of --size octets",
       "http", "MODE"},
      {"path",
       "Path of HTTP requests; without it /bytes/64, of upload /sink, of download /bytes/SIZE", "",
       "PATH"},
      {"size", "Octets of an echo (without it: 64), an upload or a download (100M)", "", "OCTETS"},
      {"connections",
       "Connections that stay, or the most open at once; without it 64, of upload and download 1",
       "", "N"},
      {"pipeline", "Requests under way on one connection (http, echo)", "1", "N"},
      {"hold", "Idle connections beside the load, opened before it", "0", "N"},
      {"rate",
       "Open loop: so many requests a second, due at fixed times whatever the server does. Latency "
       "counts from the time that a request was due. Without it (and --ramp, --steps) a closed "
       "loop: the next request goes out when an answer has come",
       "", "N[/s]"},
      {"ramp", "Open loop whose rate changes evenly", "", "FROM:TO:TIME"},
      {"steps", "Open loop with one rate after the other, each with figures of its own", "",
       "RATE[:TIME],..."},
      {"arrivals", "Open loop: requests at equal distances, or random ones: even or poisson",
       "even", "SPACING"},
      {"duration", "How long to measure; of --steps: each step. Without it 10s", "", "TIME"},
      {"warmup", "Load before that, at the first rate, which does not count", "1s", "TIME"},
      {"timeout", "A request fails if its answer takes longer", "5s", "TIME"},
      {"setup-timeout", "Give up if no connection more comes about for so long before the load",
       "10s", "TIME"},
      {"expected-interval",
       "Closed loop: also show latencies corrected for coordinated omission, as of clients that "
       "would send in such intervals; 0: no",
       "0", "TIME"},
      {"max-errors", "Exit with 4 if more requests failed than that, or than N% of all", "0",
       "N|N%"},
      {"seed", "Of random arrivals: the same gives the same", "1", "N"},
      {"json", "Write the result to a file; '-': to standard output, instead of the table", "",
       "FILE"},
      {"csv", "Write one line for each interval to a file", "", "FILE"},
      {"interval", "Between lines of progress, and of --csv", "1s", "TIME"},
      {"quiet", "No progress", "no", "yes|no", "yes"},
  };
}

std::string help_notes() {
  return R"(
Examples:
  sluice-load --target 10.0.0.2:80                                     closed loop, 64 connections, 10 s
  sluice-load --target 10.0.0.2:80 --rate 100k --connections 1k        open loop: 100,000 requests a second
  sluice-load --target 10.0.0.2:80 --mode http-close --steps 50k,100k,200k --connections 20k --address 10.0.0.10-10.0.0.73/24
  sluice-load --target 10.0.0.2:7 --mode echo --hold 100k --set tcp.max_connections=200000

Exit status: 0 good; 1 set-up failed or the target does not answer; 2 wrong flags; 4 more errors than --max-errors.
)";
}

}  // namespace load
