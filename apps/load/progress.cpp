#include "progress.hpp"

#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "text.hpp"

namespace load {
namespace {

using Clock = std::chrono::steady_clock;

double seconds(sluice::Duration duration) {
  return static_cast<double>(duration.ns()) / 1e9;
}

std::FILE* open_csv(const std::string& path) {
  if (path.empty()) return nullptr;
  std::FILE* const file = std::fopen(path.c_str(), "w");
  if (file == nullptr)
    throw sluice::SetupError(fmt::format("--csv {}: {}", path, std::strerror(errno)), 1);
  return file;
}

double microseconds(sluice::Duration duration) {
  return static_cast<double>(duration.ns()) / 1e3;
}

}  // namespace

std::string csv_header() {
  std::string line =
      "time_s,interval_s,phase,issued,answered,failed,connects,connected,open,held,outstanding,"
      "octets_sent,octets_received,p50_us,p90_us,p99_us,p99.9_us,max_us";
  for (std::size_t i = 0; i < kFailures; ++i)
    line += fmt::format(",{}", name_of(static_cast<Failure>(i)));
  return line;
}

std::string csv_line(const Glimpse& glimpse, double took_s) {
  const Tally& tally = glimpse.tally;
  std::string line = fmt::format(
      "{:.3f},{:.3f},{},{},{},{},{},{},{},{},{},{},{}", seconds(glimpse.since_start), took_s,
      glimpse.phase, tally.issued, tally.answered, tally.failed(), tally.connects, tally.connected,
      glimpse.open, glimpse.held, glimpse.outstanding, tally.octets_sent, tally.octets_received);
  for (const double share : {0.5, 0.9, 0.99, 0.999, 1.0})
    line += fmt::format(",{:.3f}", microseconds(glimpse.latency.quantile(share)));
  for (const std::uint64_t count : tally.failures) line += fmt::format(",{}", count);
  return line;
}

std::string progress_line(const Glimpse& glimpse, const Options& options, double took_s) {
  if (!glimpse.is_running)
    return fmt::format("set-up: {} connections open, {} held idle", glimpse.open, glimpse.held);
  const Tally& tally = glimpse.tally;
  const auto per_second = [&](std::uint64_t count) {
    return with_unit(took_s > 0 ? static_cast<double>(count) / took_s : 0);
  };
  std::string line = fmt::format("{:6.1f} s", seconds(glimpse.since_start));
  const Phase& phase = options.phases[glimpse.phase];
  if (phase.is_warm_up)
    line += "  warm-up";
  else if (options.phases.size() > 2)
    line += fmt::format("  step {}", glimpse.phase + (options.phases.front().is_warm_up ? 0 : 1));
  line += fmt::format("  {} answers/s", per_second(tally.answered));
  if (!glimpse.latency.is_empty())
    line += fmt::format("  p50 {}  p99 {}  p99.9 {}", time_text(glimpse.latency.quantile(0.5)),
                        time_text(glimpse.latency.quantile(0.99)),
                        time_text(glimpse.latency.quantile(0.999)));
  line += fmt::format("  {} in flight", glimpse.outstanding);
  if (is_per_connection(options.mode))
    line += fmt::format("  {} connections/s", per_second(tally.connected));
  if (tally.failed() > 0) line += fmt::format("  {} failed", tally.failed());
  return line;
}

Progress::Progress(const Options& options, Exchanges& exchanges, const cpu_set_t& cpus)
    : options_(options),
      exchanges_(exchanges),
      csv_(open_csv(options.csv_file)),
      is_terminal_(::isatty(STDERR_FILENO) != 0) {
  if (csv_ != nullptr) fmt::print(csv_, "{}\n", csv_header());
  // Signals are the workers': they end the program.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { watch(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_setaffinity_np(thread_.native_handle(), sizeof cpus, &cpus);
}

Progress::~Progress() {
  end_thread();
  if (csv_ != nullptr) std::fclose(csv_);
}

void Progress::end_thread() {
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Progress::watch() {
  std::unique_lock lock(mutex_);
  const auto interval = std::chrono::nanoseconds(options_.interval.ns());
  for (auto next = Clock::now() + interval; !is_ending_; next += interval) {
    wake_.wait_until(lock, next, [this] { return is_ending_; });
    if (!is_ending_) look();
  }
}

/// Asks all workers at once and takes what comes soon; a worker that is late (it sleeps, or has
/// ended) is taken with the next look.
void Progress::look() {
  constexpr auto kPatience = std::chrono::milliseconds(20);
  for (const auto& exchange : exchanges_) exchange->ask();
  Glimpse sum;
  std::size_t taken = 0;
  const auto deadline = Clock::now() + kPatience;
  while (taken < exchanges_.size() && Clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    for (const auto& exchange : exchanges_) taken += exchange->take(sum) ? 1u : 0u;
  }
  if (taken > 0) show(sum);
}

void Progress::show(const Glimpse& glimpse) {
  const double took_s = seconds(glimpse.since_start - seen_until_);
  if (glimpse.is_running) {
    seen_until_ = glimpse.since_start;
    write_csv(glimpse, took_s);
  }
  if (options_.is_quiet) return;
  const std::string line = progress_line(glimpse, options_, took_s);
  has_line_ = is_terminal_;
  fmt::print(stderr, "{}{}{}", is_terminal_ ? "\r\x1b[K" : "", line, is_terminal_ ? "" : "\n");
  std::fflush(stderr);
}

void Progress::write_csv(const Glimpse& glimpse, double took_s) {
  if (csv_ == nullptr) return;
  fmt::print(csv_, "{}\n", csv_line(glimpse, took_s));
  std::fflush(csv_);
}

void Progress::finish(sluice::Duration lasted) {
  end_thread();
  if (std::exchange(has_line_, false)) fmt::print(stderr, "\n");
  Glimpse rest;
  for (const auto& exchange : exchanges_) exchange->take_rest(rest);
  if (rest.tally.issued == 0 && rest.tally.answered == 0 && rest.tally.failed() == 0) return;
  rest.since_start = std::max(lasted, seen_until_);
  rest.phase = static_cast<std::uint32_t>(options_.phases.size() - 1);
  write_csv(rest, seconds(rest.since_start - seen_until_));
}

}  // namespace load
