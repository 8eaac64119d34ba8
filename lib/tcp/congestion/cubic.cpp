#include "tcp/congestion/cubic.hpp"

#include <algorithm>

namespace sluice::tcp {
namespace {

constexpr std::uint32_t kLongestStageUs = 1u << 31;  // beyond it times modulo 2^32 would go back
constexpr std::int64_t kFarthest = 1 << 18;          // 256 s, in 1/1024 s

/// Microseconds to 1/1024 s.
constexpr std::int64_t to_ticks(std::int64_t us) {
  return us * 16 / 15'625;
}

/// The greatest integer whose cube is not above `value` (Newton's method from above).
std::uint32_t cube_root(std::uint64_t value) {
  if (value == 0) return 0;
  const int bits = 64 - __builtin_clzll(value);
  std::uint64_t root = std::uint64_t{1} << ((bits + 2) / 3);
  while (true) {
    const std::uint64_t next = (2 * root + value / (root * root)) / 3;
    if (next >= root) return static_cast<std::uint32_t>(root);
    root = next;
  }
}

/// Flight times beta_cubic.
std::uint32_t decreased(std::uint32_t flight) {
  //= rfc9438#4.6 SHLD-1
  return static_cast<std::uint32_t>(std::uint64_t{flight} * 7 / 10);
}

}  // namespace

std::int64_t Cubic::curve(std::int64_t distance, std::uint32_t mss) {
  //= rfc9438#4.2  C (t - K)^3 segments
  //= rfc9438#5.1 SHLD-1, SHLD-2  C = 0.4
  const std::int64_t d = std::clamp(distance, -kFarthest, kFarthest);
  return d * d * d / 1024 * (2 * std::int64_t{mss}) / (5 * (std::int64_t{1} << 20));
}

std::uint32_t Cubic::time_to_plateau(std::uint32_t octets, std::uint32_t mss) {
  //= rfc9438#4.2  K = cbrt((W_max - cwnd_epoch) / C)
  return cube_root((std::uint64_t{octets} << 30) / mss * 5 / 2);
}

void Cubic::begin_stage(const Tcb& block, State& cubic, std::uint32_t now_us) {
  Stage& stage = cubic.stage;
  if (stage.cwnd_prior == 0) stage.cwnd_prior = block.cwnd;  //= rfc9438#4.10  no loss so far
  if (cubic.is_after_timeout || stage.w_max <= block.cwnd) {
    //= rfc9438#4.8  also when slow start or an undo has passed W_max: the plateau is here
    stage.w_max = block.cwnd;
    stage.k = 0;
  } else {
    stage.k = time_to_plateau(stage.w_max - block.cwnd, block.snd_mss);
  }
  stage.w_est = block.cwnd;  //= rfc9438#4.8 SHLD-1
  stage.epoch_us = now_us;
  stage.is_running = 1;
  cubic.growth_rest = cubic.w_est_rest = 0;
  cubic.curve_tick = 0;
  cubic.is_after_timeout = false;
}

void Cubic::update_curve(const Tcb& block, State& cubic, std::uint32_t now_us) {
  Stage& stage = cubic.stage;
  if (now_us - stage.epoch_us > kLongestStageUs) stage.epoch_us = now_us - kLongestStageUs;
  const std::int64_t t_us = now_us - stage.epoch_us;
  const std::int64_t tick = to_ticks(t_us);
  if (cubic.curve_tick == tick + 1) return;  // a fast flow has many ACKs in a tick
  cubic.curve_tick = static_cast<std::uint32_t>(tick + 1);
  const auto window_at = [&](std::int64_t t) {
    const std::int64_t octets = curve(t - stage.k, block.snd_mss) + stage.w_max;
    return static_cast<std::uint32_t>(
        std::clamp<std::int64_t>(octets, 0, std::int64_t{2} * kMaxWindow));
  };
  cubic.w_cubic = window_at(tick);
  cubic.w_ahead = window_at(to_ticks(t_us + block.srtt_us8 / 8));
}

void Cubic::grow(Tcb& block, State& cubic, const AckEvent& event) {
  Stage& stage = cubic.stage;
  update_curve(block, cubic, event.now_us);
  const std::uint64_t acked = std::min(event.acked_bytes, block.cwnd);
  // Equation (4), with alpha = 9/17 until W_est reaches cwnd_prior.
  //= rfc9438#4.3 SHLD-2
  const std::uint64_t alpha_17 = stage.w_est >= stage.cwnd_prior ? 17 : 9;
  const std::uint64_t cwnd_17 = 17 * std::uint64_t{block.cwnd};
  cubic.w_est_rest += alpha_17 * acked * block.snd_mss;
  if (cubic.w_est_rest >= cwnd_17) {
    const std::uint64_t octets = cubic.w_est_rest / cwnd_17;
    stage.w_est =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(kMaxWindow, stage.w_est + octets));
    cubic.w_est_rest -= octets * cwnd_17;
  }

