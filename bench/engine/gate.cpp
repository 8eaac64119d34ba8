// What the gate does a second on one core, its packets made in memory outside the timed region:
// SYNs answered by cookies, ACKs that are cookies, forged ones, strays. scripts/bench.sh gate runs
// it; with --count an operation runs that often, for callgrind.

#include <fmt/format.h>
#include <rte_cycles.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cxxopts.hpp>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/rng.hpp"
#include "bench/engine/bench_host.hpp"
#include "bench/engine/template_peer.hpp"
#include "sluice/listener.hpp"
#include "tcp/tcb.hpp"
#include "tests/support/eal.hpp"
#include "wire/ethernet.hpp"
#include "wire/ipv4.hpp"

namespace sluice::bench {
namespace {

using telemetry::Outcome;

constexpr Port kPort{80};
constexpr std::size_t kBurst = 32;
constexpr std::size_t kBatch = 1024;  // frames made at a time, then timed
constexpr std::uint32_t kMostConnections = 1u << 17;

[[noreturn]] void die(const char* what) {
  fmt::print(stderr, "bench_gate: {}\n", what);
  std::exit(1);
}

/// Takes nothing: connections stay on the accept queue.
class Idle final : public ListenerHandler {
 public:
  void on_acceptable(Listener) override {}
};

stack::StackConfig gate_config() {
  stack::StackConfig config = BenchHost::default_config();
  config.interfaces[0].routes = {{Prefix{Ipv4Addr{}, 0}, kClient, {}}};  // sources are anywhere
  config.tcp.max_connections = kMostConnections;
  config.tcp.max_accept_queue = kMostConnections;
  config.tcp.recorder_events = 0;
  config.tcp.reset_limit = {1, 1};  // strays are above the cap from the second on
  return config;
}

/// A stack under attack, and the frames for it.
class Target {
 public:
  Target() {
    const auto listener = host_.worker().listen({.port = kPort,
                                                 .syn_backlog = 1024,
                                                 .accept_backlog = 0,
                                                 .syn_cookies = SynCookies::kAlways},
                                                idle_);
    if (!listener) die("listen failed");
  }

  /// Of anybody but the server's own network.
  wire::TcpHeader spoofed(Ipv4Addr& source, Port to) {
    source = Ipv4Addr{static_cast<std::uint32_t>(0x0b000000u + rng_.below(0x50000000u))};
    wire::TcpHeader tcp;
    tcp.source = Port{static_cast<std::uint16_t>(1024 + rng_.below(60000))};
    tcp.destination = to;
    tcp.seq = wire::SeqNum(static_cast<std::uint32_t>(rng_.next()));
    tcp.window = 65535;
    return tcp;
  }

  void add_syn(bool has_options) {
    Ipv4Addr source;
    wire::TcpHeader tcp = spoofed(source, kPort);
    tcp.flags = wire::kSyn;
    if (has_options) {
      tcp.options.has_mss = tcp.options.has_sack_permitted = tcp.options.has_window_scale = true;
      tcp.options.has_timestamps = true;
      tcp.options.mss = 1460;
      tcp.options.window_scale = 7;
      tcp.options.ts_val = static_cast<std::uint32_t>(rng_.next());
    }
    add(source, tcp);
  }
  void add_ack(Port to) {
    Ipv4Addr source;
    wire::TcpHeader tcp = spoofed(source, to);
    tcp.flags = wire::kAck;
    tcp.ack = wire::SeqNum(static_cast<std::uint32_t>(rng_.next()));
    add(source, tcp);
  }

