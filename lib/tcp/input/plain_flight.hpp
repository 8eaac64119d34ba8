#pragma once

#include "tcp/context.hpp"
#include "tcp/recovery/loss_recovery.hpp"

namespace sluice::tcp {

/// What is in flight is all that the application gave, sent once and together, by an algorithm that
/// keeps nothing between flights, and no trouble is known: an ACK of all of it (by a segment
/// without SACK blocks or an echo of congestion) makes a round trip and a rate, and the record
/// goes.
inline bool is_plain_flight(const Tcb& block, const SendRecord& record) {
  const std::uint32_t flight = flight_size(block);
  const std::uint32_t octets = flight - (block.has(kFinSent) ? 1u : 0u);
  const auto algorithm = static_cast<Algorithm>(block.congestion);
  const bool is_forgetful = algorithm == Algorithm::kCubic || algorithm == Algorithm::kNewReno;
  return is_forgetful && record.delivered == 0 && record.run_count == 1 &&
         record.phase == RecoveryPhase::kOpen && record.sacked == 0 && record.lost == 0 &&
         record.resent == 0 && !record.has_frto && !record.has_undo && !record.has_tail_probe &&
         record.duplicate_acks == 0 && record.queue.bytes() == octets &&
         !is_window_limited(block, flight);
}

/// Such an ACK, SEG.ACK = SND.NXT: all that take_ack() would have come to, in a tenth of the steps.
void take_plain_flight(Context& ctx, std::uint32_t index, const SendRecord& record);

}  // namespace sluice::tcp
