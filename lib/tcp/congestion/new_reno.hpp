#pragma once

#include "tcp/congestion/controller.hpp"

namespace sluice::tcp {

/// RFC 5681's growth of cwnd; `counted` are the octets acknowledged that have not moved it yet.
void grow_as_reno(Tcb& block, std::uint32_t& counted, const AckEvent& event);

/// RFC 5681's ssthresh after a loss.
std::uint32_t halved(const Tcb& block, std::uint32_t flight);

/// Slow start and congestion avoidance of RFC 5681, the conservative algorithm: no more than one
/// SMSS for an ACK in slow start, octets counted in congestion avoidance.
class NewReno final : public Controller {
 public:
  struct State {
    std::uint32_t counted;
    std::uint32_t undo_counted;
  };

  std::string_view name() const override { return "newreno"; }
  void on_ack(Tcb& block, CongestionState& state, const AckEvent& event) const override;
  std::uint32_t ssthresh_after_loss(Tcb& block, CongestionState& state,
                                    const CongestionEvent& event) const override;
  void on_undo(Tcb& block, CongestionState& state) const override;
};

}  // namespace sluice::tcp
