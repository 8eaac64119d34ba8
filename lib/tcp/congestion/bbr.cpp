#include "tcp/congestion/bbr.hpp"

#include <algorithm>

#include "tcp/congestion/bbr_model.hpp"

namespace sluice::tcp {
namespace {

using Mode = Bbr::Mode;
using AckPhase = Bbr::AckPhase;
constexpr std::uint32_t kInfinite = Bbr::kInfinite;

constexpr std::uint32_t kProbeRttDurationUs = 200'000;
constexpr std::uint8_t kFullBwCount = 3;
constexpr std::uint8_t kStartupFullLossCount = 6;
constexpr std::uint8_t kMaxDrainRounds = 3;
constexpr std::uint8_t kMaxRenoRounds = 63;

/// 32 bits that look random and follow from the arguments: nothing here needs a secret.
std::uint32_t mixed(std::uint32_t a, std::uint32_t b) {
  std::uint64_t z = (std::uint64_t{a} << 32 | b) + 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return static_cast<std::uint32_t>(z >> 32);
}

/// The draft's state machine: its sections 5.3 and 5.4, in their words.
class Machine : public BbrModel {
 public:
  using BbrModel::BbrModel;

  void enter_startup() { s_.mode = Mode::kStartup; }
  void reset_full_bw();
  void check_full_bw_reached(const BbrSample& sample);
  void check_startup_done(const AckEvent& event, const BbrSample& sample);
  void handle_queue_too_high_in_startup();
  void check_drain_done(const AckEvent& event);
  void update_probe_bw_cycle_phase(const AckEvent& event, const BbrSample& sample);
  void start_probe_bw_down();
  void start_probe_bw_refill();
  void handle_inflight_too_high(const BbrSample& sample);
  void check_probe_rtt(const AckEvent& event, const BbrSample& sample);
  void check_probe_rtt_done();

