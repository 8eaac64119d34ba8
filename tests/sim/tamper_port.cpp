#include "tests/sim/tamper_port.hpp"

#include <rte_mbuf.h>

#include "packet/packet.hpp"
#include "wire/byte_order.hpp"
#include "wire/ethernet.hpp"
#include "wire/ipv4.hpp"
#include "wire/tcp.hpp"

namespace sluice::sim {
namespace {

constexpr std::size_t kChecksumOffset = 16;

/// Flips a bit of the first whole word of payload. False if the frame has none.
bool tamper(std::span<std::byte> frame) {
  const auto ethernet = wire::parse_ethernet(frame);
  if (!ethernet || ethernet->ether_type != wire::ether_type::kIpv4) return false;
  const auto packet = frame.subspan(ethernet->length());
  const auto ip = wire::parse_ipv4(packet);
  if (!ip || ip->protocol != wire::ip_protocol::kTcp) return false;
  const auto segment = packet.subspan(ip->header_length, ip->payload_length());
  wire::TcpHeader tcp;
  if (!wire::parse_tcp(segment, tcp).ok || segment.size() < tcp.header_length + 2u) return false;
  std::byte* const word = segment.data() + tcp.header_length;
  const std::uint16_t before = wire::load_be16(word);
  const auto after = static_cast<std::uint16_t>(before ^ 0x0100);
  wire::store_be16(word, after);
  // RFC 1624: HC' = ~(~HC + ~m + m')
  std::byte* const field = segment.data() + kChecksumOffset;
  std::uint32_t sum = static_cast<std::uint16_t>(~wire::load_be16(field));
  sum += static_cast<std::uint16_t>(~before);
  sum += after;
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  wire::store_be16(field, static_cast<std::uint16_t>(~sum));
  return true;
}

}  // namespace

std::uint16_t TamperPort::rx_burst(std::span<rte_mbuf*> out, Instant now) {
  const std::uint16_t count = inner_.rx_burst(out, now);
  for (std::uint16_t i = 0; i < count && left_ > 0; ++i)
    if (left_ > 1 ? out[i]->data_len > 200 : tamper(packet::first_segment(*out[i]))) --left_;
  return count;
}

}  // namespace sluice::sim
