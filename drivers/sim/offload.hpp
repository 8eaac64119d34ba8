#pragma once

// The checksum offloads of a simulated port: what a NIC's hardware would do to a frame.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "packet/port.hpp"

namespace sluice::drivers {

/// Writes the checksums that `mbuf`'s flags ask for to `frame`, its octets in one run. Asserts that
/// the port has what is asked for, and that l2_len and l3_len lie in the frame.
void fill_checksums(const rte_mbuf& mbuf, const packet::PortCapabilities& capabilities,
                    std::span<std::byte> frame);

/// The frames that a port with TSO makes of `train`, an mbuf with RTE_MBUF_F_TX_TCP_SEG whose
/// octets in one run are `octets`: headers of their own with checksums, IPv4 identifications that
/// count up, PSH and FIN on the last only. Asserts that all is set that hardware needs, the pseudo
/// header's sum without a length among it.
std::vector<std::vector<std::byte>> cut_train(const rte_mbuf& train,
                                              const packet::PortCapabilities& capabilities,
                                              std::span<const std::byte> octets);

/// The RTE_MBUF_F_RX_*_CKSUM_* flags of a received frame: good, bad, or unknown (0) for what is no
/// well-formed, untagged, unfragmented IPv4 packet.
std::uint64_t received_checksum_flags(std::span<const std::byte> frame);

}  // namespace sluice::drivers
