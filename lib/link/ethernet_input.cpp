#include "link/ethernet_input.hpp"

namespace sluice::link {

using telemetry::Outcome;

Result<ReceivedFrame, Outcome> classify_frame(std::span<const std::byte> frame,
                                              const MacAddr& ours) {
  const auto header = wire::parse_ethernet(frame);
  if (!header) return fail(Outcome::kEthTruncated);
  if (header->source.is_multicast() || header->source.is_zero() || header->source == ours)
    return fail(Outcome::kEthSourceInvalid);

  const bool is_broadcast = header->destination == MacAddr::broadcast();
  if (!header->destination.is_multicast() && header->destination != ours)
    return fail(Outcome::kEthNotForUs);
  if (header->has_vlan && header->vlan_id() != 0) return fail(Outcome::kVlanUnknown);
  // No group of any protocol is joined here: what hosts must hear comes by unicast or broadcast.
  if (header->destination.is_multicast() && !is_broadcast) return fail(Outcome::kEthMulticast);

  ReceivedFrame received;
  received.delivery = is_broadcast ? Delivery::kBroadcast : Delivery::kUnicast;
  received.header_length = static_cast<std::uint8_t>(header->length());
  received.source = header->source;
  if (header->ether_type == wire::ether_type::kIpv4) {
    received.protocol = NetworkProtocol::kIpv4;
  } else if (header->ether_type == wire::ether_type::kArp) {
    received.protocol = NetworkProtocol::kArp;
  } else if (header->ether_type == wire::ether_type::kIpv6) {
    return fail(Outcome::kIpv6Unsupported);
  } else if (header->ether_type == wire::ether_type::kVlan) {
    return fail(Outcome::kVlanUnknown);
  } else {
    return fail(Outcome::kEthUnknownType);
  }
  return received;
}

}  // namespace sluice::link
