#include "ip/icmp.hpp"

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/assert.hpp"
#include "ip/ipv4_output.hpp"
#include "wire/byte_order.hpp"
#include "wire/checksum.hpp"

namespace sluice::ip {
namespace {

using telemetry::Counter;
using telemetry::Outcome;

std::optional<ErrorKind> kind_of_unreachable(std::uint8_t code) {
  switch (code) {
    case wire::icmp_unreachable::kNet:
    case wire::icmp_unreachable::kNetUnknown:
    case 11:  // Network unreachable for this type of service.
      return ErrorKind::kNetUnreachable;
    case wire::icmp_unreachable::kHost:
    case wire::icmp_unreachable::kSourceRouteFailed:  //= rfc1122#4.2.3.9 (a soft error)
    case wire::icmp_unreachable::kHostUnknown:
    case 8:   // Source host isolated.
    case 12:  // Host unreachable for this type of service.
      return ErrorKind::kHostUnreachable;
    case wire::icmp_unreachable::kProtocol:
      return ErrorKind::kProtocolUnreachable;
    case wire::icmp_unreachable::kPort:
      return ErrorKind::kPortUnreachable;
    case wire::icmp_unreachable::kFragmentationNeeded:
      return ErrorKind::kFragmentationNeeded;
    case wire::icmp_unreachable::kNetProhibited:
    case wire::icmp_unreachable::kHostProhibited:
    case wire::icmp_unreachable::kAdministrativelyProhibited:
      return ErrorKind::kProhibited;
    default:
      return std::nullopt;
  }
}

//= rfc9293#3.9.2.2 MUST-55
/// What a host's transport can make of an error; nothing for source quench (RFC 6633) and redirect.
//= rfc1122#3.2.2.2 exception: a redirect would let anybody on the link change our routes
std::optional<ErrorKind> kind_of(const wire::IcmpHeader& header) {
  switch (header.type) {
    case wire::icmp_type::kUnreachable:
      return kind_of_unreachable(header.code);
    case wire::icmp_type::kTimeExceeded:
      return ErrorKind::kTimeExceeded;
    case wire::icmp_type::kParameterProblem:
      return ErrorKind::kParameterProblem;
    default:
      return std::nullopt;
  }
}

bool is_for_us_alone(const Arrival& arrival) {
  return arrival.destination == AddressKind::kOurs && !arrival.is_link_broadcast;
}

}  // namespace

bool may_answer_with_error(const Arrival& arrival) {
  // Sources that are no single host were refused before, and fragments are put together; what
  // remains are broadcasts of either layer, and ICMP errors.
  return is_for_us_alone(arrival) && arrival.header.protocol != wire::ip_protocol::kIcmp &&
         !arrival.header.is_fragment();
}

IcmpResponder::Verdict IcmpResponder::on_message(rte_mbuf& packet, const Arrival& arrival,
                                                 const AddressTable& addresses, std::size_t most,
                                                 Instant now) {
  const std::span<std::byte> message = packet::first_segment(packet);
  const auto header = wire::parse_icmp(message);
  if (!header) return {Outcome::kIcmpTruncated, Action::kNone, {}};
  wire::Checksum sum;
  add_packet(sum, packet, 0);
  if (sum.finish() != 0) return {Outcome::kIcmpChecksum, Action::kNone, {}};
  if (!is_for_us_alone(arrival)) return {Outcome::kIcmpIgnored, Action::kNone, {}};
  if (header->type == wire::icmp_type::kEchoRequest && header->code == 0)
    return on_echo_request(packet, *header, most, now);

  const std::optional<ErrorKind> kind = kind_of(*header);
  if (!kind) return {Outcome::kIcmpIgnored, Action::kNone, {}};
  const auto quoted = wire::parse_icmp_quoted(message.subspan(wire::kIcmpHeader));
  if (!quoted) return {Outcome::kIcmpTruncated, Action::kNone, {}};
  const bool is_ours =
      quoted->protocol == wire::ip_protocol::kTcp && quoted->fragment_offset == 0 &&
      quoted->source == arrival.header.destination && addresses.is_ours(quoted->source);
  if (!is_ours) return {Outcome::kIcmpErrorUnmatched, Action::kNone, {}};
  const std::uint16_t mtu =
      *kind == ErrorKind::kFragmentationNeeded ? header->next_hop_mtu() : std::uint16_t{0};
  return {Outcome::kIcmpErrorDelivered, Action::kReport, {*kind, mtu, *quoted}};
}

//= rfc1122#3.2.2.6 MUST
//= rfc1122#3.2.2.6 exception: options of the request are not reflected
IcmpResponder::Verdict IcmpResponder::on_echo_request(rte_mbuf& packet,
                                                      const wire::IcmpHeader& header,
                                                      std::size_t most, Instant now) {
  if (!echo_bucket_.take(now)) return {Outcome::kIcmpEchoLimited, Action::kNone, {}};
  SLUICE_ASSERT(packet::is_exclusive(packet));
  // What came in fragments may be longer than what leaves without.
  if (packet.pkt_len > most) packet::trim_to(packet, static_cast<std::uint32_t>(most));
  const std::span<std::byte> message = packet::first_segment(packet);
  wire::emit_icmp(wire::IcmpHeader::echo_reply_to(header), message);
  wire::Checksum sum;
  add_packet(sum, packet, 0);
  constexpr std::size_t kChecksum = 2;
  wire::store_be16(message.data() + kChecksum, sum.finish());
  return {Outcome::kIcmpEchoAnswered, Action::kReply, {}};
}

packet::PacketPtr IcmpResponder::unreachable(std::uint8_t code, const rte_mbuf& offender,
                                             const Arrival& arrival, rte_mempool& pool,
                                             telemetry::Metrics& metrics, Instant now) {
  if (!may_answer_with_error(arrival)) return {};
  if (!error_bucket_.take(now)) {
    metrics.count(Counter::kIcmpLimited);
    return {};
  }
  const std::span<const std::byte> octets = packet::first_segment(offender);
  const std::size_t quote = std::min({octets.size(), std::size_t{arrival.header.total_length},
                                      arrival.header.header_length + wire::kIcmpQuotedPayload});
  packet::PacketPtr answer(rte_pktmbuf_alloc(&pool));
  const auto length = static_cast<std::uint16_t>(wire::kIcmpHeader + quote);
  if (!answer || packet::append(*answer, length) == nullptr) {
    metrics.count(Counter::kTxNoBuffer);
    return {};
  }
  const std::span<std::byte> message = packet::first_segment(*answer);
  wire::emit_icmp({wire::icmp_type::kUnreachable, code, 0, 0}, message);
  std::memcpy(message.data() + wire::kIcmpHeader, octets.data(), quote);
  wire::set_icmp_checksum(message);
  metrics.count(Counter::kIcmpSent);
  return answer;
}

}  // namespace sluice::ip
