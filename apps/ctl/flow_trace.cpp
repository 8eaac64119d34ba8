#include "apps/ctl/flow_trace.hpp"

#include <algorithm>
#include <map>

#include "apps/ctl/peer_state.hpp"
#include "base/seqlock.hpp"
#include "tcp/tcb.hpp"
#include "telemetry/metrics.hpp"
#include "wire/tcp.hpp"

namespace sluice::ctl {
namespace {

using tcp::State;
using telemetry::EventKind;
using telemetry::Outcome;
using telemetry::RecorderEvent;
using Events = std::vector<RecorderEvent>;

constexpr auto kClosed = static_cast<std::uint8_t>(State::kClosed);
constexpr auto kListen = static_cast<std::uint8_t>(State::kListen);

telemetry::OutcomeKind kind_of_outcome(std::uint16_t outcome) {
  if (outcome >= static_cast<std::uint16_t>(Outcome::kCount)) return telemetry::OutcomeKind::drop;
  return telemetry::kind_of(static_cast<Outcome>(outcome));
}

/// Refused, but surely the peer's own: what it says about the peer holds.
bool is_authentic_though_refused(std::uint16_t outcome) {
  switch (static_cast<Outcome>(outcome)) {
    case Outcome::kAcceptQueueFull:
    case Outcome::kPayloadShed:
    case Outcome::kOutOfOrderFull:
    case Outcome::kTimeWaitFin:
    case Outcome::kDataAfterClose:
      return true;
    default:
      return false;
  }
}

/// A transition that only our own SYN or FIN leads to: no received segment causes it.
bool is_our_doing(const RecorderEvent& event) {
  const auto to = static_cast<State>(event.state_to);
  return event.kind == EventKind::kTransition &&
         (to == State::kFinWait1 || to == State::kLastAck || to == State::kSynSent);
}

/// The engine records a received segment once it knows its outcome: after the transitions that it
/// caused and before what the next one of its burst causes, though all have one time. A cause reads
/// better before its effects. Transitions that a timer or a call of the user caused follow that
/// event, and stay.
void put_causes_first(Events& events) {
  const auto is_effect = [](const RecorderEvent& event) {
    return event.kind == EventKind::kTransition || event.kind == EventKind::kFlow ||
           event.kind == EventKind::kClosed;
  };
  std::size_t claimed = 0;  // what lies before it has its cause
  for (std::size_t at = 0; at < events.size(); ++at) {
    if (events[at].kind != EventKind::kReceived) continue;
    std::size_t first = at;
    while (first > claimed && is_effect(events[first - 1]) && !is_our_doing(events[first - 1]) &&
           events[first - 1].time == events[at].time)
      --first;
    const bool has_other_cause = first > claimed && events[first - 1].time == events[at].time &&
                                 (events[first - 1].kind == EventKind::kTimer ||
                                  events[first - 1].kind == EventKind::kUserCall);
    // What names the flow heads the life, before every segment.
    while (first < at && events[first].kind == EventKind::kFlow) ++first;
    claimed = at + 1;
    if (has_other_cause || first == at) continue;
    std::rotate(events.begin() + static_cast<std::ptrdiff_t>(first),
                events.begin() + static_cast<std::ptrdiff_t>(at),
                events.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

TracedSegment segment_of(const RecorderEvent& event) {
  TracedSegment segment;
  segment.is_sent = event.kind == EventKind::kSent;
  segment.flags = event.flags;
  segment.seq = event.segment.seq;
  segment.ack = event.segment.ack;
  segment.window = event.segment.window;
  segment.payload = event.segment.payload;
  segment.is_retransmission = event.is_retransmission != 0;
  segment.outcome = event.outcome;
  if (!segment.is_sent) {
    segment.is_refused = kind_of_outcome(event.outcome) != telemetry::OutcomeKind::accept;
    segment.is_dropped = kind_of_outcome(event.outcome) == telemetry::OutcomeKind::drop;
  }
  return segment;
}

/// Builds the items of one life from its events.
class LifeReader {
 public:
  explicit LifeReader(FlowTrace& trace) : trace_(trace) {}

  void read() {
    put_causes_first(trace_.events);
    find_isns();
    trace_.first_state = our_state_ = find_first_state();
    for (const RecorderEvent& event : trace_.events) take(event);
  }

 private:
  void find_isns() {
    for (const RecorderEvent& event : trace_.events) {
      const bool is_segment = event.kind == EventKind::kSent || event.kind == EventKind::kReceived;
      if (is_segment && (event.flags & wire::kSyn) != 0) {
        if (event.kind == EventKind::kSent && !trace_.iss) trace_.iss = event.segment.seq;
        if (event.kind == EventKind::kReceived && !trace_.irs &&
            kind_of_outcome(event.outcome) == telemetry::OutcomeKind::accept)
          trace_.irs = event.segment.seq;
      }
    }
    for (const RecorderEvent& event : trace_.events) {
      if (event.kind != EventKind::kFlow) continue;
      if (!trace_.iss && event.flow_info.iss != 0) trace_.iss = event.flow_info.iss;
      if (!trace_.irs && event.flow_info.irs != 0) trace_.irs = event.flow_info.irs;
    }
  }

  std::uint8_t find_first_state() const {
    for (const RecorderEvent& event : trace_.events)
      if (event.kind == EventKind::kTransition) return event.state;
    return kClosed;
  }

  TraceItem& add(TraceItem::Kind kind, const RecorderEvent& event) {
    TraceItem item;
    item.kind = kind;
    item.time = Instant::from_ns(event.time);
    item.detail = event.detail;
    item.our_state = our_state_;
    item.peer_state = peer_.state();
    trace_.items.push_back(std::move(item));
    return trace_.items.back();
  }

  /// The item that an effect belongs to: the last one, if it happened at the same time and can
  /// have effects; a new one otherwise.
  TraceItem& cause_of(const RecorderEvent& event, TraceItem::Kind otherwise) {
    if (!trace_.items.empty()) {
      TraceItem& last = trace_.items.back();
      const bool is_no_cause =
          last.kind == TraceItem::Kind::kSegment && (last.segment.is_sent || is_our_doing(event));
      if (last.time.ns() == event.time && !is_no_cause) return last;
    }
    return add(otherwise, event);
  }

  void take(const RecorderEvent& event) {
    switch (event.kind) {
      case EventKind::kNone:
        return;
      case EventKind::kFlow:
        if (event.flow_info.connection != tcp::kNoIndex) {
          trace_.connection = event.flow_info.connection;
          trace_.generation = event.flow_info.generation;
        }
        return;
      case EventKind::kTransition: {
        TraceItem& item = cause_of(event, TraceItem::Kind::kTransition);
        item.transitions.emplace_back(event.state, event.state_to);
        item.our_state = our_state_ = event.state_to;
        return;
      }
      case EventKind::kTimer:
        add(TraceItem::Kind::kTimer, event);
        return;
      case EventKind::kUserCall:
        add(TraceItem::Kind::kUserCall, event);
        return;
      case EventKind::kClosed:
        cause_of(event, TraceItem::Kind::kClosed).close_reason = event.detail;
        return;
      case EventKind::kSent:
      case EventKind::kReceived:
        take_segment(event);
        return;
    }
  }

  void take_segment(const RecorderEvent& event) {
    TraceItem& item = add(TraceItem::Kind::kSegment, event);
    item.segment = segment_of(event);
    const SegmentView view{event.flags, wire::SeqNum(event.segment.seq),
                           wire::SeqNum(event.segment.ack), event.segment.payload};
    const auto before = peer_.state();
    if (item.segment.is_sent) {
      peer_.on_sent(view);
    } else if (!item.segment.is_refused || is_authentic_though_refused(event.outcome)) {
      peer_.on_received(view);
    }
    item.peer_state = peer_.state();
    item.has_peer_changed = item.peer_state != before;
  }

  FlowTrace& trace_;
  PeerState peer_;
  std::uint8_t our_state_ = kClosed;
};

/// Addresses of an IPv6 connection lie in the TCB's side record, for as long as it lives.
void find_v6_addresses(const Instance& instance, std::uint32_t worker, FlowTrace& trace) {
  const auto tcbs = instance.view.section<tcp::Tcb>(telemetry::SectionKind::kTcbs, worker);
  const auto keys = instance.view.section<tcp::V6Key>(telemetry::SectionKind::kV6Keys, worker);
  if (!trace.connection || *trace.connection >= tcbs.size()) return;
  tcp::Tcb tcb;
  static_cast<void>(read_record(tcbs[*trace.connection], tcb));
  if (tcb.generation != trace.generation || !tcb.has(tcp::kIsV6) || tcb.key.local >= keys.size())
    return;
  tcp::V6Key key;
  static_cast<void>(read_record(keys[tcb.key.local], key));
  trace.local.address = key.local;
  trace.remote.address = key.remote;
}

/// A new life begins with the half-open entry, or with the TCB of a flow that has none: the first
/// of an active open, or the next one after a life that already had its TCB.
bool begins_life(const RecorderEvent& event, const FlowTrace* current) {
  if (current == nullptr || event.flow_info.connection == tcp::kNoIndex) return true;
  return current->connection.has_value();
}

}  // namespace

bool FlowTrace::is_active_open() const {
  return first_state != kListen;
}

std::uint32_t FlowTrace::relative_seq(const TracedSegment& segment) const {
  return segment.seq - (segment.is_sent ? iss : irs).value_or(0);
}
std::uint32_t FlowTrace::relative_ack(const TracedSegment& segment) const {
  return segment.ack - (segment.is_sent ? irs : iss).value_or(0);
}

std::vector<FlowTrace> trace_flows(const Instance& instance, std::uint32_t worker,
                                   const telemetry::Recording& recording) {
  std::vector<FlowTrace> traces;
  std::map<std::uint64_t, std::size_t> current;  // flow -> its youngest life
  std::map<std::uint64_t, unsigned> lives;
  for (const RecorderEvent& event : recording.events) {
    auto found = current.find(event.flow);
    if (event.kind == EventKind::kFlow) {
      FlowTrace* life = found == current.end() ? nullptr : &traces[found->second];
      if (begins_life(event, life)) {
        FlowTrace trace;
        trace.instance = instance.name;
        trace.worker = worker;
        trace.flow = event.flow;
        trace.first_sequence = event.sequence;
        trace.life = ++lives[event.flow];
        trace.began_wall_ns = instance.wall_ns(Instant::from_ns(event.time));
        trace.is_owner_alive = instance.is_alive;
        trace.local = {Ipv4Addr{event.flow_info.local4}, {event.flow_info.local_port}};
        trace.remote = {Ipv4Addr{event.flow_info.remote4}, {event.flow_info.remote_port}};
        if (event.flow_info.is_v6 != 0) trace.local.address = trace.remote.address = IpAddr{};
        current[event.flow] = traces.size();
        traces.push_back(std::move(trace));
        found = current.find(event.flow);
      }
      if (event.flow_info.connection != tcp::kNoIndex) {
        traces[found->second].connection = event.flow_info.connection;
        traces[found->second].generation = event.flow_info.generation;
      }
    }
    if (found != current.end()) traces[found->second].events.push_back(event);
  }
  for (FlowTrace& trace : traces) {
    trace.lives = lives[trace.flow];
    LifeReader(trace).read();
    if (trace.local.address.is_unspecified()) find_v6_addresses(instance, worker, trace);
  }
  return traces;
}

telemetry::Recording read_worker_recording(const Instance& instance, std::uint32_t worker) {
  using telemetry::SectionKind;
  const auto head = instance.view.section<telemetry::RecorderHead>(SectionKind::kRecorder, worker);
  if (head.empty()) return {};
  return telemetry::read_recording(
      head[0], instance.view.section<RecorderEvent>(SectionKind::kRecorderEvents, worker));
}

}  // namespace sluice::ctl
