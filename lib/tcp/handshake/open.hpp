#pragma once

// Active opens: the OPEN call (RFC 9293 3.10.1) and SYN-SENT (3.10.7.3).

#include <optional>

#include "tcp/context.hpp"

namespace sluice::tcp {

struct OpenRequest {
  Endpoint remote;
  IpAddr local;                              ///< Unspecified: what the route says.
  Port local_port;                           ///< 0: an ephemeral one.
  std::optional<Algorithm> congestion = {};  ///< None: the route's or the config's.
  bool is_traced = false;
};

/// Begins a connection: a TCB in SYN-SENT whose SYN goes out with the next transmit.
/// kUnreachable: no route. kInvalidArgument: the local address is not ours, port 0, or a local port
/// by which the answers come to another worker.
/// kAddressInUse: the 4-tuple, or every ephemeral port to that peer. kTooManyConnections.
Result<ConnHandle, Error> open(Context& ctx, const OpenRequest& request);

/// A segment of a connection in SYN-SENT. `has_more`: it is established now and what the segment
/// brings beyond SYN and ACK (trimmed off) is to be processed as in ESTABLISHED.
Outcome syn_sent_arrives(Context& ctx, std::uint32_t index, Segment& segment, bool& has_more);

}  // namespace sluice::tcp
