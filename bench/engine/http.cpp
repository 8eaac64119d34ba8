// Keep-alive requests through a whole stack with sluice-httpd's connections on it, in memory:
// `bench_http_requests COUNT [DEPTH]`, DEPTH requests a segment. Says TSC cycles a request; under
// callgrind (toggled by BenchHost::run) the difference of two counts is the instructions, of which
// httpd::Connection::on_data without its calls of the stack is the application's own.

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "bench/engine/bench_host.hpp"
#include "bench/engine/template_peer.hpp"
#include "server.hpp"
#include "tests/support/eal.hpp"

namespace sluice::bench {
namespace {

constexpr Port kPort{80};
constexpr std::string_view kRequest = "GET /bytes/64 HTTP/1.1\r\nHost: 10.0.0.2\r\n\r\n";

[[noreturn]] void die(std::string_view what) {
  fmt::print(stderr, "bench_http_requests: {}\n", what);
  std::exit(1);
}

class Bench {
 public:
  explicit Bench(std::uint32_t depth) {
    for (std::uint32_t i = 0; i < depth; ++i) request_ += kRequest;
    if (!host_.worker().listen({.port = kPort}, server_.factory(0))) die("listen failed");
    connection_ = {.port = Port{10000}, .seq = wire::SeqNum(1), .ack = {}};
    give(wire::kSyn, {});
    peer_.absorb(answers_, connection_);
    give(wire::kAck, {});
    peer_.absorb(answers_, connection_);
  }

  void request() {
    give(wire::kAck | wire::kPsh, request_);
    const std::uint32_t octets = peer_.absorb(answers_, connection_);
    if (octets == 0 || (octets_ != 0 && octets != octets_)) die("an answer is missing");
    octets_ = octets;
  }
  std::uint64_t cycles() { return host_.take_cycles(); }
  std::uint64_t answered() const { return server_.stats(0).requests(); }

 private:
  void give(std::uint8_t flags, std::string_view payload) {
    const auto octets = static_cast<std::uint32_t>(payload.size());
    rte_mbuf* frame = peer_.segment(connection_, flags, octets);
    if (octets > 0)
      std::memcpy(rte_pktmbuf_mtod(frame, char*) + frame->data_len - octets, payload.data(),
                  octets);
    connection_.seq += octets + ((flags & wire::kSyn) != 0 ? 1u : 0u);
    host_.run({&frame, 1}, answers_);
  }

  httpd::Content content_{""};
  httpd::Server server_{{.site = {.content = &content_}, .clocks = {}}};
  BenchHost host_;
  TemplatePeer peer_{host_.pool(), kPort};
  PeerConnection connection_{};
  std::string request_;
  std::vector<rte_mbuf*> answers_;
  std::uint32_t octets_ = 0;
};

std::uint64_t number(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) {
  using namespace sluice::bench;
  const std::uint64_t count = argc > 1 ? number(argv[1]) : 0;
  const std::uint64_t depth = argc > 2 ? number(argv[2]) : 1;
  if (argc > 3 || count == 0 || depth == 0 || depth > 32) {
    fmt::print(stderr, "usage: bench_http_requests COUNT [DEPTH, at most 32]\n");
    return 2;
  }
  sluice::support::start_eal();
  Bench bench(static_cast<std::uint32_t>(depth));
  for (std::uint64_t i = 0; i < count / 10; ++i) bench.request();
  static_cast<void>(bench.cycles());
  const std::uint64_t before = bench.answered();
  for (std::uint64_t i = 0; i < count; i += depth) bench.request();
  const std::uint64_t answered = bench.answered() - before;
  fmt::print("{} requests, {} a segment: {} TSC cycles each\n", answered, depth,
             bench.cycles() / answered);
  return 0;
}
