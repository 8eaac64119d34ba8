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
    {"MisdeliveredFull", "only a runtime with several workers hands frames over"},
    {"ArpReplyElsewhere", "only another worker of a runtime can have asked"},
    {"SourceDenied", "an operator's list, not the network, denies sources; see interop's cases"},
};

// Ways of segments that leave no other trace.
constexpr telemetry::Counter kWays[] = {
    telemetry::Counter::kSegmentsMerged,  telemetry::Counter::kCopyBreak,
    telemetry::Counter::kTxTsoPackets,    telemetry::Counter::kTxGsoPackets,
    telemetry::Counter::kTxLinearized,    telemetry::Counter::kDatagramsReassembled,
    telemetry::Counter::kFragmentsExpired};

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

/// Null: there is none.
const Exception* exception_for(std::string_view what) {
  const auto found = std::find_if(std::begin(kExceptions), std::end(kExceptions),
                                  [&](const Exception& each) { return each.what == what; });
  return found == std::end(kExceptions) ? nullptr : found;
}

class Table {
 public:
  explicit Table(std::vector<std::string>& missing) : missing_(missing) {}

  void title(std::string_view text) { out_ += fmt::format("{}\n", text); }
  void row(std::string_view name, std::uint64_t count, bool is_required) {
    const Exception* const exception = exception_for(name);
    std::string_view remark;
    if (exception != nullptr) {
      used_[static_cast<std::size_t>(exception - kExceptions)] = true;
      remark = "  (exception)";
      if (count > 0) missing_.push_back(fmt::format("{} fired, so it needs no exception", name));
    } else if (is_required && count == 0) {
      missing_.push_back(fmt::format("{} never fired", name));
      remark = "  <- never fired";
    }
    out_ += fmt::format("  {:<34} {:>12}{}\n", name, count, remark);
  }
  /// Behind all rows.
  void exceptions() {
    title("exceptions:");
    for (std::size_t i = 0; i < std::size(kExceptions); ++i) {
      out_ += fmt::format("  {}: {}\n", kExceptions[i].what, kExceptions[i].reason);
      if (!used_[i])
        missing_.push_back(fmt::format("the exception {} names no row", kExceptions[i].what));
    }
  }
  std::string take() { return std::move(out_); }

 private:
  std::vector<std::string>& missing_;
  std::array<bool, std::size(kExceptions)> used_{};
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
  table.title("counters (most for information):");
  for (std::size_t i = 0; i < sum.counters.size(); ++i) {
    const auto counter = static_cast<telemetry::Counter>(i);
    const bool is_required =
        std::find(std::begin(kWays), std::end(kWays), counter) != std::end(kWays);
    table.row(telemetry::name_of(counter), sum.counters[i], is_required);
  }
  table.exceptions();
  return table.take();
}

// --- attackers ---

namespace {

using telemetry::Counter;

/// The defences that each kind must have met.
struct Defences {
  Attack kind;
  std::vector<Outcome> outcomes;
  std::vector<Counter> counters;
};

const Defences kDefences[] = {
    {Attack::kGuesser,
     {Outcome::kRstOutside, Outcome::kRstChallenged, Outcome::kSynChallenged,
      Outcome::kAckBeyondSent, Outcome::kAckTooOld, Outcome::kAckMissing, Outcome::kOutsideWindow,
      Outcome::kOldDuplicate, Outcome::kPawsRejected, Outcome::kNoTimestamp,
      Outcome::kSynSentBadAck, Outcome::kSynSentIgnored, Outcome::kHandshakeBadAck,
      Outcome::kIcmpErrorUnmatched},
     {Counter::kChallengeAcksSent, Counter::kChallengeAcksLimited}},
    {Attack::kReplayer,
     {Outcome::kOldDuplicate, Outcome::kPawsRejected, Outcome::kSynChallenged,
      Outcome::kTimeWaitAcked, Outcome::kTimeWaitIgnored, Outcome::kStrayAnswered,
      Outcome::kStrayRst, Outcome::kRstOutside},
     {Counter::kCookiesRejected, Counter::kChallengeAcksSent}},
    {Attack::kFlooder,
     {Outcome::kSynCookieSent, Outcome::kSynQueueFull, Outcome::kSynPrefixLimited,
      Outcome::kStrayAnswered, Outcome::kStraySilenced, Outcome::kStrayRst, Outcome::kListenNoSyn},
     {Counter::kCookiesEngaged, Counter::kCookiesReleased, Counter::kCookiesRejected,
      Counter::kGateAttacks, Counter::kHalfOpenExpired, Counter::kNeighborFailed}},
    {Attack::kSlowReader, {}, {Counter::kWindowProbes, Counter::kOrphanTimeouts}},
};

/// What no plan makes happen: it may, seldom.
bool is_luck(Act act) {
  return act == Act::kTrueHit || act == Act::kBlindOpen || act == Act::kOldLifeBelievable ||
         act == Act::kForgedConnection;
}

void check_luck(const AttackTally& tally, std::vector<std::string>& missing) {
  const std::uint64_t guesses =
      tally.of(Act::kBlindGuess) + tally.of(Act::kEdgeGuess) + tally.of(Act::kIcmpGuess);
  // An edge may move between the aim and the hit; a number out of 2^32 is next to never met.
  if (tally.of(Act::kTrueHit) > 1 + guesses / 500)
    missing.push_back(fmt::format("{} of {} guesses hit", tally.of(Act::kTrueHit), guesses));
  const std::uint64_t tries = tally.of(Act::kFloodCookieAck) + guesses;
  if (tally.of(Act::kForgedConnection) > 1 + (tries >> 20))
    missing.push_back(
        fmt::format("{} cookies guessed in {} tries", tally.of(Act::kForgedConnection), tries));
}

}  // namespace

std::string attack_table(const AttackSums& sums, std::vector<std::string>& missing) {
  Table table(missing);
  table.title(fmt::format("attackers, in {} worlds:", sums.worlds));
  for (std::size_t i = 0; i < sums.tally.acts.size(); ++i)
    table.row(name_of(static_cast<Act>(i)), sums.tally.acts[i], !is_luck(static_cast<Act>(i)));
  for (const Defences& defences : kDefences) {
    const Metrics& met = sums.alone[static_cast<std::size_t>(defences.kind)];
    const auto row = [&](std::string_view name, std::uint64_t count) {
      table.row(fmt::format("{}: {}", name_of(defences.kind), name), count, true);
    };
    for (const Outcome outcome : defences.outcomes)
      row(telemetry::name_of(outcome), met.of(outcome));
    for (const Counter counter : defences.counters)
      row(telemetry::name_of(counter), met.of(counter));
  }
  check_luck(sums.tally, missing);
  return table.take();
}

}  // namespace sluice::sim
