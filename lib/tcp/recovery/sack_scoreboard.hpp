#pragma once

// SACK blocks of an ACK, into the queue of what is in flight (RFC 2018, 2883, 6675).

#include <span>

#include "tcp/recovery/ack_outcome.hpp"
#include "tcp/recovery/send_side.hpp"
#include "wire/tcp.hpp"

namespace sluice::tcp {

/// Takes the blocks that make sense; what they deliver goes into `out`. At most four walks over the
/// queue, in one.
void take_sack_blocks(SendSide& side, std::span<const wire::SackBlock> blocks, AckOutcome& out);

/// The peer reneged, or its SACKs proved nothing by a timeout: all marks go (RFC 2018 8).
void forget_sacks(SendSide& side);

}  // namespace sluice::tcp