 private:
  void start_probe_bw_up(const BbrSample& sample);
  bool is_time_to_probe_bw();
  bool is_time_to_cruise(const AckEvent& event) const;
  bool is_time_to_go_down(const AckEvent& event, const BbrSample& sample);
  void raise_inflight_longterm_slope();
  void probe_inflight_longterm_upward(const AckEvent& event);
  bool adapt_long_term_model(const AckEvent& event, const BbrSample& sample);
  void handle_probe_rtt(const AckEvent& event);
};

void Machine::reset_full_bw() {
  s_.full_bw = 0;
  s_.full_bw_count = 0;
  s_.full_bw_now = false;
}

void Machine::check_full_bw_reached(const BbrSample& sample) {
  if (s_.full_bw_now || !s_.round_start || !sample.is_valid || sample.is_app_limited) return;
  if (sample.rate >= std::uint64_t{s_.full_bw} * 5 / 4) {
    reset_full_bw();
    s_.full_bw = sample.rate;
    return;
  }
  if (++s_.full_bw_count < kFullBwCount) return;
  s_.full_bw_now = true;
  s_.full_bw_reached = true;
}

void Machine::handle_queue_too_high_in_startup() {
  s_.undo_mode = Mode::kStartup;
  s_.full_bw_reached = true;
  s_.inflight_longterm = std::max(bdp(100), s_.inflight_latest);
}

void Machine::check_startup_done(const AckEvent& event, const BbrSample& sample) {
  if (s_.mode != Mode::kStartup) return;
  if (!s_.full_bw_reached) {
    // An ACK that tells of losses stands for one range lost: a lower bound of their number.
    if (event.lost_bytes != 0 && s_.loss_events_in_round < kStartupFullLossCount)
      ++s_.loss_events_in_round;
    const bool is_high = block_.has(kSackOk)
                             ? s_.loss_round_start &&
                                   s_.loss_events_in_round >= kStartupFullLossCount &&
                                   is_inflight_too_high(sample)
                             : event.lost_bytes != 0;
    if (s_.is_in_recovery && is_high) handle_queue_too_high_in_startup();
    if (s_.loss_round_start) s_.loss_events_in_round = 0;
  }
  if (!s_.full_bw_reached) return;
  s_.mode = Mode::kDrain;
  s_.drain_rounds = 0;
  block_.ssthresh = inflight(100);  // nothing to BBR; of use if the stream changes the algorithm
}

void Machine::check_drain_done(const AckEvent& event) {
  if (s_.mode != Mode::kDrain) return;
  if (s_.round_start) ++s_.drain_rounds;
  if (event.pipe <= inflight(100) || s_.drain_rounds > kMaxDrainRounds) start_probe_bw_down();
}

void Machine::start_probe_bw_down() {
  reset_congestion_signals();
  s_.probe_up_acked_per_inc = kInfinite;
  const std::uint32_t random = mixed(now_us_, block_.ts_offset);
  s_.rounds_since_probe_up = random & 1;
  s_.bw_probe_wait_ms = static_cast<std::uint16_t>(2'000 + (std::uint64_t{random} * 1'000 >> 32));
  s_.cycle_stamp = now_us_;
  s_.ack_phase = AckPhase::kStopping;
  start_round();
  s_.mode = Mode::kProbeDown;
}

void Machine::start_probe_bw_refill() {
  reset_short_term_model();
  s_.bw_probe_up_rounds = 0;
  s_.bw_probe_up_acked = 0;
  s_.prev_probe_precautionary = false;
  s_.ack_phase = AckPhase::kRefilling;
  start_round();
  s_.mode = Mode::kProbeRefill;
}

void Machine::start_probe_bw_up(const BbrSample& sample) {
  s_.ack_phase = AckPhase::kStarting;
  start_round();
  reset_full_bw();
  s_.full_bw = sample.rate;
  s_.mode = Mode::kProbeUp;
  raise_inflight_longterm_slope();
}

bool Machine::is_time_to_probe_bw() {
  const bool has_waited = now_us_ - s_.cycle_stamp > s_.bw_probe_wait_ms * 1'000u;
  // A Reno flow in our place would need one round for each segment that it was cut by.
  const std::uint32_t reno_rounds = target_inflight() / block_.snd_mss;
  if (!has_waited &&
      s_.rounds_since_probe_up < std::min<std::uint32_t>(reno_rounds, kMaxRenoRounds))
    return false;
  start_probe_bw_refill();
  return true;
}

bool Machine::is_time_to_cruise(const AckEvent& event) const {
  return event.pipe <= inflight_with_headroom() && event.pipe <= inflight_at(max_bw(), 100);
}

bool Machine::is_time_to_go_down(const AckEvent& event, const BbrSample& sample) {
  // What was in flight before the ACK made room; whole segments only reach a bound nearly.
  if (s_.prev_probe_too_high && event.pipe_before + block_.snd_mss > s_.inflight_longterm) {
    s_.prev_probe_precautionary = true;
    return true;
  }
  if (is_cwnd_limited() && block_.cwnd >= s_.inflight_longterm) {
    reset_full_bw();  // inflight_longterm, not the path, is the limit
    s_.full_bw = sample.rate;
    return false;
  }
  return s_.full_bw_now;
}

void Machine::raise_inflight_longterm_slope() {
  const std::uint32_t growth_this_round = 1u << s_.bw_probe_up_rounds;
  s_.bw_probe_up_rounds = static_cast<std::uint8_t>(std::min(s_.bw_probe_up_rounds + 1, 30));
  s_.probe_up_acked_per_inc =
      std::max<std::uint32_t>(block_.cwnd / growth_this_round, block_.snd_mss);
}

void Machine::probe_inflight_longterm_upward(const AckEvent& event) {
  if (!is_cwnd_limited() || block_.cwnd < s_.inflight_longterm) return;
  s_.bw_probe_up_acked += event.delivered_bytes;
  if (s_.bw_probe_up_acked >= s_.probe_up_acked_per_inc) {
    const std::uint32_t segments = s_.bw_probe_up_acked / s_.probe_up_acked_per_inc;
    s_.bw_probe_up_acked -= segments * s_.probe_up_acked_per_inc;
    s_.inflight_longterm = std::min(kMaxWindow, s_.inflight_longterm + segments * block_.snd_mss);
  }
  if (s_.round_start) raise_inflight_longterm_slope();
}

bool Machine::adapt_long_term_model(const AckEvent& event, const BbrSample& sample) {
  if (s_.ack_phase == AckPhase::kStarting && s_.round_start) s_.ack_phase = AckPhase::kFeedback;
  if (s_.ack_phase == AckPhase::kStopping && s_.round_start) {
    s_.is_bw_probe_sample = false;
    s_.ack_phase = AckPhase::kInit;
    if (is_in_a_probe_bw_state()) {
      if (!sample.is_app_limited) advance_max_bw_filter();
      if (s_.prev_probe_precautionary && !s_.prev_probe_too_high) {
        start_probe_bw_refill();
        return true;
      }
    }
  }
  if (!sample.is_valid) return false;
  if (is_inflight_too_high(sample)) {
    // Losses that on_lost() saw one by one, below the threshold each, may pass it together.
    if (s_.is_bw_probe_sample) handle_inflight_too_high(sample);
    return false;
  }
  if (s_.inflight_longterm == kInfinite) return false;
  s_.inflight_longterm = std::max(s_.inflight_longterm, sample.tx_in_flight);
  if (s_.mode == Mode::kProbeUp) probe_inflight_longterm_upward(event);
  return false;
}

void Machine::handle_inflight_too_high(const BbrSample& sample) {
  s_.prev_probe_too_high = true;
  s_.is_bw_probe_sample = false;  // one reaction to a probe
  if (!sample.is_app_limited)
    s_.inflight_longterm = std::max(sample.tx_in_flight, part(target_inflight(), kBbrBeta));
  if (s_.mode != Mode::kProbeUp) return;
  s_.undo_mode = Mode::kProbeUp;
  start_probe_bw_down();
}

void Machine::update_probe_bw_cycle_phase(const AckEvent& event, const BbrSample& sample) {
  if (!s_.full_bw_reached || adapt_long_term_model(event, sample)) return;
  switch (s_.mode) {
    case Mode::kProbeDown:
      if (!is_time_to_probe_bw() && is_time_to_cruise(event)) s_.mode = Mode::kProbeCruise;
      break;
    case Mode::kProbeCruise:
      (void)is_time_to_probe_bw();
      break;
    case Mode::kProbeRefill:
      if (!s_.round_start) break;
      s_.is_bw_probe_sample = true;
      start_probe_bw_up(sample);
      break;
    case Mode::kProbeUp:
      if (!is_time_to_go_down(event, sample)) break;
      s_.prev_probe_too_high = false;  // as far as is known yet
      start_probe_bw_down();
      break;
    case Mode::kStartup:
    case Mode::kDrain:
    case Mode::kProbeRtt:
    case Mode::kNone:
      break;
  }
}

void Machine::check_probe_rtt(const AckEvent& event, const BbrSample& sample) {
  if (s_.mode != Mode::kProbeRtt && s_.probe_rtt_expired && !s_.idle_restart) {
    save_cwnd();
    s_.mode = Mode::kProbeRtt;
    s_.is_probe_rtt_timed = false;
    s_.ack_phase = AckPhase::kStopping;
    start_round();
  }
  if (s_.mode == Mode::kProbeRtt) handle_probe_rtt(event);
  if (sample.is_valid) s_.idle_restart = false;
}

void Machine::handle_probe_rtt(const AckEvent& event) {
  // What is in flight, and what follows it here, says nothing about the bandwidth.
  s_.is_app_limited_marked = true;
  s_.app_limited_until = s_.delivered + event.pipe;
  if (!s_.is_probe_rtt_timed) {
    if (event.pipe > probe_rtt_cwnd()) return;
    s_.is_probe_rtt_timed = true;
    s_.probe_rtt_since = now_us_;
    s_.probe_rtt_round_done = false;
    start_round();
    return;
  }
  if (s_.round_start) s_.probe_rtt_round_done = true;
  if (s_.probe_rtt_round_done) check_probe_rtt_done();
}

void Machine::check_probe_rtt_done() {
  if (!s_.is_probe_rtt_timed || now_us_ - s_.probe_rtt_since <= kProbeRttDurationUs) return;
  s_.probe_rtt_min_stamp = now_us_;
  restore_cwnd();
  reset_short_term_model();
  if (s_.full_bw_reached) {
    start_probe_bw_down();
    s_.mode = Mode::kProbeCruise;
  } else {
    enter_startup();
  }
}

}  // namespace

