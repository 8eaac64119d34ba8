#pragma once

// Header prediction (Van Jacobson, 1990): the segment that was to be expected is taken by a short
// way. It does what the eight steps would do, or nothing.

#include "tcp/context.hpp"

namespace sluice::tcp {

/// Takes `packet` (which starts at its TCP header) if it is the next one in order of an established
/// connection with timestamps where nothing unusual goes on, and its ACK acknowledges all that is
/// in flight or nothing new. False, and nothing has happened, if it is any other: segment_arrives()
/// has to say. `packet` is gone or empty if true.
bool take_predicted(Context& ctx, std::uint32_t index, packet::PacketPtr& packet, std::uint8_t ecn);

}  // namespace sluice::tcp
