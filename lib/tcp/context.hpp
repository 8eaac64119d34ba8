#pragma once

// Everything that the parts of one engine share: state as data, which the functions in handshake/,
// input/ and output/ act on. One thread, no locks, all memory taken before the first packet.

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include "app/event.hpp"
#include "base/keyed_hash.hpp"
#include "base/random_budget.hpp"
#include "base/reserved_memory.hpp"
#include "base/rng.hpp"
#include "base/slab.hpp"
#include "base/timer_wheel.hpp"
#include "packet/pools.hpp"
#include "sluice/errors.hpp"
#include "tcp/config.hpp"
#include "tcp/demux/flow_hash.hpp"
#include "tcp/demux/flow_table.hpp"
#include "tcp/demux/listen_table.hpp"
#include "tcp/demux/time_wait_table.hpp"
#include "tcp/gate/cookie_memory.hpp"
#include "tcp/gate/gate_watch.hpp"
#include "tcp/gate/prefix_limit.hpp"
#include "tcp/gate/reset_memory.hpp"
#include "tcp/records.hpp"
#include "tcp/recovery/send_side.hpp"
#include "tcp/tcb.hpp"
#include "telemetry/metrics.hpp"
#include "telemetry/recorder.hpp"

namespace sluice::tcp {

using telemetry::Counter;
using telemetry::Outcome;
using telemetry::TimerKind;

/// A received segment, parsed. `left` and `payload` shrink as what was received before is trimmed.
struct Segment {
  wire::TcpHeader header;
  packet::PacketPtr packet;  ///< Starts at the TCP header until the payload is taken.
  FlowKey flow;
  std::uint64_t hash = 0;
  std::uint32_t payload = 0;  ///< Octets of payload.
  std::uint8_t ecn = 0;       ///< The two ECN bits of the IP header.
  bool is_syn_taken = false;  ///< See take_syn().
  FlowRef hint;               ///< What the flow table knows of it.

  bool has(std::uint8_t flags) const { return header.has(flags); }
  SeqNum seq() const { return header.seq; }
  SeqNum ack() const { return header.ack; }
  /// SEG.LEN: payload, SYN and FIN.
  std::uint32_t length() const {
    return payload + (has(wire::kSyn) ? 1u : 0u) + (has(wire::kFin) ? 1u : 0u);
  }
  /// The SYN has been dealt with: the steps to come see what follows it.
  void take_syn() {
    header.flags = static_cast<std::uint8_t>(header.flags & ~wire::kSyn);
    header.seq += 1;
    is_syn_taken = true;
  }
  /// SEG.WND in octets, of a segment whose SYN, if it had one, was taken.
  //= rfc7323#2.2 MUST-3  rfc7323#2.3 MUST-5  a SYN's is never scaled
  std::uint32_t window(unsigned scale) const {
    return static_cast<std::uint32_t>(header.window) << (is_syn_taken ? 0 : scale);
  }
};

/// Secrets of the engine.
struct Keys {
  HashKey flow_table;
  HashKey first_numbers;  ///< Of a connection: ISN and timestamp.
  HashKey ports;
  HashKey cookies;
};

/// A Slab whose records are not in the state region.
template <class T>
class SlabMemory {
 public:
  explicit SlabMemory(std::uint32_t count)
      : memory(sizeof(T) * count), slab(std::span<T>(reinterpret_cast<T*>(memory.data()), count)) {}

  /// Says how much is in use; returns what the worker had to fault in itself, in pages.
  std::size_t note_use() { return memory.use(sizeof(T) * slab.high_water()); }

  ReservedMemory memory;
  Slab<T> slab;
};

/// Segments without a connection's queue behind them: SYN-ACK, RST, challenge ACK. Bounded.
class ControlQueue {
 public:
  explicit ControlQueue(std::uint32_t capacity) : ring_(std::bit_ceil(capacity)) {}
  bool is_full() const { return count_ == ring_.size(); }
  bool is_empty() const { return count_ == 0; }
  /// The next one, to be filled in. Precondition: not full.
  OutboundSegment& push() { return ring_[(head_ + count_++) & (ring_.size() - 1)]; }
  OutboundSegment pop() {
    OutboundSegment segment = std::move(ring_[head_]);
    head_ = (head_ + 1) & (ring_.size() - 1);
    --count_;
    return segment;
  }

