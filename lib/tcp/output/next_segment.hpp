#pragma once

// How much of what is queued goes now, and how much of it together.

#include "tcp/output/output.hpp"

namespace sluice::tcp {

inline constexpr std::size_t kSegmentsPerTurn = 32;  ///< Then other connections have theirs.

/// Octets of payload a segment may carry beside the SACK blocks that will be in it.
std::uint32_t segment_limit(Context& ctx, const Tcb& block);

/// How much of `unsent` the next new segment takes; 0: not now.
std::uint32_t next_payload(Context& ctx, Tcb& block, std::uint32_t unsent);

/// A segment of new octets that may go, and where it is to go.
struct FirstOfTrain {
  std::uint32_t size;  ///< Octets of payload.
  std::uint32_t unsent;
  const Burst& burst;  ///< Not full.
  std::size_t turn_end;
};
/// How many segments go together as a train (OutboundSegment): what would go out one by one, and is
/// alike but for its sequence number. 1 if no other goes with the first.
std::uint32_t train_length(Context& ctx, std::uint32_t index, const FirstOfTrain& first);

}  // namespace sluice::tcp
