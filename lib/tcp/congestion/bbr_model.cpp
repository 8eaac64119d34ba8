#include "tcp/congestion/bbr_model.hpp"

#include <algorithm>

namespace sluice::tcp {
namespace {

using Mode = Bbr::Mode;
constexpr std::uint32_t kInfinite = Bbr::kInfinite;

constexpr std::uint32_t kLossThreshInverse = 50;  // 2 %
constexpr std::uint32_t kHeadroom = 15;
constexpr std::uint32_t kStartupPacingGain = 277;  // 4 ln 2
constexpr std::uint32_t kPacingMargin = 1;
constexpr std::uint32_t kMaxQuantum = 65'536;
constexpr std::uint32_t kMinRttFilterUs = 10'000'000;
constexpr std::uint32_t kProbeRttIntervalUs = 5'000'000;
constexpr std::uint8_t kExtraAckedRounds = 5;  // of each of two windows: the draft's ten

/// Has the count of octets delivered reached `mark`?
bool is_reached(std::uint32_t delivered, std::uint32_t mark) {
  return wire::seq_geq(SeqNum(delivered), SeqNum(mark));
}

std::uint32_t to_rate_unit(std::uint64_t octets_per_second) {
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(octets_per_second / Bbr::kRateUnit, kInfinite - 1));
}

/// Octets that `bandwidth` brings in `us`.
std::uint64_t volume(std::uint32_t bandwidth, std::uint32_t us) {
  return std::uint64_t{bandwidth} * us / (1'000'000 / Bbr::kRateUnit);
}

}  // namespace

std::uint32_t inflight_at_loss(const LostSegment& segment) {
  const std::uint32_t length = std::min(segment.length, segment.tx_in_flight);
  const std::uint32_t inflight_before = segment.tx_in_flight - length;
  const std::uint64_t lost_before =
      std::uint64_t{segment.lost - std::min(segment.length, segment.lost)} * kLossThreshInverse;
  // (2 % of inflight_before - lost_before) / 98 %
  const std::uint64_t lost_prefix =
      inflight_before <= lost_before ? 0
                                     : (inflight_before - lost_before) / (kLossThreshInverse - 1);
  return inflight_before + static_cast<std::uint32_t>(lost_prefix);
}

BbrSample BbrModel::take(const AckEvent& event) {
  s_.delivered = event.delivered_total;
  s_.round_start = false;
  s_.loss_round_start = false;
  if (event.is_window_limited) s_.is_cwnd_limited_now = true;
  s_.initial_left -= std::min(s_.initial_left, event.delivered_bytes);
  if (!s_.has_srtt && block_.srtt_us8 != 0) init_pacing_rate();
  if (s_.is_in_recovery && wire::seq_geq(block_.snd.una, SeqNum(s_.recover))) {
    s_.is_in_recovery = false;
    restore_cwnd();
  }

  const RateSample& rate = event.rate;
  BbrSample sample{.rate = to_rate_unit(rate.rate()),
                   .delivered = rate.delivered,
                   .lost = rate.lost,
                   .tx_in_flight = rate.tx_in_flight,
                   .prior_delivered = rate.prior_delivered,
                   .is_valid = rate.interval_us != 0,
                   .is_app_limited = rate.is_app_limited};
  if (!sample.is_valid) return sample;
  // An empty pipe was the application's doing if the sampler says so of what came after it.
  if (s_.was_pipe_empty && sample.is_app_limited) s_.idle_restart = true;
  if (s_.is_app_limited_marked) {
    if (is_reached(s_.app_limited_until, sample.prior_delivered))
      sample.is_app_limited = true;
    else
      s_.is_app_limited_marked = false;
  }
  return sample;
}

void BbrModel::note_loss() {
  if (!s_.is_loss_in_round) s_.loss_round_delivered = s_.delivered;
  s_.is_loss_in_round = true;
  if (s_.is_in_recovery || s_.has_saved) return;
  // The first sign of an episode: what it is undone to.
  s_.has_saved = true;
  save_cwnd();
  s_.undo_mode = Mode::kNone;
  s_.undo_bw_shortterm = s_.bw_shortterm;
  s_.undo_inflight_shortterm = s_.inflight_shortterm;
  s_.undo_inflight_longterm = s_.inflight_longterm;
}

bool BbrModel::is_inflight_too_high(const BbrSample& sample) const {
  if (!block_.has(kSackOk)) return sample.lost != 0;
  return std::uint64_t{sample.lost} * kLossThreshInverse > sample.tx_in_flight;
}

void BbrModel::update_latest_delivery_signals(const BbrSample& sample) {
  if (!sample.is_valid) return;
  s_.bw_latest = std::max(s_.bw_latest, sample.rate);
  s_.inflight_latest = std::max(s_.inflight_latest, sample.delivered);
  if (!is_reached(sample.prior_delivered, s_.loss_round_delivered)) return;
  s_.loss_round_delivered = s_.delivered;
  s_.loss_round_start = true;
}

