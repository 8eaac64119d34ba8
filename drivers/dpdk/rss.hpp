#pragma once

// Receive-side scaling of an ethdev: what is asked of a port, and what it then says that it does.

#include <cstdint>
#include <span>

#include "packet/port.hpp"

struct rte_eth_conf;
struct rte_eth_dev_info;

namespace sluice::drivers {

/// True if the port hashes TCP flows over its queues at all.
bool has_rss(const rte_eth_dev_info& info);

/// Writes into `conf` what a port with several queues is asked for: TCP's 4-tuple (the two
/// addresses where it knows no ports), the hash in received mbufs, and the first octets of `key`,
/// which must live as long as the port. A key shorter than the port's is not asked for.
void request_rss(const rte_eth_dev_info& info, std::span<const std::uint8_t> key,
                 rte_eth_conf& conf);

/// For ports that refuse what request_rss wrote.
void withdraw_rss(rte_eth_conf& conf);

struct RssRequest {
  std::uint16_t port_id = 0;
  std::uint16_t queues = 1;
  std::span<const std::uint8_t> key;  ///< Empty: the port's own stays.
};

/// Sets the RETA of a started port that was configured with `conf` to queue i % queues, and the key
/// if starting did not, then reads both back. What the port refuses is no error: only what it says
/// in the end counts.
packet::RssState establish_rss(const rte_eth_dev_info& info, const rte_eth_conf& conf,
                               const RssRequest& request);

}  // namespace sluice::drivers
