#pragma once

#include "base/keyed_hash.hpp"
#include "base/time.hpp"
#include "tcp/segment.hpp"

namespace sluice::tcp {

/// The initial sequence number of a new connection: M + F(4-tuple, secret), where M counts 4 us
/// steps (RFC 9293 3.4.1, RFC 6528 3) and F is SipHash. About 30 cycles.
wire::SeqNum initial_sequence_number(const HashKey& secret, const FlowKey& flow, Instant now);

}  // namespace sluice::tcp
