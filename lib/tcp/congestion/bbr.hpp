#pragma once

#include "tcp/congestion/controller.hpp"

namespace sluice::tcp {

/// BBR version 3 (draft-ietf-ccwg-bbr). Experimental, as the draft is: choose it knowingly.
///
/// It models the path, by the bandwidth and the round-trip time that it has, and paces at that
/// bandwidth; loss bounds the model once more than 2 % of a flight is lost.
///
///   Startup --> Drain --> ProbeBW:  DOWN --> CRUISE --> REFILL --> UP --+
///      |                             ^                                  |
///      |                             +----------------------------------+
///      +<--> ProbeRTT <--> (any of ProbeBW): every 5 s, for 200 ms
///
/// Names of the functions in bbr.cpp are the draft's. Bandwidths are in units of 16 octets a second
/// (up to 68 GB/s in 32 bits), gains in percent.
class Bbr final : public Controller {
 public:
  static constexpr std::uint32_t kInfinite = 0xffffffffu;
  static constexpr std::uint32_t kRateUnit = 16;

  enum class Mode : std::uint8_t {
    kStartup,
    kDrain,
    kProbeDown,
    kProbeCruise,
    kProbeRefill,
    kProbeUp,
    kProbeRtt,
    kNone,  ///< Of undo_mode: nothing to go back to.
  };
  enum class AckPhase : std::uint8_t { kInit, kRefilling, kStarting, kFeedback, kStopping };

  struct State {
    // Bandwidths.
    std::uint32_t pacing_rate;
    std::uint32_t max_bw[2];  ///< Greatest samples of this and of the last ProbeBW cycle.
    std::uint32_t bw_shortterm;
    std::uint32_t bw_latest;  ///< Greatest of this round.
    std::uint32_t full_bw;    ///< The one to beat by a quarter, or the pipe is full.
    std::uint32_t undo_bw_shortterm;
    // Octets.
    std::uint32_t inflight_latest;
    std::uint32_t inflight_longterm;
    std::uint32_t inflight_shortterm;
    std::uint32_t undo_inflight_longterm;
    std::uint32_t undo_inflight_shortterm;
    std::uint32_t prior_cwnd;  ///< Before recovery or ProbeRTT.
    std::uint32_t last_cwnd;   ///< As the last ACK left it.
    std::uint32_t initial_cwnd;
    std::uint32_t initial_left;  ///< Of initial_cwnd, still to be delivered.
    std::uint32_t bw_probe_up_acked;
    std::uint32_t probe_up_acked_per_inc;
    std::uint32_t extra_acked[2];  ///< Greatest of this and of the last window of rounds.
    std::uint32_t extra_acked_delivered;
    // Points in the count of octets delivered.
    std::uint32_t delivered;
    std::uint32_t next_round_delivered;
    std::uint32_t loss_round_delivered;
    std::uint32_t app_limited_until;
    // Microseconds.
    std::uint32_t min_rtt_us;
    std::uint32_t min_rtt_stamp;
    std::uint32_t probe_rtt_min_us;
    std::uint32_t probe_rtt_min_stamp;
    std::uint32_t probe_rtt_since;
    std::uint32_t extra_acked_start;
    std::uint32_t cycle_stamp;

    std::uint32_t recover;  ///< SND.NXT at the last congestion event.
    std::uint16_t bw_probe_wait_ms;
    Mode mode;
    Mode undo_mode;
    AckPhase ack_phase;
    std::uint8_t full_bw_count;
    std::uint8_t bw_probe_up_rounds;
    std::uint8_t rounds_since_probe_up;
    std::uint8_t drain_rounds;
    std::uint8_t extra_acked_rounds;  ///< Since the window of extra_acked[0] began.
    std::uint8_t loss_events_in_round;
    bool has_srtt : 1;
    bool full_bw_reached : 1;
    bool full_bw_now : 1;
    bool round_start : 1;
    bool loss_round_start : 1;
    bool is_loss_in_round : 1;
    bool is_in_recovery : 1;
    bool has_saved : 1;  ///< The undo_ fields and prior_cwnd are of the episode at hand.
    bool is_bw_probe_sample : 1;
    bool prev_probe_too_high : 1;
    bool prev_probe_precautionary : 1;
    bool probe_rtt_expired : 1;
    bool is_probe_rtt_timed : 1;  ///< probe_rtt_since counts.
    bool probe_rtt_round_done : 1;
    bool idle_restart : 1;
    bool was_pipe_empty : 1;
    bool is_app_limited_marked : 1;  ///< app_limited_until counts.
    bool is_cwnd_limited_now : 1;    ///< In this round so far.
    bool was_cwnd_limited : 1;       ///< In the round before.

    std::uint32_t bandwidth() const {
      const std::uint32_t greatest = max_bw[0] > max_bw[1] ? max_bw[0] : max_bw[1];
      return greatest < bw_shortterm ? greatest : bw_shortterm;
    }
  };
  static_assert(sizeof(State) <= CongestionState::kSize);

  std::string_view name() const override { return "bbr"; }
  ControllerTraits traits() const override {
    return {.owns_window = true, .is_paced = true, .keeps_state = true};
  }
  void start(Tcb& block, CongestionState& state, std::uint32_t now_us) const override;
  void on_ack(Tcb& block, CongestionState& state, const AckEvent& event) const override;
  void on_lost(Tcb& block, CongestionState& state, const LostSegment& segment) const override;
  std::uint32_t ssthresh_after_loss(Tcb& block, CongestionState& state,
                                    const CongestionEvent& event) const override;
  void on_recovery_end(Tcb& block, CongestionState& state, std::uint32_t now_us) const override;
  void on_undo(Tcb& block, CongestionState& state) const override;
  void on_idle_restart(Tcb& block, CongestionState& state, std::uint32_t now_us) const override;
  std::uint64_t pacing_rate(const Tcb& block, const CongestionState& state) const override;
};

}  // namespace sluice::tcp
