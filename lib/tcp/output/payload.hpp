#pragma once

#include "tcp/context.hpp"

namespace sluice::tcp {

/// Octets [seq, seq + length) of the send queue. No mbuf of them is to reach across a multiple of
/// `segment_size` octets, which is `length` for a segment of its own.
struct PayloadRange {
  SeqNum seq;
  std::uint32_t length;
  std::uint32_t segment_size;
};
/// Puts them behind the header in `packet`: few are copied, others are chained as indirect mbufs,
/// for a driver may still read the originals when they are sent again. False if an mbuf was
/// lacking; `packet` then is to be freed.
bool attach_payload(Context& ctx, SendRecord& record, const PayloadRange& range, rte_mbuf& packet);

/// Acknowledged octets leave the queue: all before `una`.
void drop_acknowledged(SendRecord& record, SeqNum una);

}  // namespace sluice::tcp
