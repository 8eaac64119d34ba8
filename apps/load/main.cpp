// sluice-load: load for servers of TCP, on the same stack.

#include <fmt/format.h>
#include <sched.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "driver.hpp"
#include "options.hpp"
#include "progress.hpp"
#include "report.hpp"

namespace {

using load::Driver;
using load::Options;
using load::RunResult;

constexpr int kTooManyErrors = 4;

/// Opened before the run: nobody wants to hear of a wrong path after it.
class JsonFile {
 public:
  explicit JsonFile(const std::string& path) : is_standard_output_(path == "-") {
    if (path.empty() || is_standard_output_) return;
    file_ = std::fopen(path.c_str(), "w");
    if (file_ == nullptr)
      throw sluice::SetupError(fmt::format("--json {}: {}", path, std::strerror(errno)), 1);
  }
  ~JsonFile() {
    if (file_ != nullptr) std::fclose(file_);
  }
  JsonFile(const JsonFile&) = delete;
  JsonFile& operator=(const JsonFile&) = delete;

  bool replaces_table() const { return is_standard_output_; }
  void write(const nlohmann::json& result) {
    if (file_ == nullptr && !is_standard_output_) return;
    fmt::print(is_standard_output_ ? stdout : file_, "{}\n", result.dump(2));
  }

 private:
  bool is_standard_output_;
  std::FILE* file_ = nullptr;
};

RunResult merge(const std::vector<std::unique_ptr<Driver>>& drivers, std::size_t addresses) {
  RunResult result;
  for (const auto& driver : drivers) result.add(driver->result());
  result.addresses = addresses;
  return result;
}

int run(sluice::Runtime& runtime, const cpu_set_t& cpus) {
  const Options options = load::parse_options(
      [&](const std::string& name) -> const std::string& { return runtime.option(name); });
  const unsigned workers = runtime.worker_count();
  if (options.connections < workers)
    throw sluice::SetupError(
        fmt::format("--connections {}: fewer than workers; give each of {} one at least",
                    options.connections, workers),
        2);
  const load::Message message = options.message();
  JsonFile json_file(options.json_file);
  load::Progress::Exchanges exchanges;
  for (unsigned worker = 0; worker < workers; ++worker)
    exchanges.push_back(std::make_unique<load::GlimpseExchange>());
  load::Progress progress(options, exchanges, cpus);
  load::Coordinator coordinator(workers, [&runtime] { runtime.request_stop(); });

  std::vector<std::unique_ptr<Driver>> drivers(workers);
  const std::vector<sluice::IpAddr> addresses = runtime.addresses();
  runtime.on_worker_start([&](sluice::Worker worker) {
    const unsigned index = worker.index();
    drivers[index] = std::make_unique<Driver>(worker, Driver::Deps{.options = options,
                                                                   .message = message,
                                                                   .coordinator = coordinator,
                                                                   .exchange = *exchanges[index],
                                                                   .addresses = addresses,
                                                                   .share = {index, workers}});
  });
  // Whether connections ended by themselves when all was over is no figure of the load.
  static_cast<void>(runtime.run());

  const RunResult result = merge(drivers, addresses.size());
  progress.finish(result.lasted);
  if (coordinator.has_given_up())
    throw sluice::SetupError(load::set_up_problem(options, result), 1);
  json_file.write(load::report_json(options, result));
  if (!json_file.replaces_table()) fmt::print("{}", load::report_table(options, result));
  const load::Tally total = load::total_of(options, result);
  return options.max_errors.holds(total.failed(), total.issued) ? 0 : kTooManyErrors;
}

}  // namespace

int main(int argc, char** argv) {
  cpu_set_t cpus;  // before worker 0 is pinned to one
  CPU_ZERO(&cpus);
  ::sched_getaffinity(0, sizeof cpus, &cpus);
  const sluice::ProgramInfo info{
      .name = "sluice-load",
      .summary = "Load for TCP and HTTP servers: open or closed loop, honest latencies",
      .options = load::program_options(),
      // Beside a server of ours on one machine; small requests leave at once.
      .config_defaults = {"runtime.instance=load", "device.devices=net_tap0,iface=sluiceload0",
                          "interface.addresses=10.0.0.1/24", "tcp.nodelay=true",
                          "runtime.drain_timeout=2s"},
      .notes = load::help_notes()};
  return sluice::run_program(argc, argv, info,
                             [&](sluice::Runtime& runtime) { return run(runtime, cpus); });
}