void BbrModel::advance_latest_delivery_signals(const BbrSample& sample) {
  if (!s_.loss_round_start) return;
  s_.bw_latest = sample.rate;
  s_.inflight_latest = sample.delivered;
}

void BbrModel::reset_congestion_signals() {
  s_.is_loss_in_round = false;
  s_.bw_latest = 0;
  s_.inflight_latest = 0;
}

void BbrModel::reset_short_term_model() {
  s_.bw_shortterm = kInfinite;
  s_.inflight_shortterm = kInfinite;
}

void BbrModel::advance_max_bw_filter() {
  if (s_.max_bw[0] == 0) return;  // a cycle without a sample forgets nothing
  s_.max_bw[1] = s_.max_bw[0];
  s_.max_bw[0] = 0;
}

void BbrModel::update_max_bw(const AckEvent& event, const BbrSample& sample) {
  if (!sample.is_valid) return;
  if (is_reached(sample.prior_delivered, s_.next_round_delivered)) {
    start_round();
    s_.round_start = true;
    if (s_.rounds_since_probe_up < 0xff) ++s_.rounds_since_probe_up;
    if (s_.extra_acked_rounds < 0xff) ++s_.extra_acked_rounds;
    s_.was_cwnd_limited = s_.is_cwnd_limited_now;
    s_.is_cwnd_limited_now = event.is_window_limited;
  }
  if (sample.rate >= max_bw() || !sample.is_app_limited)
    s_.max_bw[0] = std::max(s_.max_bw[0], sample.rate);
}

void BbrModel::update_congestion_signals(const AckEvent& event, const BbrSample& sample) {
  update_max_bw(event, sample);
  if (!s_.loss_round_start) return;
  adapt_lower_bounds_from_congestion();
  s_.is_loss_in_round = false;
}

void BbrModel::adapt_lower_bounds_from_congestion() {
  const bool is_probing =
      s_.mode == Mode::kStartup || s_.mode == Mode::kProbeRefill || s_.mode == Mode::kProbeUp;
  if (is_probing || !s_.is_loss_in_round) return;
  if (s_.bw_shortterm == kInfinite) s_.bw_shortterm = max_bw();
  if (s_.inflight_shortterm == kInfinite) s_.inflight_shortterm = block_.cwnd;
  s_.bw_shortterm = std::max(s_.bw_latest, part(s_.bw_shortterm, kBbrBeta));
  s_.inflight_shortterm = std::max(s_.inflight_latest, part(s_.inflight_shortterm, kBbrBeta));
}

void BbrModel::update_ack_aggregation(const AckEvent& event) {
  std::uint64_t expected = volume(s_.bandwidth(), now_us_ - s_.extra_acked_start);
  if (s_.extra_acked_delivered <= expected) {
    s_.extra_acked_delivered = 0;
    s_.extra_acked_start = now_us_;
    expected = 0;
  }
  s_.extra_acked_delivered = std::min(kMaxWindow, s_.extra_acked_delivered + event.delivered_bytes);
  const std::uint8_t window = s_.full_bw_reached ? kExtraAckedRounds : 1;
  if (s_.round_start && s_.extra_acked_rounds >= window) {
    s_.extra_acked_rounds = 0;
    s_.extra_acked[1] = s_.full_bw_reached ? s_.extra_acked[0] : 0;
    s_.extra_acked[0] = 0;
  }
  if (s_.extra_acked_delivered <= expected) return;
  const auto extra = static_cast<std::uint32_t>(s_.extra_acked_delivered - expected);
  s_.extra_acked[0] = std::max(s_.extra_acked[0], std::min(extra, block_.cwnd));
}

void BbrModel::update_min_rtt(const AckEvent& event) {
  s_.probe_rtt_expired = now_us_ - s_.probe_rtt_min_stamp > kProbeRttIntervalUs;
  if (event.rtt_us != 0 && (event.rtt_us < s_.probe_rtt_min_us || s_.probe_rtt_expired)) {
    s_.probe_rtt_min_us = event.rtt_us;
    s_.probe_rtt_min_stamp = now_us_;
  }
  if (s_.probe_rtt_min_us < s_.min_rtt_us || now_us_ - s_.min_rtt_stamp > kMinRttFilterUs) {
    s_.min_rtt_us = s_.probe_rtt_min_us;
    s_.min_rtt_stamp = s_.probe_rtt_min_stamp;
  }
}

std::uint32_t BbrModel::bdp_at(std::uint32_t bandwidth, std::uint32_t gain) const {
  if (s_.min_rtt_us == kInfinite) return s_.initial_cwnd;
  const std::uint64_t octets =
      std::min<std::uint64_t>(volume(bandwidth, s_.min_rtt_us), kMaxWindow);
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(octets * gain / 100, kMaxWindow));
}

