#include "tcp/handshake/isn.hpp"

namespace sluice::tcp {

wire::SeqNum initial_sequence_number(std::uint64_t flow_secret, Instant now) {
  //= rfc9293#3.4.1 MUST-8, MUST-9, SHLD-1
  //= rfc6528#3
  const auto clock = static_cast<std::uint32_t>(now.ns() / 4'000);
  return wire::SeqNum(clock + static_cast<std::uint32_t>(flow_secret));
}

}  // namespace sluice::tcp
