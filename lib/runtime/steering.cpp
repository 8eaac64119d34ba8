#include "runtime/steering.hpp"

#include <fmt/format.h>
#include <rte_arp.h>
#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_mbuf.h>

namespace sluice::runtime {

std::string steering_problem(const std::string& device, const packet::PortCapabilities& port,
                             unsigned workers) {
  if (workers <= 1 || port.rss_programmable) return {};
  return fmt::format(
      "device {}: cannot spread flows over {} workers (no programmable receive-side scaling): use "
      "--workers 1, or a NIC with RSS",
      device, workers);
}

bool concerns_all_workers(const rte_mbuf& frame) {
  if (frame.data_len < sizeof(rte_ether_hdr) + sizeof(rte_arp_hdr)) return false;
  const auto* ethernet = rte_pktmbuf_mtod(&frame, const rte_ether_hdr*);
  const auto* arp = rte_pktmbuf_mtod_offset(&frame, const rte_arp_hdr*, sizeof(rte_ether_hdr));
  return ethernet->ether_type == rte_cpu_to_be_16(RTE_ETHER_TYPE_ARP) &&
         arp->arp_opcode == rte_cpu_to_be_16(RTE_ARP_OP_REPLY);
}

void Exchange::hand_on(std::span<rte_mbuf* const> frames, unsigned port) {
  for (const rte_mbuf* frame : frames) {
    if (!concerns_all_workers(*frame)) continue;
    for (Mailbox* mailbox : out) {
      if (mailbox == nullptr) continue;
      rte_mbuf* const copy = rte_pktmbuf_copy(frame, pool, 0, UINT32_MAX);
      if (copy != nullptr && !mailbox->push(HandedFrame{copy, port})) rte_pktmbuf_free(copy);
    }
  }
}

}  // namespace sluice::runtime