void Bbr::start(Tcb& block, CongestionState& state, std::uint32_t now_us) const {
  State& s = state.as<State>();
  s.min_rtt_us = s.probe_rtt_min_us = block.srtt_us8 == 0 ? kInfinite : block.srtt_us8 / 8;
  s.min_rtt_stamp = s.probe_rtt_min_stamp = s.extra_acked_start = now_us;
  s.inflight_longterm = s.probe_up_acked_per_inc = kInfinite;
  s.undo_mode = Mode::kNone;
  s.initial_cwnd = s.initial_left = s.last_cwnd = s.prior_cwnd = block.cwnd;
  s.recover = block.snd.una.value();
  Machine machine(block, s, now_us);
  machine.reset_short_term_model();
  machine.init_pacing_rate();
  machine.enter_startup();
}

void Bbr::on_ack(Tcb& block, CongestionState& state, const AckEvent& event) const {
  State& s = state.as<State>();
  Machine machine(block, s, event.now_us);
  const BbrSample sample = machine.take(event);
  if (event.lost_bytes != 0) machine.note_loss();
  machine.update_latest_delivery_signals(sample);
  machine.update_congestion_signals(event, sample);
  machine.update_ack_aggregation(event);
  machine.check_full_bw_reached(sample);
  machine.check_startup_done(event, sample);
  machine.check_drain_done(event);
  machine.update_probe_bw_cycle_phase(event, sample);
  machine.update_min_rtt(event);
  machine.check_probe_rtt(event, sample);
  machine.advance_latest_delivery_signals(sample);
  machine.set_pacing_rate();
  machine.set_cwnd(event);
}

