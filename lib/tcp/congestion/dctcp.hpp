#pragma once

#include "tcp/congestion/controller.hpp"

namespace sluice::tcp {

/// DCTCP (RFC 8257): the cut that marks cause is in proportion to the share of octets that were
/// marked, averaged over windows. For networks whose switches mark early, under one operator; loss
/// and growth are those of RFC 5681.
class Dctcp final : public Controller {
 public:
  static constexpr std::uint32_t kWhole = 1u << 20;  ///< alpha of 1: all octets marked.

  struct State {
    std::uint32_t alpha;         ///< Of kWhole: the average share of marked octets.
    std::uint32_t bytes_acked;   ///< In the window under observation.
    std::uint32_t bytes_marked;  ///< The part of them whose ACKs echoed a mark.
    std::uint32_t window_end;    ///< The observation ends when octets beyond it are acknowledged.
    std::uint32_t counted;       ///< RFC 5681's count in congestion avoidance.
    std::uint32_t undo_counted;
  };

  std::string_view name() const override { return "dctcp"; }
  ControllerTraits traits() const override { return {.needs_ecn = true, .keeps_state = true}; }
  void start(Tcb& block, CongestionState& state, std::uint32_t now_us) const override;
  void on_ack(Tcb& block, CongestionState& state, const AckEvent& event) const override;
  std::uint32_t ssthresh_after_loss(Tcb& block, CongestionState& state,
                                    const CongestionEvent& event) const override;
  void on_undo(Tcb& block, CongestionState& state) const override;
};

}  // namespace sluice::tcp