std::uint32_t BbrModel::quantization_budget(std::uint32_t octets) const {
  const std::uint64_t in_one_ms = std::uint64_t{s_.pacing_rate} * Bbr::kRateUnit / 1'000;
  const std::uint32_t quantum = std::max<std::uint32_t>(
      2u * block_.snd_mss,
      static_cast<std::uint32_t>(std::min<std::uint64_t>(in_one_ms, kMaxQuantum)));
  octets = std::max({octets, 3 * quantum, min_pipe_cwnd()});
  if (s_.mode == Mode::kProbeUp) octets += 2u * block_.snd_mss;
  return octets;
}

std::uint32_t BbrModel::inflight_with_headroom() const {
  if (s_.inflight_longterm == kInfinite) return kInfinite;
  const std::uint32_t headroom =
      std::max<std::uint32_t>(block_.snd_mss, part(s_.inflight_longterm, kHeadroom));
  return std::max(s_.inflight_longterm - std::min(headroom, s_.inflight_longterm), min_pipe_cwnd());
}

std::uint32_t BbrModel::probe_rtt_cwnd() const {
  return std::max(bdp(50), min_pipe_cwnd());
}

std::uint32_t BbrModel::pacing_gain() const {
  switch (s_.mode) {
    case Mode::kStartup:
      return kStartupPacingGain;
    case Mode::kDrain:
      return 50;
    case Mode::kProbeDown:
      return 90;
    case Mode::kProbeUp:
      return 125;
    case Mode::kProbeCruise:
    case Mode::kProbeRefill:
    case Mode::kProbeRtt:
    case Mode::kNone:
      break;
  }
  return 100;
}

std::uint32_t BbrModel::cwnd_gain() const {
  if (s_.mode == Mode::kProbeUp) return 225;
  return s_.mode == Mode::kProbeRtt ? 50 : 200;
}

void BbrModel::init_pacing_rate() {
  s_.has_srtt = block_.srtt_us8 != 0;
  const std::uint32_t srtt_us =
      std::max<std::uint32_t>(s_.has_srtt ? block_.srtt_us8 / 8 : 1'000, 1);
  const std::uint64_t nominal = std::uint64_t{s_.initial_cwnd} * 1'000'000 / srtt_us;
  s_.pacing_rate = std::max(1u, to_rate_unit(nominal * kStartupPacingGain / 100));
}

void BbrModel::set_pacing_rate_with_gain(std::uint32_t gain) {
  const std::uint64_t rate = std::uint64_t{s_.bandwidth()} * gain * (100 - kPacingMargin) / 10'000;
  if (rate == 0 || (!s_.full_bw_reached && rate <= s_.pacing_rate)) return;
  s_.pacing_rate = static_cast<std::uint32_t>(std::min<std::uint64_t>(rate, kInfinite - 1));
}

void BbrModel::set_cwnd(const AckEvent& event) {
  const std::uint32_t max_inflight =
      quantization_budget(bdp(cwnd_gain()) + std::max(s_.extra_acked[0], s_.extra_acked[1]));
  if (s_.full_bw_reached)
    block_.cwnd = std::min(block_.cwnd + event.delivered_bytes, max_inflight);
  else if (block_.cwnd < max_inflight || s_.initial_left != 0)
    block_.cwnd += event.delivered_bytes;
  block_.cwnd = std::clamp(block_.cwnd, min_pipe_cwnd(), kMaxWindow);
  if (s_.mode == Mode::kProbeRtt) block_.cwnd = std::min(block_.cwnd, probe_rtt_cwnd());
  bound_cwnd_for_model();
  s_.last_cwnd = block_.cwnd;
  s_.was_pipe_empty = event.pipe == 0;
  // No recovery came of the losses that were noted: the next ones are another episode.
  if (!s_.is_in_recovery && event.lost_bytes == 0) s_.has_saved = false;
}

void BbrModel::bound_cwnd_for_model() {
  std::uint32_t cap = kInfinite;
  if (s_.mode == Mode::kProbeRtt || s_.mode == Mode::kProbeCruise)
    cap = inflight_with_headroom();
  else if (is_in_a_probe_bw_state())
    cap = s_.inflight_longterm;
  cap = std::max(std::min(cap, s_.inflight_shortterm), min_pipe_cwnd());
  block_.cwnd = std::min(block_.cwnd, cap);
}

void BbrModel::save_cwnd() {
  const bool is_modulated = s_.is_in_recovery || s_.mode == Mode::kProbeRtt;
  s_.prior_cwnd = is_modulated ? std::max(s_.prior_cwnd, block_.cwnd) : block_.cwnd;
}

}  // namespace sluice::tcp
