#pragma once

// Which items of a trace the picture shows: all of a short one, of a long one the beginning, the
// end and whatever changed a state, was dropped or was sent again.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "apps/ctl/flow_trace.hpp"

namespace sluice::ctl {

/// One row of the picture: an item, or a number of segments left out.
struct PictureRow {
  const TraceItem* item = nullptr;  ///< Null: left out.
  std::size_t segments = 0;         ///< Left out.
  std::uint64_t bytes_received = 0;
  std::uint64_t bytes_sent = 0;
};

/// Rows in order of time; items are borrowed from `trace`. At most about `max_segments` segments.
std::vector<PictureRow> choose_rows(const FlowTrace& trace, std::size_t max_segments);

}  // namespace sluice::ctl
