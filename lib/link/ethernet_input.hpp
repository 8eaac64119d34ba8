#pragma once

// The first look at a received frame.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.hpp"
#include "telemetry/metrics.hpp"
#include "wire/ethernet.hpp"

namespace sluice::link {

/// Who gets a frame's payload.
enum class NetworkProtocol : std::uint8_t { kArp, kIpv4 };

/// How a frame was addressed on the link.
enum class Delivery : std::uint8_t { kUnicast, kBroadcast };

/// A frame that somebody here receives.
struct ReceivedFrame {
  NetworkProtocol protocol = NetworkProtocol::kIpv4;
  Delivery delivery = Delivery::kUnicast;
  std::uint8_t header_length = wire::kEthernetHeader;  ///< Octets to take off, a tag included.
  MacAddr source;
};

/// Classifies the frame whose first octets are `frame`, received by a port with address `ours`.
/// The error arm is the frame's outcome. A priority tag (VLAN id 0, IEEE 802.1Q 9.6) is as no tag;
/// interfaces have no VLANs, so that any other tag is refused.
Result<ReceivedFrame, telemetry::Outcome> classify_frame(std::span<const std::byte> frame,
                                                         const MacAddr& ours);

}  // namespace sluice::link
