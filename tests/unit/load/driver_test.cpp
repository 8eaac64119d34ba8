#include "apps/load/driver.hpp"

#include <catch2/catch.hpp>
#include <functional>
#include <memory>
#include <string>

#include "tests/unit/load/two_stacks.hpp"

namespace load {
namespace {

using sluice::Duration;
using sluice::Instant;
using sluice::Port;
using sluice::Stream;
using test::TwoStacks;

constexpr Duration kRoundTrip = TwoStacks::kOneWay * 2;
// A frame waits for the next round at each end.
constexpr Duration kPolling = TwoStacks::kStep * 3;

/// What the server under load does: answers each request line of HTTP, or echoes.
struct Behaviour {
  std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  bool is_echo = false;
  bool is_damaging = false;    ///< An echo in which each octet is another.
  bool closes = false;         ///< Behind each answer.
  std::uint64_t requests = 0;  ///< Counted.
};

class Server final : public sluice::StreamHandler {
 public:
  explicit Server(Behaviour* behaviour) : behaviour_(behaviour) {}

  void on_data(Stream stream, sluice::RxData& data) override {
    if (behaviour_->is_damaging) {
      std::string octets = data.to_string();
      for (char& octet : octets) octet = static_cast<char>(octet ^ 1);
      static_cast<void>(stream.send(octets));
      data.consume(data.size());
      return;
    }
    if (behaviour_->is_echo) {
      static_cast<void>(stream.send(data));
      return;
    }
    data.for_each([&](std::span<const std::byte> octets) {
      for (const std::byte octet : octets) {
        const char c = static_cast<char>(octet);
        line_ends_ = c == '\n' ? line_ends_ + 1 : c == '\r' ? line_ends_ : 0;
        if (line_ends_ < 2) continue;
        line_ends_ = 0;
        ++behaviour_->requests;
        static_cast<void>(stream.send(behaviour_->answer));
        if (behaviour_->closes) static_cast<void>(stream.shutdown());
      }
    });
    data.consume(data.size());
  }

 private:
  Behaviour* behaviour_;
  int line_ends_ = 0;
};

class ServerFactory final : public sluice::HandlerFactory {
 public:
  explicit ServerFactory(Behaviour* behaviour) : behaviour_(behaviour) {}
  std::size_t object_size() const override { return sizeof(Server); }
  std::size_t object_alignment() const override { return alignof(Server); }
  sluice::StreamHandler* construct(void* memory) override {
    return ::new (memory) Server(behaviour_);
  }

 private:
  Behaviour* behaviour_;
};

/// A driver on one stack, a server on the other.
class Bench {
 public:
  explicit Bench(Options options) : options_(std::move(options)), message_(options_.message()) {
    REQUIRE(stacks_.server()
                .listen({.port = Port{80}}, std::make_unique<ServerFactory>(&behaviour))
                .has_value());
    driver_ = std::make_unique<Driver>(
        stacks_.client(),
        Driver::Deps{.options = options_,
                     .message = message_,
                     .coordinator = coordinator_,
                     .exchange = exchange_,
                     .addresses = {TwoStacks::address(0), TwoStacks::address(0, 1)},
                     .share = {}});
  }
  ~Bench() {
    stacks_.end_client();
    stacks_.client().set_round_handler(nullptr);
  }

  /// Until the driver is through, or for `most`.
  void run(Duration most = Duration::from_s(2)) {
    for (Duration spent; !is_over_ && spent < most; spent = spent + Duration::from_ms(1))
      stacks_.run_for(Duration::from_ms(1));
  }
  void run_for(Duration span) { stacks_.run_for(span); }
  TwoStacks& stacks() { return stacks_; }
  bool is_over() const { return is_over_; }
  bool has_given_up() const { return coordinator_.has_given_up(); }
  Coordinator& coordinator() { return coordinator_; }
  const WorkerResult& result() const { return driver_->result(); }
  const PhaseFigures& figures(std::size_t phase = 0) const { return result().phases[phase]; }
  std::uint64_t failures(Failure failure) const {
    return figures().tally.failures[static_cast<std::size_t>(failure)];
  }

  Behaviour behaviour;

