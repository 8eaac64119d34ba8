#pragma once

#include <cstdint>

#include "base/time.hpp"
#include "wire/seq_num.hpp"

namespace sluice::tcp {

/// The initial sequence number of a new connection: M + F(4-tuple, secret), where M counts 4 us
/// steps (RFC 9293 3.4.1, RFC 6528 3) and F is the low half of Context::secret_of().
wire::SeqNum initial_sequence_number(std::uint64_t flow_secret, Instant now);

}  // namespace sluice::tcp
