#include "tcp/handshake/listen.hpp"

#include <algorithm>

#include "tcp/congestion/controller.hpp"
#include "tcp/handshake/established.hpp"
#include "tcp/handshake/isn.hpp"
#include "tcp/input/acceptability.hpp"
#include "tcp/input/ack.hpp"
#include "tcp/output/control.hpp"
#include "tcp/recovery/rtt.hpp"
#include "tcp/timer/tcp_timers.hpp"

namespace sluice::tcp {
namespace {

std::uint32_t bounded(std::uint32_t backlog, std::uint32_t cap) {
  return backlog == 0 ? cap : std::min(backlog, cap);
}

std::uint32_t first_window(const Context& ctx) {
  return std::min<std::uint32_t>(ctx.config.receive_buffer_bytes, 65535);
}

void record_received(Context& ctx, const HalfOpen& entry, const Segment& segment, Outcome outcome) {
  if (!(entry.flags & kHalfOpenTraced) || !ctx.recorder.is_enabled()) return;
  Tcb shadow{};
  shadow.state = State::kSynReceived;
  shadow.snd.una = entry.iss;
  shadow.snd.nxt = entry.iss + 1;
  shadow.rcv.nxt = entry.irs + 1;
  const unsigned scale =
      segment.has(wire::kSyn) || entry.peer_wscale == 0xff ? 0 : entry.peer_wscale;
  ctx.record_segment(telemetry::EventKind::kReceived, segment.hash, &shadow, segment.header,
                     static_cast<std::uint32_t>(segment.header.window) << scale, segment.payload,
                     outcome, false);
}

/// A SYN or SYN-ACK was lost, or so one end believed.
bool had_loss(const HalfOpen& entry) {
  return entry.retransmits > 0 || (entry.flags & kHalfOpenAskedAgain) != 0;
}

/// The first RTT, from SYN-ACK to ACK, if it can be told.
void take_handshake_rtt(Context& ctx, Tcb& block, const HalfOpen& entry, const Segment& segment) {
  const bool is_timed = !had_loss(entry) && !(entry.flags & kHalfOpenCookie);
  //= rfc7323#3.2 MUST-3  the echo counts in an ACK only  rfc6298#3 MUST-2
  if (is_timed) {
    const std::uint32_t rtt_us = std::max(ctx.now_us() - entry.sent_at_us, 1u);
    on_rtt_sample(block, ctx.config, Duration::from_us(rtt_us));
    note_min_rtt(block, rtt_us, ctx.tick);
  } else if (entry.flags & kHalfOpenTimestamps) {
    // A cookie's TSval lies up to 15 ms back: a little too long is on the safe side.
    const std::uint32_t age = ctx.tick - (segment.header.options.ts_ecr - block.ts_offset);
    if (age < 60'000) on_rtt_sample(block, ctx.config, kTickLength * std::max(age, 1u));
  }
}

/// The connection of a completed handshake; `previous` had its place in the flow table.
std::uint32_t make_connection(Context& ctx, const HalfOpen& entry, FlowRef previous,
                              const Segment& segment) {
  const std::uint32_t index = ctx.make_tcb(segment.flow, segment.hash, previous);
  if (index == kNoIndex) return index;
  Tcb& block = ctx.tcb(index);
  block.state = State::kSynReceived;
  const Agreement agreement{.peer_mss = entry.peer_mss,
                            .peer_wscale = entry.peer_wscale,
                            .timestamps = (entry.flags & kHalfOpenTimestamps) != 0,
                            .sack = (entry.flags & kHalfOpenSack) != 0,
                            .path_mtu = entry.path_mtu};
  apply_agreement(ctx, block, agreement);
  if (entry.flags & kHalfOpenTraced) block.set(kTraced);
  if (entry.flags & kHalfOpenEcn) block.ecn = kEcnOk;
  block.congestion = entry.congestion;
  if (ctx.config.keepalive) block.set(kKeepaliveOn);
  block.rcv.nxt = entry.irs + 1;
  block.rcv.adv = block.rcv.nxt + first_window(ctx);
  block.rcv.last_ack = block.rcv.nxt;
  block.ts_recent = entry.ts_recent;
  block.ts_offset = entry.ts_offset;
  block.snd.una = block.snd.nxt = entry.iss + 1;
  //= rfc7323#2.3 MUST-5
  set_send_window(block, segment,
                  static_cast<std::uint32_t>(segment.header.window) << block.snd_wscale());
  if ((entry.flags & kHalfOpenCookie) && agreement.timestamps) {
    // Another server of the fleet may have sent the cookie by a clock ahead of ours: PAWS would
    // drop what we send until ours has come so far.
    const std::uint32_t ahead = segment.header.options.ts_ecr - (ctx.tick + block.ts_offset);
    if (static_cast<std::int32_t>(ahead) > 0) block.ts_offset += ahead;
  }
  take_handshake_rtt(ctx, block, entry, segment);
  start_sending(ctx, block, had_loss(entry));
  block.listener = entry.listener;
  if (ctx.recorder.is_enabled())
    ctx.record_flow(segment.flow, segment.hash, index, entry.iss, entry.irs);
  ctx.transition(index, State::kEstablished);
  restart_keepalive(ctx, index);
  ctx.metrics.count(Counter::kPassiveOpens);
  ctx.syn_ack_limit.give_back(segment.flow.remote);
  ctx.accept_push(block.listener, index);
  block.event_mask |= app::kOpened;
  return index;
}

bool is_accept_queue_full(const Context& ctx, const ListenerRecord& listener) {
  return listener.accept_queued >= accept_backlog_of(ctx, listener) ||
         ctx.accept_queued >= ctx.config.max_accept_queue;
}

/// The third segment of the handshake: is there room for the connection?
Outcome complete(Context& ctx, std::uint32_t index, const Segment& segment,
                 std::uint32_t& connection) {
  HalfOpen& entry = ctx.half_opens[index];
  ListenerRecord& listener = ctx.listeners[entry.listener];
  if (is_accept_queue_full(ctx, listener)) {
    // Ignored, and the entry stays: the SYN-ACK is sent again and the client's ACK gets another
    // chance.
    entry.version.begin_write();
    entry.flags |= kHalfOpenAckPending;
    entry.version.end_write();
    ++listener.accept_dropped_total;
    return Outcome::kAcceptQueueFull;
  }
  const HalfOpen agreed = entry;
  connection = make_connection(ctx, agreed, FlowRef(FlowRef::kHalfOpen, index), segment);
  if (connection == kNoIndex) return Outcome::kNoMemory;
  ctx.drop_half_open(index, FlowRef(FlowRef::kConnection, connection));
  return Outcome::kHandshakeCompleted;
}

/// The peer asks for ECN, and we are willing.
bool may_use_ecn(const Context& ctx, Algorithm algorithm, const Segment& segment) {
  //= rfc3168#6.1.1
  if (!segment.has(wire::kEce) || !segment.has(wire::kCwr)) return false;
  return ctx.config.ecn != EcnMode::kOff || controller(algorithm).traits().needs_ecn;
}

/// Of a new connection: the listener's, else the route's, else the config's.
Algorithm algorithm_for(const Context& ctx, const ListenerRecord& listener,
                        const std::optional<Algorithm>& of_route) {
  if (listener.congestion != 0xff) return static_cast<Algorithm>(listener.congestion);
  return of_route.value_or(ctx.config.congestion);
}

/// What a SYN says, as an entry of the table or a cookie keeps it; without ISS and the offset of
/// timestamps, which cost a hash where they are needed.
void fill_entry(Context& ctx, HalfOpen& entry, std::uint16_t listener, const Segment& segment) {
  const ListenerRecord& owner = ctx.listeners[listener];
  const auto path = ctx.paths.path_to(segment.flow.remote, segment.flow.local);
  const Algorithm algorithm = algorithm_for(ctx, owner, path ? path->congestion : std::nullopt);
  const Agreement agreement =
      agree(ctx.config, segment.header.options, path ? path->mtu : std::uint16_t{1500});
  entry.listener = listener;
  entry.irs = segment.seq();
  entry.peer_mss = agreement.peer_mss;
  entry.peer_window = segment.header.window;
  entry.peer_wscale = agreement.peer_wscale;
  entry.path_mtu = agreement.path_mtu;
  entry.flags = static_cast<std::uint8_t>(
      (agreement.timestamps ? kHalfOpenTimestamps : 0) | (agreement.sack ? kHalfOpenSack : 0) |
      (may_use_ecn(ctx, algorithm, segment) ? kHalfOpenEcn : 0) |
      (owner.is_traced ? kHalfOpenTraced : 0));
  entry.congestion = static_cast<std::uint8_t>(algorithm);
  entry.ts_recent = segment.header.options.ts_val;
  entry.sent_at_us = ctx.now_us();
}

void record_syn(Context& ctx, const HalfOpen& entry, const Segment& segment, Outcome outcome) {
  if (ctx.recorder.is_enabled()) {
    ctx.record_flow(segment.flow, segment.hash, kNoIndex, entry.iss, entry.irs);
    ctx.record_transition(segment.hash, State::kListen, State::kSynReceived);
  }
  record_received(ctx, entry, segment, outcome);
}

Outcome queue_syn(Context& ctx, std::uint16_t listener, const Segment& segment, FlowRef time_wait) {
  ListenerRecord& owner = ctx.listeners[listener];
  if (owner.half_open >= syn_backlog_of(ctx, owner) || ctx.half_opens.is_full()) {
    ++owner.syn_dropped_total;
    return Outcome::kSynQueueFull;
  }
  const std::uint64_t secret = ctx.secret_of(segment.flow);
  SeqNum iss = initial_sequence_number(secret, ctx.now);
  if (!time_wait.is_none()) {
    //= rfc9293#3.6.1  beyond anything the old incarnation used
    const SeqNum old_nxt = time_wait.kind() == FlowRef::kTimeWait4
                               ? ctx.time_wait4[time_wait.index()].snd_nxt
                               : ctx.time_wait6[time_wait.index()].snd_nxt;
    if (wire::seq_leq(iss, old_nxt + 65535)) iss = old_nxt + 65535 + 2;
    ctx.drop_time_wait(time_wait, Counter::kTimeWaitReused);
  }
  const std::uint32_t index = ctx.make_half_open(segment.flow, segment.hash, {}, listener);
  if (index == kNoIndex) return Outcome::kNoMemory;
  HalfOpen& entry = ctx.half_opens[index];
  entry.iss = iss;
  entry.ts_offset = ctx.timestamp_offset_of(secret);
  fill_entry(ctx, entry, listener, segment);
  entry.version.end_write();
  record_syn(ctx, entry, segment, Outcome::kSynQueued);
  send_syn_ack(ctx, index);
  ctx.half_open_wheel.arm(index, ctx.tick_after(ctx.config.rto_initial));
  return Outcome::kSynQueued;
}

// --- without an entry: SYN cookies ---

Outcome answer_by_cookie(Context& ctx, std::uint16_t listener, Segment& segment) {
  ListenerRecord& owner = ctx.listeners[listener];
  HalfOpen entry{};
  fill_entry(ctx, entry, listener, segment);
  if (entry.flags & kHalfOpenTimestamps)
    entry.ts_offset = ctx.timestamp_offset_of(ctx.secret_of(segment.flow));
  const CookieFacts facts{.peer_mss = entry.peer_mss,
                          .peer_wscale = entry.peer_wscale,
                          .sack = (entry.flags & kHalfOpenSack) != 0,
                          .ecn = (entry.flags & kHalfOpenEcn) != 0};
  const auto cookie = ctx.cookies.make(segment.flow, segment.seq(), facts, ctx.now);
  entry.iss = cookie.iss;
  owner.last_cookie_slot = ctx.cookies.slot_at(ctx.now);
  ++owner.cookies_sent_total;
  if (entry.flags & kHalfOpenTraced) record_syn(ctx, entry, segment, Outcome::kSynCookieSent);
  send_cookie(ctx, entry, cookie.fine, segment);
  return Outcome::kSynCookieSent;
}

/// An ACK can be the answer to a cookie only while one that was sent is still valid. A fleet's
/// other servers send them, too.
bool may_be_cookie(const Context& ctx, const ListenerRecord& listener) {
  if (static_cast<CookieMode>(listener.cookie_mode) == CookieMode::kOff || ctx.is_draining)
    return false;
  return ctx.config.is_fleet || (listener.cookies_sent_total > 0 &&
                                 ctx.cookies.slot_at(ctx.now) - listener.last_cookie_slot <= 1);
}

bool has_agreed_timestamps(const Context& ctx, const Segment& segment) {
  return ctx.config.timestamps && segment.header.options.has_timestamps;
}

/// Perhaps an honest client's second segment has overtaken its first, or the first was lost. With
/// timestamps the echo tells: nobody else knows our clock for this flow. Without, octets are given
/// the benefit of the doubt. The peer of a connection that has ended here has none: it must be
/// told.
bool may_follow_cookie(Context& ctx, const Segment& segment) {
  const std::optional<Tick> ended = ctx.ended_flows.ended_at(segment.hash, ctx.tick);
  if (!has_agreed_timestamps(ctx, segment))
    return segment.length() > 0 && !ended &&
           ctx.cookie_doubts.may_prove_itself(segment.hash, ctx.tick);
  const Tick sent_at =
      segment.header.options.ts_ecr - ctx.timestamp_offset_of(ctx.secret_of(segment.flow));
  return ctx.tick - sent_at <= ticks_in(SynCookies::kSlot * 2) &&
         (!ended || tick_before(*ended, sent_at));
}

/// What the SYN said, if the segment's ACK is a cookie.
std::optional<CookieFacts> cookie_facts(Context& ctx, const Segment& segment) {
  const auto echo = has_agreed_timestamps(ctx, segment)
                        ? std::optional(segment.header.options.ts_ecr)
                        : std::nullopt;
  return ctx.cookies.check(segment.flow, segment.seq() - 1, segment.ack() - 1, echo, ctx.now);
}

Outcome cookie_arrives(Context& ctx, std::uint16_t listener, Segment& segment,
                       std::uint32_t& connection) {
  ListenerRecord& owner = ctx.listeners[listener];
  const bool has_timestamps = has_agreed_timestamps(ctx, segment);
  const SeqNum irs = segment.seq() - 1, iss = segment.ack() - 1;
  const auto facts = cookie_facts(ctx, segment);
  if (!facts || ctx.used_cookies.holds(segment.hash, iss)) {
    ctx.metrics.count(Counter::kCookiesRejected);
    ++owner.cookies_rejected_total;
    if (may_follow_cookie(ctx, segment)) return Outcome::kCookieDoubtful;
    return answer_stray(ctx, segment);
  }
  if (is_accept_queue_full(ctx, owner)) {
    // Ignored: what the client sends next, or again, is another chance.
    ++owner.accept_dropped_total;
    return Outcome::kAcceptQueueFull;
  }
  HalfOpen entry{};
  fill_entry(ctx, entry, listener, segment);
  entry.ts_offset = ctx.timestamp_offset_of(ctx.secret_of(segment.flow));
  entry.iss = iss;
  entry.irs = irs;
  entry.peer_mss = facts->peer_mss;
  entry.peer_wscale = facts->peer_wscale;
  entry.flags = static_cast<std::uint8_t>(
      kHalfOpenCookie | (has_timestamps ? kHalfOpenTimestamps : 0) |
      (facts->sack ? kHalfOpenSack : 0) | (facts->ecn ? kHalfOpenEcn : 0) |
      (owner.is_traced ? kHalfOpenTraced : 0));
  connection = make_connection(ctx, entry, {}, segment);
  if (connection == kNoIndex) return Outcome::kNoMemory;
  ctx.count_transition(State::kListen, State::kSynReceived);  // both at once, for the books
  ctx.used_cookies.add(segment.hash, iss);
  ++owner.cookies_accepted_total;
  record_received(ctx, entry, segment, Outcome::kCookieCompleted);
  return Outcome::kCookieCompleted;
}

bool is_cookie(Context& ctx, std::uint16_t listener, const Segment& segment) {
  return may_be_cookie(ctx, ctx.listeners[listener]) && cookie_facts(ctx, segment) &&
         !ctx.used_cookies.holds(segment.hash, segment.ack() - 1);
}

// --- SYN-RECEIVED ---

/// The client's SYN once more: what it says now counts. Behind a middlebox that drops what it does
/// not know, clients leave out ECN (RFC 3168 6.1.1.1) or options.
void read_again(Context& ctx, HalfOpen& entry, const Segment& segment) {
  const std::uint8_t kept = entry.flags & (kHalfOpenAckPending | kHalfOpenAnswered);
  entry.version.begin_write();
  fill_entry(ctx, entry, entry.listener, segment);
  entry.flags = static_cast<std::uint8_t>(entry.flags | kept | kHalfOpenAskedAgain);
  entry.version.end_write();
}

Outcome half_open_verdict(Context& ctx, std::uint32_t index, Segment& segment,
                          std::uint32_t& connection) {
  HalfOpen& entry = ctx.half_opens[index];
  const SeqNum rcv_nxt = entry.irs + 1;
  if (segment.has(wire::kSyn) && !segment.has(wire::kAck | wire::kRst) &&
      segment.seq() == entry.irs) {
    // Or one forged SYN, sent again and again, would flood its prefix through us.
    if (!ctx.syn_ack_limit.take(segment.flow.remote, ctx.tick)) return Outcome::kSynPrefixLimited;
    read_again(ctx, entry, segment);
    send_syn_ack(ctx, index);
    return Outcome::kSynDuplicate;
  }
  const auto& options = segment.header.options;
  if ((entry.flags & kHalfOpenTimestamps) && !segment.has(wire::kRst)) {
    if (!options.has_timestamps) return Outcome::kNoTimestamp;
    if (is_paws_rejected(options.ts_val, entry.ts_recent, entry.created_at, ctx.tick)) {
      send_half_open_ack(ctx, index);
      return Outcome::kPawsRejected;
    }
  }
  const Acceptability acceptability =
      check_acceptability(segment.seq(), segment.length(), rcv_nxt, first_window(ctx));
  if (acceptability != Acceptability::kAcceptable) {
    if (segment.has(wire::kRst)) return Outcome::kRstOutside;
    send_half_open_ack(ctx, index);
    return Outcome::kHandshakeUnacceptable;
  }
  if (segment.has(wire::kRst)) {
    if (segment.seq() != rcv_nxt) {
      send_half_open_ack(ctx, index);
      return Outcome::kRstChallenged;
    }
    //= rfc9293#3.5 MUST-11  a passive open returns to LISTEN, and nobody is told
    ctx.drop_half_open(index);
    return Outcome::kHandshakeReset;
  }
  if (segment.has(wire::kSyn)) {
    //= rfc9293#3.10.7.4 fourth check, SYN-RECEIVED from a passive open: back to LISTEN
    ctx.drop_half_open(index);
    return Outcome::kHandshakeReset;
  }
  if (!segment.has(wire::kAck)) return Outcome::kAckMissing;
  if (segment.ack() != entry.iss + 1) {
    if (is_cookie(ctx, entry.listener, segment)) {
      // Its SYN was answered twice: by a cookie, and by this entry when there was room again.
      const std::uint16_t listener = entry.listener;
      ctx.drop_half_open(index);
      return cookie_arrives(ctx, listener, segment, connection);
    }
    send_reset_for_ack(ctx, segment);
    return Outcome::kHandshakeBadAck;
  }
  if (options.has_timestamps && (entry.flags & kHalfOpenTimestamps) && segment.seq() == rcv_nxt) {
    entry.version.begin_write();
    entry.ts_recent = options.ts_val;
    entry.version.end_write();
  }
  return complete(ctx, index, segment, connection);
}

}  // namespace

std::uint32_t syn_backlog_of(const Context& ctx, const ListenerRecord& listener) {
  return bounded(listener.syn_backlog, ctx.config.max_half_open);
}

std::uint32_t accept_backlog_of(const Context& ctx, const ListenerRecord& listener) {
  return bounded(listener.accept_backlog, ctx.config.max_accept_queue);
}

bool settle_cookies(Context& ctx, ListenerRecord& listener) {
  const auto mode = static_cast<CookieMode>(listener.cookie_mode);
  if (mode != CookieMode::kAuto) return mode == CookieMode::kAlways;
  const std::uint32_t backlog = syn_backlog_of(ctx, listener), quarter = backlog / 4;
  // Of the table that all listeners share a quarter stays free as well: a SYN that ends a TIME-WAIT
  // must get an entry.
  const std::uint32_t table = ctx.half_opens.capacity();
  const bool is_full =
      listener.half_open >= backlog - quarter || ctx.half_opens.used() >= table - table / 4;
  if (listener.is_sending_cookies != 0) {
    if (is_full || listener.half_open > quarter) return true;
    ctx.metrics.count(Counter::kCookiesReleased);
  } else {
    if (!is_full) return false;
    ctx.metrics.count(Counter::kCookiesEngaged);
  }
  listener.version.begin_write();
  listener.is_sending_cookies ^= 1;
  listener.version.end_write();
  return listener.is_sending_cookies != 0;
}

Outcome listen_arrives(Context& ctx, std::uint16_t listener, Segment& segment, FlowRef time_wait,
                       std::uint32_t& connection) {
  //= rfc9293#3.10.7.2
  if (segment.has(wire::kRst)) return Outcome::kStrayRst;  // first
  if (segment.has(wire::kAck)) {                           // second
    if (!segment.has(wire::kSyn) && may_be_cookie(ctx, ctx.listeners[listener]))
      return cookie_arrives(ctx, listener, segment, connection);
    return answer_stray(ctx, segment);
  }
  if (!segment.has(wire::kSyn)) return Outcome::kListenNoSyn;  // fourth
  if (segment.has(wire::kFin)) return Outcome::kSynMalformed;
  if (ctx.is_draining) return Outcome::kSynDraining;
  if (!ctx.syn_ack_limit.take(segment.flow.remote, ctx.tick)) return Outcome::kSynPrefixLimited;
  // third. A cookie's ISS does not lie beyond what the old connection in TIME-WAIT used.
  if (settle_cookies(ctx, ctx.listeners[listener]) && time_wait.is_none())
    return answer_by_cookie(ctx, listener, segment);
  return queue_syn(ctx, listener, segment, time_wait);
}

Outcome half_open_arrives(Context& ctx, std::uint32_t index, Segment& segment,
                          std::uint32_t& connection) {
  const HalfOpen before = ctx.half_opens[index];
  connection = kNoIndex;
  const Outcome outcome = half_open_verdict(ctx, index, segment, connection);
  record_received(ctx, before, segment, outcome);
  return outcome;
}

}  // namespace sluice::tcp
