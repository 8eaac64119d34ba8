#include "tests/sim/coverage.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "tcp/state.hpp"

namespace sluice::sim {
namespace {

using tcp::State;
using telemetry::Metrics;
using telemetry::Outcome;

struct Exception {
  std::string_view what;
  std::string_view reason;
};

// Names as the table prints them.
constexpr Exception kExceptions[] = {
    {"Misdelivered", "only a runtime with several workers hands frames over"},
    {"MisdeliveredFull", "only a runtime with several workers hands frames over"},
    {"FIN-WAIT-1 -> TIME-WAIT",
     "the fifth step enters FIN-WAIT-2 before the eighth sees the FIN of the same segment"},
};

struct Transition {
  State from;
  State to;
};

constexpr Transition kTransitions[] = {
    // Passive: a half-open entry is SYN-RECEIVED; its end without a handshake returns it.
    {State::kListen, State::kSynReceived},
    {State::kSynReceived, State::kListen},
    {State::kSynReceived, State::kEstablished},
    // Active.
    {State::kClosed, State::kSynSent},
    {State::kSynSent, State::kEstablished},
    {State::kSynSent, State::kSynReceived},
    {State::kSynSent, State::kClosed},
    {State::kSynReceived, State::kClosed},
    {State::kSynReceived, State::kSynSent},  // what a RST without our number leaves
    // Closing.
    {State::kEstablished, State::kFinWait1},
    {State::kEstablished, State::kCloseWait},
    {State::kEstablished, State::kClosed},
    {State::kFinWait1, State::kFinWait2},
    {State::kFinWait1, State::kClosing},
    {State::kFinWait1, State::kTimeWait},
    {State::kFinWait1, State::kClosed},
    {State::kFinWait2, State::kTimeWait},
    {State::kFinWait2, State::kClosed},
    {State::kCloseWait, State::kLastAck},
    {State::kCloseWait, State::kClosed},
    {State::kClosing, State::kTimeWait},
    {State::kClosing, State::kClosed},
    {State::kLastAck, State::kClosed},
    {State::kTimeWait, State::kClosed},
};

std::string_view exception_for(std::string_view what) {
  for (const Exception& exception : kExceptions)
    if (exception.what == what) return exception.reason;
  return {};
}

class Table {
 public:
  explicit Table(std::vector<std::string>& missing) : missing_(missing) {}

  void title(std::string_view text) { out_ += fmt::format("{}\n", text); }
  void row(std::string_view name, std::uint64_t count, bool is_required) {
    const std::string_view reason = exception_for(name);
    std::string_view remark;
    if (is_required && reason.empty() && count == 0) {
      missing_.push_back(fmt::format("{} never fired", name));
      remark = "  <- never fired";
    } else if (!reason.empty() && count > 0) {
      missing_.push_back(fmt::format("{} fired, so it needs no exception", name));
    }
    out_ +=
        fmt::format("  {:<34} {:>12}{}\n", name, count, reason.empty() ? remark : "  (exception)");
  }
  void note(std::string_view text) { out_ += fmt::format("  {}\n", text); }
  std::string take() { return std::move(out_); }

 private:
  std::vector<std::string>& missing_;
  std::string out_;
};

}  // namespace

void add(Metrics& sum, const Metrics& metrics) {
  const auto add_each = [](auto& to, const auto& from) {
    std::transform(to.begin(), to.end(), from.begin(), to.begin(), std::plus<>());
  };
  add_each(sum.outcomes, metrics.outcomes);
  add_each(sum.counters, metrics.counters);
  add_each(sum.timers, metrics.timers);
  for (std::size_t from = 0; from < telemetry::kStateCount; ++from)
    add_each(sum.transitions[from], metrics.transitions[from]);
}

bool is_transition_legal(std::size_t from, std::size_t to) {
  return std::any_of(std::begin(kTransitions), std::end(kTransitions), [&](Transition t) {
    return static_cast<std::size_t>(t.from) == from && static_cast<std::size_t>(t.to) == to;
  });
}

std::string coverage_table(const Metrics& sum, std::vector<std::string>& missing) {
  Table table(missing);
  table.title("outcomes of received packets:");
  for (std::size_t i = 0; i < sum.outcomes.size(); ++i)
    table.row(telemetry::name_of(static_cast<Outcome>(i)), sum.outcomes[i], true);
  table.title("state transitions:");
  for (const Transition& t : kTransitions)
    table.row(fmt::format("{} -> {}", tcp::to_string(t.from), tcp::to_string(t.to)),
              sum.transitions[static_cast<std::size_t>(t.from)][static_cast<std::size_t>(t.to)],
              true);
  table.title("timers:");
  for (std::size_t i = 0; i < sum.timers.size(); ++i)
    table.row(fmt::format("{} timer", telemetry::name_of(static_cast<telemetry::TimerKind>(i))),
              sum.timers[i], true);
  table.title("counters (for information):");
  for (std::size_t i = 0; i < sum.counters.size(); ++i)
    table.row(telemetry::name_of(static_cast<telemetry::Counter>(i)), sum.counters[i], false);
  table.title("exceptions:");
  for (const Exception& exception : kExceptions)
    table.note(fmt::format("{}: {}", exception.what, exception.reason));
  return table.take();
}

}  // namespace sluice::sim
