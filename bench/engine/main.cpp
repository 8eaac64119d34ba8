// Runs one operation of the stack N times in memory. Under callgrind the difference between a run
// of 2 N and one of N, divided by N, is what one operation costs the stack, to the instruction:
// scripts/bench.sh instructions does so, collecting inside Stack's verbs only.

#include <cstdio>
#include <cstdlib>
#include <cxxopts.hpp>
#include <string>
#include <vector>

#include "bench/engine/bench_host.hpp"
#include "bench/engine/template_peer.hpp"
#include "sluice/worker.hpp"
#include "tests/support/eal.hpp"

namespace sluice::bench {
namespace {

constexpr Port kPort{7};
constexpr std::uint32_t kMss = 1448;  // 1460 less the timestamps
constexpr std::size_t kBurst = 32;

/// Answers what it gets, or swallows it, or sends without end.
class Application final : public StreamHandler {
 public:
  enum class Kind { kEcho, kSink, kSource };
  explicit Application(Kind kind) : kind_(kind) {}

  void on_open(Stream stream) override { fill(stream); }
  void on_writable(Stream stream) override { fill(stream); }
  void on_data(Stream stream, RxData& data) override {
    if (kind_ == Kind::kEcho) {
      static_cast<void>(stream.send(data));
    } else {
      data.consume(data.size());
    }
  }

 private:
  void fill(Stream stream) {
    if (kind_ != Kind::kSource) return;
    static const std::string block(65536, 'y');
    for (;;) {
      const auto taken = stream.send(block);
      if (!taken || *taken < block.size()) return;
    }
  }
  Kind kind_;
};

class ApplicationFactory final : public HandlerFactory {
 public:
  explicit ApplicationFactory(Application::Kind kind) : kind_(kind) {}
  std::size_t object_size() const override { return sizeof(Application); }
  std::size_t object_alignment() const override { return alignof(Application); }
  StreamHandler* construct(void* memory) override { return ::new (memory) Application(kind_); }

 private:
  Application::Kind kind_;
};

class Bench {
 public:
  explicit Bench(Application::Kind kind) : peer_(host_.pool(), kPort) {
    if (!host_.worker().listen({.port = kPort}, std::make_unique<ApplicationFactory>(kind)))
      die("listen failed");
  }

  void request_responses(std::uint64_t count) {
    open();
    for (std::uint64_t i = 0; i < count; ++i) {
      give(wire::kAck | wire::kPsh, 64);
      if (peer_.absorb(answers_, connection_) != 64) die("a response is missing");
    }
  }

  void connections(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
      open();
      give(wire::kFin | wire::kAck, 0);
      peer_.absorb(answers_, connection_);  // FIN of the server, which closes in turn
      give(wire::kAck, 0);
    }
    if (host_.metrics().of(telemetry::Counter::kPassiveOpens) != count)
      die("a connection is missing");
  }

  void received(std::uint64_t count) {
    open();
    std::vector<rte_mbuf*> burst;
    for (std::uint64_t i = 0; i < count; i += kBurst) {
      for (std::size_t k = 0; k < kBurst; ++k) {
        burst.push_back(peer_.segment(connection_, wire::kAck, kMss));
        connection_.seq += kMss;
      }
      host_.run(burst, answers_);
      burst.clear();
      peer_.absorb(answers_, connection_);
    }
    if (host_.metrics().of(telemetry::Counter::kPayloadReceived) < count * kMss)
      die("octets are missing");
  }

  void sent(std::uint64_t count) {
    open();
    std::uint64_t octets = 0;
    while (octets < count * kMss) {
      octets += peer_.absorb(answers_, connection_);
      give(wire::kAck, 0);
    }
  }

 private:
  [[noreturn]] static void die(const char* what) {
    std::fprintf(stderr, "bench_engine: %s\n", what);
    std::exit(1);
  }

  void give(std::uint8_t flags, std::uint32_t payload) {
    rte_mbuf* const frame = peer_.segment(connection_, flags, payload);
    connection_.seq += payload + ((flags & (wire::kSyn | wire::kFin)) ? 1u : 0u);
    host_.run({&frame, 1}, answers_);
  }

  void open() {
    connection_ = {.port = Port{next_port_}, .seq = wire::SeqNum(next_port_ * 1000u), .ack = {}};
    next_port_ = next_port_ == 60000 ? 10000 : static_cast<std::uint16_t>(next_port_ + 1);
    give(wire::kSyn, 0);
    peer_.absorb(answers_, connection_);
    give(wire::kAck, 0);
  }

  BenchHost host_;
  TemplatePeer peer_;
  PeerConnection connection_{};
  std::vector<rte_mbuf*> answers_;
  std::uint16_t next_port_ = 10000;
};

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) {
  using sluice::bench::Application;
  using sluice::bench::Bench;
  cxxopts::Options options("bench_engine", "Runs one operation of the stack in memory, N times");
  options.add_options()("operation", "rr64 | connection | receive | send",
                        cxxopts::value<std::string>())(
      "count", "operations", cxxopts::value<std::uint64_t>()->default_value("10000"))("help",
                                                                                      "this text");
  options.parse_positional({"operation", "count"});
  const auto given = options.parse(argc, argv);
  if (given.count("help") || !given.count("operation")) {
    std::puts(options.help().c_str());
    return given.count("help") ? 0 : 2;
  }
  sluice::support::start_eal();
  const auto operation = given["operation"].as<std::string>();
  const auto count = given["count"].as<std::uint64_t>();
  if (operation == "rr64") {
    Bench(Application::Kind::kEcho).request_responses(count);
  } else if (operation == "connection") {
    Bench(Application::Kind::kSink).connections(count);
  } else if (operation == "receive") {
    Bench(Application::Kind::kSink).received(count);
  } else if (operation == "send") {
    Bench(Application::Kind::kSource).sent(count);
  } else {
    std::fprintf(stderr, "bench_engine: no operation '%s'\n", operation.c_str());
    return 2;
  }
  std::printf("%s %llu\n", operation.c_str(), static_cast<unsigned long long>(count));
  return 0;
}
