#pragma once

// The short way out of what nearly all responses are: one segment that nothing is in flight before.

#include "tcp/output/output.hpp"

namespace sluice::tcp {

/// Sends all that is queued, if it is one segment of a connection with nothing in flight and
/// nothing unusual going on. False, and nothing has happened, if it is not, or without an mbuf:
/// send_pending() has to say.
bool send_lone(Context& ctx, std::uint32_t index, Burst& burst);

}  // namespace sluice::tcp
