#pragma once

// One life of one connection, made from the flight recorder's events: what happened in order, with
// both ends' states. What the text and the picture show.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "apps/ctl/instances.hpp"
#include "base/address.hpp"
#include "tcp/state.hpp"
#include "telemetry/recorder_reader.hpp"

namespace sluice::ctl {

/// A segment as the recorder saw it. Numbers are absolute.
struct TracedSegment {
  bool is_sent = false;
  std::uint8_t flags = 0;  ///< wire::TcpFlags
  std::uint32_t seq = 0;
  std::uint32_t ack = 0;
  std::uint32_t window = 0;   ///< Octets.
  std::uint32_t payload = 0;  ///< Octets.
  bool is_retransmission = false;
  std::uint16_t outcome = 0;  ///< telemetry::Outcome of a received one.
  bool is_dropped = false;    ///< Its outcome is a drop.
  bool is_refused = false;    ///< Its outcome is a drop, or only a reply.
};

/// Something that happened, and the states that it led to.
struct TraceItem {
  enum class Kind : std::uint8_t { kSegment, kTimer, kUserCall, kClosed, kTransition };

  Kind kind = Kind::kTransition;
  Instant time;
  TracedSegment segment;                     ///< kSegment
  std::uint8_t detail = 0;                   ///< kTimer: TimerKind; kUserCall: UserCall.
  std::optional<std::uint8_t> close_reason;  ///< The connection ended by this.
  std::vector<std::pair<std::uint8_t, std::uint8_t>> transitions;  ///< Ours, in order.
  std::uint8_t our_state = 0;                                      ///< After it.
  std::optional<tcp::State> peer_state;                            ///< Inferred: after it.
  bool has_peer_changed = false;
};

struct FlowTrace {
  std::string instance;
  std::uint32_t worker = 0;
  std::uint64_t flow = 0;
  Endpoint local;
  Endpoint remote;
  std::optional<std::uint32_t> connection;  ///< TCB index; none while, or if only, half-open.
  std::uint32_t generation = 0;
  unsigned life = 1;  ///< From 1, of the lives of this 4-tuple that the recorder holds.
  unsigned lives = 1;
  std::uint64_t first_sequence = 0;  ///< Of its first event: later means younger.
  std::uint8_t first_state = 0;      ///< Ours, before the first item.
  std::optional<std::uint32_t> iss;  ///< Ours.
  std::optional<std::uint32_t> irs;
  std::int64_t began_wall_ns = 0;
  bool is_owner_alive = true;
  std::vector<TraceItem> items;
  std::vector<telemetry::RecorderEvent> events;  ///< What all this was made from.

  bool is_active_open() const;
  std::uint32_t relative_seq(const TracedSegment& segment) const;
  std::uint32_t relative_ack(const TracedSegment& segment) const;
};

/// All lives of all flows whose beginning one worker's recorder still holds, oldest first.
std::vector<FlowTrace> trace_flows(const Instance& instance, std::uint32_t worker,
                                   const telemetry::Recording& recording);

/// Reads the worker's ring.
telemetry::Recording read_worker_recording(const Instance& instance, std::uint32_t worker);

}  // namespace sluice::ctl
