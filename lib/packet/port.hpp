#pragma once

// The driver boundary: bursts, and what the port can. One indirect call per burst.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

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
  bool tx_tso = false;            ///< Cuts a chain with RTE_MBUF_F_TX_TCP_SEG into segments.
  bool tx_indirect = true;        ///< Takes indirect (attached) mbufs in tx_burst.
  bool rss_programmable = false;  ///< Hash key and RETA can be set (steering, a later layer).
  std::uint16_t rx_queues = 1;
  std::uint16_t tx_queues = 1;
  std::uint16_t mtu = 1500;  ///< Octets of the largest IP packet.
};

/// How a port spreads received TCP over its queues, as read back from the started port, whatever
/// was asked for. The port hashes (source, destination, source port, destination port) of the frame
/// by Toeplitz under `key`, and takes queue `reta[hash % reta.size()]`.
struct RssState {
  enum class Kind : std::uint8_t {
    kNone,        ///< It does not hash, or how it does cannot be asked: trust no queue.
    kFixed,       ///< By a key or table that are not those asked for.
    kProgrammed,  ///< By the key and table that were asked for.
  };
  Kind kind = Kind::kNone;
  bool hashes_ports = true;         ///< False: the hash is of the two addresses only.
  bool sets_hash = false;           ///< Received mbufs carry it (RTE_MBUF_F_RX_RSS_HASH).
  std::vector<std::uint8_t> key;    ///< Octets as the port has them; empty if kNone.
  std::vector<std::uint16_t> reta;  ///< Receive queue of each entry; empty if kNone.
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
