#pragma once

#include <cstdint>

#include "base/keyed_hash.hpp"
#include "base/sip_hash.hpp"
#include "tcp/segment.hpp"

namespace sluice::tcp {

/// The connection's ID under the flow table's key: SipHash-1-3 of the 4-tuple, which nobody outside
/// sees. Every segment pays for it.
inline std::uint64_t flow_id(const HashKey& key, const FlowKey& flow) {
  const auto local = flow.local.words(), remote = flow.remote.words();
  const std::uint64_t ports =
      std::uint64_t{flow.local_port.value} << 16 | std::uint64_t{flow.remote_port.value};
  constexpr std::uint64_t kOctetsV4 = std::uint64_t{12} << 56, kOctetsV6 = std::uint64_t{36} << 56;
  if (flow.is_v4()) {
    const std::uint64_t addresses[] = {local[1] >> 32 | (remote[1] & ~std::uint64_t{0xffffffff})};
    return sip_hash_1_3(key, addresses, ports | kOctetsV4);
  }
  const std::uint64_t addresses[] = {local[0], local[1], remote[0], remote[1]};
  return sip_hash_1_3(key, addresses, ports | kOctetsV6);
}

/// SipHash-2-4 of the 4-tuple, 12 octets for IPv4, 36 for IPv6: for ISNs, timestamp offsets and
/// ports, of which others see something.
std::uint64_t flow_hash(const HashKey& key, const FlowKey& flow);
/// The same with eight octets more behind the tuple: cookies.
std::uint64_t flow_hash(const HashKey& key, const FlowKey& flow, std::uint64_t more);

}  // namespace sluice::tcp
