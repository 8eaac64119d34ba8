#include "bench/engine/crowd.hpp"

#include <cstring>

#include "wire/byte_order.hpp"
#include "wire/ethernet.hpp"
#include "wire/ipv4.hpp"

namespace sluice::bench {
namespace {

using wire::load_be16;
using wire::load_be32;
using wire::store_be16;
using wire::store_be32;

constexpr std::uint32_t kFirstAddress = 0x64400000;  // 100.64.0.0
constexpr std::uint16_t kFirstPort = 10'000;
constexpr std::size_t kIp = wire::kEthernetHeader;
constexpr std::size_t kTcp = kIp + wire::kIpv4MinHeader;

std::vector<std::byte> headers_of(rte_mempool& pool, Port server_port, std::uint8_t flags) {
  wire::TcpHeader tcp;
  tcp.destination = server_port;
  tcp.flags = flags;
  tcp.window = 65535;
  tcp.options.has_timestamps = true;
  if (flags & wire::kSyn) {
    tcp.options.has_mss = tcp.options.has_sack_permitted = tcp.options.has_window_scale = true;
    tcp.options.mss = 1460;
    tcp.options.window_scale = 7;
  }
  rte_mbuf* const frame = make_frame(pool, Ipv4Addr{kFirstAddress}, tcp, 0);
  const auto* const start = rte_pktmbuf_mtod(frame, const std::byte*);
  std::vector<std::byte> octets(start, start + frame->data_len);
  rte_pktmbuf_free(frame);
  return octets;
}

/// Where the timestamps lie: emit_tcp() puts them behind MSS and SACK-permitted in a SYN, behind
/// two NOPs elsewhere.
constexpr std::size_t kSynTimestamps = kTcp + wire::kTcpMinHeader + 4 + 2 + 2;
constexpr std::size_t kTimestamps = kTcp + wire::kTcpMinHeader + 2 + 2;

}  // namespace

Crowd::Crowd(rte_mempool& pool, Port server_port, std::uint32_t size)
    : pool_(pool),
      syn_(headers_of(pool, server_port, wire::kSyn)),
      rest_(headers_of(pool, server_port, wire::kAck)),
      clients_(size) {}

rte_mbuf* Crowd::segment(std::uint32_t index, std::uint8_t flags, std::uint32_t payload) {
  Client& client = clients_[index];
  const bool is_syn = (flags & wire::kSyn) != 0;
  if (is_syn) {
    client = {.seq = client.seq + 100'000, .ack = 0, .ts_ecr = 0};
    ++ts_val_;
  }
  rte_mbuf* const frame = rte_pktmbuf_alloc(&pool_);
  if (frame == nullptr) rte_panic("bench: the pool is dry: something leaks\n");
  const std::vector<std::byte>& headers = is_syn ? syn_ : rest_;
  std::byte* const at = rte_pktmbuf_mtod(frame, std::byte*);
  std::memcpy(at, headers.data(), headers.size());
  std::memset(at + headers.size(), 'x', payload);
  const std::size_t length = headers.size() + payload;
  store_be16(at + kIp + 2, static_cast<std::uint16_t>(length - kIp));
  store_be32(at + kIp + 12, kFirstAddress + index / kPortsEach);
  store_be16(at + kTcp, static_cast<std::uint16_t>(kFirstPort + index % kPortsEach));
  store_be32(at + kTcp + 4, client.seq);
  store_be32(at + kTcp + 8, client.ack);
  wire::store_u8(at + kTcp + 13, flags);
  std::byte* const timestamps = at + (is_syn ? kSynTimestamps : kTimestamps);
  store_be32(timestamps, ts_val_);
  store_be32(timestamps + 4, client.ts_ecr);
  client.seq += payload + ((flags & (wire::kSyn | wire::kFin)) ? 1u : 0u);
  frame->data_len = static_cast<std::uint16_t>(length);
  frame->pkt_len = static_cast<std::uint32_t>(length);
  frame->ol_flags = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
  return frame;
}

std::uint32_t Crowd::client_of(const rte_mbuf& frame) {
  const auto* const at = rte_pktmbuf_mtod(&frame, const std::byte*);
  const std::uint32_t address = load_be32(at + kIp + 16);
  const std::uint16_t port = load_be16(at + kTcp + 2);
  return (address - kFirstAddress) * kPortsEach + (port - kFirstPort);
}

std::uint8_t Crowd::flags_of(const rte_mbuf& frame) {
  return wire::load_u8(rte_pktmbuf_mtod(&frame, const std::byte*) + kTcp + 13);
}

Answers Crowd::absorb(std::vector<rte_mbuf*>& frames) {
  Answers answers;
  for (rte_mbuf* const frame : frames) {
    const auto* const at = rte_pktmbuf_mtod(frame, const std::byte*);
    const std::uint8_t flags = flags_of(*frame);
    const std::uint32_t client_index = client_of(*frame);
    if (client_index >= clients_.size()) rte_panic("bench: a frame to nobody\n");
    Client& client = clients_[client_index];
    const std::size_t header = std::size_t{wire::load_u8(at + kTcp + 12)} >> 4 << 2;
    const auto payload = static_cast<std::uint32_t>(frame->pkt_len - kTcp - header);
    ++answers.segments;
    answers.payload += payload;
    if (flags & wire::kRst) {
      ++answers.resets;
    } else {
      client.ack =
          load_be32(at + kTcp + 4) + payload + ((flags & (wire::kSyn | wire::kFin)) ? 1u : 0u);
      client.ts_ecr = load_be32(at + ((flags & wire::kSyn) ? kSynTimestamps : kTimestamps));
    }
  }
  if (!frames.empty()) rte_pktmbuf_free_bulk(frames.data(), static_cast<unsigned>(frames.size()));
  frames.clear();
  return answers;
}

}  // namespace sluice::bench
