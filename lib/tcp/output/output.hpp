#pragma once

// What a connection sends: retransmissions, new octets, FIN, probes, ACKs. Pulled by transmit, so
// a full port slows the connections and nothing piles up in between.

#include <span>

#include "tcp/context.hpp"

namespace sluice::tcp {

/// A transmit burst being filled.
struct Burst {
  std::span<OutboundSegment> out;
  std::size_t used = 0;    ///< Of `out`.
  std::size_t behind = 0;  ///< Segments of trains behind their first: they need room, too.

  std::size_t segments() const { return used + behind; }
  bool is_full() const { return segments() >= out.size(); }
};

/// Sends what connection `index` has to send now. False if something is left that only lacked room
/// in the burst or an mbuf: call again.
bool send_pending(Context& ctx, std::uint32_t index, Burst& burst);

/// Sequence number behind the last octet that the application gave us (where FIN stands or will).
SeqNum data_end(Context& ctx, const Tcb& block);
/// Octets accepted from the application that were never sent.
std::uint32_t unsent_bytes(Context& ctx, const Tcb& block);

}  // namespace sluice::tcp
