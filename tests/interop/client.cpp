// The other side for the interop suite, on the public API alone: opens connections, or takes them,
// and does on each what a script says. One JSON line for each connection's end.

#include <sodium.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/sluice.hpp"

namespace {

using sluice::CloseReason;
using sluice::Error;
using sluice::Stream;

enum class Verb { kSend, kRead, kReadToEnd, kShutdown, kClose, kAbort, kWait, kHold };

struct Step {
  Verb verb;
  std::uint64_t amount = 0;  ///< Octets (send, read) or milliseconds (wait).
};

constexpr std::size_t kPatternPeriod = 251;  // Prime: no power-of-two slip goes unseen.

std::array<char, kPatternPeriod * 64> make_pattern() {
  std::array<char, kPatternPeriod * 64> pattern{};
  for (std::size_t i = 0; i < pattern.size(); ++i)
    pattern[i] = static_cast<char>(i % kPatternPeriod);
  return pattern;
}
const std::array<char, kPatternPeriod* 64> kPattern = make_pattern();

[[noreturn]] void refuse(const std::string& text) {
  throw sluice::SetupError("sluice-test-client: " + text, 2);
}

std::uint64_t parse_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    refuse("not a number: " + std::string(text));
  return value;
}

Step parse_step(std::string_view text) {
  const std::size_t colon = text.find(':');
  const std::string_view verb = text.substr(0, colon);
  const auto amount = [&] {
    if (colon == std::string_view::npos) refuse("needs a number: " + std::string(text));
    return parse_number(text.substr(colon + 1));
  };
  if (verb == "send") return {Verb::kSend, amount()};
  if (verb == "read" && text == "read:eof") return {Verb::kReadToEnd};
  if (verb == "read") return {Verb::kRead, amount()};
  if (verb == "wait") return {Verb::kWait, amount()};
  if (text == "shutdown") return {Verb::kShutdown};
  if (text == "close") return {Verb::kClose};
  if (text == "abort") return {Verb::kAbort};
  if (text == "hold") return {Verb::kHold};
  refuse("no such step: " + std::string(text));
}

std::vector<Step> parse_script(std::string_view text) {
  std::vector<Step> steps;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    steps.push_back(parse_step(text.substr(0, comma)));
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
  }
  return steps;
}

/// What all connections of the process share. One worker: no lock.
struct Scenario {
  std::vector<Step> steps;
  sluice::Runtime* runtime = nullptr;
  /// Connections after whose end the program ends; 0: never. Of all workers.
  std::atomic<std::uint64_t> to_finish = 0;
};

double milliseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

class ScriptedStream final : public sluice::StreamHandler {
 public:
  explicit ScriptedStream(Scenario* scenario) : scenario_(scenario) {
    crypto_hash_sha256_init(&hash_);
  }

  void on_open(Stream stream) override {
    opened_ms_ = milliseconds_since(start_);
    run(stream);
  }
  void on_readable(Stream stream) override { run(stream); }
  void on_writable(Stream stream) override { run(stream); }
  void on_timer(Stream stream) override {
    has_waited_ = true;
    run(stream);
  }
  void on_closed(Stream, CloseReason reason) override { report(sluice::to_string(reason)); }

  /// The end of a connection that never was one.
  void report(std::string_view result) {
    std::array<unsigned char, crypto_hash_sha256_BYTES> digest{};
    crypto_hash_sha256_final(&hash_, digest.data());
    std::array<char, 2 * crypto_hash_sha256_BYTES + 1> hex{};
    sodium_bin2hex(hex.data(), hex.size(), digest.data(), digest.size());
    std::printf(
        "{\"result\": \"%.*s\", \"sent\": %llu, \"received\": %llu, \"sha256\": \"%s\", "
        "\"eof\": %s, \"opened_ms\": %.1f, \"ms\": %.1f}\n",
        static_cast<int>(result.size()), result.data(), static_cast<unsigned long long>(sent_),
        static_cast<unsigned long long>(received_), hex.data(), is_at_end_ ? "true" : "false",
        opened_ms_, milliseconds_since(start_));
    std::fflush(stdout);
    if (scenario_->to_finish != 0 && --scenario_->to_finish == 0)
      scenario_->runtime->request_stop();
  }

 private:
  enum class Progress { kDone, kWaiting };

  void run(Stream stream) {
    while (at_ < scenario_->steps.size()) {
      if (perform(scenario_->steps[at_], stream) == Progress::kWaiting) return;
      ++at_;
      amount_ = 0;
    }
  }

  Progress perform(const Step& step, Stream stream) {
    switch (step.verb) {
      case Verb::kSend:
        return send(step.amount, stream);
      case Verb::kRead:
        return read(step.amount, stream);
      case Verb::kReadToEnd:
        return is_at_end_ ? Progress::kDone : read(UINT64_MAX, stream);
      case Verb::kShutdown:
        (void)stream.shutdown();
        return Progress::kDone;
      case Verb::kClose:
        (void)stream.close();
        return Progress::kDone;
      case Verb::kAbort:
        (void)stream.abort();
        return Progress::kDone;
      case Verb::kWait:
        return wait(step.amount, stream);
      case Verb::kHold:
        (void)stream.pause_reading();
        return Progress::kWaiting;
    }
    return Progress::kWaiting;
  }

