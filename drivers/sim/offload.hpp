#pragma once

// The checksum offloads of a simulated port: what a NIC's hardware would do to a frame.

#include <cstddef>
#include <cstdint>
#include <span>

#include "packet/port.hpp"

namespace sluice::drivers {

/// Writes the checksums that `mbuf`'s flags ask for to `frame`, its octets in one run. Asserts that
/// the port has what is asked for, and that l2_len and l3_len lie in the frame.
void fill_checksums(const rte_mbuf& mbuf, const packet::PortCapabilities& capabilities,
                    std::span<std::byte> frame);

/// The RTE_MBUF_F_RX_*_CKSUM_* flags of a received frame: good, bad, or unknown (0) for what is no
/// well-formed, untagged, unfragmented IPv4 packet.
std::uint64_t received_checksum_flags(std::span<const std::byte> frame);

}  // namespace sluice::drivers
