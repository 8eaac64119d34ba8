#include "bench/wire/spoofed_syn.hpp"

#include <cstring>

#include "wire/byte_order.hpp"
#include "wire/checksum.hpp"
#include "wire/ethernet.hpp"
#include "wire/ipv4.hpp"
#include "wire/tcp.hpp"

namespace sluice::bench {
namespace {

// Offsets in the frame (RFC 791 3.1, RFC 9293 3.1).
constexpr std::size_t kIp = wire::kEthernetHeader;
constexpr std::size_t kIpChecksum = kIp + 10;
constexpr std::size_t kIpSource = kIp + 12;
constexpr std::size_t kTcp = kIp + wire::kIpv4MinHeader;
constexpr std::size_t kTcpSeq = kTcp + 4;
constexpr std::size_t kTcpChecksum = kTcp + 16;

/// The sum that a checksum is the complement of.
std::uint32_t sum_of(const wire::Checksum& checksum) {
  return static_cast<std::uint16_t>(~checksum.finish());
}
std::uint32_t words_of(std::uint32_t value) {
  return (value >> 16) + (value & 0xffff);
}
std::uint16_t complement(std::uint32_t sum) {
  sum = words_of(sum);
  return static_cast<std::uint16_t>(~words_of(sum));
}

}  // namespace

SpoofedSyn::SpoofedSyn(const Target& target) {
  const std::span frame(frame_);
  wire::emit_ethernet({.destination = target.destination_mac,
                       .source = target.source_mac,
                       .ether_type = wire::ether_type::kIpv4},
                      frame);
  wire::TcpHeader tcp;
  tcp.destination = target.port;
  tcp.flags = wire::kSyn;
  tcp.window = 64240;
  tcp.options.has_mss = tcp.options.has_sack_permitted = tcp.options.has_timestamps = true;
  tcp.options.has_window_scale = true;
  tcp.options.mss = 1460;
  tcp.options.window_scale = 7;
  tcp.options.ts_val = 1;
  const std::size_t tcp_length = wire::emit_tcp(tcp, frame.subspan(kTcp));
  wire::Ipv4Header ip{.destination = target.address, .protocol = wire::ip_protocol::kTcp};
  ip.ttl = 57;  // From somewhere behind the gateway.
  ip.dont_fragment = true;
  ip.total_length = static_cast<std::uint16_t>(wire::kIpv4MinHeader + tcp_length);
  wire::emit_ipv4(ip, frame.subspan(kIp));
  size_ = kTcp + tcp_length;

  wire::Checksum of_ip;
  of_ip.add(frame.subspan(kIp, wire::kIpv4MinHeader));
  ip_sum_ = sum_of(of_ip);
  wire::Checksum of_tcp;
  of_tcp.add_pseudo_header(Ipv4Addr{}, target.address, wire::ip_protocol::kTcp,
                           static_cast<std::uint32_t>(tcp_length));
  of_tcp.add(frame.subspan(kTcp, tcp_length));
  tcp_sum_ = sum_of(of_tcp);
}

void SpoofedSyn::stamp(Rng& rng, std::span<std::byte> out) const {
  const auto source = static_cast<std::uint32_t>(kSpoofedFirst + rng.below(kSpoofedCount));
  const std::uint64_t drawn = rng.next();
  const auto seq = static_cast<std::uint32_t>(drawn);
  const auto port = static_cast<std::uint16_t>(1024 + (drawn >> 32) % 64512);
  std::memcpy(out.data(), frame_.data(), size_);
  wire::store_be32(&out[kIpSource], source);
  wire::store_be16(&out[kIpChecksum], complement(ip_sum_ + words_of(source)));
  wire::store_be16(&out[kTcp], port);
  wire::store_be32(&out[kTcpSeq], seq);
  wire::store_be16(&out[kTcpChecksum],
                   complement(tcp_sum_ + words_of(source) + port + words_of(seq)));
}

}  // namespace sluice::bench