  if (cubic.w_cubic < stage.w_est) {
    //= rfc9438#4.3 SHLD-1  but never down: cwnd may be ahead, for it aims at W_cubic(t + RTT)
    block.cwnd = std::max(block.cwnd, stage.w_est);
    return;
  }
  //= rfc9438#4.2  the target lies within [cwnd, 1.5 cwnd]
  const std::uint32_t target = std::clamp(cubic.w_ahead, block.cwnd, block.cwnd + block.cwnd / 2);
  //= rfc9438#4.4 MUST-1
  //= rfc9438#4.5 MUST-1  for each segment acknowledged, so that a window of ACKs reaches the target
  cubic.growth_rest += (target - block.cwnd) * acked;
  const std::uint64_t octets = cubic.growth_rest / block.cwnd;
  cubic.growth_rest -= octets * block.cwnd;
  block.cwnd = static_cast<std::uint32_t>(std::min<std::uint64_t>(kMaxWindow, block.cwnd + octets));
}

void Cubic::on_ack(Tcb& block, CongestionState& state, const AckEvent& event) const {
  State& cubic = state.as<State>();
  const std::uint32_t since_last_ack = event.now_us - cubic.last_ack_us;
  const bool was_pipe_empty = cubic.was_pipe_empty;
  cubic.last_ack_us = event.now_us;
  cubic.was_pipe_empty = event.pipe == 0;
  if (event.is_recovering) return;
  if (block.cwnd < block.ssthresh) {
    //= rfc9438#4.10 MUST-1, SHLD-1
    //= rfc9406#4.3  HyStart++ for the initial slow start only
    cubic.stage.is_running = 0;  // after idling: another stage follows, from the present ssthresh
    if (block.ssthresh >= kInitialSsthresh) {
      cubic.hystart.on_ack(block, event);
    } else if (event.may_grow()) {
      const std::uint32_t growth = std::min<std::uint32_t>(event.acked_bytes, block.snd_mss);
      block.cwnd = std::min(kMaxWindow, block.cwnd + growth);
    }
    return;
  }
  if (cubic.stage.is_running == 0) begin_stage(block, cubic, event.now_us);
  //= rfc9438#4.2 MUST-1  neither time that the application left unused, nor idle time
  if (!event.is_window_limited) {
    cubic.stage.epoch_us += std::min(since_last_ack, event.now_us - cubic.stage.epoch_us);
  } else if (was_pipe_empty) {
    const std::uint32_t in_flight = std::min(since_last_ack, event.rtt_us);
    cubic.stage.epoch_us +=
        std::min(since_last_ack - in_flight, event.now_us - cubic.stage.epoch_us);
  }
  if (event.may_grow()) grow(block, cubic, event);
}

std::uint32_t Cubic::ssthresh_after_loss(Tcb& block, CongestionState& state,
                                         const CongestionEvent& event) const {
  State& cubic = state.as<State>();
  Stage& stage = cubic.stage;
  cubic.undo = stage;
  //= rfc9438#4.7 SHLD-1
  //= rfc9438#4.7 SHLD-2 exception: a sender cannot know that it is alone
  stage.w_max = block.cwnd < stage.w_max
                    ? static_cast<std::uint32_t>(std::uint64_t{block.cwnd} * 17 / 20)
                    : block.cwnd;
  stage.cwnd_prior = block.cwnd;
  stage.is_running = 0;
  cubic.is_after_timeout = event.cause == CongestionCause::kTimeout;
  const std::uint32_t window = decreased(event.flight);
  //= rfc9438#4.6 MUST-4  cwnd may go down to one segment, ssthresh to two
  cubic.ece_window =
      event.cause == CongestionCause::kEce ? std::max<std::uint32_t>(window, block.snd_mss) : 0;
  //= rfc9438#4.6 MUST-1, MUST-2  of what is in flight, not of cwnd
  return std::max<std::uint32_t>(window, 2u * block.snd_mss);
}

void Cubic::on_timeout(Tcb&, CongestionState& state) const {
  State& cubic = state.as<State>();
  cubic.is_after_timeout = true;  // also of a timer that expires again, within fast recovery
  cubic.stage.is_running = 0;
  cubic.ece_window = 0;
}

void Cubic::on_recovery_end(Tcb& block, CongestionState& state, std::uint32_t now_us) const {
  State& cubic = state.as<State>();
  if (cubic.ece_window != 0) block.cwnd = std::min(block.cwnd, cubic.ece_window);
  cubic.ece_window = 0;
  //= rfc9438#4.2  t counts from here, not from the first ACK of the stage
  if (cubic.stage.is_running == 0) begin_stage(block, cubic, now_us);
}

void Cubic::on_undo(Tcb& block, CongestionState& state) const {
  State& cubic = state.as<State>();
  cubic.is_after_timeout = false;
  cubic.ece_window = 0;
  //= rfc9438#4.9.2 SHLD-1
  if (block.cwnd > cubic.stage.cwnd_prior) return;
  cubic.stage = cubic.undo;
  cubic.curve_tick = 0;
}

}  // namespace sluice::tcp
