#pragma once

#include "base/keyed_hash.hpp"
#include "base/time.hpp"
#include "tcp/segment.hpp"

namespace sluice::tcp {

/// The initial sequence number of a new connection: M + F(4-tuple, secret), where M counts 4 us
/// steps (RFC 9293 3.4.1, RFC 6528 3) and F is SipHash. About 30 cycles.
wire::SeqNum initial_sequence_number(const HashKey& secret, const FlowKey& flow, Instant now);

/// What is added to the 1 ms timestamp clock of a connection: a keyed hash of the 4-tuple, so that
/// a new connection of the same tuple continues the old one's clock (RFC 6191) and nobody learns
/// the uptime (RFC 7323 7.1).
std::uint32_t timestamp_offset(const HashKey& secret, const FlowKey& flow);

}  // namespace sluice::tcp
