#include "ip/ipv4_input.hpp"

namespace sluice::ip {
namespace {

using telemetry::Outcome;

Outcome outcome_of(wire::Ipv4ParseError error) {
  switch (error) {
    case wire::Ipv4ParseError::kVersion:
      return Outcome::kIpVersion;
    case wire::Ipv4ParseError::kHeaderLength:
      return Outcome::kIpHeaderLength;
    case wire::Ipv4ParseError::kTruncated:
      return Outcome::kIpTruncated;
  }
  return Outcome::kIpTruncated;
}

bool is_checksum_right(std::span<const std::byte> header, HardwareChecksum hardware) {
  return hardware == HardwareChecksum::kGood || wire::is_ipv4_checksum_right(header);
}

/// A source must name one host, and another than us.
//= rfc1122#3.2.1.3 MUST
bool is_possible_source(AddressKind kind) {
  return kind == AddressKind::kUnicast;
}

}  // namespace

Result<Arrival, Outcome> accept_ipv4(std::span<const std::byte> octets, const InputContext& context,
                                     const AddressTable& addresses) {
  const auto header = wire::parse_ipv4(octets, context.packet_length);
  if (!header) return fail(outcome_of(header.error()));
  //= rfc1122#3.2.1.2 MUST
  if (!is_checksum_right(octets.first(header->header_length), context.checksum))
    return fail(Outcome::kIpChecksum);
  if (!is_possible_source(addresses.classify(context.interface, header->source)))
    return fail(Outcome::kIpMartianSource);

  const AddressKind destination = addresses.classify(context.interface, header->destination);
  switch (destination) {
    case AddressKind::kOurs:
      //= rfc1122#3.3.6 SHOULD
      // A unicast packet in a link broadcast is somebody's mistake, or worse.
      if (context.is_link_broadcast) return fail(Outcome::kIpMartianDestination);
      break;
    case AddressKind::kSubnetBroadcast:
    case AddressKind::kLimitedBroadcast:
      break;
    case AddressKind::kMartian:
      return fail(Outcome::kIpMartianDestination);
    case AddressKind::kOtherInterface:  // The strong model of RFC 1122 3.3.4.2.
    case AddressKind::kMulticast:
    case AddressKind::kUnicast:
      return fail(Outcome::kIpNotForUs);
  }

  //= rfc9293#3.9.2 MUST-50  what is neither malformed nor a source route is passed over
  if (header->options == wire::Ipv4Options::kMalformed) return fail(Outcome::kIpOptionMalformed);
  if (header->options == wire::Ipv4Options::kSourceRoute) return fail(Outcome::kIpSourceRouted);
  return Arrival{*header, destination, context.is_link_broadcast};
}

}  // namespace sluice::ip
