#pragma once

#include <algorithm>

#include "tcp/congestion/bbr.hpp"

namespace sluice::tcp {

inline constexpr std::uint32_t kBbrBeta = 70;  ///< Percent that a round with loss leaves.

/// `value` times `percent` / 100; infinity stays.
inline std::uint32_t part(std::uint32_t value, std::uint32_t percent) {
  if (value == Bbr::kInfinite) return value;
  return static_cast<std::uint32_t>(std::uint64_t{value} * percent / 100);
}

/// The draft's RS. Octets; the rate in Bbr's units.
struct BbrSample {
  std::uint32_t rate = 0;
  std::uint32_t delivered = 0;
  std::uint32_t lost = 0;
  std::uint32_t tx_in_flight = 0;
  std::uint32_t prior_delivered = 0;
  bool is_valid = false;
  bool is_app_limited = false;
};

/// Octets that were in flight when the loss rate passed 2 %, within or before `segment`.
std::uint32_t inflight_at_loss(const LostSegment& segment);

/// BBR's model of the path and what it lets the sender do: the draft's sections 5.5 and 5.6.
class BbrModel {
 public:
  BbrModel(Tcb& block, Bbr::State& state, std::uint32_t now_us)
      : block_(block), s_(state), now_us_(now_us) {}

  /// Takes the counts of an ACK; ends recovery that it ends.
  BbrSample take(const AckEvent& event);
  void start_round() { s_.next_round_delivered = s_.delivered; }
  void note_loss();
  bool is_inflight_too_high(const BbrSample& sample) const;

  void update_latest_delivery_signals(const BbrSample& sample);
  void advance_latest_delivery_signals(const BbrSample& sample);
  void update_congestion_signals(const AckEvent& event, const BbrSample& sample);
  void update_ack_aggregation(const AckEvent& event);
  void update_min_rtt(const AckEvent& event);
  void reset_congestion_signals();
  void reset_short_term_model();
  void advance_max_bw_filter();

  void init_pacing_rate();
  void set_pacing_rate() { set_pacing_rate_with_gain(pacing_gain()); }
  void set_pacing_rate_with_gain(std::uint32_t gain);
  void set_cwnd(const AckEvent& event);
  void save_cwnd();
  void restore_cwnd() { block_.cwnd = std::max(block_.cwnd, s_.prior_cwnd); }

  bool is_in_a_probe_bw_state() const {
    return s_.mode >= Bbr::Mode::kProbeDown && s_.mode <= Bbr::Mode::kProbeUp;
  }

 protected:
  std::uint32_t max_bw() const { return std::max(s_.max_bw[0], s_.max_bw[1]); }
  std::uint32_t bdp_at(std::uint32_t bandwidth, std::uint32_t gain) const;
  std::uint32_t bdp(std::uint32_t gain) const { return bdp_at(s_.bandwidth(), gain); }
  std::uint32_t inflight_at(std::uint32_t bandwidth, std::uint32_t gain) const {
    return quantization_budget(bdp_at(bandwidth, gain));
  }
  std::uint32_t inflight(std::uint32_t gain) const { return inflight_at(s_.bandwidth(), gain); }
  std::uint32_t target_inflight() const { return std::min(bdp(100), block_.cwnd); }
  std::uint32_t inflight_with_headroom() const;
  std::uint32_t probe_rtt_cwnd() const;
  bool is_cwnd_limited() const { return s_.is_cwnd_limited_now || s_.was_cwnd_limited; }

  Tcb& block_;
  Bbr::State& s_;
  std::uint32_t now_us_;

 private:
  std::uint32_t min_pipe_cwnd() const { return 4u * block_.snd_mss; }
  std::uint32_t quantization_budget(std::uint32_t octets) const;
  std::uint32_t pacing_gain() const;
  std::uint32_t cwnd_gain() const;
  void update_max_bw(const AckEvent& event, const BbrSample& sample);
  void adapt_lower_bounds_from_congestion();
  void bound_cwnd_for_model();
};

}  // namespace sluice::tcp
