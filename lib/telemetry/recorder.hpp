#pragma once

// The flight recorder: a ring of fixed-size events a worker in the state region. State changes and
// drops of connections always; every segment of streams that are traced.

#include <cstdint>
#include <span>

#include "base/address.hpp"
#include "base/time.hpp"
#include "telemetry/metrics.hpp"

namespace sluice::telemetry {

enum class EventKind : std::uint8_t {
  kNone = 0,
  kFlow,        ///< Names a flow: both endpoints. Written when a half-open entry or a TCB is made.
  kTransition,  ///< state -> state_to
  kReceived,    ///< A segment came in; `outcome` says what became of it.
  kSent,
  kTimer,     ///< `detail` is a TimerKind.
  kUserCall,  ///< `detail` is a UserCall.
  kClosed,    ///< `detail` is a CloseReason (public API).
};

enum class UserCall : std::uint8_t { kOpen, kAccept, kSend, kReceive, kShutdown, kClose, kAbort };

struct SegmentFacts {
  std::uint32_t seq;  ///< Absolute numbers.
  std::uint32_t ack;
  std::uint32_t window;   ///< Octets, scaled where scaling is agreed.
  std::uint32_t payload;  ///< Octets.
  std::uint32_t snd_una;
  std::uint32_t snd_nxt;
  std::uint32_t rcv_nxt;
  std::uint32_t cwnd;
};

struct FlowFacts {
  std::uint32_t local4;  ///< Host order; 0 with is_v6.
  std::uint32_t remote4;
  std::uint16_t local_port;
  std::uint16_t remote_port;
  std::uint32_t is_v6;
  std::uint32_t connection;  ///< TCB index, or 0xffffffff while half-open.
  std::uint32_t generation;
  std::uint32_t iss;
  std::uint32_t irs;
};

/// 64 octets. `flow` is the keyed hash of the 4-tuple: the same for all lives of one tuple.
struct RecorderEvent {
  std::int64_t time;  ///< Instant, ns.
  std::uint64_t flow;
  std::uint64_t sequence;  ///< Counts from 1; 0 while being written.
  EventKind kind;
  std::uint8_t state;     ///< tcp::State after the event (kTransition: before it).
  std::uint8_t state_to;  ///< kTransition only.
  std::uint8_t detail;
  std::uint16_t outcome;  ///< kReceived: telemetry::Outcome.
  std::uint8_t flags;     ///< kReceived, kSent: wire::TcpFlags.
  std::uint8_t is_retransmission;
  union {
    SegmentFacts segment;  ///< kReceived, kSent
    FlowFacts flow_info;   ///< kFlow
  };
};
static_assert(sizeof(RecorderEvent) == 64);

struct RecorderHead {
  std::uint64_t next_sequence;  ///< Of the event to come; event n lies at slot n modulo count.
  std::uint64_t reserved[7];
};

class Recorder {
 public:
  Recorder(RecorderHead& head, std::span<RecorderEvent> ring) : head_(&head), ring_(ring) {}

  /// Stores `event` (its `sequence` is filled in here). The oldest event is overwritten.
  void record(const RecorderEvent& event);
  bool is_enabled() const { return !ring_.empty(); }

 private:
  RecorderHead* head_;
  std::span<RecorderEvent> ring_;
};

}  // namespace sluice::telemetry
