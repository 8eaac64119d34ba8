#include "tests/state/event.hpp"

#include "base/assert.hpp"
#include "tcp/user_calls.hpp"

namespace sluice::state {
namespace {

using support::PeerSegment;
using telemetry::TimerKind;

constexpr std::uint32_t kGap = 100;
constexpr std::size_t kPayload = 100;

constexpr Event kEvents[] = {
#define SLUICE_EVENT(name) Event::name,
    SLUICE_SEGMENT_EVENTS(SLUICE_EVENT) SLUICE_OTHER_EVENTS(SLUICE_EVENT)
#undef SLUICE_EVENT
};
constexpr std::string_view kNames[] = {
#define SLUICE_EVENT(name) #name,
    SLUICE_SEGMENT_EVENTS(SLUICE_EVENT) SLUICE_OTHER_EVENTS(SLUICE_EVENT)
#undef SLUICE_EVENT
};
constexpr std::size_t kSegmentEvents = 0
#define SLUICE_EVENT(name) +1
    SLUICE_SEGMENT_EVENTS(SLUICE_EVENT)
#undef SLUICE_EVENT
    ;

enum class Stamp { kHonest, kOld, kNone };

struct Recipe {
  std::uint8_t flags;
  wire::SeqNum seq;
  wire::SeqNum ack;
  std::size_t payload = 0;
  std::uint16_t urgent = 0;
  std::uint16_t window = 8192;
  Stamp stamp = Stamp::kHonest;
};

PeerSegment make(const Fixture& fixture, const Recipe& recipe) {
  PeerSegment segment = fixture.peer.segment(recipe.flags);
  segment.seq = recipe.seq;
  segment.ack = (recipe.flags & wire::kAck) ? recipe.ack : wire::SeqNum{};
  segment.payload = support::pattern(recipe.payload);
  segment.urgent = recipe.urgent;
  segment.window = recipe.window;
  if (recipe.stamp == Stamp::kNone) segment.options.has_timestamps = false;
  if (recipe.stamp == Stamp::kOld) segment.options.ts_val -= 100'000;
  return segment;
}

/// Runs until `kind` fires.
bool fire(Fixture& fixture, TimerKind kind, Duration limit) {
  const std::uint64_t before = fixture.rig.metrics().of(kind);
  return fixture.rig.run_to([&] { return fixture.rig.metrics().of(kind) > before; }, limit);
}

template <class T>
CallResult result_of(const Result<T, Error>& result) {
  CallResult call;
  if (!result) call.error = result.error();
  return call;
}

/// CLOSE and ABORT of a row without a connection are the listener's close.
template <class Call>
CallResult call_connection(Fixture& fixture, Call&& call) {
  const bool has_listener_only = fixture.connection.is_none() && !fixture.listener.is_none();
  if (has_listener_only) return result_of(tcp::close_listener(fixture.rig.ctx(), fixture.listener));
  // A handle that was never given out stands for one of a connection long gone.
  return call(fixture.connection.is_none() ? ConnHandle{0, 1} : fixture.connection);
}

CallResult call_receive(Fixture& fixture) {
  auto octets = tcp::receive(fixture.rig.ctx(),
                             fixture.connection.is_none() ? ConnHandle{0, 1} : fixture.connection);
  CallResult call = result_of(octets);
  if (octets) {
    call.value = octets->bytes();
    tcp::credit(fixture.rig.ctx(), fixture.connection, call.value);
  }
  return call;
}

CallResult call_send(Fixture& fixture) {
  const auto taken = tcp::send(fixture.rig.ctx(),
                               fixture.connection.is_none() ? ConnHandle{0, 1} : fixture.connection,
                               support::pattern(10));
  CallResult call = result_of(taken);
  if (taken) call.value = static_cast<std::uint32_t>(*taken);
  return call;
}

CallResult perform_call(Event event, Fixture& fixture) {
  tcp::Context& ctx = fixture.rig.ctx();
  const tcp::FlowKey flow = fixture_flow();
  switch (event) {
    case Event::kCallOpen:
      return result_of(tcp::open(
          ctx,
          {.remote = {flow.remote, flow.remote_port}, .local = {}, .local_port = flow.local_port}));
    case Event::kCallListen:
      return result_of(tcp::listen(ctx, {.address = {}, .port = flow.local_port}));
    case Event::kCallSend:
      return call_send(fixture);
    case Event::kCallReceive:
      return call_receive(fixture);
    case Event::kCallShutdown:
      return call_connection(
          fixture, [&](ConnHandle handle) { return result_of(tcp::shutdown(ctx, handle)); });
    case Event::kCallClose:
      return call_connection(fixture,
                             [&](ConnHandle handle) { return result_of(tcp::close(ctx, handle)); });
    case Event::kCallAbort:
      return call_connection(fixture, [&](ConnHandle handle) {
        return result_of(tcp::abort(ctx, handle, CloseReason::kAborted));
      });
    default:
      return result_of(tcp::accept(ctx, fixture.listener));
  }
}

bool perform_timer(Event event, Fixture& fixture) {
  support::TcpRig& rig = fixture.rig;
  tcp::Context& ctx = rig.ctx();
  const telemetry::Metrics& metrics = rig.metrics();
  constexpr Duration kLimit = Duration::from_s(3 * 3600);
  switch (event) {
    case Event::kRetransmitTimer: {
      const auto fired = [&metrics] {
        return metrics.of(TimerKind::kRetransmit) + metrics.of(TimerKind::kConnect);
      };
      return rig.run_to([&] { return fired() > 0; }, kLimit);
    }
    case Event::kPersistTimer:
      return fire(fixture, TimerKind::kPersist, kLimit);
    case Event::kDelayedAckTimer:
      fixture.peer.give(segment_of(Event::kData, fixture));
      static_cast<void>(rig.take_sent());
      return fire(fixture, TimerKind::kDelayedAck, kLimit);
    case Event::kKeepaliveTimer:
      return fire(fixture, TimerKind::kKeepalive, kLimit);
    case Event::kUserTimeout: {
      const auto ended = [&metrics] {
        return metrics.of(telemetry::Counter::kUserTimeouts) +
               metrics.of(telemetry::Counter::kConnectTimedOut) +
               metrics.of(telemetry::Counter::kHalfOpenExpired);
      };
      return rig.run_to([&] { return ended() > 0; }, kLimit);
    }
    case Event::kFinWait2Timer:
      SLUICE_ASSERT(tcp::close(ctx, fixture.connection).has_value());
      return fire(fixture, TimerKind::kFinWait2, kLimit);
    case Event::kSynAckTimer:
      return fire(fixture, TimerKind::kSynAck, kLimit);
    case Event::kTimeWaitTimer:
      return fire(fixture, TimerKind::kTimeWait, kLimit);
    default:
      ctx.touch(fixture.connection.index);
      ctx.arm(fixture.connection.index, tcp::kTimerApplication, ctx.tick + 5);
      return fire(fixture, TimerKind::kApplication, kLimit);
  }
}

}  // namespace

std::string_view name_of(Event event) {
  return kNames[static_cast<std::size_t>(event)];
}
std::span<const Event> all_events() {
  return kEvents;
}
bool is_segment(Event event) {
  return static_cast<std::size_t>(event) < kSegmentEvents;
}

Way way_of(Event event) {
  if (event == Event::kPersistTimer) return Way::kHeldBack;
  if (event == Event::kKeepaliveTimer) return Way::kAllAcked;
  if (event == Event::kCallAccept) return Way::kUnaccepted;
  return Way::kUsual;
}

tcp::EngineConfig config_of(Event event) {
  tcp::EngineConfig config = support::TcpRig::small_config();
  config.keepalive = event == Event::kKeepaliveTimer;
  return config;
}

PeerSegment segment_of(Event event, const Fixture& fixture) {
  using namespace wire;
  const SeqNum rcv = fixture.rcv_nxt, right = fixture.right;
  const SeqNum una = fixture.snd_una, nxt = fixture.snd_nxt, ack = fixture.honest_ack;
  const SeqNum too_old = una - fixture.largest_window - 1;
  const auto build = [&](const Recipe& recipe) { return make(fixture, recipe); };
  constexpr std::uint8_t kNone = 0, kSynAckFlags = kSyn | kAck, kFinFlags = kFin | kAck,
                         kUrgFlags = kUrg | kAck;
  switch (event) {
    case Event::kSyn:
      return build({kSyn, rcv, ack});
    case Event::kSynGap:
      return build({kSyn, rcv + kGap, ack});
    case Event::kSynOld:
      return build({kSyn, rcv - 1, ack});
    case Event::kSynAck:
      return build({kSynAckFlags, rcv, nxt});
    case Event::kSynAckGap:
      return build({kSynAckFlags, rcv + kGap, nxt});
    case Event::kSynAckOld:
      return build({kSynAckFlags, rcv - 1, nxt});
    case Event::kSynAckBeyond:
      return build({kSynAckFlags, rcv, nxt + 1});
    case Event::kSynAckBeyondGap:
      return build({kSynAckFlags, rcv + kGap, nxt + 1});
    case Event::kAckOld:
      return build({kAck, rcv, una - 1});
    case Event::kAckOldGap:
      return build({kAck, rcv + kGap, una - 1});
    case Event::kAckTooOld:
      return build({kAck, rcv, too_old});
    case Event::kAckTooOldGap:
      return build({kAck, rcv + kGap, too_old});
    case Event::kAckDuplicate:
      return build({kAck, rcv, una});
    case Event::kAckDuplicateGap:
      return build({kAck, rcv + kGap, una});
    case Event::kAckNew:
      return build({kAck, rcv, nxt});
    case Event::kAckNewGap:
      return build({kAck, rcv + kGap, nxt});
    case Event::kAckBeyond:
      return build({kAck, rcv, nxt + 1});
    case Event::kAckBeyondGap:
      return build({kAck, rcv + kGap, nxt + 1});
    case Event::kData:
      return build({kAck, rcv, ack, kPayload});
    case Event::kDataGap:
      return build({kAck, rcv + kGap, ack, kPayload});
    case Event::kDataLeft:
      return build({kAck, rcv - 50, ack, kPayload});
    case Event::kDataRight:
      return build({kAck, right - 50, ack, kPayload});
    case Event::kDataOutsideLeft:
      return build({kAck, rcv - 100, ack, kPayload});
    case Event::kDataOutsideRight:
      return build({kAck, right, ack, kPayload});
    case Event::kDataNoAck:
      return build({kNone, rcv, ack, kPayload});
    case Event::kFin:
      return build({kFinFlags, rcv, ack});
    case Event::kFinGap:
      return build({kFinFlags, rcv + kGap, ack});
    case Event::kFinData:
      return build({kFinFlags, rcv, ack, kPayload});
    case Event::kFinDataGap:
      return build({kFinFlags, rcv + kGap, ack, kPayload});
    case Event::kFinOld:
      return build({kFinFlags, rcv - 1, ack});
    case Event::kFinOutside:
      return build({kFinFlags, right + 1, ack});
    case Event::kFinAckNew:
      return build({kFinFlags, rcv, nxt});
    case Event::kFinAckNewGap:
      return build({kFinFlags, rcv + kGap, nxt});
    case Event::kRst:
      return build({kRst, rcv, ack});
    case Event::kRstAck:
      return build({kRst | kAck, rcv, nxt});
    case Event::kRstGap:
      return build({kRst, rcv + kGap, ack});
    case Event::kRstAckGap:
      return build({kRst | kAck, rcv + kGap, nxt});
    case Event::kRstOutsideLeft:
      return build({kRst, rcv - 1, ack});
    case Event::kRstOutsideRight:
      return build({kRst, right, ack});
    case Event::kUrg:
      return build({kUrgFlags, rcv, ack, kPayload, 50});
    case Event::kUrgGap:
      return build({kUrgFlags, rcv + kGap, ack, kPayload, 50});
    case Event::kUrgNoData:
      return build({kUrgFlags, rcv, ack, 0, 50});
    case Event::kUrgNoDataGap:
      return build({kUrgFlags, rcv + kGap, ack, 0, 50});
    case Event::kUrgOld:
      return build({kUrgFlags, rcv - 100, ack, kPayload, 10});
    case Event::kOldTimestampAck:
      return build({.flags = kAck, .seq = rcv, .ack = ack, .stamp = Stamp::kOld});
    case Event::kOldTimestampAckGap:
      return build({.flags = kAck, .seq = rcv + kGap, .ack = ack, .stamp = Stamp::kOld});
    case Event::kOldTimestampData:
      return build(
          {.flags = kAck, .seq = rcv, .ack = ack, .payload = kPayload, .stamp = Stamp::kOld});
    case Event::kOldTimestampDataGap:
      return build({.flags = kAck,
                    .seq = rcv + kGap,
                    .ack = ack,
                    .payload = kPayload,
                    .stamp = Stamp::kOld});
    case Event::kOldTimestampFin:
      return build({.flags = kFinFlags, .seq = rcv, .ack = ack, .stamp = Stamp::kOld});
    case Event::kOldTimestampFinGap:
      return build({.flags = kFinFlags, .seq = rcv + kGap, .ack = ack, .stamp = Stamp::kOld});
    case Event::kOldTimestampRst:
      return build({.flags = kRst, .seq = rcv, .ack = ack, .stamp = Stamp::kOld});
    case Event::kOldTimestampRstGap:
      return build({.flags = kRst, .seq = rcv + kGap, .ack = ack, .stamp = Stamp::kOld});
    case Event::kOldTimestampSyn:
      return build({.flags = kSyn, .seq = rcv, .ack = ack, .stamp = Stamp::kOld});
    case Event::kOldTimestampSynGap:
      return build({.flags = kSyn, .seq = rcv + kGap, .ack = ack, .stamp = Stamp::kOld});
    case Event::kNoTimestampAck:
      return build({.flags = kAck, .seq = rcv, .ack = ack, .stamp = Stamp::kNone});
    case Event::kNoTimestampAckGap:
      return build({.flags = kAck, .seq = rcv + kGap, .ack = ack, .stamp = Stamp::kNone});
    case Event::kNoTimestampData:
      return build(
          {.flags = kAck, .seq = rcv, .ack = ack, .payload = kPayload, .stamp = Stamp::kNone});
    case Event::kNoTimestampDataGap:
      return build({.flags = kAck,
                    .seq = rcv + kGap,
                    .ack = ack,
                    .payload = kPayload,
                    .stamp = Stamp::kNone});
    case Event::kNoTimestampFin:
      return build({.flags = kFinFlags, .seq = rcv, .ack = ack, .stamp = Stamp::kNone});
    case Event::kNoTimestampFinGap:
      return build({.flags = kFinFlags, .seq = rcv + kGap, .ack = ack, .stamp = Stamp::kNone});
    case Event::kNoTimestampRst:
      return build({.flags = kRst, .seq = rcv, .ack = ack, .stamp = Stamp::kNone});
    case Event::kNoTimestampRstGap:
      return build({.flags = kRst, .seq = rcv + kGap, .ack = ack, .stamp = Stamp::kNone});
    case Event::kZeroWindow:
      return build({.flags = kAck, .seq = rcv, .ack = ack, .window = 0});
    case Event::kZeroWindowGap:
      return build({.flags = kAck, .seq = rcv + kGap, .ack = ack, .window = 0});
    case Event::kZeroWindowNew:
      return build({.flags = kAck, .seq = rcv, .ack = nxt, .window = 0});
    case Event::kZeroWindowNewGap:
      return build({.flags = kAck, .seq = rcv + kGap, .ack = nxt, .window = 0});
    default:
      break;
  }
  SLUICE_ASSERT(!is_segment(event));
  return {};
}

bool perform(Event event, Fixture& fixture, CallResult& call) {
  if (is_segment(event)) {
    fixture.peer.give(segment_of(event, fixture));
    return true;
  }
  if (event == Event::kDataAfterClose) {
    SLUICE_ASSERT(tcp::close(fixture.rig.ctx(), fixture.connection).has_value());
    fixture.rig.settle();
    static_cast<void>(fixture.rig.take_sent());
    fixture.peer.give(segment_of(Event::kData, fixture));
    return true;
  }
  if (event >= Event::kCallOpen) {
    call = perform_call(event, fixture);
    fixture.rig.settle();
    return true;
  }
  return perform_timer(event, fixture);
}

}  // namespace sluice::state
