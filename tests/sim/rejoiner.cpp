#include "tests/sim/rejoiner.hpp"

#include <algorithm>

#include "wire/checksum.hpp"
#include "wire/ethernet.hpp"
#include "wire/ipv4.hpp"

namespace sluice::sim {

std::optional<std::vector<std::byte>> Rejoiner::on_arrived(unsigned to,
                                                           std::span<const std::byte> frame) {
  const auto ethernet = wire::parse_ethernet(frame);
  if (!ethernet || ethernet->ether_type != wire::ether_type::kIpv4) return std::nullopt;
  const auto packet = frame.subspan(ethernet->length());
  const auto ip = wire::parse_ipv4(packet);
  if (!ip || !ip->is_fragment() || ip->destination != Plan::kHost[to] ||
      wire::checksum(packet.first(ip->header_length)) != 0)
    return std::nullopt;
  Parts& parts = datagrams_[to][ip->identification];
  const auto part = packet.subspan(ip->header_length, ip->payload_length());
  parts.payload[ip->fragment_offset].assign(part.begin(), part.end());
  if (!ip->more_fragments) parts.length = ip->fragment_offset + part.size();
  if (!parts.length) return std::nullopt;

  std::vector<std::byte> payload;
  for (const auto& [offset, octets] : parts.payload)
    if (offset == payload.size()) payload.insert(payload.end(), octets.begin(), octets.end());
  if (payload.size() != *parts.length) return std::nullopt;
  datagrams_[to].erase(ip->identification);
  wire::Ipv4Header header = *ip;
  header.fragment_offset = 0;
  header.more_fragments = false;
  header.total_length = static_cast<std::uint16_t>(wire::kIpv4MinHeader + payload.size());
  const std::size_t link_header = ethernet->length();
  std::vector<std::byte> whole(link_header + wire::kIpv4MinHeader);
  std::copy_n(frame.begin(), link_header, whole.begin());
  const auto octets = std::span(whole).subspan(link_header);
  wire::emit_ipv4(header, octets);
  wire::set_ipv4_checksum(octets);
  whole.insert(whole.end(), payload.begin(), payload.end());
  return whole;
}

}  // namespace sluice::sim