  /// SYNs whose SYN-ACKs are turned into the ACKs that complete them; not timed.
  void add_cookie_acks(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) add_syn(true);
    struct Syn {
      Ipv4Addr source;
      wire::TcpHeader tcp;
    };
    const std::vector<Syn> asked = [&] {
      std::vector<Syn> syns;
      for (const auto& [source, tcp] : made_) syns.push_back({source, tcp});
      return syns;
    }();
    run();
    if (answers_.size() != count) die("a SYN-ACK is missing");
    for (std::size_t i = 0; i < count; ++i) {
      const std::byte* const at = rte_pktmbuf_mtod_offset(
          answers_[i], const std::byte*, wire::kEthernetHeader + wire::kIpv4MinHeader);
      wire::TcpHeader syn_ack;
      if (!wire::parse_tcp({at, answers_[i]->data_len - 34u}, syn_ack).ok) die("no SYN-ACK");
      wire::TcpHeader ack = asked[i].tcp;
      ack.flags = wire::kAck;
      ack.seq = ack.seq + 1;
      ack.ack = syn_ack.seq + 1;
      ack.options = {};
      ack.options.has_timestamps = true;
      ack.options.ts_val = asked[i].tcp.options.ts_val + 1;
      ack.options.ts_ecr = syn_ack.options.ts_val;
      add(asked[i].source, ack);
    }
    free_answers();
  }

  /// Gives the stack what was added, in bursts; TSC cycles.
  std::uint64_t run() {
    std::vector<rte_mbuf*> frames = std::exchange(frames_, {});
    made_.clear();
    answers_.reserve(frames.size());
    host_.populate_ahead();
    const std::uint64_t began = rte_rdtsc_precise();
    for (std::size_t at = 0; at < frames.size(); at += kBurst)
      host_.run(std::span(frames).subspan(at, std::min(kBurst, frames.size() - at)), answers_);
    return rte_rdtsc_precise() - began;
  }
  void free_answers() {
    for (rte_mbuf* const frame : answers_) rte_pktmbuf_free(frame);
    answers_.clear();
  }

  std::uint64_t count_of(Outcome outcome) const { return host_.metrics().of(outcome); }
  std::size_t answers() const { return answers_.size(); }

 private:
  void add(Ipv4Addr source, const wire::TcpHeader& tcp) {
    frames_.push_back(make_frame(host_.pool(), source, tcp, 0));
    made_.emplace_back(source, tcp);
  }

