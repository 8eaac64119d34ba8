#pragma once

#include <rte_mempool.h>

namespace sluice::packet {

/// Octets of headroom that every payload and control mbuf offers for headers: Ethernet with a VLAN
/// tag (18), IPv6 (40) or IPv4 with options (60), TCP with options (60).
inline constexpr unsigned kHeaderRoom = 138;

/// Private area (rte_pktmbuf_pool_create's priv_size) that every mbuf of a receive pool must have:
/// reassembly keeps its notes there.
inline constexpr unsigned kPrivateSize = 32;

/// Borrowed pools of one worker. All belong to whoever made the worker.
struct Pools {
  rte_mempool* receive = nullptr;   ///< What NIC queues are filled from, and copies of payload.
  rte_mempool* control = nullptr;   ///< Reserved for headers, ACKs, SYN-ACKs, RSTs, ARP, ICMP.
  rte_mempool* indirect = nullptr;  ///< No data room: views of payload that others hold.
};

}  // namespace sluice::packet
