#pragma once

#include "base/time.hpp"
#include "tcp/config.hpp"
#include "tcp/tcb.hpp"

namespace sluice::tcp {

/// Takes one round-trip measurement into SRTT, RTTVAR, min_rtt and RTO (RFC 6298 2).
void on_rtt_sample(Tcb& block, const EngineConfig& config, Duration rtt);

/// Every sample, also those that SRTT does not take: min_rtt over the last 5 minutes.
void note_min_rtt(Tcb& block, std::uint32_t rtt_us, Tick now);

/// RTO with the present backoff, between rto_min and rto_max.
Duration retransmission_timeout(const Tcb& block, const EngineConfig& config);

}  // namespace sluice::tcp
