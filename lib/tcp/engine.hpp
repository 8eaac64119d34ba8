#pragma once

// The TCP of one worker. Three verbs, each given the time; no I/O, no clock, no thread.

#include <span>
#include <vector>

#include "tcp/context.hpp"
#include "tcp/handshake/open.hpp"
#include "tcp/overload/overload.hpp"
#include "tcp/user_calls.hpp"
#include "telemetry/region.hpp"

namespace sluice::tcp {

struct EngineDeps {
  telemetry::StateRegion& region;  ///< Has the sections of plan_state(); outlives the engine.
  unsigned worker = 0;
  packet::Pools pools;
  const PathProvider& paths;
  Keys keys;
  std::uint64_t seed = 0;
};

class Engine {
 public:
  static void plan_state(const EngineConfig& config, unsigned worker,
                         std::vector<telemetry::SectionPlan>& plan);

  Engine(const EngineConfig& config, const EngineDeps& deps, Instant now);

  /// Takes a burst of verified segments. Every one ends in one Outcome, counted here.
  void receive(std::span<InboundSegment> burst, Instant now);
  /// Takes an error about something that was sent. True if it fitted a connection (RFC 5927: the
  /// sequence number lies in flight).
  bool on_icmp_error(const IcmpError& error, Instant now);
  /// Fires timers that are due.
  void advance(Instant now);
  struct Filled {
    std::size_t packets;   ///< At the front of the burst.
    std::size_t segments;  ///< In them, those of trains counted each.
  };
  /// Fills `out` with segments to send and trains of them, in all no more segments than `out` has
  /// places; fewer means that nothing waits, or that mbufs are lacking.
  Filled transmit(std::span<OutboundSegment> out, Instant now);

  /// Goes by `next` from now on, which differs from the config so far in what may change while
  /// connections live (Reload in runtime/config.hpp): no size, nothing that both ends have agreed
  /// on. Between two verbs.
  void reconfigure(const EngineConfig& next);

  Instant next_deadline() const;
  bool has_output() const { return !ctx_.outputs.is_empty() || !ctx_.control.is_empty(); }

  const Overload& overload() const { return overload_; }

  Context& context() { return ctx_; }
  const Context& context() const { return ctx_; }

 private:
  static constexpr std::size_t kStage = 32;  ///< Segments looked up together.

  /// What the first stages find out about a segment, and those of its flow right behind it.
  struct Glance {
    std::span<InboundSegment> run;
    FlowKey flow;
    std::uint64_t hash = 0;
    FlowTable::Start start;  ///< Good until the first is processed.
    FlowRef hint;
    std::uint32_t generation = 0;  ///< Of the TCB that `hint` names.
    bool is_whole = false;         ///< It has a TCP header.
  };

  void glance_at(std::span<InboundSegment> run, Glance& glance);
  void fetch(const Glance& glance);
  void look_up(Glance& glance);
  void fetch_flight(const Glance& glance);
  bool is_current(const Glance& glance);
  void process(Glance& glance);
  void process_one(InboundSegment& inbound, const Glance& glance);
  bool is_silenced_stray(const InboundSegment& inbound, const Glance& glance);
  bool parse(InboundSegment& inbound, const Glance& glance, Segment& segment);
  Outcome dispatch(Segment& segment);
  Outcome to_connection(std::uint32_t index, Segment& segment);
  Outcome to_half_open(std::uint32_t index, Segment& segment);
  Outcome to_time_wait(FlowRef ref, Segment& segment);
  Outcome to_listener(std::uint16_t listener, Segment& segment, FlowRef time_wait);
  void take_rest(std::uint32_t connection, Segment& segment);
  Outcome to_no_connection(std::uint16_t listener, Segment& segment);
  void note_at_gate(std::uint16_t listener, const Segment& segment, Outcome outcome);
  void watch_gate();

  Context ctx_;
  Overload overload_;
  std::vector<Glance> stage_;
  Segment segment_;                 ///< The one that is processed.
  std::uint64_t seen_changes_ = 0;  ///< Of the flow table, when the stage was looked up.
};

}  // namespace sluice::tcp