 private:
  TwoStacks stacks_;
  Options options_;
  Message message_;
  bool is_over_ = false;
  Coordinator coordinator_{1, [this] { is_over_ = true; }};
  GlimpseExchange exchange_;
  std::unique_ptr<Driver> driver_;
};

Options make_options(Mode mode, std::uint32_t connections, Duration length, double rate = 0) {
  Options options;
  options.target = {TwoStacks::address(1), Port{80}};
  options.mode = mode;
  options.path = "/x";
  options.size = 64;
  options.connections = connections;
  options.phases = {{length, rate, rate}};
  options.is_open_loop = rate > 0;
  options.timeout = Duration::from_ms(500);
  options.setup_timeout = Duration::from_ms(300);
  return options;
}

TEST_CASE("a closed loop sends the next request when an answer has come", "[load][driver]") {
  Bench bench(make_options(Mode::kHttp, 4, Duration::from_ms(100)));
  bench.run();
  REQUIRE(bench.is_over());
  const Tally& tally = bench.figures().tally;
  CHECK(tally.failed() == 0);
  CHECK(tally.answered == tally.issued);
  CHECK(tally.answered == bench.behaviour.requests);
  const auto most = static_cast<std::uint64_t>(4 * (Duration::from_ms(100) / kRoundTrip));
  const auto least =
      static_cast<std::uint64_t>(4 * (Duration::from_ms(100) / (kRoundTrip + kPolling)));
  CHECK(tally.answered - tally.late >= least);
  CHECK(tally.answered - tally.late <= most);
  CHECK(bench.figures().latency.least() >= kRoundTrip);
  CHECK(bench.figures().latency.most() <= kRoundTrip + kPolling);
  CHECK(bench.result().set_up_connect.count() == 4);
}

TEST_CASE("with a pipeline of eight, eight times as many are under way", "[load][driver]") {
  Options options = make_options(Mode::kHttp, 2, Duration::from_ms(50));
  options.pipeline = 8;
  Bench bench(options);
  bench.run();
  REQUIRE(bench.is_over());
  const Tally& tally = bench.figures().tally;
  CHECK(tally.failed() == 0);
  CHECK(tally.answered == bench.behaviour.requests);
  CHECK(tally.answered >
        static_cast<std::uint64_t>(16 * (Duration::from_ms(50) / (kRoundTrip + kPolling * 2))));
}

TEST_CASE("an open loop counts latency from when a request was due, while the server pauses, too",
          "[load][driver]") {
  // 1000 a second on ten connections, and 200 ms without an answer. A closed loop would see ten
  // slow ones; 200 users did.
  Bench bench(make_options(Mode::kHttp, 10, Duration::from_ms(400), 1000));
  bench.run_for(Duration::from_ms(100));
  bench.stacks().pause_server_until(bench.stacks().now() + Duration::from_ms(200));
  bench.run();
  REQUIRE(bench.is_over());
  const PhaseFigures& figures = bench.figures();
  CHECK(figures.tally.issued == 400);
  CHECK(figures.tally.answered == 400);
  CHECK(figures.tally.unsent == 0);
  CHECK(static_cast<double>(figures.latency.most().us()) == Approx(200'000).margin(5000));
  // Of 400, the latencies of those due in the pause are spread evenly over it.
  CHECK(static_cast<double>(figures.latency.quantile(0.75).us()) == Approx(100'000).margin(5000));
  CHECK(figures.latency.quantile(0.45) < Duration::from_ms(1));
}

TEST_CASE("an open loop is finer than the timers' millisecond", "[load][driver]") {
  Bench bench(make_options(Mode::kHttp, 32, Duration::from_ms(50), 40'000));
  bench.run();
  REQUIRE(bench.is_over());
  CHECK(bench.figures().tally.answered == 2000);
  CHECK(bench.figures().latency.most() <= kRoundTrip + kPolling + TwoStacks::kStep);
}

TEST_CASE("what finds no free connection in its step is said to be never sent", "[load][driver]") {
  Options options = make_options(Mode::kHttp, 1, Duration::from_ms(50), 20'000);
  options.phases.push_back({Duration::from_ms(50), 1000, 1000});
  Bench bench(options);
  bench.run();
  REQUIRE(bench.is_over());
  const Tally& over = bench.figures(0).tally;
  CHECK(over.issued + over.unsent == 1000);
  CHECK(over.issued <= static_cast<std::uint64_t>(50'000 / kRoundTrip.us() + 1));
  CHECK(bench.figures(1).tally.answered == 50);
  CHECK(bench.figures(1).tally.unsent == 0);
  CHECK(bench.figures(1).latency.most() <= kRoundTrip * 2 + kPolling);
}

TEST_CASE("a connection for each request, which the server closes", "[load][driver]") {
  Bench bench(make_options(Mode::kHttpClose, 8, Duration::from_ms(100), 2000));
  bench.behaviour.closes = true;
  bench.run();
  REQUIRE(bench.is_over());
  const PhaseFigures& figures = bench.figures();
  CHECK(figures.tally.answered == 200);
  CHECK(figures.tally.failed() == 0);
  CHECK(figures.tally.connected == 200);
  CHECK(bench.behaviour.requests == 201);  // and the one that tried
  CHECK(figures.connect.most() <= kRoundTrip + kPolling);
  CHECK(figures.latency.least() >= kRoundTrip * 2);
  CHECK(figures.latency.most() <= kRoundTrip * 2 + kPolling * 2);
}

TEST_CASE("connections that carry nothing are answered when both sides have closed",
          "[load][driver]") {
  Bench bench(make_options(Mode::kConnectClose, 4, Duration::from_ms(50)));
  bench.run();
  REQUIRE(bench.is_over());
  CHECK(bench.figures().tally.failed() == 0);
  CHECK(bench.figures().tally.answered > 100);
  CHECK(bench.figures().latency.least() >= kRoundTrip * 2);
}

TEST_CASE("an echo must bring back the octets that were sent", "[load][driver]") {
  for (const std::uint64_t size : {1ull, 64ull, 50'000ull}) {
    Options options = make_options(Mode::kEcho, 2, Duration::from_ms(50));
    options.size = size;
    options.pipeline = 3;
    Bench bench(options);
    bench.behaviour.is_echo = true;
    bench.run();
    INFO(size << " octets");
    REQUIRE(bench.is_over());
    const Tally& tally = bench.figures().tally;
    CHECK(tally.failed() == 0);
    CHECK(tally.answered > 10);
    CHECK(tally.octets_sent == tally.issued * size);
    CHECK(tally.octets_received == tally.octets_sent);
  }
}

TEST_CASE("octets that are no response are a bad reply", "[load][driver]") {
  Bench http(make_options(Mode::kHttp, 2, Duration::from_ms(50)));
  http.behaviour.answer = "Hutu\r\n\r\n";
  http.run();
  REQUIRE(http.is_over());
  CHECK(http.figures().tally.answered == 0);
  CHECK(http.failures(Failure::kBadReply) > 0);
  CHECK(http.figures().tally.issued == http.figures().tally.failed());
}

TEST_CASE("an echo of other octets is a bad reply", "[load][driver]") {
  Bench bench(make_options(Mode::kEcho, 2, Duration::from_ms(50)));
  bench.behaviour.is_damaging = true;
  bench.run();
  REQUIRE(bench.is_over());
  CHECK(bench.figures().tally.answered == 0);
  CHECK(bench.failures(Failure::kBadReply) > 0);
  CHECK(bench.figures().tally.issued == bench.figures().tally.failed());
}

TEST_CASE("a status that is not 2xx is a failure of its own", "[load][driver]") {
  Bench bench(make_options(Mode::kHttp, 1, Duration::from_ms(20)));
  bench.behaviour.answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
  bench.run();
  CHECK(bench.failures(Failure::kBadStatus) > 0);
  CHECK(bench.failures(Failure::kBadStatus) == bench.figures().tally.issued);
}

TEST_CASE("a server that closes within a body makes it short", "[load][driver]") {
  Bench bench(make_options(Mode::kHttp, 1, Duration::from_ms(20)));
  bench.behaviour.answer = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok";
  bench.behaviour.closes = true;
  bench.run();
  CHECK(bench.failures(Failure::kShort) > 0);
  CHECK(bench.failures(Failure::kShort) == bench.figures().tally.issued);
}

TEST_CASE("a body without a length is whole when the server closes", "[load][driver]") {
  Bench bench(make_options(Mode::kHttp, 1, Duration::from_ms(20)));
  bench.behaviour.answer = "HTTP/1.1 200 OK\r\n\r\nok";
  bench.behaviour.closes = true;
  bench.run();
  CHECK(bench.figures().tally.failed() == 0);
  CHECK(bench.figures().tally.answered > 10);
  CHECK(bench.figures().tally.answered == bench.figures().tally.issued);
}

TEST_CASE("a server that falls silent makes timeouts, and the run ends all the same",
          "[load][driver]") {
  Options options = make_options(Mode::kHttp, 5, Duration::from_ms(100), 1000);
  options.timeout = Duration::from_ms(200);
  Bench bench(options);
  bench.run_for(Duration::from_ms(50));
  bench.stacks().pause_server_until(Instant::never());
  bench.run();
  REQUIRE(bench.is_over());
  const Tally& tally = bench.figures().tally;
  CHECK(tally.answered + tally.failed() >= tally.issued);
  CHECK(bench.failures(Failure::kTimeout) >= 5);
  CHECK(tally.issued + tally.unsent == 100);
  CHECK(tally.unsent > 30);
  bench.stacks().pause_server_until(Instant());
}

TEST_CASE("a target that refuses is given up, with the reason", "[load][driver]") {
  for (const Mode mode : {Mode::kHttp, Mode::kHttpClose}) {
    Options options = make_options(mode, 3, Duration::from_ms(50));
    options.target.port = Port{81};
    Bench bench(options);
    bench.run();
    CHECK(bench.has_given_up());
    CHECK(bench.result().opened == 0);
    CHECK(bench.result().to_open == (mode == Mode::kHttp ? 3 : 1));
    CHECK(bench.result().last_failure == Failure::kRefused);
    CHECK(bench.figures().tally.issued == 0);
  }
}

TEST_CASE("a full table here is told apart from the server's faults", "[load][driver]") {
  Bench bench(make_options(Mode::kHttp, 300, Duration::from_ms(50)));  // of 256
  bench.run();
  CHECK(bench.has_given_up());
  CHECK(bench.result().opened == 256);
  CHECK(bench.result().last_failure == Failure::kNoRoom);
}

TEST_CASE("held connections are opened first and left alone", "[load][driver]") {
  Options options = make_options(Mode::kHttpClose, 4, Duration::from_ms(30));
  options.hold = 100;
  Bench bench(options);
  bench.behaviour.closes = true;
  bench.run_for(Duration::from_ms(20));
  CHECK(bench.result().opened == 101);
  bench.run();
  REQUIRE(bench.is_over());
  CHECK(bench.figures().tally.failed() == 0);
  CHECK(bench.figures().tally.answered > 100);
  CHECK(bench.result().held_lost == 0);
}

TEST_CASE("a drain in the middle interrupts, and counts nothing of the end", "[load][driver]") {
  Bench bench(make_options(Mode::kHttp, 4, Duration::from_s(1)));
  bench.run_for(Duration::from_ms(50));
  bench.stacks().end_client();
  CHECK(bench.result().was_interrupted);
  CHECK(bench.result().lasted >= Duration::from_ms(40));
  CHECK(bench.result().lasted <= Duration::from_ms(51));
  CHECK(bench.figures().tally.failed() == 0);
  CHECK_FALSE(bench.is_over());
}

class Round final : public sluice::RoundHandler {
 public:
  Instant on_round(Instant now) override {
    last = now;
    ++calls;
    return next;
  }
  Instant last, next = Instant::never();
  unsigned calls = 0;
};

TEST_CASE("a round handler is called each round, and the worker sleeps no longer than it says",
          "[stack]") {
  sluice::support::TestPools pools;
  sluice::stack::StackConfig config;
  config.interfaces.emplace_back();
  config.interfaces[0].addresses = {sluice::Prefix{TwoStacks::address(0), 24}};
  config.tcp.max_connections = 16;
  config.tcp.max_half_open = 16;
  config.tcp.max_time_wait = 16;
  config.tcp.max_in_flight = 16;
  std::vector<sluice::telemetry::SectionPlan> sections;
  sluice::stack::Stack::plan_state(config, 0, sections);
  auto region = sluice::telemetry::StateRegion::anonymous(sections);
  const Instant start = Instant::from_ns(1'000'000'000);
  sluice::stack::Stack stack(
      config, {.region = region, .pools = pools.pools(), .secrets = {}, .seed = 1}, start);
  stack.advance(start);
  const Instant without = stack.next_deadline();

  Round round;
  stack.worker().set_round_handler(&round);
  CHECK(stack.next_deadline() <= start);  // at once, for the first time
  const Instant later = start + Duration::from_us(3);
  stack.advance(later);
  CHECK(round.calls == 1);
  CHECK(round.last == later);
  CHECK(stack.next_deadline() == without);
  round.next = later + Duration::from_us(7);
  stack.advance(later);
  CHECK(round.calls == 2);
  CHECK(stack.next_deadline() == round.next);

  stack.worker().set_round_handler(nullptr);
  stack.advance(later);
  CHECK(round.calls == 2);
  CHECK(stack.next_deadline() == without);

  CHECK_FALSE(stack.worker().is_draining());
  stack.begin_drain(later);
  CHECK(stack.worker().is_draining());
}

}  // namespace
}  // namespace load
