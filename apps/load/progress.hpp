#pragma once

// The live line and the CSV: a thread of its own that asks each worker for what happened since the
// last look.

#include <sched.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "figures.hpp"
#include "options.hpp"

namespace load {

/// A line of --csv; the first gives the names.
std::string csv_header();
std::string csv_line(const Glimpse& glimpse, double took_s);
/// "12.0 s  98.7 k/s  p50 ..."
std::string progress_line(const Glimpse& glimpse, const Options& options, double took_s);

class Progress {
 public:
  using Exchanges = std::vector<std::unique_ptr<GlimpseExchange>>;
  /// All borrowed. `cpus` are the process's own: a thread inherits those of the worker that makes
  /// it. Throws SetupError if the CSV file cannot be written.
  Progress(const Options& options, Exchanges& exchanges, const cpu_set_t& cpus);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Once the workers have ended, after a run that lasted so long: the last line of the CSV.
  void finish(sluice::Duration lasted);

 private:
  void watch();
  void look();
  void show(const Glimpse& glimpse);
  void write_csv(const Glimpse& glimpse, double took_s);
  void end_thread();

  const Options& options_;
  Exchanges& exchanges_;
  std::FILE* csv_ = nullptr;
  const bool is_terminal_;
  bool has_line_ = false;        ///< On the terminal, not ended yet.
  sluice::Duration seen_until_;  ///< Of the run, at the last look.
  std::mutex mutex_;
  std::condition_variable wake_;
  bool is_ending_ = false;
  std::thread thread_;
};

}  // namespace load
