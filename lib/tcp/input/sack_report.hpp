#pragma once

// What our ACKs tell the peer of octets that came out of order (RFC 2018) or twice (RFC 2883).

#include <algorithm>

#include "tcp/records.hpp"

namespace sluice::tcp {

/// [block.left, block.right) is the run behind a gap that holds the newest packet: it is told
/// first, and blocks that it swallowed go.
void report_run(ReceiveRecord& record, const wire::SackBlock& block);

/// Octets came twice: the next ACK tells it, once. Of many the first are told.
void report_duplicate(ReceiveRecord& record, const wire::SackBlock& block);

/// RCV.NXT moved: runs that it has reached are told by the ACK number.
void forget_runs_below(ReceiveRecord& record, SeqNum rcv_nxt);
void forget_runs(ReceiveRecord& record);

/// Fills a segment's SACK option with at most `most` blocks. A duplicate in it has been told then.
void write_sack_report(ReceiveRecord& record, std::uint8_t most, wire::TcpOptions& options);

/// SACK blocks that a segment of `block` may have: what fits beside timestamps, and no more than
/// half of a segment if that is tiny, for options take their room from the payload.
inline std::uint32_t most_sack_blocks(const Tcb& block) {
  const std::uint32_t half = block.snd_mss / 2u;
  return std::min(block.has(kTimestampsOk) ? 3u : 4u, half < 12 ? 1u : (half - 4) / 8);
}

}  // namespace sluice::tcp
