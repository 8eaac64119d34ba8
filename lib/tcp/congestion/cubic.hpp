#pragma once

#include "tcp/congestion/controller.hpp"
#include "tcp/congestion/hystart.hpp"

namespace sluice::tcp {

/// CUBIC (RFC 9438): after a congestion event cwnd follows a cubic of the time since, flat where
/// the event was, and never below what Reno would have.
///
///   cwnd |                             .'  convex: probing
///        |              __..------''''     plateau at W_max, after K seconds
///        |         .-'                     concave
///        | cwnd_epoch
///        +--------------------------------- t since t_epoch
///
/// cwnd is in octets, times of the curve in 1/1024 s, arithmetic in 64 bits. The record with this
/// state is dropped when all is acknowledged and nothing queued: what comes next then begins at a
/// plateau of the present cwnd, as after a slow start without loss.
class Cubic final : public Controller {
 public:
  /// What describes a congestion avoidance stage: what an undo restores (RFC 9438 4.9.2).
  struct Stage {
    std::uint32_t w_max;       ///< Octets; 0: no congestion event yet.
    std::uint32_t cwnd_prior;  ///< cwnd when ssthresh was last set.
    std::uint32_t k;           ///< 1/1024 s.
    std::uint32_t epoch_us;    ///< When the stage began, less the time that does not count.
    std::uint32_t w_est;       ///< Octets: Reno's window.
    std::uint32_t is_running;  ///< The stage began; the fields above but the first two count.
  };
  struct State {
    HyStart hystart;
    Stage stage;
    Stage undo;
    std::uint64_t growth_rest;  ///< Of cwnd, in octets times cwnd: what did not make an octet.
    std::uint64_t w_est_rest;   ///< Of w_est, in octets times 17 cwnd.
    std::uint32_t
        curve_tick;         ///< Time since epoch_us that w_cubic and w_ahead are of, plus 1; or 0.
    std::uint32_t w_cubic;  ///< W_cubic(t), octets.
    std::uint32_t w_ahead;  ///< W_cubic(t + RTT).
    std::uint32_t last_ack_us;
    std::uint32_t
        ece_window;  ///< cwnd after the recovery under way, an echo having caused it; or 0.
    bool is_after_timeout;
    bool was_pipe_empty;  ///< After the last ACK: what follows comes after idling.
  };

  std::string_view name() const override { return "cubic"; }
  void on_ack(Tcb& block, CongestionState& state, const AckEvent& event) const override;
  std::uint32_t ssthresh_after_loss(Tcb& block, CongestionState& state,
                                    const CongestionEvent& event) const override;
  void on_timeout(Tcb& block, CongestionState& state) const override;
  void on_recovery_end(Tcb& block, CongestionState& state, std::uint32_t now_us) const override;
  void on_undo(Tcb& block, CongestionState& state) const override;

  /// W_cubic - W_max in octets, `t - K` being `distance` of 1/1024 s; saturates at 256 s.
  static std::int64_t curve(std::int64_t distance, std::uint32_t mss);
  /// K in 1/1024 s of a plateau `octets` above cwnd_epoch.
  static std::uint32_t time_to_plateau(std::uint32_t octets, std::uint32_t mss);

 private:
  static void begin_stage(const Tcb& block, State& cubic, std::uint32_t now_us);
  static void update_curve(const Tcb& block, State& cubic, std::uint32_t now_us);
  static void grow(Tcb& block, State& cubic, const AckEvent& event);
};

}  // namespace sluice::tcp
