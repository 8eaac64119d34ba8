#include "tcp/engine.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <initializer_list>

#include "base/fetch_ahead.hpp"
#include "tcp/handshake/listen.hpp"
#include "tcp/icmp_error.hpp"
#include "tcp/input/predicted.hpp"
#include "tcp/input/segment_arrives.hpp"
#include "tcp/invariants.hpp"
#include "tcp/output/control.hpp"
#include "tcp/output/output.hpp"
#include "tcp/timer/tcp_timers.hpp"
#include "wire/tcp_peek.hpp"

namespace sluice::tcp {
namespace {

using telemetry::SectionKind;

constexpr std::uint32_t kTimerBudget = 4096;  // steps of a wheel in one turn

std::uint32_t v6_share(std::uint32_t count) {
  return std::max(count / 4, 1u);
}

ContextDeps context_deps(const EngineDeps& deps) {
  auto& region = deps.region;
  const unsigned worker = deps.worker;
  auto& head = region.section<telemetry::RecorderHead>(SectionKind::kRecorder, worker)[0];
  return {.metrics = region.section<telemetry::Metrics>(SectionKind::kMetrics, worker)[0],
          .recorder = telemetry::Recorder(
              head, region.section<telemetry::RecorderEvent>(SectionKind::kRecorderEvents, worker)),
          .pools = deps.pools,
          .paths = deps.paths,
          .keys = deps.keys,
          .seed = deps.seed,
          .tcbs = region.section<Tcb>(SectionKind::kTcbs, worker),
          .totals = region.section<TcbTotals>(SectionKind::kTcbTotals, worker),
          .v6_keys = region.section<V6Key>(SectionKind::kV6Keys, worker),
          .half_open = region.section<HalfOpen>(SectionKind::kHalfOpen, worker),
          .time_wait4 = region.section<TimeWait4>(SectionKind::kTimeWait4, worker),
          .time_wait6 = region.section<TimeWait6>(SectionKind::kTimeWait6, worker),
          .listeners = region.section<ListenerRecord>(SectionKind::kListeners, worker),
          .gate = region.section<GateRecord>(SectionKind::kGate, worker),
          .top_prefixes = region.section<TopPrefixesRecord>(SectionKind::kTopPrefixes, worker)[0]};
}

/// What an outcome says to the gate's watch.
enum class GateNote : std::uint8_t {
  kNothing,
  kSynAnswered,
  kSynRefused,
  kByEntry,
  kByCookie,
  kUnaccepted,
  kNoMemory,  ///< Refused or unaccepted, as the segment is a SYN or not.
  kStray,
};

GateNote gate_note_of(Outcome outcome) {
  static constexpr auto kNotes = [] {
    std::array<GateNote, static_cast<std::size_t>(Outcome::kCount)> notes{};
    const auto say = [&](GateNote note, std::initializer_list<Outcome> outcomes) {
      for (const Outcome of : outcomes) notes[static_cast<std::size_t>(of)] = note;
    };
    say(GateNote::kSynAnswered, {Outcome::kSynCookieSent, Outcome::kSynQueued});
    say(GateNote::kSynRefused, {Outcome::kSynQueueFull, Outcome::kSynPrefixLimited});
    say(GateNote::kNoMemory, {Outcome::kNoMemory});
    say(GateNote::kByEntry, {Outcome::kHandshakeCompleted});
    say(GateNote::kByCookie, {Outcome::kCookieCompleted});
    say(GateNote::kUnaccepted, {Outcome::kAcceptQueueFull});
    say(GateNote::kStray,
        {Outcome::kStrayAnswered, Outcome::kStraySilenced, Outcome::kStrayRst,
         Outcome::kListenNoSyn, Outcome::kSynMalformed, Outcome::kCookieDoubtful});
    return notes;
  }();
  return kNotes[static_cast<std::size_t>(outcome)];
}

/// The ports of a TCP header, as they lie in memory.
std::uint32_t port_pair(const InboundSegment& segment) {
  std::uint32_t pair;
  std::memcpy(&pair, rte_pktmbuf_mtod(segment.packet.get(), const std::byte*), sizeof pair);
  return pair;
}

}  // namespace

void Engine::plan_state(const EngineConfig& config, unsigned worker,
                        std::vector<telemetry::SectionPlan>& plan) {
  const auto add = [&]<class Record>(SectionKind kind, std::uint32_t count, const Record*) {
    plan.push_back({kind, worker, static_cast<std::uint32_t>(sizeof(Record)), count});
  };
  add(SectionKind::kMetrics, 1, static_cast<telemetry::Metrics*>(nullptr));
  add(SectionKind::kRecorder, 1, static_cast<telemetry::RecorderHead*>(nullptr));
  add(SectionKind::kRecorderEvents, config.recorder_events,
      static_cast<telemetry::RecorderEvent*>(nullptr));
  add(SectionKind::kTcbs, config.max_connections, static_cast<Tcb*>(nullptr));
  add(SectionKind::kTcbTotals, config.max_connections, static_cast<TcbTotals*>(nullptr));
  add(SectionKind::kV6Keys, v6_share(config.max_connections), static_cast<V6Key*>(nullptr));
  add(SectionKind::kHalfOpen, config.max_half_open, static_cast<HalfOpen*>(nullptr));
  add(SectionKind::kTimeWait4, config.max_time_wait, static_cast<TimeWait4*>(nullptr));
  add(SectionKind::kTimeWait6, v6_share(config.max_time_wait), static_cast<TimeWait6*>(nullptr));
  add(SectionKind::kListeners, config.max_listeners, static_cast<ListenerRecord*>(nullptr));
  add(SectionKind::kGate, config.max_listeners, static_cast<GateRecord*>(nullptr));
  add(SectionKind::kTopPrefixes, 1, static_cast<TopPrefixesRecord*>(nullptr));
}

Engine::Engine(const EngineConfig& config, const EngineDeps& deps, Instant now)
    : ctx_(config, context_deps(deps), now), overload_(ctx_), stage_(kStage) {}

/// First stage: how many of `burst` are of one flow, as long as no other comes between; what the
/// flow table is asked with, and its bucket on the way here.
void Engine::glance_at(std::span<InboundSegment> burst, Glance& glance) {
  const auto octets = packet::first_segment(std::as_const(*burst.front().packet));
  glance.run = burst.first(1);
  glance.is_whole = octets.size() >= wire::kTcpMinHeader;
  if (!glance.is_whole) return;
  std::size_t count = 1;
  const InboundSegment& first = burst.front();
  const std::uint32_t ports = port_pair(first);
  const auto is_same_flow = [&](const InboundSegment& next) {
    return next.packet->data_len >= wire::kTcpMinHeader && port_pair(next) == ports &&
           next.source == first.source && next.destination == first.destination;
  };
  while (count < burst.size() && is_same_flow(burst[count])) ++count;
  glance.run = burst.first(count);
  const wire::TcpPeek tcp = wire::peek_tcp(octets);
  glance.flow = {burst.front().destination, burst.front().source, tcp.destination, tcp.source};
  glance.hash = ctx_.hash_of(glance.flow);
  glance.start = ctx_.flows.start_of(glance.hash);
  ctx_.flows.prefetch(glance.start);
}

/// Second stage: what the table leads to on its way here.
void Engine::fetch(const Glance& glance) {
  if (!glance.is_whole) return;
  const FlowRef ref = ctx_.flows.first_hit(glance.start);
  if (ref.is_none()) return;
  if (ref.kind() != FlowRef::kConnection) return ctx_.prefetch_key(ref);
  const char* const line = reinterpret_cast<const char*>(&ctx_.tcb(ref.index()));
  fetch_ahead(line);
  fetch_ahead(line + 64);
  fetch_ahead(line + 128);
  fetch_ahead(&ctx_.totals[ref.index()]);
}

/// Third stage: who is concerned.
void Engine::look_up(Glance& glance) {
  if (!glance.is_whole) return;
  glance.hint = ctx_.find_flow(glance.flow, glance.start);
  if (glance.hint.is_none() || glance.hint.kind() != FlowRef::kConnection) return;
  Tcb& block = ctx_.tcb(glance.hint.index());
  glance.generation = block.generation;
  if (const SendRecord* const record = ctx_.send_record(block)) fetch_ahead(record);
}

/// What an ACK frees first is as old as a round trip.
void Engine::fetch_flight(const Glance& glance) {
  if (!glance.is_whole || glance.hint.is_none() || glance.hint.kind() != FlowRef::kConnection)
    return;
  const SendRecord* const record = ctx_.send_record(ctx_.tcb(glance.hint.index()));
  if (record == nullptr || record->queue.is_empty()) return;
  const char* const line = reinterpret_cast<const char*>(record->queue.head());
  fetch_ahead(line);
  fetch_ahead(line + 64);
}

//= rfc9293#3.10.7.4 MUST-58, MUST-59  ACKs are only marked as due; transmit() comes after the burst
void Engine::receive(std::span<InboundSegment> burst, Instant now) {
  ctx_.set_now(now);
  watch_gate();  // a step that is over does not count what comes now
  ctx_.metrics.count(Counter::kSegmentsReceived, burst.size());
  while (!burst.empty()) {
    const auto chunk = burst.first(std::min(burst.size(), kStage));
    burst = burst.subspan(chunk.size());
    std::size_t count = 0;
    for (std::size_t at = 0; at < chunk.size(); at += stage_[count++].run.size())
      glance_at(chunk.subspan(at), stage_[count]);
    const std::span<Glance> stage = std::span(stage_).first(count);
    for (const Glance& glance : stage) fetch(glance);
    for (Glance& glance : stage) look_up(glance);
    for (const Glance& glance : stage) fetch_flight(glance);
    seen_changes_ = ctx_.flows.changes();
    for (Glance& glance : stage) process(glance);
  }
}

/// Does what the early look-up found still stand? A whole life of one tuple can lie in one burst.
bool Engine::is_current(const Glance& glance) {
  if (ctx_.flows.changes() == seen_changes_) return true;
  if (glance.hint.is_none()) return false;
  if (glance.hint.kind() != FlowRef::kConnection) return false;
  const Tcb& block = ctx_.tcb(glance.hint.index());
  return block.generation == glance.generation && !block.has(kDetached) &&
         block.state != State::kClosed;
}

/// Fourth stage, one after the other, but that a run goes together as far as all is as expected.
void Engine::process(Glance& glance) {
  std::span<InboundSegment> run = glance.run;
  if (!glance.is_whole) {
    run.front().packet.reset();
    return ctx_.metrics.count(Outcome::kTcpTruncated);
  }
  do {
    if (!is_current(glance)) glance.hint = ctx_.find_flow(glance.flow, glance.hash);
    std::size_t taken = 0;
    if (!glance.hint.is_none() && glance.hint.kind() == FlowRef::kConnection)
      taken = take_predicted(ctx_, glance.hint.index(), run);
    if (taken > 0) {
      SLUICE_CHECK(check_tcb(ctx_, glance.hint.index()));
      ctx_.metrics.count(Outcome::kSegmentProcessed, taken);
    } else {
      process_one(run.front(), glance);
      taken = 1;
    }
    run = run.subspan(taken);
  } while (!run.empty());
}

void Engine::process_one(InboundSegment& inbound, const Glance& glance) {
  std::uint16_t listener = ListenerHandle::kNone;
  if (glance.hint.is_none()) {
    listener = ctx_.listeners.find(glance.flow.local, glance.flow.local_port);
    if (listener == ListenerHandle::kNone && is_silenced_stray(inbound, glance)) {
      inbound.packet.reset();
      return ctx_.metrics.count(Outcome::kStraySilenced);
    }
  }
  if (!parse(inbound, glance, segment_)) return;
  ctx_.metrics.count(glance.hint.is_none() ? to_no_connection(listener, segment_)
                                           : dispatch(segment_));
  segment_.packet.reset();
}

/// A flood of strays where nobody listens, more than are answered, ends here, before anything else
/// is read of them: as answer_stray() would have it.
bool Engine::is_silenced_stray(const InboundSegment& inbound, const Glance& glance) {
  constexpr std::size_t kFlags = 13;
  const auto octets = packet::first_segment(std::as_const(*inbound.packet));
  const bool is_reset = (wire::load_u8(octets.data() + kFlags) & wire::kRst) != 0;
  const std::size_t header = std::size_t{wire::load_u8(octets.data() + 12)} >> 4 << 2;
  if (is_reset || header != wire::kTcpMinHeader || !ctx_.reset_bucket.is_spent(ctx_.now))
    return false;
  ctx_.gate.note_stray(ListenerHandle::kNone, glance.flow.remote);
  return true;
}

bool Engine::parse(InboundSegment& inbound, const Glance& glance, Segment& segment) {
  packet::PacketPtr packet = std::move(inbound.packet);
  const auto result = wire::parse_tcp(packet::first_segment(*packet), segment.header);
  if (!result.ok) {
    ctx_.metrics.count(result.error == wire::TcpParseError::kTruncated ? Outcome::kTcpTruncated
                                                                       : Outcome::kTcpDataOffset);
    return false;
  }
  if (result.malformed_options) ctx_.metrics.count(Counter::kOptionsMalformed);
  const auto is_unicast = [](const IpAddr& address) {
    return !address.is_unspecified() && (!address.is_v4() || !address.v4().is_group());
  };
  //= rfc9293#3.9.2.3 MUST-57, MUST-63
  if (segment.header.source.value == 0 || segment.header.destination.value == 0 ||
      !is_unicast(inbound.source) || !is_unicast(inbound.destination)) {
    ctx_.metrics.count(Outcome::kTcpAddressInvalid);
    return false;
  }
  segment.flow = glance.flow;
  segment.hash = glance.hash;
  segment.hint = glance.hint;
  segment.payload = packet->pkt_len - segment.header.header_length;
  segment.ecn = inbound.ecn;
  segment.is_syn_taken = false;
  segment.packet = std::move(packet);
  return true;
}

/// The first of three branches, a known 4-tuple; the others are a SYN to a listener and anything
/// else: to_no_connection().
Outcome Engine::dispatch(Segment& segment) {
  switch (segment.hint.kind()) {
    case FlowRef::kConnection:
      return to_connection(segment.hint.index(), segment);
    case FlowRef::kHalfOpen:
      return to_half_open(segment.hint.index(), segment);
    case FlowRef::kTimeWait4:
    case FlowRef::kTimeWait6:
      return to_time_wait(segment.hint, segment);
  }
  return Outcome::kStraySilenced;
}

Outcome Engine::to_connection(std::uint32_t index, Segment& segment) {
  Tcb& block = ctx_.touch(index);
  const bool is_traced = block.has(kTraced);
  const wire::TcpHeader header = segment.header;  // as it came: the steps trim it
  const std::uint32_t payload = segment.payload;
  const std::uint32_t window = static_cast<std::uint32_t>(header.window)
                               << (header.has(wire::kSyn) ? 0 : block.snd_wscale());
  Outcome outcome;
  if (block.state == State::kSynSent) {
    bool has_more = false;
    outcome = syn_sent_arrives(ctx_, index, segment, has_more);
    if (has_more) outcome = segment_arrives(ctx_, index, segment);
  } else {
    outcome = segment_arrives(ctx_, index, segment);
  }
  SLUICE_CHECK(check_tcb(ctx_, index));
  const bool is_drop = telemetry::kind_of(outcome) == telemetry::OutcomeKind::drop;
  if (ctx_.recorder.is_enabled() && (is_traced || is_drop))
    ctx_.record_segment(telemetry::EventKind::kReceived, segment.hash, &ctx_.tcb(index), header,
                        window, payload, outcome, false);
  return outcome;
}

Outcome Engine::to_half_open(std::uint32_t index, Segment& segment) {
  std::uint32_t connection = kNoIndex;
  const std::uint16_t listener = ctx_.half_opens[index].listener;
  const Outcome outcome = half_open_arrives(ctx_, index, segment, connection);
  note_at_gate(listener, segment, outcome);
  if (connection != kNoIndex) take_rest(connection, segment);
  return outcome;
}

Outcome Engine::to_listener(std::uint16_t listener, Segment& segment, FlowRef time_wait) {
  std::uint32_t connection = kNoIndex;
  const Outcome outcome = listen_arrives(ctx_, listener, segment, time_wait, connection);
  note_at_gate(listener, segment, outcome);
  if (connection != kNoIndex) take_rest(connection, segment);
  return outcome;
}

/// What the segment that completed a handshake brings besides its ACK; it has its outcome already.
void Engine::take_rest(std::uint32_t connection, Segment& segment) {
  if (segment.length() > 0) segment_arrives(ctx_, connection, segment);
  SLUICE_CHECK(check_tcb(ctx_, connection));
}

Outcome Engine::to_time_wait(FlowRef ref, Segment& segment) {
  bool reuse = false;
  const Outcome outcome = time_wait_arrives(ctx_, ref, segment, reuse);
  if (!reuse) return outcome;
  const std::uint16_t listener = ctx_.listeners.find(segment.flow.local, segment.flow.local_port);
  if (listener == ListenerHandle::kNone) {
    // Nobody would take the new connection: the old one's wait goes on.
    return challenge_time_wait(ctx_, ref) ? Outcome::kTimeWaitAcked : Outcome::kTimeWaitIgnored;
  }
  return to_listener(listener, segment, ref);
}

Outcome Engine::to_no_connection(std::uint16_t listener, Segment& segment) {
  if (listener != ListenerHandle::kNone) return to_listener(listener, segment, {});
  ctx_.gate.note_stray(ListenerHandle::kNone, segment.flow.remote);
  return answer_stray(ctx_, segment);
}

/// What became of a segment to a listener or to one of its half-open entries. A SYN that comes
/// again, or while the worker drains, is nobody's first.
void Engine::note_at_gate(std::uint16_t listener, const Segment& segment, Outcome outcome) {
  const IpAddr& source = segment.flow.remote;
  switch (gate_note_of(outcome)) {
    case GateNote::kNothing:
      return;
    case GateNote::kSynAnswered:
      return ctx_.gate.note_syn(listener, source, GateWatch::SynFate::kAnswered);
    case GateNote::kNoMemory:
      if (!segment.has(wire::kSyn))
        return ctx_.gate.note_completion(listener, GateWatch::Completion::kUnaccepted);
      [[fallthrough]];
    case GateNote::kSynRefused:
      return ctx_.gate.note_syn(listener, source, GateWatch::SynFate::kRefused);
    case GateNote::kByEntry:
      return ctx_.gate.note_completion(listener, GateWatch::Completion::kByEntry);
    case GateNote::kByCookie:
      return ctx_.gate.note_completion(listener, GateWatch::Completion::kByCookie);
    case GateNote::kUnaccepted:
      return ctx_.gate.note_completion(listener, GateWatch::Completion::kUnaccepted);
    case GateNote::kStray:
      return ctx_.gate.note_stray(listener, source);
  }
}

void Engine::reconfigure(const EngineConfig& next) {
  const EngineConfig& last = ctx_.config;
  SLUICE_ASSERT(
      next.max_connections == last.max_connections && next.max_half_open == last.max_half_open &&
      next.max_time_wait == last.max_time_wait && next.max_listeners == last.max_listeners &&
      next.max_in_flight == last.max_in_flight && next.time_wait == last.time_wait &&
      next.receive_buffer_bytes == last.receive_buffer_bytes &&
      next.receive_buffer_max_bytes == last.receive_buffer_max_bytes);
  ctx_.config = next;
  ctx_.reset_bucket.set_limits(next.reset_limit);
  ctx_.challenge_bucket.set_limits(next.challenge_limit);
  overload_.set_idle_age(next.overload_idle_age);
}

void Engine::watch_gate() {
  if (!ctx_.gate.is_due(ctx_.now)) return;
  // A flood may end with its last SYN: cookies are not to wait for another one to end.
  for (std::uint16_t index = 0; index < ctx_.listeners.size(); ++index)
    if (ListenerRecord& listener = ctx_.listeners[index];
        listener.is_open != 0 && listener.is_sending_cookies != 0)
      settle_cookies(ctx_, listener);
  ctx_.gate.end_step(ctx_.listeners, ctx_.config.max_half_open, ctx_.now, ctx_.metrics);
}

bool Engine::on_icmp_error(const IcmpError& error, Instant now) {
  ctx_.set_now(now);
  return icmp_error_arrives(ctx_, error);
}

void Engine::advance(Instant now) {
  ctx_.set_now(now);
  advance_timers(ctx_, kTimerBudget);
  overload_.step(ctx_);
  watch_gate();
}

Engine::Filled Engine::transmit(std::span<OutboundSegment> out, Instant now) {
  ctx_.set_now(now);
  Burst burst{out};
  while (!burst.is_full() && !ctx_.control.is_empty()) out[burst.used++] = ctx_.control.pop();
  for (std::uint32_t turns = ctx_.outputs.size(); turns > 0 && !burst.is_full(); --turns) {
    const std::uint32_t index = ctx_.outputs.pop();
    ctx_.touch(index).clear(kOutputPending);
    if (!send_pending(ctx_, index, burst)) {
      ctx_.want_output(index);
    } else {
      SLUICE_CHECK(check_tcb(ctx_, index));
      ctx_.release_if_done(index);
    }
  }
  return {.packets = burst.used, .segments = burst.segments()};
}

Instant Engine::next_deadline() const {
  return std::min({next_timer(ctx_), ctx_.gate.next_deadline(), overload_.next_deadline(ctx_)});
}

}  // namespace sluice::tcp
