#include "apps/ctl/trace_text.hpp"

#include <fmt/format.h>

#include "apps/ctl/names.hpp"
#include "apps/ctl/table.hpp"
#include "wire/tcp.hpp"

namespace sluice::ctl {
namespace {

using Json = nlohmann::ordered_json;
using telemetry::EventKind;

std::string segment_text(const FlowTrace& trace, const TracedSegment& segment,
                         const TraceTextOptions& options) {
  const bool is_absolute = options.has_absolute_numbers;
  std::string text =
      fmt::format("{} {} seq={}", segment.is_sent ? "->" : "<-", flags_text(segment.flags),
                  is_absolute ? segment.seq : trace.relative_seq(segment));
  if ((segment.flags & wire::kAck) != 0)
    text += fmt::format(" ack={}", is_absolute ? segment.ack : trace.relative_ack(segment));
  text += fmt::format(" win={}", segment.window);
  if (segment.payload != 0) text += fmt::format(" len={}", segment.payload);
  if (segment.is_retransmission) text += "  [sent again]";
  if (segment.is_refused) text += fmt::format("  [{}]", refusal_text(segment));
  return text;
}

std::string what_text(const FlowTrace& trace, const TraceItem& item,
                      const TraceTextOptions& options) {
  std::string text;
  switch (item.kind) {
    case TraceItem::Kind::kSegment:
      text = segment_text(trace, item.segment, options);
      break;
    case TraceItem::Kind::kTimer:
      text = fmt::format("   timer: {}", timer_name(item.detail));
      break;
    case TraceItem::Kind::kUserCall:
      text = fmt::format("   user: {}", user_call_name(item.detail));
      break;
    case TraceItem::Kind::kClosed:
    case TraceItem::Kind::kTransition:
      text = "  ";
      break;
  }
  for (const auto& [from, to] : item.transitions)
    text += fmt::format("  ({} -> {})", state_name(from), state_name(to));
  if (item.close_reason)
    text += fmt::format("  (ended: {})", close_reason_text(*item.close_reason));
  return text;
}

std::string peer_text(const std::optional<tcp::State>& state) {
  return state ? fmt::format("~{}", tcp::to_string(*state)) : "";
}

std::string_view kind_name(EventKind kind) {
  switch (kind) {
    case EventKind::kNone:
      return "none";
    case EventKind::kFlow:
      return "flow";
    case EventKind::kTransition:
      return "transition";
    case EventKind::kReceived:
      return "received";
    case EventKind::kSent:
      return "sent";
    case EventKind::kTimer:
      return "timer";
    case EventKind::kUserCall:
      return "user_call";
    case EventKind::kClosed:
      return "closed";
  }
  return "unknown";
}

Json event_json(const telemetry::RecorderEvent& event) {
  Json json = {
      {"sequence", event.sequence}, {"time_ns", event.time}, {"kind", kind_name(event.kind)}};
  switch (event.kind) {
    case EventKind::kNone:
      break;
    case EventKind::kFlow:
      json["iss"] = event.flow_info.iss;
      json["irs"] = event.flow_info.irs;
      json["state"] = state_name(event.state);
      if (event.flow_info.connection != 0xffffffffu) {
        json["connection"] = event.flow_info.connection;
        json["generation"] = event.flow_info.generation;
      }
      break;
    case EventKind::kTransition:
      json["from"] = state_name(event.state);
      json["to"] = state_name(event.state_to);
      break;
    case EventKind::kReceived:
      json["outcome"] = outcome_name(event.outcome);
      [[fallthrough]];
    case EventKind::kSent:
      json["flags"] = flags_text(event.flags);
      json["seq"] = event.segment.seq;
      json["ack"] = event.segment.ack;
      json["window_bytes"] = event.segment.window;
      json["payload_bytes"] = event.segment.payload;
      json["is_retransmission"] = event.is_retransmission != 0;
      json["state"] = state_name(event.state);
      json["snd_una"] = event.segment.snd_una;
      json["snd_nxt"] = event.segment.snd_nxt;
      json["rcv_nxt"] = event.segment.rcv_nxt;
      json["cwnd_bytes"] = event.segment.cwnd;
      break;
    case EventKind::kTimer:
      json["timer"] = timer_name(event.detail);
      break;
    case EventKind::kUserCall:
      json["call"] = user_call_name(event.detail);
      break;
    case EventKind::kClosed:
      json["reason"] = close_reason_text(event.detail);
      break;
  }
  return json;
}

}  // namespace

std::string refusal_text(const TracedSegment& segment) {
  if (!segment.is_refused) return {};
  return fmt::format("{}: {}", segment.is_dropped ? "dropped" : "refused",
                     outcome_text(segment.outcome));
}

std::string trace_text(const FlowTrace& trace, const TraceTextOptions& options) {
  std::string text = fmt::format("{} - {}  instance {}, worker {}", to_string(trace.local),
                                 to_string(trace.remote), trace.instance, trace.worker);
  if (trace.connection)
    text += fmt::format(", connection {}.{}", *trace.connection, trace.generation);
  text += fmt::format("\n{} open, began {}", trace.is_active_open() ? "active" : "passive",
                      wall_text(trace.began_wall_ns));
  if (trace.lives > 1) text += fmt::format(", life {} of {}", trace.life, trace.lives);
  text += "\n-> sent, <- received; a peer's state (~) is inferred from the segments\n\n";
  Table table({{"Time, s", Align::kRight},
               {"Our state", Align::kLeft},
               {"Peer's (~)", Align::kLeft},
               {"What happened", Align::kLeft}});
  for (const TraceItem& item : trace.items)
    table.add({seconds_text(item.time - trace.items.front().time),
               std::string(state_name(item.our_state)), peer_text(item.peer_state),
               what_text(trace, item, options)});
  return text + table.text();
}

nlohmann::ordered_json trace_json(const FlowTrace& trace) {
  Json json = {{"instance", trace.instance},
               {"worker", trace.worker},
               {"local", to_string(trace.local)},
               {"remote", to_string(trace.remote)},
               {"began", wall_text(trace.began_wall_ns)},
               {"life", trace.life},
               {"lives", trace.lives},
               {"is_active_open", trace.is_active_open()}};
  if (trace.connection) json["connection"] = *trace.connection;
  if (trace.iss) json["iss"] = *trace.iss;
  if (trace.irs) json["irs"] = *trace.irs;
  json["events"] = Json::array();
  for (const telemetry::RecorderEvent& event : trace.events)
    json["events"].push_back(event_json(event));
  return json;
}

}  // namespace sluice::ctl
