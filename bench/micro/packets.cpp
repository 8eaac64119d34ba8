// What every packet pays: checksums, parsing, building, hashing. All in the nearest cache.

#include <benchmark/benchmark.h>

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "tcp/demux/flow_hash.hpp"
#include "wire/checksum.hpp"
#include "wire/ethernet.hpp"
#include "wire/ipv4.hpp"
#include "wire/plain_frame.hpp"
#include "wire/tcp.hpp"

namespace sluice::bench {
namespace {

constexpr Ipv4Addr kServer = Ipv4Addr::from_octets(10, 0, 0, 2);
constexpr Ipv4Addr kClient = Ipv4Addr::from_octets(11, 0, 0, 1);
constexpr MacAddr kServerMac{{0x02, 0, 0, 0, 0, 1}};
constexpr MacAddr kClientMac{{0x02, 0, 0, 0, 0, 2}};

wire::TcpHeader data_header() {
  wire::TcpHeader header;
  header.source = Port{40'000};
  header.destination = Port{80};
  header.seq = wire::SeqNum(1);
  header.ack = wire::SeqNum(2);
  header.flags = wire::kAck | wire::kPsh;
  header.window = 500;
  header.options.has_timestamps = true;
  header.options.ts_val = 7;
  header.options.ts_ecr = 8;
  return header;
}

wire::TcpHeader syn_header() {
  wire::TcpHeader header = data_header();
  header.flags = wire::kSyn;
  header.options.has_mss = header.options.has_sack_permitted = header.options.has_window_scale =
      true;
  header.options.mss = 1460;
  header.options.window_scale = 7;
  return header;
}

/// IP and TCP header of a segment; gives how long they are.
std::size_t emit(const wire::TcpHeader& tcp, std::size_t payload, std::span<std::byte> out) {
  const std::size_t length = wire::emit_tcp(tcp, out.subspan(wire::kIpv4MinHeader));
  wire::Ipv4Header ip;
  ip.source = kClient;
  ip.destination = kServer;
  ip.protocol = wire::ip_protocol::kTcp;
  ip.ttl = 64;
  ip.dont_fragment = true;
  ip.total_length = static_cast<std::uint16_t>(wire::kIpv4MinHeader + length + payload);
  wire::emit_ipv4(ip, out);
  return wire::kIpv4MinHeader + length;
}

void checksum(benchmark::State& state) {
  std::vector<std::byte> octets(static_cast<std::size_t>(state.range(0)), std::byte{0x5a});
  for (auto step : state) {
    static_cast<void>(step);
    benchmark::DoNotOptimize(octets.data());
    benchmark::ClobberMemory();
    benchmark::DoNotOptimize(wire::checksum(octets));
  }
  state.SetItemsProcessed(state.iterations());
}

/// Of a header whose pseudo header and payload are summed already.
void checksum_of_parts(benchmark::State& state) {
  std::vector<std::byte> header(wire::kTcpMaxHeader);
  header.resize(wire::emit_tcp(data_header(), header));
  const std::uint16_t payload = 0x1234;
  for (auto step : state) {
    static_cast<void>(step);
    benchmark::DoNotOptimize(header.data());
    benchmark::ClobberMemory();
    wire::Checksum sum;
    sum.add_pseudo_header(kClient, kServer, wire::ip_protocol::kTcp, 96);
    sum.add_u16(payload);
    sum.add(header);
    benchmark::DoNotOptimize(sum.finish());
  }
  state.SetItemsProcessed(state.iterations());
}

/// Does the frame take the short way?
void parse_plain(benchmark::State& state) {
  std::vector<std::byte> frame(wire::kEthernetHeader + 120);
  wire::emit_ethernet(
      {.destination = kServerMac, .source = kClientMac, .ether_type = wire::ether_type::kIpv4},
      frame);
  const std::size_t headers =
      emit(data_header(), 64, std::span(frame).subspan(wire::kEthernetHeader));
  frame.resize(wire::kEthernetHeader + headers + 64);
  const std::uint64_t ours = wire::mac_word(kServerMac);
  wire::PlainFrame plain;
  bool is_plain = true;
  for (auto step : state) {
    static_cast<void>(step);
    benchmark::DoNotOptimize(frame.data());
    benchmark::ClobberMemory();
    is_plain &= wire::parse_plain(frame, frame.size(), ours, plain);
    benchmark::DoNotOptimize(plain);
  }
  if (!is_plain) state.SkipWithError("the frame is not plain");
  state.SetItemsProcessed(state.iterations());
}

void parse_ipv4(benchmark::State& state) {
  std::vector<std::byte> packet(120);
  emit(data_header(), 64, packet);
  for (auto step : state) {
    static_cast<void>(step);
    benchmark::DoNotOptimize(packet.data());
    benchmark::ClobberMemory();
    auto header = wire::parse_ipv4(packet);
    benchmark::DoNotOptimize(header);
  }
  state.SetItemsProcessed(state.iterations());
}

void parse_tcp(benchmark::State& state, const wire::TcpHeader& given) {
  std::vector<std::byte> segment(wire::kTcpMaxHeader + 64);
  segment.resize(wire::emit_tcp(given, segment) + 64);
  wire::TcpHeader header;
  bool is_right = true;
  for (auto step : state) {
    static_cast<void>(step);
    benchmark::DoNotOptimize(segment.data());
    benchmark::ClobberMemory();
    is_right &= wire::parse_tcp(segment, header).ok;
    benchmark::DoNotOptimize(header);
  }
  if (!is_right || header.options.ts_val != given.options.ts_val)
    state.SkipWithError("the segment was misread");
  state.SetItemsProcessed(state.iterations());
}

/// IP and TCP header as a port without checksum offload wants them; the payload's sum is known.
void build_segment(benchmark::State& state) {
  const wire::TcpHeader header = data_header();
  std::byte out[wire::kIpv4MinHeader + wire::kTcpMaxHeader];
  for (auto step : state) {
    static_cast<void>(step);
    benchmark::DoNotOptimize(&header);
    const std::size_t length = emit(header, 64, out);
    wire::set_ipv4_checksum(std::span(out).first(wire::kIpv4MinHeader));
    const auto tcp = std::span(out).subspan(wire::kIpv4MinHeader, length - wire::kIpv4MinHeader);
    wire::Checksum sum;
    sum.add_pseudo_header(kClient, kServer, wire::ip_protocol::kTcp,
                          static_cast<std::uint32_t>(tcp.size() + 64));
    sum.add_u16(0x1234);
    sum.add(tcp);
    wire::set_tcp_checksum(tcp, sum.finish());
    benchmark::DoNotOptimize(out[0]);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations());
}

template <class Hash>
void hash(benchmark::State& state, tcp::FlowKey flow, Hash&& with) {
  HashKey key;
  key.octets.fill(3);
  for (auto step : state) {
    static_cast<void>(step);
    benchmark::DoNotOptimize(flow);
    benchmark::DoNotOptimize(with(key, flow));
  }
  state.SetItemsProcessed(state.iterations());
}

const int kRegistered = [] {
  benchmark::RegisterBenchmark("packet.checksum", checksum)->Arg(64)->Arg(1460);
  benchmark::RegisterBenchmark("packet.checksum_of_parts", checksum_of_parts);
  benchmark::RegisterBenchmark("packet.parse_plain_frame", parse_plain);
  benchmark::RegisterBenchmark("packet.parse_ipv4", parse_ipv4);
  benchmark::RegisterBenchmark("packet.parse_tcp_timestamps", parse_tcp, data_header());
  benchmark::RegisterBenchmark("packet.parse_tcp_syn", parse_tcp, syn_header());
  benchmark::RegisterBenchmark("packet.build_segment", build_segment);
  const tcp::FlowKey v4{kServer, kClient, Port{80}, Port{40'000}};
  std::array<std::uint8_t, 16> six{0x20, 0x01, 0x0d, 0xb8};
  const IpAddr one = IpAddr::from_v6_octets(six);
  six[15] = 1;
  const tcp::FlowKey v6{one, IpAddr::from_v6_octets(six), Port{80}, Port{40'000}};
  const auto flow_id = [](const HashKey& key, const tcp::FlowKey& flow) {
    return tcp::flow_id(key, flow);
  };
  const auto keyed_hash = [](const HashKey& key, const tcp::FlowKey& flow) {
    return tcp::flow_hash(key, flow);
  };
  const auto named = [](const char* name, const tcp::FlowKey& flow, auto with) {
    benchmark::RegisterBenchmark(name, [=](benchmark::State& state) { hash(state, flow, with); });
  };
  named("packet.hash_flow_id_v4", v4, flow_id);
  named("packet.hash_flow_id_v6", v6, flow_id);
  named("packet.hash_siphash24_v4", v4, keyed_hash);
  return 0;
}();

}  // namespace
}  // namespace sluice::bench

BENCHMARK_MAIN();
