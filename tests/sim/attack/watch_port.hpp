#pragma once

// Stands between an attacked host and its port: shows each attacker's frame to a judge right before
// the stack gets it, when everything before it has been processed, so that what its numbers would
// do is known exactly. The judge may change it or take it away.

#include "packet/port.hpp"
#include "tests/support/packet_builder.hpp"

namespace sluice::sim {

class FrameJudge {
 public:
  virtual ~FrameJudge() = default;
  /// Is `frame` an attacker's? From its first octets.
  virtual bool is_attackers(std::span<const std::byte> frame) const = 0;
  /// False takes `frame` away. It may be changed in place, not in length.
  virtual bool passes(unsigned host, std::span<std::byte> frame) = 0;
};

class WatchPort final : public packet::PortQueue {
 public:
  /// Borrows all.
  WatchPort(packet::PortQueue& inner, unsigned host, FrameJudge& judge)
      : inner_(inner), host_(host), judge_(judge) {}

  std::uint16_t rx_burst(std::span<rte_mbuf*> out, Instant now) override;
  std::uint16_t tx_burst(std::span<rte_mbuf*> frames, Instant now) override {
    return inner_.tx_burst(frames, now);
  }
  const packet::PortCapabilities& capabilities() const override { return inner_.capabilities(); }
  MacAddr mac() const override { return inner_.mac(); }
  std::string name() const override { return inner_.name() + "+watch"; }

 private:
  packet::PortQueue& inner_;
  unsigned host_;
  FrameJudge& judge_;
  rte_mbuf* held_ = nullptr;  ///< Taken from `inner_`, for the next call. None between two polls.
};

}  // namespace sluice::sim
