#pragma once

#include "tcp/context.hpp"

namespace sluice::tcp {

/// Puts octets [seq, seq + length) of the send queue behind the header in `packet`: small ones are
/// copied, others are chained as indirect mbufs, for a driver may still read the originals when
/// they are sent again. False if an mbuf was lacking; `packet` then is to be freed.
bool attach_payload(Context& ctx, SendRecord& record, SeqNum seq, std::uint32_t length,
                    rte_mbuf& packet);

/// Acknowledged octets leave the queue: all before `una`.
void drop_acknowledged(SendRecord& record, SeqNum una);

}  // namespace sluice::tcp
