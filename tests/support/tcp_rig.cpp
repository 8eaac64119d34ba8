#include "tests/support/tcp_rig.hpp"

#include <array>

#include "base/assert.hpp"
#include "tcp/handshake/isn.hpp"
#include "tcp/invariants.hpp"
#include "tcp/user_calls.hpp"

namespace sluice::support {
namespace {

telemetry::StateRegion make_region(const tcp::EngineConfig& config) {
  std::vector<telemetry::SectionPlan> plan;
  tcp::Engine::plan_state(config, 0, plan);
  return telemetry::StateRegion::anonymous(plan);
}

HashKey key_of(std::uint8_t fill) {
  HashKey key;
  key.octets.fill(fill);
  return key;
}

}  // namespace

TestPools& shared_pools() {
  // Never destroyed: EAL's memory goes with the process.
  static auto* const pools = new TestPools({.receive = 2048, .control = 1024, .indirect = 1024});
  return *pools;
}

tcp::Keys rig_keys() {
  return {key_of(1), key_of(2), key_of(3), key_of(4)};
}

Instant time_of_iss(const tcp::FlowKey& flow, wire::SeqNum iss) {
  const wire::SeqNum at_zero = tcp::initial_sequence_number(
      tcp::flow_hash(rig_keys().first_numbers, flow), Instant::from_ns(0));
  const std::uint64_t clock = wire::seq_distance(at_zero, iss);
  // One turn of the ISN clock later, for a test may look back in time.
  return Instant::from_ns(static_cast<std::int64_t>((clock + (std::uint64_t{1} << 32)) * 4'000));
}

tcp::EngineConfig TcpRig::small_config() {
  tcp::EngineConfig config;
  config.receive_buffer_max_bytes = config.send_buffer_max_bytes = 0;  // of fixed size
  config.congestion = tcp::Algorithm::kNewReno;  // its windows can be told in advance
  config.max_connections = 64;
  config.max_half_open = 64;
  config.max_accept_queue = 32;
  config.max_time_wait = 16;
  config.max_listeners = 4;
  config.max_in_flight = 64;
  config.recorder_events = 64;
  config.receive_buffer_bytes = 128 * 1024;
  config.send_buffer_bytes = 128 * 1024;
  config.quick_acks = 0;
  return config;
}

TcpRig::TcpRig(const tcp::EngineConfig& config, Instant start, TestPools& pools,
               const tcp::Keys& keys)
    : pools_(pools), region_(make_region(config)), now_(start) {
  engine_ = std::make_unique<tcp::Engine>(config,
                                          tcp::EngineDeps{.region = region_,
                                                          .worker = 0,
                                                          .pools = pools.pools(),
                                                          .paths = path_,
                                                          .keys = keys,
                                                          .seed = 1},
                                          start);
}

TcpRig::~TcpRig() = default;

std::vector<std::byte> octets_of_segment(const tcp::FlowKey& flow, const PeerSegment& segment) {
  wire::TcpHeader header;
  header.source = flow.remote_port;
  header.destination = flow.local_port;
  header.seq = segment.seq;
  header.ack = segment.ack;
  header.flags = segment.flags;
  header.window = segment.window;
  header.urgent_pointer = segment.urgent;
  header.options = segment.options;
  std::vector<std::byte> octets(wire::tcp_header_length(header));
  wire::emit_tcp(header, octets);
  octets.insert(octets.end(), segment.payload.begin(), segment.payload.end());
  return octets;
}

bool TcpRig::receive(const tcp::FlowKey& flow, const PeerSegment& segment) {
  return receive_octets(flow, octets_of_segment(flow, segment));
}

void TcpRig::receive_burst(const tcp::FlowKey& flow, const std::vector<PeerSegment>& segments) {
  std::vector<tcp::InboundSegment> burst;
  for (const PeerSegment& segment : segments)
    burst.push_back(
        {make_packet(pools_.receive(), octets_of_segment(flow, segment)), flow.remote, flow.local});
  engine_->receive(burst, now_);
  settle();
}

bool TcpRig::receive_octets(const tcp::FlowKey& flow, std::span<const std::byte> octets,
                            std::uint8_t ecn) {
  if (rte_mempool_avail_count(&pools_.receive()) == 0) return false;
  tcp::InboundSegment inbound{make_packet(pools_.receive(), octets), flow.remote, flow.local, ecn};
  engine_->receive({&inbound, 1}, now_);
  settle();
  return true;
}

void TcpRig::settle() {
  collect();
  tell();
  collect();
}

void TcpRig::run_until(Instant target) {
  while (now_ < target) {
    const Instant next = engine_->next_deadline();
    // A deadline that has come already is being worked on, or waits for mbufs: a tick on.
    now_ = std::min(target, next <= now_ ? now_ + kTickLength : next);
    engine_->advance(now_);
    settle();
  }
}

bool TcpRig::run_to(const std::function<bool()>& is_enough, Duration limit) {
  const Instant end = now_ + limit;
  while (now_ < end && !is_enough()) {
    sent_.clear();
    told_.clear();
    const Instant next = engine_->next_deadline();
    now_ = std::min(end, next <= now_ ? now_ + kTickLength : next);
    engine_->advance(now_);
    settle();
  }
  return is_enough();
}

void TcpRig::collect() {
  std::array<tcp::OutboundSegment, 64> out;
  for (;;) {
    const auto filled = engine_->transmit(out, now_);
    const std::size_t before = sent_.size();
    for (std::size_t i = 0; i < filled.packets; ++i) {
      see(out[i]);
      out[i] = {};
    }
    SLUICE_ASSERT(sent_.size() - before == filled.segments);
    if (filled.segments < out.size()) break;
  }
  engine_->context().publish();
}

/// Notes a segment, or those of a train: cut with no cunning, as a port that can would do.
void TcpRig::see(const tcp::OutboundSegment& out) {
  const std::vector<std::byte> octets = octets_of(*out.packet);
  SentSegment seen;
  const auto parsed = wire::parse_tcp(octets, seen.header);
  SLUICE_ASSERT(parsed.ok && !parsed.malformed_options);
  const std::size_t header = seen.header.header_length;
  seen.flow = {out.source, out.destination, seen.header.source, seen.header.destination};
  seen.at = now_;
  seen.ecn = out.traffic_class & 3;
  seen.options.assign(octets.begin() + wire::kTcpMinHeader,
                      octets.begin() + static_cast<std::ptrdiff_t>(header));
  std::span<const std::byte> payload = std::span(octets).subspan(header);
  const std::size_t size = out.packet->tso_segsz;
  SLUICE_ASSERT(out.packet->l4_len == header && (size == 0 || payload.size() % size == 0));
  const std::uint8_t flags = seen.header.flags;
  while (size != 0 && payload.size() > size) {
    seen.header.flags = static_cast<std::uint8_t>(flags & ~(wire::kPsh | wire::kFin));
    seen.payload.assign(payload.begin(), payload.begin() + static_cast<std::ptrdiff_t>(size));
    sent_.push_back(seen);
    seen.header.seq += static_cast<std::uint32_t>(size);
    payload = payload.subspan(size);
    ++trained_;
  }
  seen.header.flags = flags;
  seen.payload.assign(payload.begin(), payload.end());
  sent_.push_back(std::move(seen));
}

/// As stack::Stack delivers events, without handlers.
void TcpRig::tell() {
  tcp::Context& context = ctx();
  for (std::uint32_t count = context.events.size(); count > 0; --count) {
    const std::uint32_t index = context.events.pop();
    tcp::Tcb& block = context.touch(index);
    block.clear(tcp::kEventPending);
    const std::uint8_t mask = std::exchange(block.event_mask, std::uint8_t{0});
    told_.push_back({index, mask, static_cast<CloseReason>(block.close_reason)});
    if (mask & app::kClosed) {
      if (context.has_unread(block) && !block.has(tcp::kClosedDelivered)) {
        block.event_mask = app::kClosed;
        continue;
      }
      block.set(tcp::kClosedDelivered);
    }
    context.release_if_done(index);
  }
  context.publish();
}

tcp::Tcb* TcpRig::find(const tcp::FlowKey& flow) {
  const tcp::FlowRef ref = ctx().find_flow(flow, ctx().hash_of(flow));
  if (ref.is_none() || ref.kind() != tcp::FlowRef::kConnection) return nullptr;
  return &ctx().tcb(ref.index());
}

void TcpRig::require_clean() {
  tcp::Context& context = ctx();
  for (std::uint32_t index = 0; index < context.tcbs.high_water(); ++index) {
    tcp::Tcb& block = context.tcb(index);
    const bool is_live = block.state != tcp::State::kClosed || block.has(tcp::kDetached);
    if (is_live && !block.has(tcp::kClosedDelivered))
      static_cast<void>(tcp::abort(context, tcp::handle_of(context, index), CloseReason::kAborted));
  }
  settle();
  for (std::uint16_t index = 0; index < context.listeners.size(); ++index)
    if (context.listeners[index].is_open)
      static_cast<void>(tcp::close_listener(context, {index, context.listeners[index].generation}));
  settle();
  run_for(context.config.time_wait * 2 + Duration::from_s(1));
  SLUICE_ASSERT(tcp::check_empty(context));
  SLUICE_ASSERT(context.tcbs.used() == 0 && context.flows.size() == 0);
  SLUICE_ASSERT(context.time_wait4.in_use() == 0 && !engine_->has_output());
  engine_.reset();
}

// --- the peer ---

TcpPeer::TcpPeer(TcpRig& rig, const Options& options)
    : nxt(options.iss),
      window(options.window),
      rig_(rig),
      options_(options),
      flow_{rig.path().source, Ipv4Addr::from_octets(10, 0, 0, 1), options.local_port,
            options.remote_port} {}

std::uint32_t TcpPeer::ts_now() const {
  return static_cast<std::uint32_t>(rig_.now().ns() / 1'000'000) + 0xfffffff0u + ts_skew;
}

wire::TcpOptions TcpPeer::syn_options() const {
  wire::TcpOptions syn;
  syn.has_mss = true;
  syn.mss = options_.mss;
  syn.has_sack_permitted = options_.sack;
  if (options_.window_scale) {
    syn.has_window_scale = true;
    syn.window_scale = *options_.window_scale;
  }
  syn.has_timestamps = options_.timestamps;
  syn.ts_val = ts_now();
  syn.ts_ecr = ts_echo_;
  return syn;
}

PeerSegment TcpPeer::segment(std::uint8_t flags, std::size_t payload) const {
  PeerSegment segment;
  segment.flags = flags;
  segment.seq = nxt;
  segment.ack = una;
  segment.window = window;
  segment.payload = pattern(payload, wire::seq_distance(options_.iss + 1, nxt));
  if (flags & wire::kSyn) {
    segment.options = syn_options();
  } else if (options_.timestamps) {
    segment.options.has_timestamps = true;
    segment.options.ts_val = ts_now();
    segment.options.ts_ecr = ts_echo_;
  }
  return segment;
}

void TcpPeer::send(std::uint8_t flags, std::size_t payload) {
  const PeerSegment next = segment(flags, payload);
  nxt += static_cast<std::uint32_t>(payload) + ((flags & wire::kSyn) ? 1u : 0u) +
         ((flags & wire::kFin) ? 1u : 0u);
  give(next);
}

std::vector<SentSegment> TcpPeer::read() {
  std::vector<SentSegment> segments = rig_.take_sent();
  for (const SentSegment& segment : segments) {
    if (segment.has(wire::kSyn)) una = segment.header.seq;
    if (segment.header.seq == una || wire::seq_lt(segment.header.seq, una))
      una = wire::seq_max(una, segment.end());
    if (segment.header.options.has_timestamps) ts_echo_ = segment.header.options.ts_val;
  }
  return segments;
}

void TcpPeer::send_syn() {
  nxt = options_.iss;
  send(wire::kSyn);
}

void TcpPeer::connect() {
  send_syn();
  const auto answer = read();
  SLUICE_ASSERT(answer.size() == 1 && answer[0].has(wire::kSyn) && answer[0].has(wire::kAck));
  acknowledge();
}

}  // namespace sluice::support