 private:
  std::vector<OutboundSegment> ring_;
  std::size_t head_ = 0;
  std::size_t count_ = 0;
};

struct ContextDeps {
  telemetry::Metrics& metrics;
  telemetry::Recorder recorder;
  packet::Pools pools;
  const PathProvider& paths;
  Keys keys;
  std::uint64_t seed;
  std::span<Tcb> tcbs;
  std::span<TcbTotals> totals;
  std::span<V6Key> v6_keys;
  std::span<HalfOpen> half_open;
  std::span<TimeWait4> time_wait4;
  std::span<TimeWait6> time_wait6;
  std::span<ListenerRecord> listeners;
  std::span<GateRecord> gate;
  TopPrefixesRecord& top_prefixes;
};

struct Context {
  Context(const EngineConfig& config, const ContextDeps& deps, Instant start);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  // --- time: one `now` per burst ---
  void set_now(Instant at) {
    if (at == now) return;
    now = at;
    tick = tick_at(at);
    us_ = static_cast<std::uint32_t>(at.ns() / 1'000);
    ns_into_tick_ = static_cast<std::uint32_t>(at.ns() % kTickLength.ns());
  }
  std::uint32_t ns_into_tick() const { return ns_into_tick_; }  ///< Since `tick` began.
  /// The first tick that begins no earlier than `d` from now.
  Tick tick_after(Duration d) const {
    return sluice::tick_after(tick, Duration::from_ns(ns_into_tick_), d);
  }
  std::uint32_t now_us() const { return us_; }  ///< Modulo 2^32.

  // --- records ---
  Tcb& tcb(std::uint32_t index) { return tcbs[index]; }
  /// Marks the record as being written until the round's end. Call before changing a TCB.
  Tcb& touch(std::uint32_t index) {
    Tcb& block = tcbs[index];
    if (!block.has(kTouched)) touch_first(index);
    return block;
  }
  /// Publishes all touched records to readers of the state region; once a turn.
  void publish();
  /// What another thread may populate ahead of use.
  std::array<GrowingMemory*, 7> growing_memory() {
    return {&flows.memory(), &sends.memory,  &runs.memory,      &receives.memory,
            &tcb_memory_,    &total_memory_, &time_wait_memory_};
  }
  FlowKey flow_of(const Tcb& block) const;
  FlowKey flow_of(const HalfOpen& entry) const;
  /// Where `out` goes from and to. Not by a FlowKey, which would be copied once more.
  void address(OutboundSegment& out, const Tcb& block) const;
  bool has_flow(const Tcb& block, const FlowKey& flow) const;
  bool has_flow(FlowRef ref, const FlowKey& flow);
  /// Fetches the line that has_flow() compares.
  void prefetch_key(FlowRef ref) const;
  std::uint64_t hash_of(const FlowKey& flow) const { return flow_id(keys.flow_table, flow); }
  FlowRef find_flow(const FlowKey& flow, std::uint64_t hash) {
    return find_flow(flow, flows.start_of(hash));
  }
  FlowRef find_flow(const FlowKey& flow, FlowTable::Start start) {
    return flows.find(start, [&](FlowRef ref) { return has_flow(ref, flow); });
  }
  /// Adds to the flow table. Precondition: what is in it is filled in, so that it can grow.
  bool add_flow(std::uint64_t hash, FlowRef ref);
  /// A keyed hash of the 4-tuple: one half for its ISN, the other for its timestamps.
  std::uint64_t secret_of(const FlowKey& flow) const { return flow_hash(keys.first_numbers, flow); }
  /// What is added to `tick` for a TSval: a new connection of the same tuple continues the old
  /// one's clock (RFC 6191), and nobody learns the uptime.
  std::uint32_t timestamp_offset_of(std::uint64_t flow_secret) const;

  // --- birth and death of a TCB ---
  /// A zeroed TCB in CLOSED with the flow's key, in the flow table (replacing `previous` there, if
  /// not none). kNoIndex if a table is full.
  std::uint32_t make_tcb(const FlowKey& flow, std::uint64_t hash, FlowRef previous);
  /// Moves to `to`: counted and recorded.
  void transition(std::uint32_t index, State to);
  /// The end: CLOSED, out of the flow table, no timers, nothing in flight; received octets go too
  /// unless `reason` is kNormal and a reader is left. The application hears it; the slot is freed
  /// when it has.
  void close(std::uint32_t index, CloseReason reason);
  /// From FIN-WAIT-2, CLOSING or FIN-WAIT-1: a compact entry takes over the 4-tuple for 2 MSL.
  void enter_time_wait(std::uint32_t index, std::uint64_t hash);
  /// Frees the slot if nothing refers to it any more.
  void release_if_done(std::uint32_t index) {
    const Tcb& block = tcbs[index];
    if (block.has(kClosedDelivered) && !block.has(kOutputPending | kEventPending)) release(index);
  }

  /// Octets that came in order wait.
  bool has_ready(const Tcb& block) const {
    return block.receive_record != kNoIndex &&
           !receives.slab[block.receive_record].ready.is_empty();
  }
  /// Octets wait, or the end of the stream that nobody was told yet.
  bool has_unread(const Tcb& block) const;
  /// Of the octets that came in order, the first that the application has not taken; where the next
  /// one will lie if there is none.
  SeqNum first_unread(const Tcb& block) const {
    const std::uint32_t fin = block.has(kFinReceived) ? 1 : 0;
    const std::uint32_t unread =
        block.receive_record == kNoIndex ? 0 : receives.slab[block.receive_record].ready.bytes();
    return block.rcv.nxt - fin - unread;
  }

  // --- records made on demand; null if the slab is full ---
  SendRecord* send_record(Tcb& block) {
    return block.send_record == kNoIndex ? nullptr : &sends.slab[block.send_record];
  }
  ReceiveRecord* receive_record(Tcb& block) {
    return block.receive_record == kNoIndex ? nullptr : &receives.slab[block.receive_record];
  }
  /// need_receive_record() would find one.
  bool may_receive(const Tcb& block) const {
    return block.receive_record != kNoIndex || !receives.slab.is_full();
  }
  SendRecord* need_send_record(Tcb& block);
  ReceiveRecord* need_receive_record(Tcb& block) {
    if (block.receive_record == kNoIndex) {
      block.receive_record = receives.slab.allocate();
      if (block.receive_record == kNoIndex) return nullptr;
    }
    return &receives.slab[block.receive_record];
  }
  /// Measures from now on how fast the peer takes what is queued.
  void renew_goal(SendRecord& record) {
    const std::int64_t share =
        config.overload_slow_grace.ms() * config.overload_slow_rate / 1000;  // octets
    record.goal = record.base +
                  static_cast<std::uint32_t>(std::min<std::int64_t>(share, record.queue.bytes()));
    record.goal_since = tick;
  }
  /// What recovery/ acts on.
  SendSide send_side(Tcb& block, SendRecord& record) {
    return {block, record, runs.slab, config, metrics, now, now_us(), tick};
  }
  /// Nothing is queued or in flight any more; an algorithm that lives on its history keeps it.
  void drop_idle_send_record(Tcb& block);
  void drop_send_record(Tcb& block);
  void drop_receive_record(Tcb& block);

  // --- events and output ---
  void notify(std::uint32_t index, std::uint8_t event) {
    Tcb& block = touch(index);
    block.event_mask = static_cast<std::uint8_t>(block.event_mask | event);
    if (block.has(kEventPending | kWaitsAccept)) return;
    block.set(kEventPending);
    events.push(index);
  }
  void note_acceptable(std::uint16_t listener) {
    acceptable_listeners |= std::uint64_t{1} << (listener % 64);
  }
  void want_output(std::uint32_t index) {
    Tcb& block = touch(index);
    if (block.has(kOutputPending)) return;
    block.set(kOutputPending);
    outputs.push(index);
  }

  // --- timers of connections ---
  void arm(std::uint32_t index, TcbTimer timer, Tick deadline) {
    Tcb& block = tcbs[index];
    switch (timer) {
      case kTimerRetransmit:
        block.retransmit_at = deadline;
        break;
      case kTimerDelayedAck:
        block.delayed_ack_at = static_cast<std::uint16_t>(deadline);
        break;
      case kTimerKeepalive:
        block.keepalive_at = deadline;
        break;
      case kTimerLinger:
        block.linger_at = deadline;
        break;
      case kTimerApplication:
        block.application_at = deadline;
        break;
      case kTimerPacing:
        sends.slab[block.send_record].pacing_at = deadline;
        break;
    }
    block.timers_armed = static_cast<std::uint8_t>(block.timers_armed | timer);
    wheel.arm(index, deadline);
  }
  /// The delayed-ACK timer of a touched TCB: on the wheel only if publish() finds it still armed,
  /// for most ACKs go with an answer of this round, and the wheel would come by for nothing.
  void arm_at_end_of_round(Tcb& block, Tick deadline) {
    SLUICE_CHECK(block.has(kTouched));
    block.delayed_ack_at = static_cast<std::uint16_t>(deadline);
    block.timers_armed = static_cast<std::uint8_t>(block.timers_armed | kTimerDelayedAck);
  }
  void disarm(Tcb& block, TcbTimer timer) {
    block.timers_armed = static_cast<std::uint8_t>(block.timers_armed & ~timer);
  }
  bool is_armed(const Tcb& block, TcbTimer timer) const {
    return (block.timers_armed & timer) != 0;
  }

  // --- half-open entries ---
  std::uint32_t make_half_open(const FlowKey& flow, std::uint64_t hash, FlowRef previous,
                               std::uint16_t listener);
  /// Removes the entry; `successor`, if not none, takes its place in the flow table.
  void drop_half_open(std::uint32_t index, FlowRef successor = {});

  // --- TIME-WAIT ---
  void drop_time_wait(FlowRef ref, Counter why);
  FlowKey flow_of_time_wait(FlowRef ref);

  // --- accept queues ---
  void accept_push(std::uint16_t listener, std::uint32_t index);
  void accept_remove(std::uint32_t index);

  // --- recorder ---
  void record_flow(const FlowKey& flow, std::uint64_t hash, std::uint32_t index, SeqNum iss,
                   SeqNum irs);
  void record_transition(std::uint64_t hash, State from, State to);
  void record_segment(telemetry::EventKind kind, std::uint64_t hash, const Tcb* block,
                      const wire::TcpHeader& header, std::uint32_t window, std::uint32_t payload,
                      Outcome outcome, bool is_retransmission);
  void record_detail(telemetry::EventKind kind, const Tcb& block, std::uint8_t detail);
  void count_transition(State from, State to) {
    telemetry::Metrics::bump(
        metrics.transitions[static_cast<std::size_t>(from)][static_cast<std::size_t>(to)], 1);
  }

  bool is_low_on_buffers() const { return spare_buffers == 0; }
  /// Octets that a connection may have received and not freed.
  std::uint32_t receive_buffer_of(const Tcb& block) const {
    return block.receive_pages == 0 ? config.receive_buffer_bytes : block.receive_pages * 4096u;
  }
  std::uint32_t send_buffer_of(const Tcb& block) const {
    return std::max(config.send_buffer_bytes,
                    std::min(config.send_buffer_max_bytes, 2 * block.cwnd));
  }

  struct TcbTimerNodes {
    Tcb* base;
    TimerNode& operator()(std::uint32_t index) const { return base[index].timer; }
  };
  struct HalfOpenTimerNodes {
    HalfOpen* base;
    TimerNode& operator()(std::uint32_t index) const { return base[index].timer; }
  };
  struct OutputLinks {
    Tcb* base;
    std::uint32_t& operator()(std::uint32_t index) const { return base[index].next_output; }
  };
  struct EventLinks {
    Tcb* base;
    std::uint32_t& operator()(std::uint32_t index) const { return base[index].next_event; }
  };

  EngineConfig config;  ///< Changed by Engine::reconfigure() alone.
  Instant now;
  Tick tick;
  telemetry::Metrics& metrics;
  telemetry::Recorder recorder;
  packet::Pools pools;
  const PathProvider& paths;
  const Keys keys;
  SynCookies cookies;
  UsedCookies used_cookies;
  CookieDoubts cookie_doubts;
  EndedFlows ended_flows;
  PrefixLimit syn_ack_limit;
  GateWatch gate;
  Rng rng;

  Slab<Tcb> tcbs;
  std::span<TcbTotals> totals;
  Slab<V6Key> v6_keys;
  Slab<HalfOpen> half_opens;
  TimeWaitRing<TimeWait4> time_wait4;
  TimeWaitRing<TimeWait6> time_wait6;
  ListenTable listeners;
  FlowTable flows;
  SlabMemory<SendRecord> sends;
  SlabMemory<SentRun> runs;
  SlabMemory<ReceiveRecord> receives;

  TimerWheel<TcbTimerNodes> wheel;
  TimerWheel<HalfOpenTimerNodes> half_open_wheel;
  app::IndexList<OutputLinks> outputs;
  app::IndexList<EventLinks> events;
  /// on_acceptable is due at a listener whose index is this bit's, or that and a multiple of 64.
  std::uint64_t acceptable_listeners = 0;
  ControlQueue control;
  RandomBudget reset_bucket;
  ResetMemory resets_sent;
  RandomBudget challenge_bucket;

  std::uint32_t reassembly_segments = 0;  ///< Packets behind gaps, all connections.
  std::uint64_t receive_growth = 0;       ///< Octets that buffers have grown by, all connections.
  std::uint32_t orphans = 0;
  std::uint32_t connections = 0;             ///< TCBs in the flow table.
  std::uint32_t accept_queued = 0;           ///< Connections on accept queues, all listeners.
  std::vector<std::uint32_t> port_counters;  ///< Of choose_port(): a power of two.
  bool is_draining = false;
  /// A send() found no buffer or record: TCBs that feed_starving() has still to look at, from where
  /// it stopped.
  std::uint32_t starving_left = 0;
  std::uint32_t starving_cursor = 0;
  /// Receive mbufs above the low watermark when the burst began: what send() may take of them. Or
  /// one callback could queue so much that nothing can be received any more, no ACK and no ARP
  /// reply.
  std::uint32_t spare_buffers = 0xffffffffu;

 private:
  void touch_first(std::uint32_t index);
  void release(std::uint32_t index);
  void note_memory();
  std::vector<std::uint32_t> touched_;
  std::uint64_t flow_pages_counted_ = 0;
  std::uint32_t us_;
  std::uint32_t ns_into_tick_;

  // Of the state region: what grows with the connections.
  GrowingMemory tcb_memory_;
  GrowingMemory total_memory_;
  GrowingMemory time_wait_memory_;
};

}  // namespace sluice::tcp
