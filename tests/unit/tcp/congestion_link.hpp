#pragma once

// One flow over one bottleneck, as far as a congestion algorithm sees it: no engine, no segments.

#include <cstdint>
#include <deque>

#include "base/rng.hpp"
#include "tcp/congestion/controller.hpp"

namespace sluice::tcp::testing {

/// A TCB and the state that an algorithm keeps, as they are when data begins to flow.
struct Flow {
  static constexpr std::uint32_t kMss = 1448;

  Tcb block{};
  CongestionState state;
  const Controller& controller;

  explicit Flow(Algorithm algorithm, std::uint32_t now_us = 0,
                std::uint32_t iss = 0xffff0000u)  // numbers wrap soon
      : controller(tcp::controller(algorithm)) {
    block.congestion = static_cast<std::uint8_t>(algorithm);
    block.snd_mss = kMss;
    block.cwnd = initial_window(kMss, 10);
    block.ssthresh = kInitialSsthresh;
    block.snd.una = block.snd.nxt = SeqNum(iss);
    block.ts_offset = 0x5eed;
    block.set(kSackOk);
    controller.start(block, state, now_us);
  }

  template <class State>
  const State& as() const {
    return state.as<State>();
  }
  double segments() const { return double(block.cwnd) / kMss; }

  /// An ACK of `octets` that had been in flight with a full window behind them.
  void ack(std::uint32_t octets, std::uint32_t now_us, AckEvent event = {}) {
    block.snd.una += octets;
    block.snd.nxt = block.snd.una + block.cwnd;
    event.acked_bytes = event.delivered_bytes = octets;
    event.flight_before = event.pipe_before = block.cwnd;
    event.pipe = block.cwnd - std::min(octets, block.cwnd);
    event.now_us = now_us;
    controller.on_ack(block, state, event);
  }
  void ack_limited(std::uint32_t octets, std::uint32_t now_us, AckEvent event = {}) {
    event.is_window_limited = true;
    ack(octets, now_us, event);
  }

  /// A congestion event and the whole of the recovery after it.
  void lose(std::uint32_t now_us, CongestionCause cause = CongestionCause::kLoss) {
    block.ssthresh = controller.ssthresh_after_loss(
        block, state, {.cause = cause, .flight = block.cwnd, .now_us = now_us});
    if (cause == CongestionCause::kTimeout) {
      block.cwnd = kMss;
      controller.on_timeout(block, state);
    } else {
      block.cwnd = block.ssthresh;
      controller.on_recovery_end(block, state, now_us);
    }
  }
};

/// A Flow that always has data, or as much as `app_rate`, over a link with a drop-tail queue.
/// Losses are found by the third later segment; what was lost is simply sent as new data.
class Link {
 public:
  struct Options {
    std::uint64_t rate = 1'250'000;  ///< Octets a second: 10 Mbit/s.
    std::uint32_t rtt_us = 40'000;   ///< Without queue.
    std::uint64_t buffer = 100'000;  ///< Octets.
    std::uint64_t mark_at = ~0ull;   ///< Octets queued from which on segments are marked.
    std::uint32_t loss_permille = 0;
    std::uint64_t app_rate = 0;      ///< Octets a second that the application has; 0: no limit.
    std::uint32_t ack_every_us = 0;  ///< ACKs leave the receiver in bunches; 0: at once.
  };

  Link(Algorithm algorithm, Options link)
      : flow(algorithm, kStartUs), options(link), rng_(7), now_(kStartUs) {}

  void run_for(std::uint64_t us) {
    const std::uint64_t end = now_ + us;
    while (true) {
      send_what_may();
      std::uint64_t next = next_send();
      if (!arrivals_.empty()) next = std::min(next, arrivals_.front());
      if (timeout_at_ != 0 && arrivals_.empty()) next = std::min(next, timeout_at_);
      if (next > end) break;
      now_ = std::max(now_, next);
      if (!arrivals_.empty() && arrivals_.front() <= now_) {
        receive_ack();
      } else if (timeout_at_ != 0 && arrivals_.empty() && timeout_at_ <= now_) {
        time_out();
      }
    }
    now_ = end;
  }

  /// Runs until `condition()` holds; false if it does not within `us`.
  template <class Condition>
  bool run_until(Condition condition, std::uint64_t us) {
    for (std::uint64_t passed = 0; passed < us; passed += 1'000) {
      if (condition()) return true;
      run_for(1'000);
    }
    return condition();
  }

  std::uint64_t now() const { return now_; }
  std::uint64_t delivered() const { return delivered_; }
  std::uint64_t lost() const { return lost_; }
  std::uint64_t sent() const { return sent_; }
  std::uint32_t pipe() const { return pipe_; }
  std::uint64_t queued() const {
    return free_at_ns_ > now_ * 1'000 ? (free_at_ns_ - now_ * 1'000) * options.rate / 1'000'000'000
                                      : 0;
  }
  /// The application has nothing to send for so long.
  void pause_for(std::uint64_t us) {
    const std::uint64_t rate = options.app_rate;
    options.app_rate = 1;  // an octet a second
    app_credit_ = 0;
    run_for(us);
    options.app_rate = rate;
    app_at_ = now_;
  }
  /// The same, for longer than an RTO: what output does then.
  void idle_for(std::uint64_t us) {
    pause_for(us);
    flow.block.cwnd = std::min(flow.block.cwnd, initial_window(Flow::kMss, 10));
    flow.controller.on_idle_restart(flow.block, flow.state, std::uint32_t(now_));
  }

