#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "apps/ctl/flow_trace.hpp"

namespace sluice::ctl {

struct TraceTextOptions {
  bool has_absolute_numbers = false;
};

/// One life as lines of text: time, both ends' states, what happened.
std::string trace_text(const FlowTrace& trace, const TraceTextOptions& options);

/// One life as JSON: its facts and the events as recorded, numbers absolute.
nlohmann::ordered_json trace_json(const FlowTrace& trace);

/// "dropped: segment outside the window", or empty for a segment that did its work.
std::string refusal_text(const TracedSegment& segment);

}  // namespace sluice::ctl
