#pragma once

// Which worker a frame belongs to, when there are several. Flows are spread by the port (RSS); what
// concerns all workers is handed on: an ARP reply reaches one queue, but every worker may wait for
// it.

#include <span>
#include <string>
#include <vector>

#include "packet/port.hpp"
#include "runtime/mailbox.hpp"

struct rte_mbuf;
struct rte_mempool;

namespace sluice::runtime {

/// Why `workers` cannot share this port, in a line with the mend; empty if they can.
std::string steering_problem(const std::string& device, const packet::PortCapabilities& port,
                             unsigned workers);

/// An ARP reply: what every worker's neighbour table may wait for.
bool concerns_all_workers(const rte_mbuf& frame);

/// A worker's ends of the mailboxes, all borrowed: `in[i]` from worker i, `out[i]` to it; null for
/// itself.
struct Exchange {
  std::vector<Mailbox*> in;
  std::vector<Mailbox*> out;
  rte_mempool* pool = nullptr;  ///< For the copies.

  bool is_alone() const { return out.size() < 2; }
  /// Sends copies of what concerns all. A full mailbox or an empty pool loses the copy, which ARP's
  /// own retries mend.
  void hand_on(std::span<rte_mbuf* const> frames, unsigned port);
};

}  // namespace sluice::runtime
