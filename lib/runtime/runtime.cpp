#include "sluice/runtime.hpp"

#include <fmt/format.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "base/assert.hpp"
#include "drivers/dpdk/device_error.hpp"
#include "drivers/dpdk/eal.hpp"
#include "drivers/dpdk/pool.hpp"
#include "runtime/command_line.hpp"
#include "runtime/control_thread.hpp"
#include "runtime/entropy.hpp"
#include "runtime/guard.hpp"
#include "runtime/join.hpp"
#include "runtime/orders.hpp"
#include "runtime/port_log.hpp"
#include "runtime/ports.hpp"
#include "runtime/post.hpp"
#include "runtime/reload.hpp"
#include "runtime/service_orders.hpp"
#include "runtime/source_filter.hpp"
#include "runtime/worker_loop.hpp"

namespace sluice {
namespace {

using runtime::CommandLine;
using runtime::Config;
using runtime::WorkerLoop;

/// The socket is known once EAL runs; before it any will do.
drivers::PoolOptions pool_options(const Config& config, unsigned worker,
                                  int socket = SOCKET_ID_ANY) {
  return {.name = fmt::format("w{}", worker),
          .receive_pkts = config.receive_pkts,
          .control_pkts = config.control_pkts,
          .indirect_pkts = config.indirect_pkts,
          .mtu = config.mtu,
          .socket = socket,
          .lcores = config.workers};
}

std::vector<unsigned> worker_cpus(const Config& config) {
  std::vector<unsigned> cpus(config.cpus.begin(), config.cpus.end());
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  ::sched_getaffinity(0, sizeof allowed, &allowed);
  for (const unsigned cpu : cpus)
    if (cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &allowed))
      throw SetupError(
          fmt::format("runtime.cpus: CPU {} is not ours to use: see 'taskset -p $$'", cpu), 2);
  if (!cpus.empty() || config.workers == 1) return cpus;
  for (unsigned cpu = 0; cpu < CPU_SETSIZE && cpus.size() < config.workers; ++cpu)
    if (CPU_ISSET(cpu, &allowed)) cpus.push_back(cpu);
  if (cpus.size() < config.workers)
    throw SetupError(fmt::format("--workers {}: only {} CPUs are ours to use; use fewer workers",
                                 config.workers, cpus.size()),
                     2);
  return cpus;
}

drivers::EalOptions eal_options(const Config& config, const std::string& program) {
  drivers::EalOptions options;
  options.program = program;
  options.instance = config.instance;
  options.devices = config.devices;
  options.huge_pages = static_cast<drivers::HugePages>(config.huge_pages);
  options.telemetry = config.telemetry;
  options.workers = config.workers;
  options.cpus = worker_cpus(config);
  options.extra = config.eal_args;
  // Above the pools: DPDK's own structures, rings of devices, and the holes between them.
  constexpr std::uint64_t kMiB = 1u << 20;
  const std::uint64_t pools =
      config.workers * drivers::WorkerPools::memory_needed(pool_options(config, 0)) +
      runtime::Ports::memory_needed(config);
  options.memory_mb =
      config.memory_mb != 0 ? config.memory_mb : static_cast<unsigned>(64 + pools * 5 / 4 / kMiB);
  return options;
}

/// The state region with its file. A clean end, or a start that failed, leaves no file behind;
/// after a crash it stays for sluicectl.
class OwnedRegion {
 public:
  OwnedRegion(const Config& config, const std::string& program) : region_(make(config, program)) {}
  ~OwnedRegion() { region_.remove_file(); }
  OwnedRegion(const OwnedRegion&) = delete;
  OwnedRegion& operator=(const OwnedRegion&) = delete;
  telemetry::StateRegion& get() { return region_; }

 private:
  static telemetry::StateRegion make(const Config& config, const std::string& program) {
    const stack::StackConfig stack_config = runtime::stack_config(config);
    std::vector<telemetry::SectionPlan> plan;
    for (unsigned worker = 0; worker < config.workers; ++worker)
      stack::Stack::plan_state(stack_config, worker, plan);
    runtime::Ports::plan_state(config, plan);
    return telemetry::StateRegion::create(config.instance, program, plan);
  }