  Idle idle_;
  BenchHost host_{gate_config()};
  Rng rng_{1};
  std::vector<rte_mbuf*> frames_, answers_;
  std::vector<std::pair<Ipv4Addr, wire::TcpHeader>> made_;
};

struct Operation {
  std::string name;
  std::string what;
  std::function<void(Target&)> add_batch;
  Outcome outcome;
  std::uint64_t most;  ///< That one target can take.
};

const std::vector<Operation>& operations() {
  static const std::vector<Operation> all = {
      {"syn_cookie", "SYN without options -> SYN-ACK with a cookie",
       [](Target& target) {
         for (std::size_t i = 0; i < kBatch; ++i) target.add_syn(false);
       },
       Outcome::kSynCookieSent, ~0ull},
      {"syn_cookie_options", "SYN with all options -> SYN-ACK with a cookie",
       [](Target& target) {
         for (std::size_t i = 0; i < kBatch; ++i) target.add_syn(true);
       },
       Outcome::kSynCookieSent, ~0ull},
      {"cookie_ack_accept", "ACK with a valid cookie -> connection",
       [](Target& target) { target.add_cookie_acks(kBatch); }, Outcome::kCookieCompleted,
       kMostConnections - kBatch},
      {"forged_ack_reject", "forged ACK while cookies are out, RST capped",
       [](Target& target) {
         if (target.count_of(Outcome::kSynCookieSent) == 0) {
           target.add_syn(false);
           target.run();
           target.free_answers();
         }
         for (std::size_t i = 0; i < kBatch; ++i) target.add_ack(kPort);
       },
       Outcome::kStraySilenced, ~0ull},
      {"stray_capped", "stray segment to a closed port, RST capped",
       [](Target& target) {
         for (std::size_t i = 0; i < kBatch; ++i) target.add_ack(Port{81});
       },
       Outcome::kStraySilenced, ~0ull}};
  return all;
}

/// Cycles an operation, of about `count` of them.
double cycles_of(const Operation& operation, std::uint64_t count) {
  Target target;
  std::uint64_t cycles = 0, done = 0, counted = 0;
  count = std::min(count, operation.most);
  while (done < count) {
    operation.add_batch(target);
    const std::uint64_t before = target.count_of(operation.outcome);
    cycles += target.run();
    counted += target.count_of(operation.outcome) - before;
    done += kBatch;
    target.free_answers();
  }
  // Within the cap strays are answered: a few in a hundred thousand.
  if (counted < done - done / 50) die("not what was to be measured happened");
  return static_cast<double>(cycles) / static_cast<double>(done);
}

std::uint64_t resident_octets() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

/// By how much the process has grown after `count` spoofed SYNs, beyond the first 100,000.
std::int64_t growth_after(std::uint64_t count) {
  Target target;
  std::uint64_t before = 0;
  for (std::uint64_t done = 0; done < count; done += kBatch) {
    for (std::size_t i = 0; i < kBatch; ++i) target.add_syn(false);
    target.run();
    target.free_answers();
    if (before == 0 && done >= 100'000) before = resident_octets();
  }
  return static_cast<std::int64_t>(resident_octets()) - static_cast<std::int64_t>(before);
}

nlohmann::json entry(const std::string& name, const std::string& unit, std::vector<double> values,
                     const std::string& command) {
  std::sort(values.begin(), values.end());
  return {{"name", name},          {"unit", unit},         {"median", values[values.size() / 2]},
          {"min", values.front()}, {"max", values.back()}, {"runs", values.size()},
          {"command", command}};
}

nlohmann::json measure(unsigned runs, std::uint64_t count, const std::string& command) {
  nlohmann::json all = nlohmann::json::array();
  const double hz = static_cast<double>(rte_get_tsc_hz());
  fmt::print("{:<48} {:>10} {:>10} {:>10} {:>8}\n", "operation, one core", "M/s", "min", "max",
             "cycles");
  for (const Operation& operation : operations()) {
    std::vector<double> rates, cycles;
    for (unsigned run = 0; run < runs; ++run) {
      cycles.push_back(cycles_of(operation, count));
      rates.push_back(hz / cycles.back());
    }
    all.push_back(entry(fmt::format("gate.{}_per_s", operation.name), "1/s", rates, command));
    all.push_back(
        entry(fmt::format("gate.{}_cycles", operation.name), "TSC cycles", cycles, command));
    const auto& rate = all[all.size() - 2];
    fmt::print("{:<48} {:>10.2f} {:>10.2f} {:>10.2f} {:>8.0f}\n", operation.what,
               rate["median"].get<double>() / 1e6, rate["min"].get<double>() / 1e6,
               rate["max"].get<double>() / 1e6, all.back()["median"].get<double>());
  }
  return all;
}

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) {
  using namespace sluice::bench;
  cxxopts::Options options("bench_gate", "What the gate does a second, on one core, in memory");
  options.add_options()("operation", "run this one only, --count times",
                        cxxopts::value<std::string>())(
      "count", "operations a run", cxxopts::value<std::uint64_t>()->default_value("500000"))(
      "runs", "of each operation", cxxopts::value<unsigned>()->default_value("7"))(
      "json", "file to write", cxxopts::value<std::string>())(
      "command", "said in the file", cxxopts::value<std::string>()->default_value("bench_gate"));
  try {
    const auto given = options.parse(argc, argv);
    const auto count = given["count"].as<std::uint64_t>();
    const auto command = given["command"].as<std::string>();
    sluice::support::start_eal();
    if (given.count("operation") != 0) {
      for (const Operation& operation : operations())
        if (operation.name == given["operation"].as<std::string>())
          return cycles_of(operation, count) > 0 ? 0 : 1;
      fmt::print(stderr, "bench_gate: no such operation\n");
      return 2;
    }
    nlohmann::json all = measure(given["runs"].as<unsigned>(), count, command);
    const double grown = static_cast<double>(growth_after(10'000'000));
    all.push_back(
        entry("gate.bytes_per_half_open", "octets", {sizeof(sluice::tcp::HalfOpen)}, command));
    all.push_back(entry("gate.bytes_grown_after_10m_syns", "octets", {grown}, command));
    fmt::print(
        "a half-open entry has {} octets; 10 million spoofed SYNs made the process grow by {}\n",
        sizeof(sluice::tcp::HalfOpen), grown);
    if (given.count("json") != 0)
      std::ofstream(given["json"].as<std::string>()) << all.dump(1) << "\n";
    return 0;
  } catch (const cxxopts::exceptions::exception& error) {
    fmt::print(stderr, "bench_gate: {}\n", error.what());
    return 2;
  }
}
