#pragma once

// A port that lies: flips one bit of payload and mends the TCP checksum, so that no stack can see
// it. Only the checker can; that is what the canary run proves.

#include "packet/port.hpp"

namespace sluice::sim {

class TamperPort final : public packet::PortQueue {
 public:
  /// Wraps `inner` (borrowed) and tampers with the `victim`th received segment with payload.
  TamperPort(packet::PortQueue& inner, unsigned victim) : inner_(inner), left_(victim) {}

  std::uint16_t rx_burst(std::span<rte_mbuf*> out, Instant now) override;
  std::uint16_t tx_burst(std::span<rte_mbuf*> frames, Instant now) override {
    return inner_.tx_burst(frames, now);
  }
  const packet::PortCapabilities& capabilities() const override { return inner_.capabilities(); }
  MacAddr mac() const override { return inner_.mac(); }
  std::string name() const override { return inner_.name() + "+tamper"; }

 private:
  packet::PortQueue& inner_;
  unsigned left_;
};

}  // namespace sluice::sim