  telemetry::StateRegion region_;
};

}  // namespace

/// Members are destroyed from the last to the first: loops and stacks give their mbufs back before
/// devices close, and pools go after everything that was filled from them.
struct Runtime::Impl {
  struct Shard {
    std::unique_ptr<stack::Stack> stack;
    std::unique_ptr<WorkerLoop> loop;
    std::uint32_t reset_connections = 0;
    Impl* owner = nullptr;
  };

  Impl(CommandLine parsed, std::vector<std::string> words, ProgramInfo info);

  /// The calling thread may neither touch a worker's parts nor be a worker's, which would wait for
  /// itself.
  bool must_order() const { return is_running.load(std::memory_order_acquire); }
  static bool is_worker_thread() { return rte_lcore_id() != LCORE_ID_ANY; }

  runtime::Reloader::Deps reload_deps();
  /// Throws SetupError with exit code 0 once the program was told to stop: what was made goes as
  /// after a drain. Called between the steps of the start, each of which takes its time.
  void end_if_stopped() const;
  void make_shards(const runtime::WorkerEntropy& entropy);
  void announce() const;
  void serve(Shard& shard);
  std::vector<GrowingMemory*> growing_memory();

  CommandLine line;
  std::vector<std::string> arguments;  ///< What `line` was read from.
  ProgramInfo program;
  runtime::Clock clock;
  // Before the region: a signal that ended the process now would leave its file behind.
  runtime::StopLevel stop{0};
  runtime::SignalStop signals{stop};
  runtime::ReloadSignal reload_signal;
  std::unique_ptr<OwnedRegion> region;
  std::unique_ptr<drivers::Eal> eal;
  std::vector<std::unique_ptr<drivers::WorkerPools>> pools;
  std::unique_ptr<runtime::Ports> ports;

  std::unique_ptr<runtime::Post> post;
  std::vector<std::unique_ptr<runtime::PostBox>> boxes;
  std::unique_ptr<runtime::Orders> orders;
  stack::StackConfig stack_config;  ///< Of each worker, as it started.
  runtime::LoopOptions loop_options;
  std::unique_ptr<runtime::SourceFilter> source_filter;
  std::vector<Shard> shards;
  std::vector<std::function<void(Worker)>> starters;
  std::vector<std::string> services;
  std::atomic<bool> is_running = false;
};

Runtime::Impl::Impl(CommandLine parsed, std::vector<std::string> words, ProgramInfo info)
    : line(std::move(parsed)),
      arguments(std::move(words)),
      program(std::move(info)),
      clock(line.config.replay_seed == 0 ? runtime::Clock::Kind::kMonotonic
                                         : runtime::Clock::Kind::kVirtual) {
  const Config& config = line.config;
  // Before anything is made, it says that there are not so many CPUs.
  const drivers::EalOptions options = eal_options(config, program.name);
  // The region comes before EAL: it says in one line that the instance runs already.
  region = std::make_unique<OwnedRegion>(config, program.name);
  end_if_stopped();
  eal = std::make_unique<drivers::Eal>(options);
  end_if_stopped();
  for (unsigned worker = 0; worker < config.workers; ++worker)
    pools.push_back(std::make_unique<drivers::WorkerPools>(
        pool_options(config, worker, static_cast<int>(rte_lcore_to_socket_id(worker)))));
  std::vector<packet::Pools> borrowed;
  borrowed.reserve(pools.size());
  for (const auto& worker_pools : pools) borrowed.push_back(worker_pools->get());
  end_if_stopped();
  const runtime::WorkerEntropy entropy = runtime::make_entropy(config.replay_seed);
  ports = std::make_unique<runtime::Ports>(
      runtime::Ports::Deps{.config = config,
                           .region = region->get(),
                           .pools = std::move(borrowed),
                           .steering_key = entropy.steering,
                           .rss_key = runtime::rss_key(entropy),
                           .wall_anchor_ns = clock.wall_anchor_ns()});
  end_if_stopped();
  make_shards(entropy);
}

