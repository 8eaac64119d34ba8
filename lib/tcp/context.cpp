#include "tcp/context.hpp"

#include <algorithm>
#include <cstring>

#include "base/fetch_ahead.hpp"
#include "tcp/congestion/controller.hpp"
#include "tcp/demux/flow_hash.hpp"
#include "tcp/recovery/rexmit_queue.hpp"

namespace sluice::tcp {
namespace {

/// Connections whose timers caches hold, TCB and neighbours on the wheel.
constexpr std::uint32_t kMostLazyTimers = 4096;

constexpr std::uint32_t kControlCapacity = 1024;
// Labels of what the flow table's key gives others.
constexpr std::uint64_t kGateKey = 1;
constexpr std::uint64_t kResetKey = 2;
constexpr std::uint64_t kChallengeKey = 3;
constexpr std::uint32_t kPortCounters = 1024;

std::uint32_t table_size(const ContextDeps& deps) {
  for (const std::size_t count :
       {deps.tcbs.size(), deps.half_open.size(), deps.time_wait4.size(), deps.time_wait6.size()})
    SLUICE_ASSERT(count <= std::size_t{1} << FlowRef::kIndexBits);
  return static_cast<std::uint32_t>(deps.tcbs.size() + deps.half_open.size() +
                                    deps.time_wait4.size() + deps.time_wait6.size());
}

/// The hashes of what is in the flow table, which keeps but a part of each.
class FlowHashes {
 public:
  explicit FlowHashes(Context& ctx) : ctx_(ctx) {}
  std::uint64_t operator()(FlowRef ref) const { return ctx_.hash_of(flow_of(ref)); }
  void prefetch(FlowRef ref) const { ctx_.prefetch_key(ref); }

