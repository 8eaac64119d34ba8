#pragma once

// When to believe that octets are lost and what to send again: RFC 5681, 6582 (NewReno), 6298,
// 3042.

#include <cstdint>

#include "tcp/records.hpp"
#include "tcp/tcb.hpp"

namespace sluice::tcp {

/// Octets in flight, as SND.NXT - SND.UNA has it.
inline std::uint32_t flight_size(const Tcb& block) {
  return wire::seq_distance(block.snd.una, block.snd.nxt);
}

/// A duplicate ACK came (RFC 5681 2). True if it is the one that starts fast retransmit: the
/// segment at SND.UNA is to be sent again now.
bool on_duplicate_ack(Tcb& block, SendRecord& record);

/// An ACK moved SND.UNA by `acked` octets (already done). Ends or continues recovery, or grows
/// cwnd. True if the segment at the new SND.UNA is to be sent again now (a partial ACK).
bool on_ack_advanced(Tcb& block, SendRecord& record, std::uint32_t acked,
                     std::uint32_t flight_before);

/// The retransmission timer expired: everything in flight counts as lost.
void on_retransmission_timeout(Tcb& block, SendRecord* record);

/// Octets that limited transmit allows beyond cwnd (RFC 3042): one segment for each of the first
/// two duplicate ACKs.
std::uint32_t limited_transmit_allowance(const Tcb& block, const SendRecord* record);

}  // namespace sluice::tcp