void Runtime::Impl::end_if_stopped() const {
  if (stop.load(std::memory_order_acquire) != 0)
    throw SetupError("stopped while starting: nothing was served", 0);
}

void Runtime::Impl::make_shards(const runtime::WorkerEntropy& made) {
  const Config& config = line.config;
  stack_config = runtime::stack_config(config);
  runtime::WorkerEntropy entropy = made;
  if (config.fleet_key) {
    runtime::use_fleet_key(*config.fleet_key, entropy);
    stack_config.tcp.is_fleet = true;
    stack_config.tcp.cookie_to_wall = Duration::from_ns(clock.wall_anchor_ns());
  }
  loop_options = {config.drain_timeout,
                  config.exit_when_idle,
                  {config.idle_spin_rounds, config.idle_yield_rounds,
                   ports->may_sleep() ? config.idle_max_sleep : Duration::zero()}};

  post = std::make_unique<runtime::Post>(config.workers);
  orders = std::make_unique<runtime::Orders>(config.workers, runtime::patient());
  source_filter = std::make_unique<runtime::SourceFilter>(runtime::source_rules(config),
                                                          config.other_sources, config.workers);
  shards.resize(config.workers);
  for (unsigned worker = 0; worker < config.workers; ++worker) {
    Shard& shard = shards[worker];
    shard.owner = this;
    const runtime::WorkerEntropy own = runtime::for_worker(entropy, worker);
    const stack::StackDeps deps{.region = region->get(),
                                .pools = pools[worker]->get(),
                                .secrets = own.secrets,
                                .seed = own.seed,
                                .worker = worker,
                                .home = ports->home(worker)};
    shard.stack = std::make_unique<stack::Stack>(stack_config, deps, clock.now());
    shard.stack->set_prefix_filter(source_filter->first());
    auto& metrics =
        region->get().section<telemetry::Metrics>(telemetry::SectionKind::kMetrics, worker)[0];
    shard.loop = std::make_unique<WorkerLoop>(*shard.stack, metrics, clock, loop_options);
    shard.loop->set_filter_handover(source_filter->handover(worker));
    ports->connect(worker, *shard.loop);
    boxes.push_back(std::make_unique<runtime::PostBox>(*post, worker, metrics));
    shard.loop->set_mail(orders->place(worker), *boxes.back());
    post->set_waker(worker, ports->waker(worker));
    orders->place(worker).set_waker(ports->waker(worker));
  }
}

void Runtime::Impl::announce() const {
  const Config& config = line.config;
  std::vector<std::string> addresses;
  addresses.reserve(config.addresses.size());
  constexpr std::size_t kMostShown = 4;
  for (const Prefix& prefix : config.addresses) addresses.push_back(to_string(prefix));
  if (addresses.size() > kMostShown) {
    const std::string more = fmt::format("{} more", addresses.size() - kMostShown + 1);
    addresses.resize(kMostShown - 1);
    addresses.push_back(more);
  }
  for (const auto& device : ports->devices()) {
    const bool is_tap = !device->tap_interface().empty();
    fmt::print(stderr, "{}: {} on {}{} ({}), MAC {}, {} worker{}\n", program.name,
               runtime::join(addresses, ", "), device->name(),
               is_tap ? fmt::format(", interface {}", device->tap_interface()) : "",
               device->driver(), to_string(device->mac()), config.workers,
               config.workers == 1 ? "" : "s");
  }
  for (const std::string& steering : runtime::PortLog(region->get()).all())
    fmt::print(stderr, "{}: {}\n", program.name, steering);
  if (!services.empty())
    fmt::print(stderr, "{}: listening on TCP {}\n", program.name, runtime::join(services, ", "));
  fmt::print(stderr, "{}: look with 'sluicectl conns --instance {}'\n", program.name,
             config.instance);
  if (config.replay_seed != 0)
    fmt::print(stderr, "{}: replay: keys come from runtime.replay_seed and time is virtual\n",
               program.name);
}