 private:
  FlowKey flow_of(FlowRef ref) const {
    if (ref.kind() == FlowRef::kConnection) return ctx_.flow_of(ctx_.tcbs[ref.index()]);
    if (ref.kind() == FlowRef::kHalfOpen) return ctx_.flow_of(ctx_.half_opens[ref.index()]);
    return ctx_.flow_of_time_wait(ref);
  }
  Context& ctx_;
};

template <class Record>
std::byte* memory_of(std::span<Record> records) {
  return reinterpret_cast<std::byte*>(records.data());
}

}  // namespace

ReceiveRecord::~ReceiveRecord() {
  while (first_packet != nullptr) {
    rte_mbuf* const packet = first_packet;
    first_packet = static_cast<ReassemblyNote*>(rte_mbuf_to_priv(packet))->next_packet;
    rte_pktmbuf_free(packet);
  }
}

Context::Context(const EngineConfig& engine_config, const ContextDeps& deps, Instant start)
    : config(engine_config),
      now(start),
      tick(tick_at(start)),
      metrics(deps.metrics),
      recorder(deps.recorder),
      pools(deps.pools),
      paths(deps.paths),
      keys(deps.keys),
      cookies(deps.keys.cookies, {config.cookie_to_wall,
                                  config.is_fleet ? config.cookie_clock_error : Duration::zero()}),
      // Each has one place: with few, the next cookies would push out one that is still valid.
      used_cookies(std::clamp(config.max_connections, 4096u, 65536u)),
      cookie_doubts(std::min(config.max_half_open, 4096u)),
      ended_flows(std::clamp(config.max_connections, 4096u, 65536u)),
      syn_ack_limit(config.syn_ack_prefix_limit, 4096, flow_hash(keys.ports, FlowKey{})),
      gate(deps.gate, deps.top_prefixes, derive_key(deps.keys.flow_table, kGateKey), start),
      rng(deps.seed),
      tcbs(deps.tcbs),
      totals(deps.totals),
      v6_keys(deps.v6_keys),
      half_opens(deps.half_open),
      time_wait4(deps.time_wait4),
      time_wait6(deps.time_wait6),
      listeners(deps.listeners),
      flows(table_size(deps)),
      sends(engine_config.max_in_flight),
      runs(RexmitQueue::kRunsPerConnection * engine_config.max_in_flight),
      receives(engine_config.max_in_flight),
      wheel(TcbTimerNodes{deps.tcbs.data()}, tick),
      half_open_wheel(HalfOpenTimerNodes{deps.half_open.data()}, tick),
      outputs(OutputLinks{deps.tcbs.data()}),
      events(EventLinks{deps.tcbs.data()}),
      control(kControlCapacity),
      reset_bucket(engine_config.reset_limit, derive_key(deps.keys.flow_table, kResetKey)),
      resets_sent(4096),
      challenge_bucket(engine_config.challenge_limit,
                       derive_key(deps.keys.flow_table, kChallengeKey)),
      port_counters(kPortCounters),
      us_(static_cast<std::uint32_t>(start.ns() / 1'000)),
      ns_into_tick_(static_cast<std::uint32_t>(start.ns() % kTickLength.ns())),
      tcb_memory_(memory_of(deps.tcbs), deps.tcbs.size_bytes()),
      total_memory_(memory_of(deps.totals), deps.totals.size_bytes()),
      time_wait_memory_(memory_of(deps.time_wait4), deps.time_wait4.size_bytes()) {
  touched_.reserve(tcbs.capacity());  // each at most once; pages come with use
  for (HalfOpen& entry : deps.half_open) entry.listener = ListenerHandle::kNone;
}

Context::~Context() {
  while (!control.is_empty()) control.pop();
  for (std::uint32_t index = 0; index < tcbs.high_water(); ++index) {
    Tcb& block = tcbs[index];
    drop_send_record(block);
    drop_receive_record(block);
  }
}

void Context::touch_first(std::uint32_t index) {
  Tcb& block = tcbs[index];
  block.version.begin_write();
  block.set(kTouched);
  touched_.push_back(index);
}

void Context::publish() {
  for (const std::uint32_t index : touched_) {
    Tcb& block = tcbs[index];
    if (is_armed(block, kTimerDelayedAck)) wheel.arm(index, widen_tick(tick, block.delayed_ack_at));
    // Of few connections one that has no timer any more stays on the wheel, for it will soon have
    // one again; of many it would be cold when the wheel comes by, and its neighbours are warm now.
    if (block.timers_armed == 0 && wheel.linked() > kMostLazyTimers) wheel.cancel(index);
    block.clear(kTouched);
    block.version.end_write();
  }
  touched_.clear();
  note_memory();
}

void Context::note_memory() {
  std::uint64_t faulted = flows.pages_faulted() - flow_pages_counted_;
  flow_pages_counted_ += faulted;
  faulted += sends.note_use() + runs.note_use() + receives.note_use();
  faulted += tcb_memory_.use(sizeof(Tcb) * tcbs.high_water()) +
             total_memory_.use(sizeof(TcbTotals) * tcbs.high_water()) +
             time_wait_memory_.use(sizeof(TimeWait4) * time_wait4.reached());
  if (faulted != 0) metrics.count(Counter::kPagesFaulted, faulted);
}

bool Context::add_flow(std::uint64_t hash, FlowRef ref) {
  return flows.insert(hash, ref, FlowHashes(*this));
}

FlowKey Context::flow_of(const Tcb& block) const {
  const Port local{block.key.local_port}, remote{block.key.remote_port};
  if (block.has(kIsV6)) {
    const V6Key& key = v6_keys[block.key.local];
    return {key.local, key.remote, local, remote};
  }
  return {Ipv4Addr{block.key.local}, Ipv4Addr{block.key.remote}, local, remote};
}

void Context::address(OutboundSegment& out, const Tcb& block) const {
  if (block.has(kIsV6)) {
    const V6Key& key = v6_keys[block.key.local];
    out.source = key.local;
    out.destination = key.remote;
  } else {
    out.source = Ipv4Addr{block.key.local};
    out.destination = Ipv4Addr{block.key.remote};
  }
}

FlowKey Context::flow_of(const HalfOpen& entry) const {
  return {entry.local, entry.remote, Port{entry.local_port}, Port{entry.remote_port}};
}

bool Context::has_flow(const Tcb& block, const FlowKey& flow) const {
  if (block.key.local_port != flow.local_port.value ||
      block.key.remote_port != flow.remote_port.value)
    return false;
  if (!block.has(kIsV6))
    return flow.is_v4() && block.key.local == flow.local.v4().value &&
           block.key.remote == flow.remote.v4().value;
  const V6Key& key = v6_keys[block.key.local];
  return key.local == flow.local && key.remote == flow.remote;
}

std::uint32_t Context::timestamp_offset_of(std::uint64_t flow_secret) const {
  // A fleet's clock is the wall's, or a cookie's TSval would mean nothing to another of its
  // servers.
  const auto fleet = static_cast<std::uint32_t>(config.cookie_to_wall.ns() / kTickLength.ns());
  //= rfc7323#7.1 SHLD-1
  return fleet + static_cast<std::uint32_t>(flow_secret >> 32);
}

FlowKey Context::flow_of_time_wait(FlowRef ref) {
  if (ref.kind() == FlowRef::kTimeWait4) {
    const CompactKey& key = time_wait4[ref.index()].key;
    return {Ipv4Addr{key.local}, Ipv4Addr{key.remote}, Port{key.local_port}, Port{key.remote_port}};
  }
  const TimeWait6& entry = time_wait6[ref.index()];
  return {entry.local, entry.remote, Port{entry.local_port}, Port{entry.remote_port}};
}

void Context::prefetch_key(FlowRef ref) const {
  switch (ref.kind()) {
    case FlowRef::kConnection:
      return fetch_ahead(&tcbs[ref.index()].key);
    case FlowRef::kHalfOpen:
      return fetch_ahead(&half_opens[ref.index()].local);
    case FlowRef::kTimeWait4:
      return fetch_ahead(&time_wait4[ref.index()].key);
    case FlowRef::kTimeWait6:
      return fetch_ahead(&time_wait6[ref.index()].local);
  }
}

bool Context::has_flow(FlowRef ref, const FlowKey& flow) {
  switch (ref.kind()) {
    case FlowRef::kConnection:
      return has_flow(tcbs[ref.index()], flow);
    case FlowRef::kHalfOpen:
      return flow_of(half_opens[ref.index()]) == flow;
    case FlowRef::kTimeWait4:
    case FlowRef::kTimeWait6:
      return flow_of_time_wait(ref) == flow;
  }
  return false;
}

std::uint32_t Context::make_tcb(const FlowKey& flow, std::uint64_t hash, FlowRef previous) {
  std::uint32_t v6 = kNoIndex;
  if (!flow.is_v4()) {
    v6 = v6_keys.take();
    if (v6 == kNoIndex) return kNoIndex;
    v6_keys[v6].local = flow.local;
    v6_keys[v6].remote = flow.remote;
  }
  const std::uint32_t index = tcbs.take();
  if (index == kNoIndex) {
    if (v6 != kNoIndex) v6_keys.release(v6);
    return kNoIndex;
  }
  const FlowRef ref(FlowRef::kConnection, index);
  if (!previous.is_none()) {
    flows.replace(hash, previous, ref);
  } else if (!add_flow(hash, ref)) {
    tcbs.release(index);
    if (v6 != kNoIndex) v6_keys.release(v6);
    return kNoIndex;
  }

  Tcb& block = tcbs[index];
  const std::uint32_t generation = block.generation + 1;
  touch(index);
  renew_record(block);
  block.flags = kTouched;
  block.generation = generation;
  if (v6 != kNoIndex) {
    block.set(kIsV6);
    block.key.local = v6;
  } else {
    block.key.local = flow.local.v4().value;
    block.key.remote = flow.remote.v4().value;
  }
  block.key.local_port = flow.local_port.value;
  block.key.remote_port = flow.remote_port.value;
  block.send_record = block.receive_record = kNoIndex;
  block.listener = ListenerHandle::kNone;
  //= rfc5681#3.1 SHLD-2
  block.ssthresh = kInitialSsthresh;
  block.rto_us = static_cast<std::uint32_t>(config.rto_initial.us());
  block.timer = TimerNode{};
  totals[index] = TcbTotals{};
  totals[index].opened_at = totals[index].last_received_at = tick;
  ++connections;
  return index;
}

void Context::transition(std::uint32_t index, State to) {
  Tcb& block = touch(index);
  const State from = block.state;
  if (from == to) return;
  count_transition(from, to);
  if (recorder.is_enabled()) record_transition(hash_of(flow_of(block)), from, to);
  block.state = to;
}

bool Context::has_unread(const Tcb& block) const {
  if (block.has(kOrphan)) return false;
  if (has_ready(block)) return true;
  return block.has(kFinReceived) && !block.has(kEndDelivered);
}

namespace {

/// Nothing is left to send or to time: what leaving the flow table means for the record.
void detach(Context& ctx, std::uint32_t index) {
  Tcb& block = ctx.touch(index);
  SLUICE_ASSERT(!block.has(kDetached));
  ctx.drop_send_record(block);
  ctx.wheel.cancel(index);
  block.timers_armed = 0;
  block.clear(kAckNow | kRetransmitNow | kProbeNow | kPersisting);
  block.duplicate_acks_due = 0;
  if (block.has(kOrphan)) --ctx.orphans;
  if (block.receive_pages != 0)
    ctx.receive_growth -= ctx.receive_buffer_of(block) - ctx.config.receive_buffer_bytes;
  block.set(kDetached);
  --ctx.connections;
}

}  // namespace

void Context::close(std::uint32_t index, CloseReason reason) {
  Tcb& block = touch(index);
  const std::uint64_t hash = hash_of(flow_of(block));
  flows.erase(hash, FlowRef(FlowRef::kConnection, index));
  if (block.listener < listeners.size() && listeners[block.listener].cookies_sent_total > 0)
    ended_flows.add(hash, tick);
  detach(*this, index);
  block.close_reason = static_cast<std::uint8_t>(reason);
  if (recorder.is_enabled())
    record_detail(telemetry::EventKind::kClosed, block, static_cast<std::uint8_t>(reason));
  transition(index, State::kClosed);
  if (reason != CloseReason::kNormal) block.set(kEndDelivered);  // nothing is told but on_closed
  if (!has_unread(block) || reason != CloseReason::kNormal) drop_receive_record(block);
  if (block.has(kWaitsAccept)) {
    accept_remove(index);
    block.set(kClosedDelivered);
    drop_receive_record(block);
    release_if_done(index);
    return;
  }
  notify(index, app::kClosed);
}

void Context::enter_time_wait(std::uint32_t index, std::uint64_t hash) {
  Tcb& block = touch(index);
  const FlowKey flow = flow_of(block);
  const FlowRef self(FlowRef::kConnection, index);
  const auto window = static_cast<std::uint16_t>((block.rcv.adv.value() - block.rcv.nxt.value()) >>
                                                 block.rcv_wscale());
  const auto flags =
      static_cast<std::uint16_t>((block.has(kTimestampsOk) ? kTimeWaitTimestamps : 0) |
                                 (block.has(kTraced) ? kTimeWaitTraced : 0));
  const Tick deadline = tick_after(config.time_wait);
  if (flow.is_v4()) {
    while (time_wait4.is_full())
      drop_time_wait(FlowRef(FlowRef::kTimeWait4, time_wait4.oldest()), Counter::kTimeWaitEvicted);
    const std::uint32_t at = time_wait4.push({.version = {},
                                              .key = block.key,
                                              .snd_nxt = block.snd.nxt,
                                              .rcv_nxt = block.rcv.nxt,
                                              .ts_recent = block.ts_recent,
                                              .ts_offset = block.ts_offset,
                                              .deadline = deadline,
                                              .rcv_wnd = window,
                                              .flags = flags});
    flows.replace(hash, self, FlowRef(FlowRef::kTimeWait4, at));
  } else {
    while (time_wait6.is_full())
      drop_time_wait(FlowRef(FlowRef::kTimeWait6, time_wait6.oldest()), Counter::kTimeWaitEvicted);
    const std::uint32_t at = time_wait6.push({.version = {},
                                              .local = flow.local,
                                              .remote = flow.remote,
                                              .local_port = flow.local_port.value,
                                              .remote_port = flow.remote_port.value,
                                              .snd_nxt = block.snd.nxt,
                                              .rcv_nxt = block.rcv.nxt,
                                              .ts_recent = block.ts_recent,
                                              .ts_offset = block.ts_offset,
                                              .deadline = deadline,
                                              .rcv_wnd = window,
                                              .flags = flags});
    flows.replace(hash, self, FlowRef(FlowRef::kTimeWait6, at));
  }
  const bool ack_due = block.has(kAckNow);
  detach(*this, index);
  transition(index, State::kTimeWait);
  block.close_reason = static_cast<std::uint8_t>(CloseReason::kNormal);
  if (ack_due) {  // the ACK of the peer's FIN still has to go out, from the record as it is
    block.set(kAckNow);
    want_output(index);
  }
  if (block.has(kWaitsAccept)) return;  // the application may still accept and read it
  notify(index, app::kClosed);
}

void Context::release(std::uint32_t index) {
  Tcb& block = tcbs[index];
  touch(index);
  drop_receive_record(block);
  if (block.has(kIsV6)) v6_keys.release(block.key.local);
  block.state = State::kClosed;
  block.flags &= kTouched;
  block.event_mask = 0;
  ++block.generation;  // handles are stale from here on; even: free, odd: in use
  tcbs.release(index);
}

SendRecord* Context::need_send_record(Tcb& block) {
  if (block.send_record == kNoIndex) {
    block.send_record = sends.slab.allocate();
    if (block.send_record == kNoIndex) return nullptr;
    const bool syn_unacked = block.state == State::kSynSent || block.state == State::kSynReceived;
    SendRecord& record = sends.slab[block.send_record];
    record.base = syn_unacked ? block.snd.una + 1 : block.snd.nxt;
    record.short_end = block.snd.una;
    controller_of(block).start(block, record.congestion, now_us());
  }
  SendRecord& record = sends.slab[block.send_record];
  if (record.queue.is_empty()) renew_goal(record);
  return &record;
}

void Context::drop_idle_send_record(Tcb& block) {
  const SendRecord* const record = send_record(block);
  if (record == nullptr || !record->queue.is_empty() || block.snd.una != block.snd.nxt) return;
  if (!controller_of(block).traits().keeps_state) drop_send_record(block);
}

void Context::drop_send_record(Tcb& block) {
  if (block.send_record == kNoIndex) return;
  SendSide side = send_side(block, sends.slab[block.send_record]);
  RexmitQueue(side).clear();
  disarm(block, kTimerPacing);
  sends.slab.release(block.send_record);
  block.send_record = kNoIndex;
}

void Context::drop_receive_record(Tcb& block) {
  if (block.receive_record == kNoIndex) return;
  reassembly_segments -= receives.slab[block.receive_record].packets;
  receives.slab.release(block.receive_record);
  block.receive_record = kNoIndex;
}

std::uint32_t Context::make_half_open(const FlowKey& flow, std::uint64_t hash, FlowRef previous,
                                      std::uint16_t listener) {
  const std::uint32_t index = half_opens.take();
  if (index == kNoIndex) return kNoIndex;
  const FlowRef ref(FlowRef::kHalfOpen, index);
  if (!previous.is_none()) {
    flows.replace(hash, previous, ref);
  } else if (!add_flow(hash, ref)) {
    half_opens.release(index);
    return kNoIndex;
  }
  HalfOpen& entry = half_opens[index];
  entry.version.begin_write();
  renew_record(entry);
  entry.timer = TimerNode{};
  entry.local = flow.local;
  entry.remote = flow.remote;
  entry.local_port = flow.local_port.value;
  entry.remote_port = flow.remote_port.value;
  entry.listener = listener;
  entry.created_at = tick;
  ListenerRecord& owner = listeners[listener];
  owner.version.begin_write();
  ++owner.half_open;
  owner.version.end_write();
  count_transition(State::kListen, State::kSynReceived);
  return index;
}

void Context::drop_half_open(std::uint32_t index, FlowRef successor) {
  HalfOpen& entry = half_opens[index];
  half_open_wheel.cancel(index);
  const FlowRef self(FlowRef::kHalfOpen, index);
  if (successor.is_none()) {
    const std::uint64_t hash = hash_of(flow_of(entry));
    flows.erase(hash, self);
    count_transition(State::kSynReceived, State::kListen);
    if (recorder.is_enabled()) record_transition(hash, State::kSynReceived, State::kListen);
  }
  ListenerRecord& owner = listeners[entry.listener];
  owner.version.begin_write();
  SLUICE_ASSERT(owner.half_open > 0);
  --owner.half_open;
  owner.version.end_write();
  entry.version.begin_write();
  entry.listener = ListenerHandle::kNone;
  half_opens.release(index);
  entry.version.end_write();
}

void Context::drop_time_wait(FlowRef ref, Counter why) {
  const auto drop = [&](auto& ring) {
    if (ring[ref.index()].flags & kTimeWaitInUse) {
      const std::uint64_t hash = hash_of(flow_of_time_wait(ref));
      flows.erase(hash, ref);
      ring.give_up(ref.index());
      metrics.count(why);
      count_transition(State::kTimeWait, State::kClosed);
      if (recorder.is_enabled()) record_transition(hash, State::kTimeWait, State::kClosed);
    }
    while (!ring.is_empty() && !(ring[ring.oldest()].flags & kTimeWaitInUse)) ring.pop_oldest();
  };
  if (ref.kind() == FlowRef::kTimeWait4) {
    drop(time_wait4);
  } else {
    drop(time_wait6);
  }
}

void Context::accept_push(std::uint16_t listener, std::uint32_t index) {
  ListenerRecord& owner = listeners[listener];
  Tcb& block = touch(index);
  owner.version.begin_write();
  block.set(kWaitsAccept);
  block.accept_prev = owner.accept_tail;
  block.next_event = kNoIndex;
  if (owner.accept_tail == kNoIndex) {
    owner.accept_head = index;
  } else {
    touch(owner.accept_tail).next_event = index;
  }
  owner.accept_tail = index;
  ++owner.accept_queued;
  ++accept_queued;
  owner.version.end_write();
  if (!owner.is_paused) note_acceptable(listener);
}

void Context::accept_remove(std::uint32_t index) {
  Tcb& block = touch(index);
  ListenerRecord& owner = listeners[block.listener];
  owner.version.begin_write();
  (block.accept_prev == kNoIndex ? owner.accept_head : touch(block.accept_prev).next_event) =
      block.next_event;
  (block.next_event == kNoIndex ? owner.accept_tail : touch(block.next_event).accept_prev) =
      block.accept_prev;
  SLUICE_ASSERT(owner.accept_queued > 0 && accept_queued > 0);
  --owner.accept_queued;
  --accept_queued;
  owner.version.end_write();
  block.clear(kWaitsAccept);
}

}  // namespace sluice::tcp
