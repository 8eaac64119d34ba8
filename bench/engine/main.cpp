// What the server's stack costs: an operation, many times, beside any number of open connections.
// Its peer fills in templates outside of what is timed. Under callgrind the difference between a
// run of 2 N and one of N, divided by N, is what an operation costs, to the instruction.

#include <fmt/format.h>
#include <rte_cycles.h>

#include <algorithm>
#include <cstdio>
#include <cxxopts.hpp>
#include <deque>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/rng.hpp"
#include "bench/engine/bench_host.hpp"
#include "bench/engine/crowd.hpp"
#include "bench/engine/resident.hpp"
#include "tests/support/eal.hpp"

namespace sluice::bench {
namespace {

constexpr Port kPort{7};
constexpr std::uint32_t kMss = 1448;  // 1460 less the timestamps
constexpr std::uint32_t kRequest = 64;

[[noreturn]] void die(const std::string& what) {
  fmt::print(stderr, "bench_engine: {}\n", what);
  std::exit(1);
}

enum class Kind { kEcho, kEchoAndClose, kSink, kSource };

/// The application of all connections: it has no state, so memory is the stack's alone.
class Application final : public StreamHandler {
 public:
  void become(Kind kind) { kind_ = kind; }

  void on_writable(Stream stream) override {
    if (kind_ == Kind::kSource) fill(stream);
  }
  void on_data(Stream stream, RxData& data) override {
    if (kind_ == Kind::kSource) fill(stream);
    if (kind_ == Kind::kSink || kind_ == Kind::kSource) return data.consume(data.size());
    static_cast<void>(stream.send(data));
    if (kind_ == Kind::kEchoAndClose) static_cast<void>(stream.close());
  }

 private:
  static void fill(Stream stream) {
    static const std::string block(65536, 'y');
    for (;;) {
      const auto taken = stream.send(block);
      if (!taken || *taken < block.size()) return;
    }
  }
  Kind kind_ = Kind::kEcho;
};

class Acceptor final : public ListenerHandler {
 public:
  explicit Acceptor(Application& application) : application_(application) {}
  void on_acceptable(Listener listener) override {
    while (listener.accept(&application_)) {
    }
  }

 private:
  Application& application_;
};

struct Setting {
  std::uint32_t open;  ///< Connections that stand beside.
  std::size_t burst;   ///< Frames in one turn of the loop.
  std::string name = "bench";
};

class Bench {
 public:
  explicit Bench(const Setting& setting)
      : setting_(setting),
        host_(config(setting), setting.name),
        // Beside those that stay open: enough others that a 4-tuple comes again late.
        crowd_(host_.pool(), kPort, setting.open + kPasser),
        acceptor_(application_) {
    if (!host_.worker().listen({.port = kPort, .accept_backlog = 4096}, acceptor_))
      die("listen failed");
    frames_.reserve(setting.burst);
    answers_.reserve(4096);
    for (std::uint32_t at = 0; at < setting.open;) at = open_some(at);
    host_.take_cycles();
  }

  /// What comes before the first of an operation, and is not counted.
  void prepare(Kind kind) {
    application_.become(kind);
    // As many in TIME-WAIT as there can be: from here on each takes the place of another, as in a
    // server that has run for a while.
    if (kind == Kind::kEchoAndClose) connections(kTimeWait);
    if (kind == Kind::kSource) add(0, wire::kAck | wire::kPsh, 1);  // asks for what is sent
    host_.take_cycles();
  }

  /// `count` requests of 64 octets, each to a connection chosen uniformly at random of those that
  /// have none in this burst. A request acknowledges the response before it.
  void request_responses(std::uint64_t count) { ask(count, Acks::kWithNextRequest); }
  /// The same, but each response is acknowledged by a segment of its own, four bursts later: as it
  /// is when a connection is one of many.
  void request_responses_acked(std::uint64_t count) { ask(count, Acks::kAlone); }

