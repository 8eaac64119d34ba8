#pragma once

// The driver boundary: bursts, and what the port can. One indirect call per burst.

#include <cstdint>
#include <span>
#include <string>

#include "base/address.hpp"
#include "base/time.hpp"

struct rte_mbuf;

namespace sluice::packet {

/// What a port does in hardware (or its driver). What it does not, egress does in software.
struct PortCapabilities {
  bool tx_ipv4_checksum = false;
  bool tx_tcp_checksum = false;
  bool rx_checksum = false;       ///< Sets RTE_MBUF_F_RX_{IP,L4}_CKSUM_* on received mbufs.
  bool tx_multi_segment = false;  ///< Takes chains (rte_mbuf::next) in tx_burst.
  bool tx_indirect = true;        ///< Takes indirect (attached) mbufs in tx_burst.
  bool rss_programmable = false;  ///< Hash key and RETA can be set (steering, a later layer).
  std::uint16_t rx_queues = 1;
  std::uint16_t tx_queues = 1;
  std::uint16_t mtu = 1500;  ///< Octets of the largest IP packet.
};

/// One queue pair of a device, polled by one worker. Drivers see no link, ip or tcp.
class PortQueue {
 public:
  virtual ~PortQueue() = default;
  PortQueue() = default;
  PortQueue(const PortQueue&) = delete;
  PortQueue& operator=(const PortQueue&) = delete;

  /// Fills `out` with received frames, Ethernet header first; the caller owns them. Gives how many.
  /// A full burst says that more may wait. `now` is the caller's time of this poll.
  virtual std::uint16_t rx_burst(std::span<rte_mbuf*> out, Instant now) = 0;

  /// Offers complete frames in order. Takes ownership of the first N and gives N; the rest stay
  /// with the caller, who tries again later. Frames it cannot send it frees and counts as taken.
  virtual std::uint16_t tx_burst(std::span<rte_mbuf*> frames, Instant now) = 0;

  virtual const PortCapabilities& capabilities() const = 0;
  virtual MacAddr mac() const = 0;
  virtual std::string name() const = 0;
};

}  // namespace sluice::packet
