#include "tests/fuzz/api_world.hpp"

#include <rte_mbuf.h>

#include <algorithm>

#include "tcp/invariants.hpp"
#include "wire/ethernet.hpp"
#include "wire/ipv4.hpp"
#include "wire/tcp.hpp"

namespace sluice::fuzz {
namespace {

constexpr MacAddr mac_of(unsigned host) {
  return MacAddr{{0x02, 0, 0, 0, 0, static_cast<std::uint8_t>(host + 1)}};
}

HashKey key(unsigned value) {
  HashKey made;
  made.octets.fill(static_cast<decltype(made.octets)::value_type>(value));
  return made;
}

bool has_payload(std::span<const std::byte> frame) {
  const auto ip = wire::parse_ipv4(frame.subspan(wire::kEthernetHeader));
  if (!ip || ip->protocol != wire::ip_protocol::kTcp) return false;
  wire::TcpHeader tcp;
  const auto segment =
      frame.subspan(wire::kEthernetHeader + ip->header_length, ip->payload_length());
  return wire::parse_tcp(segment, tcp).ok && segment.size() > tcp.header_length;
}

/// Small tables and short limits, so that they are reached.
tcp::EngineConfig make_engine_config(std::uint8_t sizes, std::uint8_t options) {
  tcp::EngineConfig tcp;
  tcp.max_connections = 8;
  tcp.max_half_open = 6;
  tcp.max_accept_queue = 3;
  tcp.max_time_wait = 4;
  tcp.max_listeners = 3;
  tcp.max_in_flight = 6;
  tcp.recorder_events = (options & 0x80) != 0 ? 64 : 0;
  constexpr std::array kBuffers = {1u << 13, 2048u, 1u << 16, 1u << 12};
  tcp.receive_buffer_bytes = kBuffers[sizes & 3];
  tcp.receive_buffer_max_bytes = (sizes & 4) != 0 ? 1u << 18 : 0;
  tcp.receive_growth_bytes = 1u << 18;
  tcp.send_buffer_bytes = kBuffers[sizes >> 3 & 3];
  tcp.send_buffer_max_bytes = (sizes & 0x20) != 0 ? 1u << 17 : 0;
  tcp.copy_break_bytes = (sizes & 0x40) != 0 ? 0 : 64;
  tcp.max_orphans = (sizes & 0x80) != 0 ? 1 : 6;
  tcp.reassembly_segments = 16;
  tcp.reassembly_worker_segments = 24;
  tcp.timestamps = (options & 1) == 0;
  tcp.sack = (options & 2) == 0;
  tcp.window_scaling = (options & 4) == 0;
  tcp.congestion = static_cast<tcp::Algorithm>(options >> 3 & 3);
  tcp.ecn = (options & 0x20) != 0 ? tcp::EcnMode::kOffer : tcp::EcnMode::kAccept;
  tcp.pacing = (options & 0x40) != 0;
  tcp.syn_retries = tcp.syn_ack_retries = 2;
  tcp.keepalive_idle = Duration::from_s(20);
  tcp.keepalive_interval = Duration::from_s(5);
  tcp.keepalive_count = 2;
  tcp.user_timeout = Duration::from_s(30);
  tcp.fin_wait_2 = Duration::from_s(5);
  return tcp;
}

}  // namespace

ApiWorld::ApiWorld(ApiPools& pools, std::span<const std::uint8_t, kConfigOctets> config)
    : now_(Instant::from_ns(1'000'000'000 + (config[3] & 0x80) * 1'000'000'000'000)),
      rng_(config[4]) {
  constexpr std::array<std::uint32_t, 4> kLost = {0, 6, 40, 90};
  constexpr std::array<std::int64_t, 4> kDelay = {0, 1, 20, 200};
  weather_ = {.lost = kLost[config[3] & 3],
              .doubled = (config[3] & 4) != 0 ? 20u : 0u,
              .marked = (config[3] & 8) != 0 ? 60u : 0u,
              .delay = Duration::from_ms(kDelay[config[3] >> 4 & 3]),
              .jitter = Duration::from_ms((config[3] & 0x40) != 0 ? 15 : 0)};
  for (unsigned host = 0; host < kApiHosts; ++host) {
    hosts_[host].pools = pools[host].get();
    make_host(host, config);
  }
}

void ApiWorld::make_host(unsigned host, std::span<const std::uint8_t, kConfigOctets> config) {
  stack::StackConfig made;
  stack::InterfaceConfig interface;
  interface.addresses = {Prefix{api_address(host), 24}};
  interface.neighbors = {{api_address(1 - host), mac_of(1 - host)}};
  made.interfaces = {interface};
  made.max_neighbors = 8;
  made.max_routes = 4;
  made.receive_low_watermark_pkts = (config[2] & 1) != 0 ? 16 : 0;
  made.tcp = make_engine_config(config[host], config[2]);
  std::vector<telemetry::SectionPlan> sections;
  stack::Stack::plan_state(made, 0, sections);
  Host& self = hosts_[host];
  self.region =
      std::make_unique<telemetry::StateRegion>(telemetry::StateRegion::anonymous(sections));
  self.stack = std::make_unique<stack::Stack>(
      made,
      stack::StackDeps{.region = *self.region,
                       .pools = self.pools->pools(),
                       .secrets = {key(1), key(2 + host), key(5 + host), key(7)},
                       .seed = host},
      now_);
  self.port = self.stack->attach({.tx_multi_segment = host == 0}, mac_of(host), 0);
  self.stack->advance(now_);
}

ApiWorld::~ApiWorld() {
  for (Host& host : hosts_) host.stack.reset();
}

// --- the link ---

bool ApiWorld::transmit(unsigned from) {
  std::array<rte_mbuf*, 32> frames;
  Host& host = hosts_[from];
  const std::size_t count = host.stack->transmit(host.port, frames, now_);
  for (rte_mbuf* const frame : std::span(frames).first(count)) {
    support::Octets octets = support::octets_of(*frame);
    rte_pktmbuf_free(frame);
    if (has_payload(octets)) ++payload_frames_;
    const bool is_doubled = rng_.chance(weather_.doubled, 256);
    if (is_doubled) put_on_link(1 - from, octets);
    if (!rng_.chance(weather_.lost, 256)) put_on_link(1 - from, std::move(octets));
  }
  return count > 0;
}

void ApiWorld::put_on_link(unsigned to, support::Octets frame) {
  if (rng_.chance(weather_.marked, 256)) mark_congestion(frame);
  Instant at = now_ + weather_.delay;
  if (weather_.jitter > Duration::zero())
    at = at + Duration::from_ns(static_cast<std::int64_t>(
                  rng_.below(static_cast<std::uint64_t>(weather_.jitter.ns()))));
  flying_.emplace(std::pair(at, frames_++), Frame{to, std::move(frame)});
}

/// CE, if the packet is ECN-capable (RFC 3168 5).
void ApiWorld::mark_congestion(support::Octets& frame) const {
  const auto ip = std::span(frame).subspan(wire::kEthernetHeader, wire::kIpv4MinHeader);
  if (frame[12] != std::byte{0x08} || frame[13] != std::byte{0}) return;
  if ((ip[1] & std::byte{3}) == std::byte{0}) return;
  ip[1] |= std::byte{3};
  wire::set_ipv4_checksum(ip);
}

void ApiWorld::deliver_due() {
  while (!flying_.empty() && flying_.begin()->first.first <= now_) {
    const Frame frame = std::move(flying_.begin()->second);
    flying_.erase(flying_.begin());
    Host& host = hosts_[frame.to];
    if (is_dry(frame.to)) continue;  // no buffer in the NIC's ring: the frame is lost
    rte_mbuf* mbuf = support::make_packet(host.pools->receive(), frame.octets).release();
    host.stack->receive(host.port, std::span(&mbuf, 1), now_);
  }
}

bool ApiWorld::is_dry(unsigned host) const {
  return rte_mempool_avail_count(&hosts_[host].pools->receive()) == 0;
}

// --- time ---

void ApiWorld::settle() {
  constexpr int kMostRounds = 500, kLastRounds = 50;
  std::uint64_t payload_frames = 0;
  for (int round = 0;; ++round) {
    bool is_busy = false;
    ++rounds_;
    deliver_due();
    for (unsigned host = 0; host < kApiHosts; ++host) {
      hosts_[host].stack->advance(now_);
      if (transmit(host)) is_busy = true;
      if (hosts_[host].stack->has_work()) is_busy = true;
      hosts_[host].stack->publish(now_);
    }
    if (!flying_.empty() && flying_.begin()->first.first <= now_) is_busy = true;
    if (!is_busy) break;
    // Work that cannot be done for want of buffers stays, and two echoes on a link without delay
    // talk for ever; any other work ends.
    if (round == kMostRounds - kLastRounds) payload_frames = payload_frames_;
    if (round < kMostRounds) continue;
    const bool is_starved = std::any_of(hosts_.begin(), hosts_.end(), [](const Host& host) {
      return rte_mempool_avail_count(&host.pools->receive()) == 0 ||
             rte_mempool_avail_count(&host.pools->control()) == 0 ||
             rte_mempool_avail_count(&host.pools->indirect()) == 0;
    });
    SLUICE_ASSERT(is_starved || payload_frames_ > payload_frames);
    break;
  }
  check();
}

Instant ApiWorld::next_event() const {
  Instant next = flying_.empty() ? Instant::never() : flying_.begin()->first.first;
  for (const Host& host : hosts_) next = std::min(next, host.stack->next_deadline());
  return next;
}

void ApiWorld::run_for(Duration span, unsigned most_steps) {
  const Instant until = now_ + span;
  settle();
  // Echoes that talk for ever take all turns they are given, and teach nothing new by them.
  const std::uint64_t last_round = rounds_ + 2'000;
  for (; most_steps > 0 && next_event() <= until; --most_steps) {
    if (rounds_ > last_round) return;
    now_ = std::max(next_event(), now_ + kTickLength);  // what is overdue waits for buffers
    settle();
  }
  if (most_steps == 0) return;
  now_ = std::max(now_, until);
  settle();
}

void ApiWorld::begin_ending() {
  is_ending_ = true;
  weather_.lost = weather_.doubled = weather_.marked = 0;
}

void ApiWorld::end() {
  begin_ending();
  for (End& end : ends_) static_cast<void>(end.stream.abort());
  for (int round = 0; round < 100; ++round) {
    bool is_drained = true;
    for (Host& host : hosts_) {
      static_cast<void>(host.stack->reset_all(now_));
      is_drained = is_drained && host.stack->is_drained();
    }
    run_for(Duration::from_ms(1), 100);
    if (is_drained) break;
  }
  for (int minutes = 0; minutes < 5; ++minutes) run_for(Duration::from_s(60), 10'000);
  for (unsigned host = 0; host < kApiHosts; ++host) {
    tcp::Context& ctx = stack(host).impl().engine.context();
    SLUICE_ASSERT(tcp::check_empty(ctx));
    SLUICE_ASSERT(ctx.tcbs.used() == 0 && ctx.flows.size() == 0 && ctx.time_wait4.in_use() == 0);
    SLUICE_ASSERT(!stack(host).has_work() && stack(host).is_drained());
    SLUICE_ASSERT(hosts_[host].pools->mbufs_out() == 0);
  }
  for (const End& end : ends_) SLUICE_ASSERT(end.stream.is_stale());
}

void ApiWorld::check() const {
  for (const Host& host : hosts_) {
    tcp::Context& ctx = host.stack->impl().engine.context();
    for (std::uint32_t index = 0; index < ctx.tcbs.high_water(); ++index)
      SLUICE_ASSERT(tcp::check_tcb(ctx, index));
  }
}

// --- the books ---

End& ApiWorld::end_of(unsigned host, Stream stream) {
  const auto [at, is_new] = by_handle_.try_emplace({host, stream.handle()}, ends_.size());
  if (!is_new) return ends_[at->second];
  End& made = ends_.emplace_back();
  made.host = host;
  made.stream = stream;
  const auto info = stream.info();
  SLUICE_ASSERT(info.has_value());
  made.local = info->local;
  made.remote = info->remote;
  by_tuple_.emplace(Tuple(host, made.local, made.remote), at->second);
  return made;
}

/// The other end, if there is no doubt which one that is: nobody has used the ports again.
const End* ApiWorld::peer_of(const End& end) const {
  const Tuple ours(end.host, end.local, end.remote), others(1 - end.host, end.remote, end.local);
  if (by_tuple_.count(ours) != 1 || by_tuple_.count(others) != 1) return nullptr;
  return &ends_[by_tuple_.find(others)->second];
}

void ApiWorld::note_sent(End& end, std::span<const std::byte> octets) {
  end.sent.insert(end.sent.end(), octets.begin(), octets.end());
}

void ApiWorld::judge_offered(const End& end, const RxData& data) const {
  const End* const peer = peer_of(end);
  if (peer == nullptr) return;
  std::size_t at = end.received;
  SLUICE_ASSERT(at + data.size() <= peer->sent.size());
  data.for_each([&](std::span<const std::byte> run) {
    SLUICE_ASSERT(
        std::equal(run.begin(), run.end(), peer->sent.begin() + static_cast<std::ptrdiff_t>(at)));
    at += run.size();
  });
  SLUICE_ASSERT(at == end.received + data.size());
}

void ApiWorld::judge_peer_closed(const End& end) const {
  const End* const peer = peer_of(end);
  SLUICE_ASSERT(peer == nullptr || end.received + end.offered == peer->sent.size());
}

void ApiWorld::judge_info(const End& end, const StreamInfo& info) const {
  SLUICE_ASSERT(info.local == end.local && info.remote == end.remote);
  SLUICE_ASSERT(info.bytes_acked + info.send_queued_bytes <= end.sent.size());
  SLUICE_ASSERT(info.bytes_received >= end.received);
  const End* const peer = peer_of(end);
  if (peer != nullptr) SLUICE_ASSERT(info.bytes_received <= peer->sent.size());
}

bool ApiWorld::destroy_handler(const StreamHandler* handler) {
  const auto at = std::find_if(handlers_.begin(), handlers_.end(),
                               [&](const auto& owned) { return owned.get() == handler; });
  if (at == handlers_.end()) return false;
  handlers_.erase(at);
  return true;
}

}  // namespace sluice::fuzz
