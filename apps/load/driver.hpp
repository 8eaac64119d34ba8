#pragma once

// One worker's share of the load: opens connections, issues requests when they are due or answered,
// keeps count. Everything is made before the run.

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "connection.hpp"
#include "figures.hpp"
#include "index_ring.hpp"
#include "options.hpp"
#include "schedule.hpp"
#include "sluice/sluice.hpp"

namespace load {

/// What the workers agree on: when all have their connections the run begins, when all are through
/// it ends.
class Coordinator {
 public:
  Coordinator(unsigned workers, std::function<void()> stop)
      : workers_(workers), stop_(std::move(stop)) {}

  void arrive(sluice::Instant now) {
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == workers_)
      start_ns_.store((now + kHeadStart).ns(), std::memory_order_release);
  }
  /// When the run begins; nothing as long as somebody is missing.
  std::optional<sluice::Instant> start() const {
    const std::int64_t ns = start_ns_.load(std::memory_order_acquire);
    return ns == 0 ? std::nullopt : std::optional(sluice::Instant::from_ns(ns));
  }
  void leave() {
    if (left_.fetch_add(1, std::memory_order_acq_rel) + 1 == workers_) stop_();
  }
  void give_up() {
    has_given_up_.store(true, std::memory_order_release);
    stop_();
  }
  bool has_given_up() const { return has_given_up_.load(std::memory_order_acquire); }

 private:
  static constexpr sluice::Duration kHeadStart = sluice::Duration::from_ms(1);

  const unsigned workers_;
  const std::function<void()> stop_;
  std::atomic<unsigned> arrived_ = 0;
  std::atomic<unsigned> left_ = 0;
  std::atomic<std::int64_t> start_ns_ = 0;
  std::atomic<bool> has_given_up_ = false;
};

/// What a connection was when it ended.
enum class Before : std::uint8_t { kConnecting, kOpen };

/// What is left of a worker's run once its thread has ended.
struct WorkerResult {
  std::vector<PhaseFigures> phases;  ///< As of Options.
  std::uint64_t retransmitted = 0;   ///< Segments, of all connections, from the first SYN on.
  std::uint64_t held_lost = 0;
  Histogram<11> set_up_connect;         ///< Of connections opened before the run.
  std::uint64_t opened = 0;             ///< Of set-up.
  std::uint64_t to_open = 0;            ///< In set-up.
  std::optional<Failure> last_failure;  ///< In set-up.
  sluice::Duration lasted;              ///< From the start to the end, or to an interruption.
  bool was_interrupted = false;
};

class Driver final : public sluice::RoundHandler {
 public:
  struct Deps {
    const Options& options;
    const Message& message;
    Coordinator& coordinator;
    GlimpseExchange& exchange;
    std::vector<sluice::IpAddr> addresses;  ///< Ours, to connect from in turn.
    Arrivals::Share share;
  };
  Driver(sluice::Worker worker, Deps deps);
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  sluice::Instant on_round(sluice::Instant now) override;
  /// After the end of the worker's thread.
  const WorkerResult& result() const { return result_; }

  // --- for connections ---
  sluice::Instant now() const { return worker_.now(); }
  Mode mode() const { return deps_.options.mode; }
  sluice::Duration timeout() const { return deps_.options.timeout; }
  const Message& message() const { return deps_.message; }
  HeadMemory& head_memory() { return head_memory_; }
  void count_sent(std::uint64_t octets);
  void count_received(std::uint64_t octets);
  /// Not those of the end: a crowd that closes at once makes many, and says nothing of the run.
  void count_retransmitted(std::uint64_t segments) {
    if (state_ != State::kDone) result_.retransmitted += segments;
  }

  void on_connected(Connection& connection, sluice::Duration took);
  void on_answer(const Pending& pending);
  void on_failure(const Pending& pending, Failure failure);
  /// Of a connection without a request.
  void on_lone_failure(Failure failure);
  /// `count` requests of a program that ends go without a trace.
  void forget(std::uint32_t count) { outstanding_ -= count; }
  /// Answers came: there is room for more requests.
  void on_room(Connection& connection) { feed(connection); }
  void on_gone(Connection& connection, Before before, std::optional<Failure> failure);
  void on_held();
  void on_held_gone(HeldConnection& connection, Before before, std::optional<Failure> failure);

 private:
  enum class State : std::uint8_t { kSettingUp, kWaiting, kRunning, kEnding, kDone };
  struct Cooling {
    sluice::Instant until;
    std::uint32_t id = 0;
  };

  // One number for both kinds: connections from 0, held ones behind them.
  bool is_held(std::uint32_t id) const { return id >= connections_.size(); }
  std::uint32_t id_of(const Connection& connection) const {
    return static_cast<std::uint32_t>(&connection - connections_.data());
  }
  bool is_counting() const { return state_ == State::kRunning || state_ == State::kEnding; }
  bool is_kept() const { return !is_per_connection(mode()); }

  void set_up(sluice::Instant now);
  bool is_set_up() const;
  void begin_run(sluice::Instant start);
  void run(sluice::Instant now);
  void enter_phase(sluice::Instant now);
  void issue_due(sluice::Instant now);
  void connect_due(sluice::Instant now);
  void connect_again(sluice::Instant now);
  void finish();
  void interrupt(sluice::Instant now);
  void end();
  void sweep(sluice::Instant now);
  void cool(sluice::Instant now);
  sluice::Instant next_round(sluice::Instant now) const;

  /// Opens closed ones, as many as may be on their way at once.
  void open_closed(sluice::Instant now);
  /// False: it did not begin, and why was counted.
  bool open(std::uint32_t id, const Pending* pending, sluice::Instant now);
  void issue(Connection& connection, const Pending& pending, std::uint32_t count);
  /// Gives a kept connection what it has room for: requests, or a place in the queue for them.
  void feed(Connection& connection);
  void retire(std::uint32_t id, std::optional<Failure> failure);
  void hand_over(sluice::Instant now);
  /// Calls change(tally) for the phase's tally and the glimpse's, if that is counted at all.
  template <class Change>
  void count(std::uint32_t phase, Change&& change);

  sluice::Worker worker_;
  Deps deps_;
  State state_ = State::kSettingUp;
  // Of modes without kept connections: one exchange was good; its connection has ended.
  bool has_probed_ = false;
  bool is_probe_gone_ = false;
  std::uint32_t phase_ = 0;
  sluice::Instant start_;
  sluice::Instant progress_at_;  ///< Of set-up.
  sluice::Instant swept_at_;
  std::vector<sluice::Instant> phase_ends_;
  Arrivals arrivals_;

  std::vector<Pending> pendings_;
  std::vector<Connection> connections_;
  std::vector<HeldConnection> held_;
  IndexRing<std::uint32_t> ready_;   ///< Connections with room, in an open loop.
  IndexRing<std::uint32_t> closed_;  ///< To be opened, or free for the next request.
  IndexRing<Cooling> cooling_;       ///< Closed, not to be tried again at once.
  std::size_t sweep_cursor_ = 0;
  std::size_t next_address_ = 0;
  std::uint32_t connecting_ = 0;
  std::uint64_t open_ = 0;
  std::uint64_t open_held_ = 0;
  std::uint64_t outstanding_ = 0;
  HeadMemory head_memory_;
  WorkerResult result_;
};

}  // namespace load
