#pragma once

// What a run counts, and how a worker's share of it reaches the thread that reports.

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

#include "base/time.hpp"
#include "histogram.hpp"

namespace load {

/// Why a request has no good answer.
enum class Failure : std::uint8_t {
  kRefused,      ///< RST to our SYN.
  kTimeout,      ///< No connection or no answer within --timeout.
  kReset,        ///< RST with requests under way, or of an idle connection.
  kUnreachable,  ///< No route, no neighbour, or ICMP said so.
  kNoPort,       ///< Every local port to the target is in use, TIME-WAIT included.
  kNoRoom,       ///< Connection table or buffers here are used up.
  kBadStatus,    ///< An HTTP status other than 2xx.
  kShort,        ///< The server closed before the answer was whole.
  kBadReply,     ///< Not HTTP, not the octets that were to be echoed, or more than was asked for.
};
inline constexpr std::size_t kFailures = 9;
using FailureCounts = std::array<std::uint64_t, kFailures>;

/// "bad_status": of JSON and CSV.
std::string_view name_of(Failure failure);
/// What to do about it; one line.
std::string_view mend_of(Failure failure);

struct Tally {
  std::uint64_t issued = 0;
  std::uint64_t answered = 0;  ///< Well; failures are not among them.
  std::uint64_t late = 0;      ///< Of these, after the end of their phase.
  std::uint64_t unsent = 0;    ///< Were due, and no connection was free for them.
  std::uint64_t connects = 0;  ///< Begun.
  std::uint64_t connected = 0;
  std::uint64_t octets_sent = 0;
  std::uint64_t octets_received = 0;
  FailureCounts failures{};

  void add(const Tally& other);
  std::uint64_t failed() const;
};

/// One phase of the run, on one worker or (merged) on all.
struct PhaseFigures {
  Tally tally;
  Histogram<11> latency;  ///< Answered requests; in an open loop from the time they were due.
  Histogram<11> connect;  ///< From connect() until the handshake was complete.

  void merge(const PhaseFigures& other);
};

/// What happened since the last look: for the progress line and the CSV.
struct Glimpse {
  Tally tally;
  Histogram<8> latency;
  std::uint64_t open = 0;         ///< Connections now; those held apart.
  std::uint64_t held = 0;         ///< Held idle, now.
  std::uint64_t outstanding = 0;  ///< Requests without an answer, now.
  std::uint32_t phase = 0;        ///< Now.
  bool is_running = false;        ///< Set-up is over.
  sluice::Duration since_start;   ///< Of the run, until now.

  void merge(const Glimpse& other);
  void clear();
};

/// Two glimpses between one writer and one reader: the writer fills one until the reader asks for
/// it by offering the other, empty. So each event is in exactly one glimpse, sums agree with each
/// other, and neither side ever waits or copies.
class GlimpseExchange {
 public:
  // --- the worker's side ---
  Glimpse& current() { return *active_; }
  bool is_wanted() const { return offered_.load(std::memory_order_relaxed) != nullptr; }
  /// Gives the current one away, if the reader has asked. What it says of "now" must stand in it.
  void hand_over() {
    Glimpse* const empty = offered_.exchange(nullptr, std::memory_order_acquire);
    if (empty == nullptr) return;
    handed_.store(active_, std::memory_order_release);
    active_ = empty;
  }

  // --- the reader's side ---
  /// Asks. Nothing happens if what was asked for has not come yet.
  void ask() {
    if (spare_ == nullptr) return;
    offered_.store(spare_, std::memory_order_release);
    spare_ = nullptr;
  }
  /// Adds what has come, if anything has, to `sum`. False: nothing has.
  bool take(Glimpse& sum) {
    Glimpse* const full = handed_.exchange(nullptr, std::memory_order_acquire);
    if (full == nullptr) return false;
    sum.merge(*full);
    full->clear();
    spare_ = full;
    return true;
  }
  /// Once the worker has ended: what it did not hand over.
  void take_rest(Glimpse& sum) {
    static_cast<void>(take(sum));
    sum.merge(*active_);
    active_->clear();
  }

 private:
  std::array<Glimpse, 2> glimpses_;
  Glimpse* active_ = &glimpses_[0];
  Glimpse* spare_ = &glimpses_[1];
  std::atomic<Glimpse*> offered_ = nullptr;
  std::atomic<Glimpse*> handed_ = nullptr;
};

}  // namespace load
