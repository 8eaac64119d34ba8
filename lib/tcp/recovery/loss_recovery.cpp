#include "tcp/recovery/loss_recovery.hpp"

#include <algorithm>

#include "tcp/congestion/controller.hpp"

namespace sluice::tcp {
namespace {

constexpr std::uint8_t kDuplicateThreshold = 3;
constexpr std::uint32_t kMaxInflatedWindow = 1u << 30;  // duplicates cost a peer nothing: no wrap

}  // namespace

bool on_duplicate_ack(Tcb& block, SendRecord& record) {
  if (block.duplicate_acks < 255) ++block.duplicate_acks;
  if (record.phase == RecoveryPhase::kFastRecovery) {
    //= rfc5681#3.2  step 4: a segment has left the network
    block.cwnd = std::min(kMaxInflatedWindow, block.cwnd + block.snd_mss);
    return false;
  }
  if (block.duplicate_acks != kDuplicateThreshold) return false;
  //= rfc6582#3.2  step 2: not for ACKs that a retransmission's duplicates caused
  if (record.has_recover && wire::seq_lt(block.snd.una, record.recover)) {
    //= rfc6582#4.1  octets that the peer had already would have moved the last ACK far ahead: a
    // short
    // step says that a retransmission was lost, and waiting for the timer again would be in vain
    const bool is_lost_again =
        block.cwnd > block.snd_mss && record.last_advance <= 4u * block.snd_mss;
    if (!is_lost_again) return false;
  }
  const std::uint32_t flight = flight_size(block);
  block.ssthresh = controller_of(block).ssthresh_after_loss(block, record.congestion, flight);
  //= rfc6582#3.2  step 3
  block.cwnd = block.ssthresh + kDuplicateThreshold * block.snd_mss;
  record.phase = RecoveryPhase::kFastRecovery;
  record.has_recover = true;
  record.recover = block.snd.nxt;
  return true;
}

bool on_ack_advanced(Tcb& block, SendRecord& record, std::uint32_t acked,
                     std::uint32_t flight_before) {
  const bool is_full = !record.has_recover || wire::seq_geq(block.snd.una, record.recover);
  block.duplicate_acks = 0;
  record.last_advance = acked;
  if (is_full) record.has_recover = false;  // or, 2^31 octets on, it would seem to lie ahead again
  switch (record.phase) {
    case RecoveryPhase::kFastRecovery:
      if (!is_full) {
        //= rfc6582#3.2  step 5, partial ACK: deflate by what was acknowledged, send the next hole
        block.cwnd -= std::min(block.cwnd, acked);
        if (acked >= block.snd_mss) block.cwnd += block.snd_mss;
        block.cwnd = std::max<std::uint32_t>(block.cwnd, block.snd_mss);
        return true;
      }
      //= rfc6582#3.2  step 5, full ACK: option 1, no burst
      block.cwnd =
          std::min(block.ssthresh,
                   std::max<std::uint32_t>(flight_size(block), block.snd_mss) + block.snd_mss);
      record.phase = RecoveryPhase::kOpen;
      return false;
    case RecoveryPhase::kTimeout:
      if (wire::seq_lt(record.resend, block.snd.una)) record.resend = block.snd.una;
      if (is_full) record.phase = RecoveryPhase::kOpen;
      break;
    case RecoveryPhase::kOpen:
      break;
  }
  // Slow start needs half the window in use to count as limited, for acknowledgments come bunched.
  const bool is_limited = block.cwnd < block.ssthresh
                              ? 2 * std::uint64_t{flight_before} >= block.cwnd
                              : flight_before + block.snd_mss > block.cwnd;
  controller_of(block).on_ack(block, record.congestion, {acked, flight_before, is_limited});
  return false;
}

void on_retransmission_timeout(Tcb& block, SendRecord* record) {
  //= rfc5681#3.1  ssthresh is set at the first timeout of a segment, then held constant
  if (block.backoff == 0) {
    CongestionState none;
    block.ssthresh = controller_of(block).ssthresh_after_loss(
        block, record != nullptr ? record->congestion : none, flight_size(block));
  }
  block.cwnd = block.snd_mss;  // the loss window
  block.duplicate_acks = 0;
  if (record == nullptr) return;
  record->phase = RecoveryPhase::kTimeout;
  record->has_recover = true;
  record->recover = block.snd.nxt;  //= rfc6582#4.1
  record->resend = block.snd.una;
  record->is_timing = false;  // Karn
}

std::uint32_t limited_transmit_allowance(const Tcb& block, const SendRecord* record) {
  if (record == nullptr || record->phase != RecoveryPhase::kOpen) return 0;
  //= rfc3042#2
  return std::min<std::uint32_t>(block.duplicate_acks, 2) * block.snd_mss;
}

}  // namespace sluice::tcp
