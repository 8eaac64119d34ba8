#include "tcp/demux/flow_hash.hpp"

#include <cstring>

namespace sluice::tcp {

std::uint64_t flow_hash(const HashKey& key, const FlowKey& flow) {
  std::byte octets[36];
  std::size_t length = 0;
  const auto add = [&](const auto& value) {
    std::memcpy(octets + length, &value, sizeof value);
    length += sizeof value;
  };
  if (flow.is_v4()) {
    add(flow.local.v4().value);
    add(flow.remote.v4().value);
  } else {
    add(flow.local.octets());
    add(flow.remote.octets());
  }
  add(flow.local_port.value);
  add(flow.remote_port.value);
  //= rfc9293#3.4.1 MUST-9
  return keyed_hash(key, {octets, length});
}

}  // namespace sluice::tcp
