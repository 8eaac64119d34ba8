#pragma once

#include "base/time.hpp"
#include "tcp/config.hpp"
#include "tcp/tcb.hpp"

namespace sluice::tcp {

/// Takes one round-trip measurement into SRTT, RTTVAR, min_rtt and RTO (RFC 6298 2).
void on_rtt_sample(Tcb& block, const EngineConfig& config, Duration rtt);

/// RTO with the present backoff, between rto_min and rto_max.
Duration retransmission_timeout(const Tcb& block, const EngineConfig& config);

}  // namespace sluice::tcp
