#pragma once

// A worker's counters: plain words in the state region, one writer, read by anyone at any time.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sluice::telemetry {

enum class Outcome : std::uint16_t {
#define SLUICE_OUTCOME(name, kind, text) name,
#include "telemetry/outcome.def"
#undef SLUICE_OUTCOME
  kCount,
};

enum class OutcomeKind : std::uint8_t { accept, drop, reply };

enum class Counter : std::uint16_t {
#define SLUICE_COUNTER(name, text) name,
#include "telemetry/counter.def"
#undef SLUICE_COUNTER
  kCount,
};

/// The timers of a connection, for counting how often each fired.
enum class TimerKind : std::uint8_t {
  kRetransmit,
  kPersist,
  kDelayedAck,
  kKeepalive,
  kUserTimeout,
  kFinWait2,
  kSynAck,
  kTimeWait,
  kConnect,
  kApplication,
  kTailProbe,
  kReorder,
  kPacing,
  kCount,
};

/// Connection states as numbers of the state region (tcp::State has the same values; asserted).
inline constexpr std::size_t kStateCount = 11;

std::string_view name_of(Outcome outcome);  ///< "SynQueueFull": the enumerator without its k.
std::string_view text_of(Outcome outcome);
OutcomeKind kind_of(Outcome outcome);
std::string_view name_of(Counter counter);
std::string_view text_of(Counter counter);
std::string_view name_of(TimerKind timer);

/// All counters of one worker. Trivially copyable: a section of the state region.
struct Metrics {
  std::array<std::uint64_t, static_cast<std::size_t>(Outcome::kCount)> outcomes{};
  std::array<std::uint64_t, static_cast<std::size_t>(Counter::kCount)> counters{};
  std::array<std::uint64_t, static_cast<std::size_t>(TimerKind::kCount)> timers{};
  /// [from][to], State values; CLOSED as `from` is a connection's birth, as `to` its end.
  std::array<std::array<std::uint64_t, kStateCount>, kStateCount> transitions{};

  void count(Outcome outcome, std::uint64_t by = 1) {
    bump(outcomes[static_cast<std::size_t>(outcome)], by);
  }
  void count(Counter counter, std::uint64_t by = 1) {
    bump(counters[static_cast<std::size_t>(counter)], by);
  }
  void count(TimerKind timer) { bump(timers[static_cast<std::size_t>(timer)], 1); }
  std::uint64_t of(Outcome outcome) const { return outcomes[static_cast<std::size_t>(outcome)]; }
  std::uint64_t of(Counter counter) const { return counters[static_cast<std::size_t>(counter)]; }
  std::uint64_t of(TimerKind timer) const { return timers[static_cast<std::size_t>(timer)]; }

  /// One writer: a relaxed load and store, which is a plain add in memory.
  static void bump(std::uint64_t& word, std::uint64_t by) {
    std::atomic_ref<std::uint64_t> shared(word);
    shared.store(shared.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }
};

}  // namespace sluice::telemetry
