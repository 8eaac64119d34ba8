#pragma once

// A client that only fills in templates: it must cost nothing that could be taken for the server's.

#include <rte_mbuf.h>

#include <cstdint>
#include <vector>

#include "base/address.hpp"
#include "wire/tcp.hpp"

namespace sluice::bench {

inline constexpr Ipv4Addr kClient = Ipv4Addr::from_octets(10, 0, 0, 1);
inline constexpr Ipv4Addr kServer = Ipv4Addr::from_octets(10, 0, 0, 2);
inline constexpr MacAddr kClientMac{{0x02, 0, 0, 0, 0, 0x01}};
inline constexpr MacAddr kServerMac{{0x02, 0, 0, 0, 0, 0x02}};

/// One connection of the client, as far as a template needs it.
struct PeerConnection {
  Port port;
  wire::SeqNum seq;
  wire::SeqNum ack;
  std::uint32_t ts_val = 1;
  std::uint32_t ts_ecr = 0;
};

/// A frame of 10.0.0.1's MAC with this segment of `source`; its checksums are marked as verified by
/// hardware, and it has no payload beyond `payload` octets of 'x'.
rte_mbuf* make_frame(rte_mempool& pool, Ipv4Addr source, const wire::TcpHeader& tcp,
                     std::uint32_t payload);

class TemplatePeer {
 public:
  TemplatePeer(rte_mempool& pool, Port server_port) : pool_(pool), server_port_(server_port) {}

  /// A frame of `connection` with `payload` octets; its checksums are marked as verified by
  /// hardware.
  rte_mbuf* segment(const PeerConnection& connection, std::uint8_t flags, std::uint32_t payload);
  /// Takes the server's frames, frees them, and brings `connection` up to date: its ack, and how
  /// many octets of payload came.
  std::uint32_t absorb(std::vector<rte_mbuf*>& frames, PeerConnection& connection);

 private:
  rte_mempool& pool_;
  Port server_port_;
};

}  // namespace sluice::bench
