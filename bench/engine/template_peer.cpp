#include "bench/engine/template_peer.hpp"

#include <cstring>
#include <span>

#include "wire/ethernet.hpp"
#include "wire/ipv4.hpp"

namespace sluice::bench {

rte_mbuf* make_frame(rte_mempool& pool, Ipv4Addr source, const wire::TcpHeader& tcp,
                     std::uint32_t payload) {
  rte_mbuf* const frame = rte_pktmbuf_alloc(&pool);
  if (frame == nullptr) rte_panic("bench: the pool is dry: something leaks\n");
  std::byte* const start = rte_pktmbuf_mtod(frame, std::byte*);
  std::byte* const ip_start = start + wire::kEthernetHeader;
  std::byte* const tcp_start = ip_start + wire::kIpv4MinHeader;
  const std::size_t tcp_length = wire::emit_tcp(tcp, {tcp_start, wire::kTcpMaxHeader});
  wire::Ipv4Header ip{.source = source, .destination = kServer, .ttl = 64};
  ip.protocol = wire::ip_protocol::kTcp;
  ip.dont_fragment = true;
  ip.total_length = static_cast<std::uint16_t>(wire::kIpv4MinHeader + tcp_length + payload);
  wire::emit_ipv4(ip, {ip_start, wire::kIpv4MinHeader});
  wire::emit_ethernet(
      {.destination = kServerMac, .source = kClientMac, .ether_type = wire::ether_type::kIpv4},
      {start, wire::kEthernetHeader});
  std::memset(tcp_start + tcp_length, 'x', payload);
  frame->data_len = static_cast<std::uint16_t>(wire::kEthernetHeader + ip.total_length);
  frame->pkt_len = frame->data_len;
  frame->ol_flags = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
  return frame;
}

rte_mbuf* TemplatePeer::segment(const PeerConnection& connection, std::uint8_t flags,
                                std::uint32_t payload) {
  wire::TcpHeader tcp;
  tcp.source = connection.port;
  tcp.destination = server_port_;
  tcp.seq = connection.seq;
  tcp.ack = connection.ack;
  tcp.flags = flags;
  tcp.window = 65535;
  tcp.options.has_timestamps = true;
  tcp.options.ts_val = connection.ts_val;
  tcp.options.ts_ecr = connection.ts_ecr;
  if (flags & wire::kSyn) {
    tcp.options.has_mss = tcp.options.has_sack_permitted = tcp.options.has_window_scale = true;
    tcp.options.mss = 1460;
    tcp.options.window_scale = 7;
  }
  return make_frame(pool_, kClient, tcp, payload);
}

std::uint32_t TemplatePeer::absorb(std::vector<rte_mbuf*>& frames, PeerConnection& connection) {
  std::uint32_t received = 0;
  for (rte_mbuf* const frame : frames) {
    const std::byte* const start = rte_pktmbuf_mtod(frame, const std::byte*);
    const std::span<const std::byte> first(start, frame->data_len);
    const auto ethernet = wire::parse_ethernet(first);
    wire::TcpHeader tcp;
    if (ethernet && ethernet->ether_type == wire::ether_type::kIpv4 &&
        wire::parse_tcp(first.subspan(wire::kEthernetHeader + wire::kIpv4MinHeader), tcp).ok &&
        tcp.destination == connection.port) {
      const auto headers = static_cast<std::uint32_t>(wire::kEthernetHeader + wire::kIpv4MinHeader +
                                                      tcp.header_length);
      const std::uint32_t payload = frame->pkt_len - headers;
      received += payload;
      connection.ack = tcp.seq + payload + (tcp.has(wire::kSyn | wire::kFin) ? 1u : 0u);
      connection.ts_ecr = tcp.options.ts_val;
    }
    rte_pktmbuf_free(frame);
  }
  frames.clear();
  return received;
}

}  // namespace sluice::bench
