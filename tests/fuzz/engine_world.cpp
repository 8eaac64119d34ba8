#include "tests/fuzz/engine_world.hpp"

#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <new>
#include <numeric>

#include "tcp/invariants.hpp"
#include "tests/support/packet_builder.hpp"

namespace sluice::fuzz {
namespace {

constexpr std::size_t kMaxOwnOctets = 4096;

class AppFactory final : public HandlerFactory {
 public:
  explicit AppFactory(World& world) : world_(world) {}
  std::size_t object_size() const override { return sizeof(App); }
  std::size_t object_alignment() const override { return alignof(App); }
  StreamHandler* construct(void* memory) override { return ::new (memory) App(world_); }

 private:
  World& world_;
};

stack::StackConfig make_config(std::span<const std::uint8_t, World::kConfigOctets> bits) {
  const auto is_set = [&](unsigned octet, unsigned bit) { return (bits[octet] >> bit & 1) != 0; };
  stack::StackConfig config;
  stack::InterfaceConfig interface;
  interface.addresses = {Prefix{kOurAddress, 24}};
  for (const std::uint8_t host : std::array<std::uint8_t, 3>{1, 3, 4})
    interface.neighbors.push_back({Ipv4Addr::from_octets(10, 0, 0, host), kPeerMac});
  config.interfaces = {interface};
  config.max_neighbors = 8;
  config.max_routes = 4;
  config.neighbor_queue_packets = 2;
  config.neighbor_pending_total = 4;
  config.receive_low_watermark_pkts = is_set(0, 0) ? 16 : 0;

  tcp::EngineConfig& tcp = config.tcp;
  tcp.max_connections = 6;
  tcp.max_half_open = 4;
  tcp.max_accept_queue = 3;
  tcp.max_time_wait = 3;
  tcp.max_listeners = 4;
  tcp.max_in_flight = 4;
  tcp.recorder_events = is_set(0, 1) ? 64 : 0;
  constexpr std::array kReceiveBuffers = {2048u, 8192u, 1u << 20, 1u << 16};
  tcp.receive_buffer_bytes = kReceiveBuffers[bits[0] >> 2 & 3];
  tcp.send_buffer_bytes = is_set(0, 4) ? 1u << 16 : 4096;
  tcp.reassembly_segments = 4;
  tcp.reassembly_worker_segments = 6;
  tcp.copy_break_bytes = is_set(0, 5) ? 0 : 64;
  tcp.timestamps = !is_set(0, 6);
  tcp.sack = !is_set(0, 7);
  tcp.window_scaling = !is_set(1, 0);
  tcp.keepalive = is_set(1, 1);
  tcp.keepalive_idle = Duration::from_s(20);
  tcp.keepalive_interval = Duration::from_s(5);
  tcp.keepalive_count = 2;
  tcp.nodelay = is_set(1, 2);
  tcp.quick_acks = is_set(1, 3) ? 0 : 2;
  tcp.max_mss = is_set(1, 4) ? 100 : 0;
  tcp.initial_window_segments = is_set(1, 5) ? 1 : 10;
  tcp.max_orphans = is_set(1, 6) ? 1 : 6;
  tcp.syn_retries = tcp.syn_ack_retries = 2;
  tcp.user_timeout = Duration::from_s(30);
  tcp.fin_wait_2 = Duration::from_s(5);
  constexpr std::array kAlgorithms = {tcp::Algorithm::kCubic, tcp::Algorithm::kNewReno,
                                      tcp::Algorithm::kDctcp, tcp::Algorithm::kBbr};
  tcp.congestion = kAlgorithms[bits[2] >> 2 & 3];
  tcp.ecn = is_set(2, 4) ? tcp::EcnMode::kOffer : tcp::EcnMode::kAccept;
  tcp.pacing = is_set(2, 5);
  tcp.send_buffer_max_bytes = is_set(2, 6) ? 1u << 17 : 0;
  tcp.receive_buffer_max_bytes = is_set(2, 6) ? 1u << 18 : 0;
  return config;
}

HashKey key(std::uint8_t value) {
  HashKey made;
  made.octets.fill(static_cast<decltype(made.octets)::value_type>(value));
  return made;
}

/// Starts near the wraps of the tick, the timestamp and the sequence clock, or anywhere else.
Instant make_start(std::uint8_t choice) {
  constexpr std::int64_t kMs = 1'000'000;
  switch (choice & 3) {
    case 0:
      return Instant::from_ns(1'000 * kMs);
    case 1:
      return Instant::from_ns((std::int64_t{1} << 32) * kMs - 500 * kMs);
    case 2:
      return Instant::from_ns((std::int64_t{1} << 31) * kMs - 500 * kMs);
    default:
      return Instant::from_ns((std::int64_t{1} << 32) * 4'000 - choice * kMs);
  }
}

}  // namespace

World::World(FuzzPools& pools, std::span<const std::uint8_t, kConfigOctets> config,
             std::span<const std::uint8_t, kScriptOctets> script)
    : pools_(pools), now_(make_start(config[2])) {
  std::copy(script.begin(), script.end(), script_.begin());
  const stack::StackConfig made = make_config(config);
  std::vector<telemetry::SectionPlan> sections;
  stack::Stack::plan_state(made, 0, sections);
  region_ = std::make_unique<telemetry::StateRegion>(telemetry::StateRegion::anonymous(sections));
  stack_ = std::make_unique<stack::Stack>(
      made,
      stack::StackDeps{.region = *region_,
                       .pools = pools.worker.pools(),
                       .secrets = {key(1), key(config[3]), key(4), key(5)},
                       .seed = 5,
                       .worker = 0},
      now_);
  const packet::PortCapabilities port{.tx_multi_segment = (config[1] & 0x80) == 0};
  port_ = stack_->attach(port, kOurMac, 0);
  stack_->advance(now_);
  listen(kPushPort);
  listen(kPullPort);
}

World::~World() {
  give_back();
  for (RxData& data : kept_) data = RxData{};
  stack_.reset();
}

void World::listen(Port port) {
  const ListenOptions options{
      .port = port, .syn_backlog = 3, .accept_backlog = 2, .trace = (script_[0] & 1) != 0};
  const auto made = port == kPushPort
                        ? worker().listen(options, std::make_unique<AppFactory>(*this))
                        : worker().listen(options, *this);
  if (made) listeners_[port == kPushPort ? 0 : 1] = *made;
}

// --- steps ---

void World::receive(std::span<const std::vector<std::byte>> frame_segments) {
  if (rte_mempool_avail_count(pools_.nic.get()) < frame_segments.size()) return;
  rte_mbuf* frame = support::make_packet(*pools_.nic, frame_segments).release();
  stack_->receive(port_, std::span(&frame, 1), now_);
  ++received_;
}

void World::advance(Duration by) {
  now_ = now_ + by;
  stack_->advance(now_);
}

void World::transmit(std::size_t room) {
  std::array<rte_mbuf*, 64> frames;
  room = std::min(room, frames.size());
  const bool is_fresh = is_egress_empty_;
  const std::size_t count = stack_->transmit(port_, std::span(frames).first(room), now_);
  SLUICE_ASSERT(count <= room);
  is_egress_empty_ = count < room;
  for (rte_mbuf* const frame : std::span(frames).first(count)) {
    judge_sent(*frame, is_fresh);
    rte_pktmbuf_free(frame);
  }
}

void World::settle() {
  // Without mbufs there may be work that cannot be done.
  constexpr int kMostRounds = 1000;
  int round = 0;
  do {
    stack_->advance(now_);
    transmit(64);
    SLUICE_ASSERT(++round < kMostRounds || !withheld_.empty());
    // A SYN that went out late may have its deadline behind it: that is due at once, but not for
    // ever.
  } while ((stack_->has_work() || stack_->next_deadline() <= now_) && round < kMostRounds);
  stack_->publish(now_);
}

void World::withhold(rte_mempool& pool) {
  while (rte_mbuf* const mbuf = rte_pktmbuf_alloc(&pool)) withheld_.push_back(mbuf);
}

void World::give_back() {
  for (rte_mbuf* const mbuf : withheld_) rte_pktmbuf_free(mbuf);
  withheld_.clear();
}

void World::walk(Instant until, unsigned most_steps) {
  for (unsigned step = 0; step < most_steps; ++step) {
    settle();
    check();
    const Instant next = stack_->next_deadline();
    if (next > until) break;
    SLUICE_ASSERT(next > now_);
    now_ = next;
  }
  if (now_ < until && stack_->next_deadline() > until) now_ = until;
  settle();
  check();
}

void World::fall_silent() {
  give_back();
  const Instant until = now_ + Duration::from_s(1000);
  walk(until, 600);
  if (now_ < until) return;
  tcp::Context& ctx = context();
  for (std::uint32_t index = 0; index < ctx.tcbs.high_water(); ++index) {
    const tcp::Tcb& block = ctx.tcb(index);
    if (block.state == tcp::State::kClosed || block.has(tcp::kDetached)) continue;
    // Whoever waits for a silent peer has given up: only the idle are left.
    SLUICE_ASSERT(tcp::is_synchronized(block.state));
    SLUICE_ASSERT(block.snd.una == block.snd.nxt || block.user_timeout != 0);
    SLUICE_ASSERT(!block.has(tcp::kOrphan) || block.user_timeout != 0);
  }
  SLUICE_ASSERT(ctx.half_opens.used() == 0);
}

void World::end() {
  is_ending_ = true;
  give_back();
  for (Listener& listener : listeners_) static_cast<void>(listener.close());
  static_cast<void>(stack_->reset_all(now_));
  for (RxData& data : kept_) data = RxData{};
  tcp::Context& ctx = context();
  for (std::uint32_t index = 0; index < ctx.tcbs.high_water(); ++index)  // kept for a reader
    if (ctx.tcb(index).has(tcp::kDetached))
      static_cast<void>(tcp::abort(ctx, tcp::handle_of(ctx, index), CloseReason::kAborted));
  walk(now_ + Duration::from_s(200), 1000);
  SLUICE_ASSERT(tcp::check_empty(ctx));
  SLUICE_ASSERT(ctx.tcbs.used() == 0 && ctx.v6_keys.used() == 0 && ctx.flows.size() == 0);
  SLUICE_ASSERT(ctx.time_wait4.in_use() == 0 && ctx.time_wait4.is_empty());
  SLUICE_ASSERT(!stack_->has_work());
  SLUICE_ASSERT(pools_.mbufs_out() == 0);
}

void World::check() {
  tcp::Context& ctx = context();
  std::uint32_t connected = 0, orphans = 0, reassembly = 0;
  for (std::uint32_t index = 0; index < ctx.tcbs.high_water(); ++index) {
    SLUICE_ASSERT(tcp::check_tcb(ctx, index));
    tcp::Tcb& block = ctx.tcb(index);
    if (const tcp::ReceiveRecord* const record = ctx.receive_record(block)) {
      reassembly += record->packets;
      SLUICE_ASSERT(record->packets <= ctx.config.reassembly_segments);
      for (std::uint8_t i = record->duplicates; i < record->sack_count; ++i)
        SLUICE_ASSERT(wire::seq_lt(record->sack[i].left, record->sack[i].right) &&
                      wire::seq_geq(record->sack[i].left, block.rcv.nxt));
    }
    if (block.state == tcp::State::kClosed || block.has(tcp::kDetached)) continue;
    ++connected;
    if (block.has(tcp::kOrphan)) ++orphans;
    // What we hold of a peer's octets stays within what it was offered, to a grain of the window.
    SLUICE_ASSERT(block.receive_charged <=
                  ctx.receive_buffer_of(block) + (2u << block.rcv_wscale()));
    const tcp::FlowKey flow = ctx.flow_of(block);
    SLUICE_ASSERT(ctx.find_flow(flow, ctx.hash_of(flow)) ==
                  tcp::FlowRef(tcp::FlowRef::kConnection, index));
  }
  SLUICE_ASSERT(connected == ctx.connections && orphans == ctx.orphans);
  SLUICE_ASSERT(reassembly == ctx.reassembly_segments);
  SLUICE_ASSERT(ctx.flows.size() == connected + ctx.half_opens.used() + ctx.time_wait4.in_use());

  std::uint32_t half_open = 0;
  for (std::uint16_t index = 0; index < ctx.listeners.size(); ++index) {
    const tcp::ListenerRecord& listener = ctx.listeners[index];
    if (!listener.is_open) continue;
    half_open += listener.half_open;
    SLUICE_ASSERT(listener.half_open <= 3 && listener.accept_queued <= 2);
    std::uint32_t waiting = 0, before = tcp::kNoIndex;
    for (std::uint32_t at = listener.accept_head; at != tcp::kNoIndex;
         before = at, at = ctx.tcb(at).next_event, ++waiting) {
      SLUICE_ASSERT(ctx.tcb(at).has(tcp::kWaitsAccept) && ctx.tcb(at).accept_prev == before);
      SLUICE_ASSERT(waiting < ctx.tcbs.high_water());
    }
    SLUICE_ASSERT(waiting == listener.accept_queued && before == listener.accept_tail);
  }
  SLUICE_ASSERT(half_open == ctx.half_opens.used());

  const auto& outcomes = stack_->metrics().outcomes;
  const std::uint64_t ended = std::accumulate(outcomes.begin(), outcomes.end(), std::uint64_t{0});
  SLUICE_ASSERT(ended == received_);  // every packet in one outcome
}

// --- judgement ---

bool World::is_echo(ConnHandle handle) const {
  return std::find(echoes_.begin(), echoes_.end(), handle) != echoes_.end();
}

/// `is_fresh`: made in this step, so that the TCB still is as the frame says.
void World::judge_sent(const rte_mbuf& frame, bool is_fresh) {
  const auto parsed = support::parse_frame(support::octets_of(frame));
  SLUICE_ASSERT(parsed.has_value());
  if (!parsed->ip) {
    SLUICE_ASSERT(parsed->arp.has_value());
    return;
  }
  SLUICE_ASSERT(parsed->is_ip_checksum_right && parsed->is_payload_checksum_right);
  SLUICE_ASSERT(parsed->ip->source == kOurAddress);
  if (!parsed->tcp || parsed->payload.empty() || !is_fresh) return;
  tcp::Context& ctx = context();
  const tcp::FlowKey flow{parsed->ip->source, parsed->ip->destination, parsed->tcp->source,
                          parsed->tcp->destination};
  const tcp::FlowRef ref = ctx.find_flow(flow, ctx.hash_of(flow));
  if (ref.is_none() || ref.kind() != tcp::FlowRef::kConnection ||
      is_echo(tcp::handle_of(ctx, ref.index())))
    return;
  const tcp::Tcb& block = ctx.tcb(ref.index());
  const auto ahead =
      static_cast<std::uint64_t>(std::int64_t{wire::seq_offset(block.snd.una, parsed->tcp->seq)});
  const std::uint64_t first = ctx.totals[ref.index()].bytes_acked + ahead;
  for (std::size_t i = 0; i < parsed->payload.size(); ++i)
    SLUICE_ASSERT(parsed->payload[i] == own_octet(first + i));
}

void World::judge_received(Stream stream, const RxData& data) {
  tcp::Context& ctx = context();
  const tcp::Tcb* const block = tcp::find_tcb(ctx, stream.handle());
  SLUICE_ASSERT(block != nullptr);
  // All that waits is given at once: it ends where RCV.NXT is, or the FIN before it.
  wire::SeqNum at = block->rcv.nxt - static_cast<std::uint32_t>(data.size()) -
                    (block->has(tcp::kFinReceived) ? 1u : 0u);
  data.for_each([&](std::span<const std::byte> octets) {
    for (const std::byte octet : octets) {
      SLUICE_ASSERT(is_tainted_ || octet == peer_octet(at));
      at += 1;
    }
#ifdef SLUICE_FUZZ_CANARY
    static_cast<void>(*const_cast<const volatile std::byte*>(octets.data() + octets.size()));
#endif
  });
}

// --- the application ---

void World::send(Stream stream, std::size_t count) {
  tcp::Context& ctx = context();
  const tcp::Tcb* const block = tcp::find_tcb(ctx, stream.handle());
  const tcp::TcbTotals& totals = ctx.totals[block == nullptr ? 0 : stream.handle().index];
  const std::uint64_t first = block == nullptr ? 0 : totals.bytes_acked + totals.send_queued;
  std::array<std::byte, kMaxOwnOctets> octets;
  count = std::min(count, octets.size());
  for (std::size_t i = 0; i < count; ++i) octets[i] = own_octet(first + i);
  const auto taken = stream.send(std::span<const std::byte>(octets).first(count));
  SLUICE_ASSERT(!taken || *taken <= count);
}

void World::echo(Stream stream, RxData& data) {
  if (!stream.is_stale() && !is_echo(stream.handle())) echoes_.push_back(stream.handle());
  const std::size_t before = data.size();
  const auto taken = stream.send(data);
  SLUICE_ASSERT(data.size() == before - (taken ? *taken : 0));
}

void World::on_acceptable(Listener listener) {
  const std::uint8_t how = next_script();
  for (unsigned count = is_ending_ ? 8 : how & 3; count > 0; --count) {
    const auto stream = listener.accept((how & 4) != 0 ? nullptr : &borrowed_);
    if (!stream) break;
    remember(*stream);
  }
  if ((how & 0xf8) == 0xf8) static_cast<void>(listener.close());
}

void App::on_open(Stream stream) {
  world_.remember(stream);
  const std::uint8_t how = world_.next_script();
  if (how & 1) world_.send(stream, how * 8u);
  if ((how & 0x0e) == 0x0e) static_cast<void>(stream.shutdown());
}

void App::on_data(Stream stream, RxData& data) {
  world_.judge_received(stream, data);
  if (world_.is_ending()) return data.consume(data.size());
  const std::uint8_t how = world_.next_script();
  switch (how & 15) {
    case 0:
    case 1:
    case 2:
      return data.consume(data.size());
    case 3:
      return data.consume(data.size() / 2 + 1);
    case 4:
      return;
    case 5:
    case 6:
      return world_.echo(stream, data);
    case 7:
      return world_.keep(std::move(data));
    case 8:
      return static_cast<void>(stream.close());
    case 9:
      return static_cast<void>(stream.abort());
    case 10:
      data.consume(data.size());
      return static_cast<void>(stream.close());
    case 11:
      if (this == &world_.borrowed()) return data.consume(data.size());  // again would be for ever
      return static_cast<void>(stream.set_handler(&world_.borrowed()));
    case 12:
      data.consume(data.size());
      return world_.send(stream, how * 16u);
    case 13:
      data.consume(1);
      return static_cast<void>(stream.pause_reading());
    case 14:
      return static_cast<void>(stream.shutdown());
    default:
      data.consume(data.size());
      return static_cast<void>(stream.set_timer(Duration::from_ms(how)));
  }
}

void App::on_peer_closed(Stream stream) {
  const std::uint8_t how = world_.next_script();
  if (how & 1) world_.send(stream, how * 8u);
  if ((how & 6) != 6) static_cast<void>(stream.close());
}

void App::on_writable(Stream stream) {
  world_.send(stream, world_.next_script() * 8u);
}

void App::on_urgent(Stream stream) {
  if ((world_.next_script() & 7) == 7) static_cast<void>(stream.abort());
}

void App::on_timer(Stream stream) {
  const std::uint8_t how = world_.next_script();
  if (how & 1) static_cast<void>(stream.close());
  if (how & 2) static_cast<void>(stream.resume_reading());
}

void App::on_closed(Stream stream, CloseReason) {
  const std::uint8_t how = world_.next_script();
  SLUICE_ASSERT(!stream.is_stale());
  if (how & 1) static_cast<void>(stream.read());
  if (how & 2) static_cast<void>(stream.abort());
  if ((how & 12) == 12 && !world_.is_ending())
    static_cast<void>(world_.worker().connect(
        {.remote = {Ipv4Addr::from_octets(10, 0, 0, 1), Port{80}}}, &world_.borrowed()));
}

}  // namespace sluice::fuzz