void Bbr::on_lost(Tcb& block, CongestionState& state, const LostSegment& segment) const {
  State& s = state.as<State>();
  Machine machine(block, s, segment.now_us);
  machine.note_loss();
  if (!s.is_bw_probe_sample) return;
  BbrSample sample{.lost = segment.lost,
                   .tx_in_flight = segment.tx_in_flight,
                   .is_valid = true,
                   .is_app_limited = segment.is_app_limited};
  if (!machine.is_inflight_too_high(sample)) return;
  sample.tx_in_flight = inflight_at_loss(segment);
  machine.handle_inflight_too_high(sample);
}

std::uint32_t Bbr::ssthresh_after_loss(Tcb& block, CongestionState& state,
                                       const CongestionEvent& event) const {
  State& s = state.as<State>();
  Machine machine(block, s, event.now_us);
  machine.note_loss();
  s.is_in_recovery = true;
  s.recover = block.snd.nxt.value();
  if (event.cause == CongestionCause::kEce) {
    // The draft leaves the response to a mark open, but for that it is congestion.
    const BbrSample sample{.tx_in_flight = event.flight, .is_valid = true};
    if (s.mode == Mode::kStartup) machine.handle_queue_too_high_in_startup();
    if (s.is_bw_probe_sample) machine.handle_inflight_too_high(sample);
  }
  return block.ssthresh;  // BBR has none
}

void Bbr::on_recovery_end(Tcb& block, CongestionState& state, std::uint32_t) const {
  State& s = state.as<State>();
  if (!s.is_in_recovery) return;
  s.is_in_recovery = false;
  Machine(block, s, 0).restore_cwnd();
}

void Bbr::on_undo(Tcb& block, CongestionState& state) const {
  State& s = state.as<State>();
  Machine machine(block, s, 0);
  machine.restore_cwnd();
  s.is_in_recovery = false;
  s.is_loss_in_round = false;
  machine.reset_full_bw();
  s.bw_shortterm = std::max(s.bw_shortterm, s.undo_bw_shortterm);
  s.inflight_shortterm = std::max(s.inflight_shortterm, s.undo_inflight_shortterm);
  s.inflight_longterm = std::max(s.inflight_longterm, s.undo_inflight_longterm);
  const Mode before = s.undo_mode;
  s.undo_mode = Mode::kNone;
  if (before == Mode::kStartup && s.mode != Mode::kStartup) {
    s.full_bw_reached = false;
    if (s.mode != Mode::kProbeRtt) machine.enter_startup();
  } else if (before == Mode::kProbeUp && s.mode != Mode::kProbeUp && s.mode != Mode::kProbeRtt) {
    machine.start_probe_bw_refill();
  }
}

void Bbr::on_idle_restart(Tcb& block, CongestionState& state, std::uint32_t now_us) const {
  State& s = state.as<State>();
  Machine machine(block, s, now_us);
  block.cwnd = std::max(block.cwnd, s.last_cwnd);  // paced at a known rate, there is no burst
  s.idle_restart = true;
  s.extra_acked_start = now_us;
  if (machine.is_in_a_probe_bw_state()) machine.set_pacing_rate_with_gain(100);
  if (s.mode == Mode::kProbeRtt) machine.check_probe_rtt_done();
}

std::uint64_t Bbr::pacing_rate(const Tcb&, const CongestionState& state) const {
  return std::uint64_t{state.as<State>().pacing_rate} * kRateUnit;
}

}  // namespace sluice::tcp
