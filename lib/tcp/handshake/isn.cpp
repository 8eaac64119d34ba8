#include "tcp/handshake/isn.hpp"

#include "tcp/demux/flow_hash.hpp"

namespace sluice::tcp {

wire::SeqNum initial_sequence_number(const HashKey& secret, const FlowKey& flow, Instant now) {
  //= rfc9293#3.4.1 MUST-8, MUST-9, SHLD-1
  //= rfc6528#3
  const auto clock = static_cast<std::uint32_t>(now.ns() / 4'000);
  return wire::SeqNum(clock + static_cast<std::uint32_t>(flow_hash(secret, flow)));
}

}  // namespace sluice::tcp
