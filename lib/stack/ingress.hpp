#pragma once

// The way in: frame -> ethernet -> arp | ipv4 -> icmp | tcp. Every frame ends in one outcome here,
// or goes to the engine as a segment or an error, and is counted by what becomes of it there.

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "ip/fragment_table.hpp"
#include "ip/icmp.hpp"
#include "ip/ipv4_input.hpp"
#include "ip/prefix_filter.hpp"
#include "link/ethernet_input.hpp"
#include "packet/pools.hpp"
#include "stack/egress.hpp"
#include "stack/network.hpp"
#include "tcp/segment.hpp"
#include "telemetry/metrics.hpp"
#include "wire/plain_frame.hpp"

namespace sluice::stack {

class Ingress {
 public:
  /// All that is referred to outlives the Ingress. Replies (ARP, ICMP) go out by `egress`.
  struct Deps {
    Network& network;
    Egress& egress;
    packet::Pools pools;
    telemetry::Metrics& metrics;
  };
  Ingress(const StackConfig& config, const Deps& deps);

  /// What a burst gave the engine.
  struct Yield {
    std::size_t segments = 0;
    std::size_t errors = 0;
  };

  /// Takes a burst of frames of `port`, and ownership of all of them. TCP segments with a right
  /// checksum go to the front of `segments`, ICMP errors about segments of ours to that of
  /// `errors`; the caller counts these as kIcmpErrorDelivered or kIcmpErrorUnmatched, as the engine
  /// says. Precondition: both have room for frames.size().
  Yield process(unsigned port, std::span<rte_mbuf* const> frames, Instant now,
                std::span<tcp::InboundSegment> segments, std::span<tcp::IcmpError> errors);

  /// Packets of sources that `filter` denies end here from now on. Null: none do. Borrowed; gives
  /// the one before, which is not used any more.
  const ip::PrefixFilter* set_prefix_filter(const ip::PrefixFilter* filter) {
    return std::exchange(source_filter_, filter);
  }

  /// Frees fragments that waited too long.
  void advance(Instant now);
  Instant next_deadline() const { return fragments_.next_deadline(); }
  /// Gives datagrams that were put together from fragments, as frames: with many workers, each may
  /// be another's. In order; call after process() until it gives none.
  std::size_t take_reassembled(std::span<rte_mbuf*> out);

  void set_icmp_limits(const ip::IcmpResponder::Limits& limits) { icmp_.set_limits(limits); }

 private:
  struct Burst;

  bool take_plain(Burst& burst, rte_mbuf& frame);
  bool is_plain_pair_right(Burst& burst, const wire::PlainFrame& plain) const;
  static bool is_plain_checksum_right(const Burst& burst, const rte_mbuf& frame,
                                      const wire::PlainFrame& plain);
  void on_frame(Burst& burst, packet::PacketPtr packet);
  telemetry::Outcome on_arp(Burst& burst, const rte_mbuf& packet);
  void on_ipv4(Burst& burst, packet::PacketPtr packet, link::Delivery delivery);
  void on_fragment(Burst& burst, packet::PacketPtr packet, const ip::Arrival& arrival,
                   const ip::InputContext& context);
  void hand_back(const Burst& burst, packet::PacketPtr datagram);
  void on_datagram(Burst& burst, packet::PacketPtr packet, const ip::Arrival& arrival);
  void on_udp(Burst& burst, packet::PacketPtr packet, const ip::Arrival& arrival);
  void on_icmp(Burst& burst, packet::PacketPtr packet, const ip::Arrival& arrival);
  void on_tcp(Burst& burst, packet::PacketPtr packet, const ip::Arrival& arrival);
  void refuse(Burst& burst, const rte_mbuf& packet, const ip::Arrival& arrival, std::uint8_t code);
  static bool is_checksum_right(const Burst& burst, const rte_mbuf& packet,
                                const ip::Arrival& arrival, std::uint32_t offset);
  packet::PacketPtr gather(packet::PacketPtr packet, std::size_t octets);

  Network& network_;
  Egress& egress_;
  packet::Pools pools_;
  telemetry::Metrics& metrics_;
  ip::IcmpResponder icmp_;
  ip::FragmentTable fragments_;
  std::vector<packet::PacketPtr> reassembled_;
  const ip::PrefixFilter* source_filter_ = nullptr;
  bool is_one_of_many_;
};

}  // namespace sluice::stack
