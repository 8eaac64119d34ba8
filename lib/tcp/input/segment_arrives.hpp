#pragma once

#include "tcp/context.hpp"

namespace sluice::tcp {

/// RFC 9293 3.10.7.4: a segment of a connection in any state but SYN-SENT (3.10.7.3).
Outcome segment_arrives(Context& ctx, std::uint32_t index, Segment& segment);

/// A segment of a connection that is only a TIME-WAIT entry. If it is a SYN that may begin a new
/// connection (RFC 6191, RFC 9293 3.10.7.4), `reuse` is set and nothing else was done.
Outcome time_wait_arrives(Context& ctx, FlowRef ref, const Segment& segment, bool& reuse);

}  // namespace sluice::tcp