  /// Each open connection answers a request, and has its answer acknowledged.
  void ask_all() {
    for (std::uint32_t at = 0; at < setting_.open;) {
      const std::uint32_t first = at;
      const std::uint32_t end =
          std::min<std::uint32_t>(setting_.open, at + static_cast<std::uint32_t>(setting_.burst));
      for (; at < end; ++at) add(at, wire::kAck | wire::kPsh, kRequest);
      if (turn().payload != std::uint64_t{end - first} * kRequest)
        die(fmt::format("client {} or a next one does not answer", first));
      for (at = first; at < end; ++at) add(at, wire::kAck, 0);
      turn();
    }
  }

  /// Handshake, request, response and FIN of the server, FIN of the client: in steps, of a burst
  /// of connections each.
  void connections(std::uint64_t count) {
    const auto burst = static_cast<std::uint32_t>(setting_.burst);
    const std::uint64_t before = opened();
    for (std::uint64_t done = 0; done < count; done += burst) {
      const std::uint32_t first = setting_.open + next_passer_;
      next_passer_ = next_passer_ + 2 * burst > kPasser ? 0 : next_passer_ + burst;
      for (std::uint32_t i = 0; i < burst; ++i) add(first + i, wire::kSyn, 0);
      turn();
      for (std::uint32_t i = 0; i < burst; ++i) add(first + i, wire::kAck, 0);
      turn();
      for (std::uint32_t i = 0; i < burst; ++i) add(first + i, wire::kAck | wire::kPsh, kRequest);
      if (turn().payload != burst * kRequest) die("a response is missing");
      for (std::uint32_t i = 0; i < burst; ++i) add(first + i, wire::kFin | wire::kAck, 0);
      if (turn().resets != 0) die("a connection was reset");
    }
    if (opened() - before != (count + burst - 1) / burst * burst) die("a connection is missing");
  }

  void received(std::uint64_t count) {
    const auto before = host_.metrics().of(telemetry::Counter::kPayloadReceived);
    for (std::uint64_t done = 0; done < count; done += setting_.burst) {
      for (std::size_t i = 0; i < setting_.burst; ++i) add(0, wire::kAck, kMss);
      turn();
    }
    if (host_.metrics().of(telemetry::Counter::kPayloadReceived) - before < count * kMss)
      die("octets are missing");
  }

  /// The client acknowledges every second segment.
  void sent(std::uint64_t count) {
    std::uint64_t octets = 0;
    std::uint64_t owed = 0;
    std::uint64_t idle = 0;
    while (octets < count * kMss) {
      for (std::uint64_t acks = std::max<std::uint64_t>(owed / 2, owed == 0 ? 0 : 1); acks > 0;
           --acks)
        add(0, wire::kAck, 0);
      const Answers answers = turn();
      owed = answers.segments;
      octets += answers.payload;
      idle = answers.payload == 0 ? idle + 1 : 0;
      if (idle > 1'000'000) die("nothing is sent any more");
    }
  }

  std::uint64_t take_cycles() { return host_.take_cycles(); }
  std::size_t client_octets() const { return crowd_.octets(); }
  std::uint64_t counter(telemetry::Counter counter) const { return host_.metrics().of(counter); }

 private:
  static constexpr std::uint32_t kPasser = 200'000;
  static constexpr std::uint32_t kTimeWait = 65'536;

  static stack::StackConfig config(const Setting& setting) {
    stack::StackConfig config = BenchHost::default_config();
    config.tcp.max_connections = setting.open + 4096;
    config.tcp.max_half_open = 4096;
    config.tcp.max_accept_queue = 4096;
    config.tcp.max_time_wait = kTimeWait;
    config.tcp.recorder_events = 0;
    config.tcp.nodelay = true;  // a response does not wait for the ACK of the one before
    config.tcp.syn_ack_prefix_limit = {100'000'000, 1'000'000};  // all come from few prefixes
    return config;
  }

