#include "tcp/recovery/prr.hpp"

#include <algorithm>

namespace sluice::tcp {

void prr_begin(SendSide& side, const AckOutcome& out) {
  SendRecord& record = side.record;
  record.prr_delivered = record.prr_out = 0;
  record.prr_goal = side.block.ssthresh;
  //= rfc6937#3  RecoverFS: what was in flight but for what was SACKed before
  const bool has_sacked = side.block.has(kSackOk) && record.sacked > out.newly_sacked;
  const std::uint32_t sacked_before = has_sacked ? record.sacked - out.newly_sacked : 0;
  const std::uint32_t flight =
      out.flight_before > sacked_before ? out.flight_before - sacked_before : 0;
  record.recover_flight = std::max<std::uint32_t>({flight, side.block.snd_mss, 1});
}

void prr_on_ack(SendSide& side, const AckOutcome& out) {
  if (out.delivered == 0) return;
  //= rfc8985#9.3 SHLD-1  rfc5681#4.3 MUST-2
  Tcb& block = side.block;
  SendRecord& record = side.record;
  const std::int64_t mss = block.snd_mss, pipe = side.pipe(), goal = record.prr_goal;
  record.prr_delivered += out.delivered;
  const std::int64_t ahead = std::int64_t{record.prr_delivered} - record.prr_out;
  std::int64_t send;
  if (pipe > goal) {
    const std::int64_t share =
        (std::int64_t{record.prr_delivered} * goal + record.recover_flight - 1) /
        record.recover_flight;
    send = share - record.prr_out;
  } else {
    //= rfc6937#3  slow start towards the goal only while nothing more is found lost
    send = std::max<std::int64_t>(ahead, out.delivered);
    if (out.has_advanced() && out.newly_lost == 0) send += mss;
    send = std::min(send, goal - pipe);
  }
  if (record.prr_out == 0) send = std::max(send, mss);
  block.cwnd = static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(pipe + std::max<std::int64_t>(send, 0), mss, 1 << 30));
}

}  // namespace sluice::tcp
