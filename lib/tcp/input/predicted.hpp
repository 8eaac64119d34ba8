#pragma once

// Header prediction (Van Jacobson, 1990): the segment that was to be expected is taken by a short
// way, and those of a burst that continue it are taken with it. It does what the eight steps would
// do with one after the other, or nothing.

#include <span>

#include "tcp/context.hpp"

namespace sluice::tcp {

/// Takes the first of `run` if it is the next one in order of an established connection with
/// timestamps where nothing unusual goes on, and its ACK acknowledges all that is in flight or
/// nothing new; and with it the others that continue it, each the one before, and would be taken
/// one by one. Gives how many: their packets are gone. 0, and nothing has happened, if the first is
/// any other: segment_arrives() has to say. All of `run` are of the connection.
std::size_t take_predicted(Context& ctx, std::uint32_t index, std::span<InboundSegment> run);

}  // namespace sluice::tcp