  void add(std::uint32_t client, int flags, std::uint32_t payload) {
    frames_.push_back(crowd_.segment(client, static_cast<std::uint8_t>(flags), payload));
  }
  enum class Acks { kWithNextRequest, kAlone };
  void ask(std::uint64_t count, Acks acks) {
    constexpr std::size_t kBurstsLater = 4;
    const std::size_t burst = std::min<std::size_t>(setting_.burst, setting_.open);
    for (std::uint64_t done = 0; done < count; done += burst) {
      asked_.clear();
      while (asked_.size() < burst) {
        const auto client = static_cast<std::uint32_t>(rng_.below(setting_.open));
        if (std::find(asked_.begin(), asked_.end(), client) != asked_.end()) continue;
        asked_.push_back(client);
        add(client, wire::kAck | wire::kPsh, kRequest);
      }
      if (turn().payload != burst * kRequest) die("a response is missing");
      if (acks == Acks::kWithNextRequest) continue;
      unacked_.push_back(asked_);
      if (unacked_.size() <= kBurstsLater) continue;
      for (const std::uint32_t client : unacked_.front()) add(client, wire::kAck, 0);
      unacked_.pop_front();
      turn();
    }
  }
  Answers turn() {
    host_.run(frames_, answers_);
    frames_.clear();
    return crowd_.absorb(answers_);
  }
  std::uint32_t open_some(std::uint32_t from) {
    const std::uint32_t end = std::min(from + 32, setting_.open);
    for (std::uint32_t at = from; at < end; ++at) add(at, wire::kSyn, 0);
    if (turn().segments != end - from) die(fmt::format("no SYN-ACK from client {} on", from));
    for (std::uint32_t at = from; at < end; ++at) add(at, wire::kAck, 0);
    turn();
    if (opened() != end) die(fmt::format("client {} is not connected", from));
    return end;
  }
  std::uint64_t opened() const { return host_.metrics().of(telemetry::Counter::kPassiveOpens); }