/// What the control thread populates, near the worker that will use it.
std::vector<GrowingMemory*> Runtime::Impl::growing_memory() {
  std::vector<GrowingMemory*> all;
  for (unsigned worker = 0; worker < shards.size(); ++worker)
    for (GrowingMemory* memory : shards[worker].stack->growing_memory()) {
      memory->prefer_node(rte_lcore_to_socket_id(worker));
      all.push_back(memory);
    }
  return all;
}

runtime::Reloader::Deps Runtime::Impl::reload_deps() {
  const auto read = [this] {
    std::vector<const char*> words;
    words.reserve(arguments.size());
    for (const std::string& word : arguments) words.push_back(word.c_str());
    return runtime::parse_command_line(static_cast<int>(words.size()), words.data(), program)
        .config;
  };
  return {.orders = *orders,
          .file = line.file,
          .read = read,
          .config = line.config,
          .stack = stack_config,
          .loop = loop_options};
}

void Runtime::Impl::serve(Shard& shard) {
  // Mempools have a cache for each lcore: a thread that is none would work without, and locked.
  SLUICE_ASSERT(rte_lcore_id() == shard.stack->worker().index());
  for (const auto& start : starters) start(shard.stack->worker());
  shard.reset_connections = shard.loop->run(stop);
}

Runtime::Runtime(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Runtime::Runtime(Runtime&&) noexcept = default;
Runtime& Runtime::operator=(Runtime&&) noexcept = default;
Runtime::~Runtime() = default;

Runtime Runtime::from_command_line(int argc, const char* const* argv, ProgramInfo info) {
  if (info.name.empty()) {
    const std::string path = argc > 0 ? argv[0] : "sluice";
    info.name = path.substr(path.find_last_of('/') + 1);
  }
  CommandLine line = runtime::parse_command_line(argc, argv, info);
  if (!line.print.empty()) {
    fmt::print("{}", line.print);
    std::exit(0);
  }
  try {
    return Runtime(std::make_unique<Impl>(
        std::move(line), std::vector<std::string>(argv, argv + argc), std::move(info)));
  } catch (const SetupError&) {
    throw;
  } catch (const std::exception& error) {
    throw SetupError(error.what(), 1);
  }
}

const std::vector<Port>& Runtime::listen_ports() const {
  return impl_->line.config.listen;
}

const std::string& Runtime::option(const std::string& name) const {
  const auto found = impl_->line.options.find(name);
  if (found == impl_->line.options.end())
    throw SetupError(fmt::format("program option '{}' was not declared in ProgramInfo", name), 2);
  return found->second;
}

unsigned Runtime::worker_count() const {
  return static_cast<unsigned>(impl_->shards.size());
}

std::vector<IpAddr> Runtime::addresses() const {
  std::vector<IpAddr> addresses;
  addresses.reserve(impl_->line.config.addresses.size());
  for (const Prefix& prefix : impl_->line.config.addresses) addresses.push_back(prefix.address);
  return addresses;
}

void Runtime::listen_each(const ListenOptions& options,
                          const std::function<std::unique_ptr<HandlerFactory>()>& make_factory) {
  const auto count = static_cast<std::uint32_t>(impl_->shards.size());
  ListenOptions own = options;
  own.syn_backlog = runtime::divide(options.syn_backlog, count);
  own.accept_backlog = runtime::divide(options.accept_backlog, count);
  if (impl_->must_order()) {
    if (Impl::is_worker_thread())
      throw SetupError(
          "Runtime::listen: a worker's thread would wait for itself; use "
          "Worker::listen there",
          1);
    const auto order = std::make_shared<runtime::ListenOrder>(
        own, make_factory, count, impl_->stack_config.tcp.max_connections);
    const auto fates = impl_->orders->give(order);
    if (!runtime::is_done(fates))
      throw SetupError(fmt::format("cannot listen on port {}: {}{}", options.port.value,
                                   runtime::explain(fates), order->reason(fates)),
                       1);
    return;
  }
  for (Impl::Shard& shard : impl_->shards) {
    const auto listener = shard.stack->worker().listen(own, make_factory());
    if (!listener)
      throw SetupError(fmt::format("cannot listen on port {}: {}", options.port.value,
                                   to_string(listener.error())),
                       1);
  }
  impl_->services.push_back(options.address ? to_string(Endpoint{*options.address, options.port})
                                            : fmt::format("port {}", options.port.value));
}

Result<void, Error> Runtime::unlisten(Port port, const std::optional<IpAddr>& address) {
  if (!impl_->must_order()) {
    bool was_there = false;
    for (Impl::Shard& shard : impl_->shards) was_there |= shard.stack->unlisten(port, address);
    return was_there ? Result<void, Error>() : fail(Error::kInvalidArgument);
  }
  if (Impl::is_worker_thread()) return fail(Error::kInvalidArgument);
  return runtime::result_of_unlisten(
      impl_->orders->give(std::make_shared<runtime::UnlistenOrder>(port, address)));
}

Result<void, Error> Runtime::connect(unsigned worker, const ConnectOptions& options,
                                     StreamHandler* handler) {
  if (worker >= workers() || (impl_->must_order() && Impl::is_worker_thread()))
    return fail(Error::kInvalidArgument);
  if (!impl_->must_order()) {
    const auto stream = impl_->shards[worker].stack->worker().connect(options, handler);
    return stream ? Result<void, Error>() : fail(stream.error());
  }
  const auto order = std::make_shared<runtime::ConnectOrder>(options, handler);
  return order->result(impl_->orders->give_to(worker, order));
}

Result<void, Error> Runtime::post(unsigned to, const Message& message) {
  return impl_->post->post_from_outside(to, message);
}

unsigned Runtime::workers() const {
  return static_cast<unsigned>(impl_->shards.size());
}

void Runtime::on_worker_start(std::function<void(Worker)> start) {
  impl_->starters.push_back(std::move(start));
}

int Runtime::run() {
  impl_->announce();
  impl_->is_running.store(true, std::memory_order_release);
  // EAL made one pinned thread a worker; worker 0 is this thread.
  const auto start = [](void* shard) {
    auto& own = *static_cast<Impl::Shard*>(shard);
    own.owner->serve(own);
    return 0;
  };
  {
    const runtime::ControlThread control({.region = impl_->region->get(),
                                          .source_filter = *impl_->source_filter,
                                          .orders = *impl_->orders,
                                          .reload = impl_->reload_deps(),
                                          .program = impl_->program.name,
                                          .instance = impl_->line.config.instance,
                                          .memory = impl_->growing_memory()});
    for (unsigned worker = 1; worker < impl_->shards.size(); ++worker)
      if (rte_eal_remote_launch(start, &impl_->shards[worker], worker) != 0)
        throw SetupError(fmt::format("worker {} did not start", worker), 1);
    impl_->serve(impl_->shards[0]);
    rte_eal_mp_wait_lcore();
  }
  impl_->is_running.store(false, std::memory_order_release);
  std::uint32_t reset = 0;
  for (const Impl::Shard& shard : impl_->shards) reset += shard.reset_connections;
  if (reset == 0) {
    fmt::print(stderr, "{}: drained: every connection ended by itself\n", impl_->program.name);
    return 0;
  }
  fmt::print(stderr, "{}: drained: {} connection{} had to be reset\n", impl_->program.name, reset,
             reset == 1 ? "" : "s");
  return 3;
}

void Runtime::request_stop() noexcept {
  impl_->stop.fetch_add(1, std::memory_order_release);
}

int run_program(int argc, const char* const* argv, ProgramInfo info,
                const std::function<int(Runtime&)>& body) {
  return runtime::exit_code_of(argc > 0 ? argv[0] : "sluice", [&] {
    Runtime runtime = Runtime::from_command_line(argc, argv, std::move(info));
    return body(runtime);
  });
}

}  // namespace sluice
