#pragma once

// Somebody else on the segment: sends what a stack must refuse, ignore or answer with care, and
// forges segments of connections that it has seen, none of them such that a correct stack would
// believe it.

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include "base/rng.hpp"
#include "drivers/sim/sim_link.hpp"
#include "tests/sim/parameters.hpp"
#include "tests/support/packet_builder.hpp"

namespace sluice::sim {

class Stranger final : public drivers::SimActor {
 public:
  /// Sends `plan.stranger_frames` of its own in the first seconds, and forgeries when it sees a
  /// chance.
  Stranger(drivers::SimClock& clock, drivers::SimLink& link, const WorldPlan& plan);

  /// Sees a frame that host `from` has sent.
  void on_sent(unsigned from, std::span<const std::byte> frame, Instant now);
  void on_event(std::uint64_t token, Instant now) override;

 private:
  /// What one host has said of itself on a connection, last time.
  struct Side {
    bool has_syn = false;
    bool has_fin = false;
    wire::SeqNum next;  ///< After the farthest octet sent.
    wire::TcpHeader last;
  };
  struct Flow {
    std::array<Side, kHosts> sides;
    bool is_reset = false;
    unsigned forgeries = 0;
  };
  using FlowId = std::array<std::uint16_t, kHosts>;  ///< Port of each host.

  void send(unsigned to, const support::Octets& frame);
  void ethernet_frame(unsigned to);
  void arp_frame(unsigned to);
  void ip_packet(unsigned to);
  void icmp_message(unsigned to);
  void tcp_segment(unsigned to);
  void handshake(unsigned to);
  void answer_arp(unsigned from, const wire::ArpPacket& request);
  void on_segment(unsigned from, const support::ParsedFrame& frame);
  void meddle_with_syn(unsigned from, const support::ParsedFrame& frame);
  void forge(const FlowId& id, Flow& flow, unsigned to);
  void forge_icmp(const FlowId& id, const Flow& flow, unsigned to);

  support::Endpoints to_host(unsigned host) const;
  support::TcpFrame own_segment(unsigned to, Port destination, std::uint8_t flags);
  support::TcpFrame forged_segment(const FlowId& id, const Flow& flow, unsigned to);
  std::uint32_t any32() { return static_cast<std::uint32_t>(rng_.next()); }
  Port any_port() { return Port{static_cast<std::uint16_t>(50000 + rng_.below(1000))}; }
  Port listen_port() { return rng_.chance(1, 2) ? kListenPort : kPullListenPort; }

  drivers::SimClock& clock_;
  drivers::SimLink& link_;
  const WorldPlan& plan_;
  Rng rng_;
  std::map<FlowId, Flow> flows_;
  unsigned handshakes_left_ = 8;
};

}  // namespace sluice::sim