  Setting setting_;
  BenchHost host_;
  Crowd crowd_;
  Application application_;
  Acceptor acceptor_;
  Rng rng_{7};
  std::vector<rte_mbuf*> frames_;
  std::vector<rte_mbuf*> answers_;
  std::vector<std::uint32_t> asked_;
  std::deque<std::vector<std::uint32_t>> unacked_;
  std::uint32_t next_passer_ = 0;
};

struct Operation {
  const char* name;
  Kind kind;
  void (Bench::*perform)(std::uint64_t);
};
constexpr Operation kOperations[] = {{"rr64", Kind::kEcho, &Bench::request_responses},
                                     {"rr64_acked", Kind::kEcho, &Bench::request_responses_acked},
                                     {"connection", Kind::kEchoAndClose, &Bench::connections},
                                     {"receive", Kind::kSink, &Bench::received},
                                     {"send", Kind::kSource, &Bench::sent}};

struct Plan {
  std::vector<Operation> operations;
  Setting setting;
  std::uint64_t count;
  unsigned runs;
};

/// The operations of a list with commas between.
std::vector<Operation> parse_operations(std::string_view list) {
  std::vector<Operation> found;
  while (!list.empty()) {
    const std::string_view name = list.substr(0, list.find(','));
    list.remove_prefix(std::min(list.size(), name.size() + 1));
    const auto* const operation =
        std::find_if(std::begin(kOperations), std::end(kOperations),
                     [&](const Operation& candidate) { return name == candidate.name; });
    if (operation == std::end(kOperations)) {
      fmt::print(stderr, "bench_engine: no operation '{}'\n", name);
      std::exit(2);
    }
    found.push_back(*operation);
  }
  return found;
}

/// Cycles an operation, run after run.
std::vector<double> measure(const Plan& plan, const Operation& operation, Bench& bench) {
  bench.prepare(operation.kind);
  std::vector<double> cycles;
  for (unsigned run = 0; run < plan.runs; ++run) {
    (bench.*operation.perform)(plan.count);
    cycles.push_back(static_cast<double>(bench.take_cycles()) / static_cast<double>(plan.count));
  }
  return cycles;
}

void report(const Plan& plan, const Operation& operation, const std::vector<double>& cycles,
            nlohmann::json& out) {
  auto sorted = cycles;
  std::sort(sorted.begin(), sorted.end());
  const double median = sorted[sorted.size() / 2];
  const auto rate = [](double each) { return static_cast<double>(rte_get_tsc_hz()) / each; };
  fmt::print("{} open {} burst {}: {:.0f} cycles ({:.0f} to {:.0f}), {:.2f} M/s\n", operation.name,
             plan.setting.open, plan.setting.burst, median, sorted.front(), sorted.back(),
             rate(median) / 1e6);
  out.push_back({{"operation", operation.name},
                 {"open", plan.setting.open},
                 {"burst", plan.setting.burst},
                 {"cycles", cycles},
                 {"per_s", rate(median)},
                 {"per_s_min", rate(sorted.back())},
                 {"per_s_max", rate(sorted.front())}});
}

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) {
  using namespace sluice::bench;
  cxxopts::Options options("bench_engine", "Runs operations of the stack in memory, N times each");
  options.add_options()(
      "operation", "of rr64, rr64_acked, connection, receive and, last, send, with commas between",
      cxxopts::value<std::string>())("count", "operations a run",
                                     cxxopts::value<std::uint64_t>()->default_value("10000"))(
      "open", "connections that are open beside",
      cxxopts::value<std::uint32_t>()->default_value("1"))(
      "burst", "frames in a turn of the loop", cxxopts::value<std::size_t>()->default_value("32"))(
      "runs", "of which the median is told", cxxopts::value<unsigned>()->default_value("1"))(
      "memory", "measure the memory of the open connections; each answers a request")(
      "limit",
      "with --memory: fail if a connection takes more octets, its share of all else included",
      cxxopts::value<double>())("json", "file to write the figures to",
                                cxxopts::value<std::string>())("help", "this text");
  options.parse_positional({"operation", "count"});
  const auto given = options.parse(argc, argv);
  if (given.count("help") || !given.count("operation")) {
    std::puts(options.help().c_str());
    return given.count("help") ? 0 : 2;
  }
  const Plan plan{.operations = parse_operations(given["operation"].as<std::string>()),
                  .setting = {.open = std::max(given["open"].as<std::uint32_t>(), 1u),
                              .burst = given["burst"].as<std::size_t>()},
                  .count = given["count"].as<std::uint64_t>(),
                  .runs = given["runs"].as<unsigned>()};
  sluice::support::start_eal();
  nlohmann::json out = nlohmann::json::array();
  const std::uint64_t before = resident_octets();
  Bench bench(plan.setting);
  if (given.count("memory")) {
    const std::uint64_t idle = resident_octets() - before - bench.client_octets();
    bench.ask_all();
    const std::uint64_t asked = resident_octets() - before - bench.client_octets();
    fmt::print("{} connections: {:.1f} octets each, {:.3f} GiB in all ({:.3f} once all answered)\n",
               plan.setting.open, static_cast<double>(idle) / plan.setting.open,
               static_cast<double>(idle) / (1u << 30), static_cast<double>(asked) / (1u << 30));
    if (given.count("limit")) {
      const double each = static_cast<double>(std::max(idle, asked)) / plan.setting.open;
      if (each > given["limit"].as<double>()) die(fmt::format("{:.1f} octets a connection", each));
    }
    out.push_back({{"operation", "memory"},
                   {"open", plan.setting.open},
                   {"octets", idle},
                   {"octets_after_requests", asked}});
  }
  for (const Operation& operation : plan.operations)
    report(plan, operation, measure(plan, operation, bench), out);
  if (given.count("json")) std::ofstream(given["json"].as<std::string>()) << out.dump(1) << '\n';
  return 0;
}