  Flow flow;
  Options options;

 private:
  static constexpr std::uint64_t kStartUs = 0xfff00000u;  // 32-bit times wrap in a second

  struct Packet {
    SeqNum seq;
    std::uint64_t sent_at;
    std::uint64_t delivered_at;   // of the last delivery before it was sent
    std::uint64_t first_sent_at;  // of the segment of that delivery
    std::uint64_t delivered;
    std::uint64_t lost;
    std::uint32_t tx_in_flight;
    bool is_dropped, is_marked, is_app_limited;
  };

  bool has_data() {
    if (options.app_rate == 0) return true;
    // It waits for the window with two segments at hand.
    app_credit_ = std::min<std::uint64_t>(app_credit_ + (now_ - app_at_) * options.app_rate,
                                          2 * Flow::kMss * 1'000'000ull);
    app_at_ = now_;
    return app_credit_ >= Flow::kMss * 1'000'000ull;
  }
  bool window_allows() const { return pipe_ + Flow::kMss <= std::max(flow.block.cwnd, Flow::kMss); }

  std::uint64_t pace_at() const { return pace_at_ns_ / 1'000; }

  std::uint64_t next_send() {
    if (!window_allows()) return ~0ull;
    if (!has_data()) {
      const std::uint64_t missing = Flow::kMss * 1'000'000ull - app_credit_;
      return std::max(pace_at(), now_ + missing / options.app_rate + 1);
    }
    return std::max(pace_at(), now_);
  }

  void send_what_may() {
    while (window_allows()) {
      if (!has_data()) {
        app_limited_until_ = std::max<std::uint64_t>(delivered_ + pipe_, 1);
        return;
      }
      if (pace_at() > now_) return;
      send();
    }
  }

  void send() {
    constexpr std::uint32_t kMss = Flow::kMss;
    if (options.app_rate != 0) app_credit_ -= kMss * 1'000'000ull;
    if (pipe_ == 0) first_sent_at_ = delivered_at_ = now_;
    pipe_ += kMss;
    sent_ += kMss;
    const SeqNum seq = flow.block.snd.nxt;
    flow.block.snd.nxt += kMss;
    const bool is_full = queued() + kMss > options.buffer;
    const bool is_dropped = is_full || rng_.chance(options.loss_permille, 1'000);
    flying_.push_back({.seq = seq,
                       .sent_at = now_,
                       .delivered_at = delivered_at_,
                       .first_sent_at = first_sent_at_,
                       .delivered = delivered_,
                       .lost = lost_,
                       .tx_in_flight = pipe_,
                       .is_dropped = is_dropped,
                       .is_marked = queued() >= options.mark_at,
                       .is_app_limited = app_limited_until_ != 0});
    if (!is_dropped) {
      free_at_ns_ = std::max(free_at_ns_, now_ * 1'000) + kMss * 1'000'000'000ull / options.rate;
      std::uint64_t arrival = free_at_ns_ / 1'000 + options.rtt_us;
      if (options.ack_every_us != 0)
        arrival = (arrival / options.ack_every_us + 1) * options.ack_every_us;
      arrivals_.push_back(arrival);
    }
    timeout_at_ = now_ + 1'000'000;
    const std::uint64_t pace = flow.controller.pacing_rate(flow.block, flow.state);
    if (pace != 0)
      pace_at_ns_ = std::max(pace_at_ns_, now_ * 1'000) + kMss * 1'000'000'000ull / pace;
  }

  /// Takes lost segments off the front: all dropped ones among the first `count`.
  std::uint32_t give_up(std::size_t count) {
    std::uint32_t octets = 0;
    for (std::size_t i = 0; i < count;) {
      if (!flying_[i].is_dropped) {
        ++i;
        continue;
      }
      const Packet packet = flying_[i];
      flying_.erase(flying_.begin() + std::ptrdiff_t(i));
      --count;
      octets += Flow::kMss;
      lost_ += Flow::kMss;
      pipe_ -= Flow::kMss;
      flow.controller.on_lost(flow.block, flow.state,
                              {.length = Flow::kMss,
                               .tx_in_flight = packet.tx_in_flight,
                               .lost = std::uint32_t(lost_ - packet.lost),
                               .now_us = std::uint32_t(now_),
                               .is_app_limited = packet.is_app_limited});
    }
    return octets;
  }

  void begin_recovery(CongestionCause cause, std::uint32_t flight) {
    Tcb& block = flow.block;
    block.ssthresh = flow.controller.ssthresh_after_loss(
        block, flow.state, {.cause = cause, .flight = flight, .now_us = std::uint32_t(now_)});
    recover_ = block.snd.nxt;
    if (cause == CongestionCause::kTimeout) {
      block.cwnd = Flow::kMss;
      flow.controller.on_timeout(block, flow.state);
      return;
    }
    is_recovering_ = true;
    if (!flow.controller.traits().owns_window) block.cwnd = block.ssthresh;
  }

  void receive_ack() {
    constexpr std::uint32_t kMss = Flow::kMss;
    Tcb& block = flow.block;
    arrivals_.pop_front();
    std::size_t index = 0;
    while (flying_[index].is_dropped) ++index;
    const Packet packet = flying_[index];
    const std::uint32_t flight = wire::seq_distance(block.snd.una, block.snd.nxt);
    AckEvent event{.delivered_bytes = kMss, .flight_before = flight, .pipe_before = pipe_};
    flying_.erase(flying_.begin() + std::ptrdiff_t(index));
    pipe_ -= kMss;
    delivered_ += kMss;
    if (app_limited_until_ != 0 && delivered_ > app_limited_until_) app_limited_until_ = 0;
    delivered_at_ = now_;
    first_sent_at_ = packet.sent_at;

    later_ += index == 0 ? 0 : 1;
    if (later_ >= 3) {
      event.lost_bytes = give_up(index);
      later_ = 0;
    }
    const SeqNum una = flying_.empty() ? block.snd.nxt : flying_.front().seq;
    event.acked_bytes = wire::seq_distance(block.snd.una, una);
    block.snd.una = una;

    event.rtt_us = std::uint32_t(now_ - packet.sent_at);
    block.srtt_us8 =
        block.srtt_us8 == 0 ? event.rtt_us * 8 : block.srtt_us8 - block.srtt_us8 / 8 + event.rtt_us;
    event.pipe = pipe_;
    event.now_us = std::uint32_t(now_);
    event.delivered_total = std::uint32_t(delivered_);
    event.has_ece = packet.is_marked;
    event.is_window_limited = block.cwnd < block.ssthresh ? 2 * event.pipe_before >= block.cwnd
                                                          : event.pipe_before + kMss > block.cwnd;
    const std::uint64_t interval =
        std::max(packet.sent_at - packet.first_sent_at, now_ - packet.delivered_at);
    event.rate = {.interval_us = std::uint32_t(interval),
                  .delivered = std::uint32_t(delivered_ - packet.delivered),
                  .lost = std::uint32_t(lost_ - packet.lost),
                  .tx_in_flight = packet.tx_in_flight,
                  .prior_delivered = std::uint32_t(packet.delivered),
                  .is_app_limited = packet.is_app_limited};

    if (is_recovering_) {
      if (wire::seq_geq(una, recover_)) {
        is_recovering_ = false;
        flow.controller.on_recovery_end(block, flow.state, std::uint32_t(now_));
      }
    } else if (event.lost_bytes != 0 || event.has_ece) {
      begin_recovery(event.lost_bytes != 0 ? CongestionCause::kLoss : CongestionCause::kEce,
                     flight);
    }
    event.is_recovering = is_recovering_;
    flow.controller.on_ack(block, flow.state, event);
  }

  void time_out() {
    const std::uint32_t flight = wire::seq_distance(flow.block.snd.una, flow.block.snd.nxt);
    give_up(flying_.size());
    begin_recovery(CongestionCause::kTimeout, flight);
    flow.block.snd.una = flow.block.snd.nxt;
    is_recovering_ = false;
    timeout_at_ = 0;
    later_ = 0;
  }

  Rng rng_;
  std::uint64_t now_;
  std::deque<Packet> flying_;
  std::deque<std::uint64_t> arrivals_;
  std::uint64_t free_at_ns_ = 0;
  std::uint64_t pace_at_ns_ = 0;
  std::uint64_t timeout_at_ = 0;
  std::uint64_t app_credit_ = 0;
  std::uint64_t app_at_ = kStartUs;
  std::uint64_t app_limited_until_ = 0;
  std::uint64_t delivered_ = 0;
  std::uint64_t delivered_at_ = 0;
  std::uint64_t first_sent_at_ = 0;
  std::uint64_t lost_ = 0;
  std::uint64_t sent_ = 0;
  std::uint32_t pipe_ = 0;
  std::uint32_t later_ = 0;
  SeqNum recover_;
  bool is_recovering_ = false;
};

}  // namespace sluice::tcp::testing
