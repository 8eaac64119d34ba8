#include "tests/sim/attack/watch_port.hpp"

#include <rte_mbuf.h>

#include <utility>

#include "packet/packet.hpp"

namespace sluice::sim {

std::uint16_t WatchPort::rx_burst(std::span<rte_mbuf*> out, Instant now) {
  std::uint16_t count = 0;
  while (count < out.size()) {
    if (held_ == nullptr && inner_.rx_burst({&held_, 1}, now) == 0) {
      held_ = nullptr;
      break;
    }
    const auto frame = packet::first_segment(*held_);
    if (!judge_.is_attackers(frame)) {
      out[count++] = std::exchange(held_, nullptr);
    } else if (count > 0) {
      break;  // what came before it is processed first
    } else if (judge_.passes(host_, frame)) {
      out[count++] = std::exchange(held_, nullptr);
      break;
    } else {
      rte_pktmbuf_free(std::exchange(held_, nullptr));
    }
  }
  return count;
}

}  // namespace sluice::sim
