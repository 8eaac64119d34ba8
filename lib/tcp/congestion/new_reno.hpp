#pragma once

#include "tcp/congestion/controller.hpp"

namespace sluice::tcp {

/// RFC 5681's slow start and congestion avoidance, counting octets acknowledged (its 3.1, (2) and
/// the appropriate byte counting that it recommends).
class NewReno final : public Controller {
 public:
  std::string_view name() const override { return "newreno"; }
  void on_ack(Tcb& block, CongestionState& state, const AckEvent& event) const override;
  std::uint32_t ssthresh_after_loss(Tcb& block, CongestionState& state, std::uint32_t flight,
                                    std::uint32_t now_us) const override;
};

}  // namespace sluice::tcp
