#pragma once

#include <cstdint>

#include "base/keyed_hash.hpp"
#include "tcp/segment.hpp"

namespace sluice::tcp {

/// SipHash of the 4-tuple under `key`: 12 octets for IPv4, 36 for IPv6. Under the flow table's key
/// it is the connection's ID; under other keys it serves ISNs, timestamp offsets and ports.
std::uint64_t flow_hash(const HashKey& key, const FlowKey& flow);
/// The same with eight octets more behind the tuple.
std::uint64_t flow_hash(const HashKey& key, const FlowKey& flow, std::uint64_t more);

}  // namespace sluice::tcp
