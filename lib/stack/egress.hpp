#pragma once

// The way out: tcp/icmp/arp -> route and source -> neighbour -> checksums -> port's queue.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/rng.hpp"
#include "link/announcer.hpp"
#include "link/neighbor_table.hpp"
#include "packet/pools.hpp"
#include "stack/network.hpp"
#include "stack/transmit_queue.hpp"
#include "tcp/segment.hpp"
#include "telemetry/metrics.hpp"
#include "wire/arp.hpp"
#include "wire/ipv4.hpp"

namespace sluice::stack {

/// A packet of another protocol than TCP to send: it starts at the IP payload, which is complete
/// with its checksum.
struct OutboundPacket {
  packet::PacketPtr packet;
  Ipv4Addr source;
  Ipv4Addr destination;
  std::uint8_t protocol = 0;
  std::uint8_t traffic_class = 0;
};

class Egress final : private link::NeighborSink {
 public:
  static constexpr std::size_t kQueueFrames = 1024;    ///< Places of a port's queue.
  static constexpr std::size_t kControlReserve = 128;  ///< Of these, for control packets only.
  static constexpr std::size_t kMaxReports = 256;

  /// All that is referred to outlives the Egress.
  struct Deps {
    Network& network;
    packet::Pools pools;
    telemetry::Metrics& metrics;
    Rng& rng;
  };
  Egress(const StackConfig& config, const Deps& deps);
  ~Egress() = default;

  /// Binds a (port, queue) pair to an interface (Network::attach) and gives it a queue.
  unsigned attach(const packet::PortCapabilities& capabilities, const MacAddr& mac,
                  unsigned interface_index);

  /// Sends a segment: it is queued on a port, waits for its neighbour, or is dropped, counted and
  /// (no route, no neighbour) reported. `segment.hint`, if any, is used and refreshed.
  void send(tcp::OutboundSegment segment, Instant now);
  void send(OutboundPacket packet, Instant now);
  /// Sends an ARP packet on `port`.
  void send_arp(unsigned port, const MacAddr& destination, const wire::ArpPacket& packet);

  /// Moves finished frames of `port` to `out`, whose owner they have then. Gives how many.
  std::size_t fill(unsigned port, std::span<rte_mbuf*> out);
  /// Segments with payload that the queue of `port` takes now; without `port`, every port's.
  std::size_t room(unsigned port) const;
  std::size_t room() const;
  /// Frames wait for fill().
  bool has_frames() const;

  /// Network::change() and revert(): what waits for a neighbour is sent, or reported.
  Result<void, ChangeError> change(const NetworkChange& change, ChangeUndo& undo, Instant now) {
    return network_.change(change, undo, *this, now);
  }
  void revert(const ChangeUndo& undo, Instant now) { network_.revert(undo, *this, now); }
  /// Tells the link that our addresses are ours; see link::Announcer.
  void announce(Instant now) { announcer_.begin(now); }
  void set_ttl(std::uint8_t ttl) { ttl_ = ttl; }

  /// Sends due ARP requests and announcements, ages neighbours, gives up on silent ones (which
  /// makes reports).
  void advance(Instant now);
  Instant next_deadline() const;

  /// Segments that could not be sent since clear_reports(), as errors for the engine. At most
  /// kMaxReports are kept; the rest only time out.
  std::span<const tcp::IcmpError> reports() const { return reports_; }
  void clear_reports() { reports_.clear(); }

  /// The neighbour table's news for egress: ingress hands it on with what ARP learns.
  link::NeighborSink& neighbor_sink() { return *this; }

 private:
  /// A packet on its way down: it starts at the IP payload; `header` says the rest.
  struct Datagram {
    packet::PacketPtr packet;
    wire::Ipv4Header header;
    tcp::PathHint* hint = nullptr;
    link::PacketCause cause = link::PacketCause::kAnswer;
  };
  void send(Datagram datagram, Instant now);
  /// To the neighbour that `hint` remembers. False: it does not help, and nothing has happened.
  bool send_by_hint(Datagram& datagram, const tcp::PathHint& hint, Instant now);
  void send_by_neighbor(Datagram& datagram, const ip::NextHop& next_hop, Instant now);
  /// Makes the packet one that the port can take. False: dropped, counted.
  bool fit(Datagram& datagram, const packet::PortCapabilities& capabilities);
  /// The same, with its IP header and checksums in front.
  bool put_ip(Datagram& datagram, unsigned port);
  void finish_ip(rte_mbuf& packet, std::size_t offset, wire::Ipv4Header& header,
                 const packet::PortCapabilities& capabilities);
  /// Sends the segments of a train one by one: the way is not known yet, or there is none.
  void send_each(Datagram train, Instant now);
  /// Cuts a frame that holds a train of `segment_size`, whose headers are those of one segment.
  void enqueue_each(packet::PacketPtr train, const wire::Ipv4Header& header, unsigned port,
                    std::uint16_t segment_size);
  /// A copy in one mbuf of its own, counted; null (counted, too) without one.
  packet::PacketPtr copy_linear(const rte_mbuf& packet);
  void enqueue_frame(packet::PacketPtr packet, unsigned port, const MacAddr& destination,
                     std::uint16_t ether_type, TransmitQueue::Share share);
  /// Reports a packet of ours, which starts at its IPv4 header, if it is a segment.
  void report(const rte_mbuf& packet, tcp::IcmpErrorKind kind);
  void report(const Datagram& datagram, tcp::IcmpErrorKind kind, std::uint16_t mtu);
  void report(const IpAddr& source, const IpAddr& destination, std::span<const std::byte> segment,
              tcp::IcmpErrorKind kind, std::uint16_t mtu);

  void announce(std::size_t address);
  void on_solicit(const link::NeighborRecord& neighbor, const MacAddr& to, Instant now) override;
  void on_resolved(const link::NeighborRecord& neighbor, link::WaitingPacket waiting,
                   Instant now) override;
  void on_unreachable(const link::NeighborRecord& neighbor, link::WaitingPacket waiting,
                      Instant now) override;

  Network& network_;
  packet::Pools pools_;
  telemetry::Metrics& metrics_;
  Rng& rng_;
  std::uint8_t ttl_;
  std::vector<TransmitQueue> queues_;
  /// By route: the way to its gateway, which all its packets go.
  std::vector<tcp::PathHint> gateways_;
  std::vector<tcp::IcmpError> reports_;
  link::Announcer announcer_;
};

}  // namespace sluice::stack