  Progress send(std::uint64_t octets, Stream stream) {
    while (amount_ < octets) {
      const std::size_t from = sent_ % kPatternPeriod;
      const std::size_t most = std::min<std::uint64_t>(octets - amount_, kPattern.size() - from);
      const auto taken = stream.send(std::string_view(kPattern.data() + from, most));
      if (!taken || *taken == 0) return Progress::kWaiting;
      amount_ += *taken;
      sent_ += *taken;
    }
    return Progress::kDone;
  }

  Progress read(std::uint64_t octets, Stream stream) {
    while (amount_ < octets) {
      auto data = stream.read();
      if (!data) {
        is_at_end_ = data.error() == Error::kEndOfStream;
        return is_at_end_ ? Progress::kDone : Progress::kWaiting;
      }
      data->for_each([&](std::span<const std::byte> run) {
        crypto_hash_sha256_update(&hash_, reinterpret_cast<const unsigned char*>(run.data()),
                                  run.size());
      });
      amount_ += data->size();
      received_ += data->size();
    }
    return Progress::kDone;
  }

  Progress wait(std::uint64_t ms, Stream stream) {
    if (std::exchange(has_waited_, false)) return Progress::kDone;
    if (amount_ == 0) {
      amount_ = 1;
      (void)stream.set_timer(sluice::Duration::from_ms(static_cast<std::int64_t>(ms)));
    }
    return Progress::kWaiting;
  }

  Scenario* scenario_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  double opened_ms_ = -1;
  std::size_t at_ = 0;        ///< Step at hand.
  std::uint64_t amount_ = 0;  ///< Of it that is done.
  std::uint64_t sent_ = 0;
  std::uint64_t received_ = 0;
  bool is_at_end_ = false;
  bool has_waited_ = false;
  crypto_hash_sha256_state hash_{};
};

/// Opens the connections once the worker runs, after a delay in which its tap can get an address.
class Opener final : public sluice::TimerHandler {
 public:
  Opener(sluice::Worker worker, sluice::Endpoint remote, std::uint64_t count, Scenario* scenario)
      : worker_(worker), remote_(remote), count_(count), scenario_(scenario) {}

  void on_timer() override {
    for (std::uint64_t i = 0; i < count_; ++i) {
      streams_.push_back(std::make_unique<ScriptedStream>(scenario_));
      const auto stream = worker_.connect({.remote = remote_}, streams_.back().get());
      if (!stream) streams_.back()->report(sluice::to_string(stream.error()));
    }
  }

 private:
  sluice::Worker worker_;
  sluice::Endpoint remote_;
  std::uint64_t count_;
  Scenario* scenario_;
  std::vector<std::unique_ptr<ScriptedStream>> streams_;
};

int serve(sluice::Runtime& runtime) {
  if (sodium_init() < 0) refuse("libsodium does not start");
  Scenario scenario{parse_script(runtime.option("script")), &runtime};
  std::array<std::unique_ptr<Opener>, 64> openers;  // by worker
  if (const std::string& target = runtime.option("connect"); !target.empty()) {
    const auto remote = sluice::parse_endpoint(target);
    if (!remote) refuse("--connect takes ADDRESS:PORT");
    const std::uint64_t count = parse_number(runtime.option("count"));
    const auto delay =
        sluice::Duration::from_ms(static_cast<std::int64_t>(parse_number(runtime.option("delay"))));
    runtime.on_worker_start([&, count, delay, remote](sluice::Worker worker) {
      scenario.to_finish += count;  // all have started long before the first connection ends
      auto& opener = openers.at(worker.index());
      opener = std::make_unique<Opener>(worker, *remote, count, &scenario);
      (void)worker.set_timer(delay, *opener);
    });
  } else {
    for (const sluice::Port port : runtime.listen_ports())
      runtime.listen<ScriptedStream>({.port = port}, &scenario);
  }
  return runtime.run();
}

}  // namespace

int main(int argc, char** argv) {
  return sluice::run_program(
      argc, argv,
      {.name = "sluice-test-client",
       .summary = "Scripted connections for the interop suite.",
       .default_ports = {sluice::Port{7000}},
       .options = {{"connect", "Open connections to ADDRESS:PORT instead of listening", ""},
                   {"count", "How many connections, of each worker", "1"},
                   {"delay", "Wait so long before opening them, ms", "1000"},
                   {"script",
                    "Comma-separated steps: send:OCTETS read:OCTETS read:eof shutdown wait:MS "
                    "hold close abort",
                    "read:eof,close"}}},
      serve);
}
