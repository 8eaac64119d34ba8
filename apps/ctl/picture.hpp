#pragma once

#include <cstddef>
#include <string>

#include "apps/ctl/flow_trace.hpp"

namespace sluice::ctl {

struct PictureOptions {
  std::size_t max_segments = 60;  ///< Of more, the middle is left out.
};

/// The connection as an SVG file: a sequence diagram of its segments between two lifelines that
/// show both ends' states, and beside it the table of states over time.
std::string draw_picture(const FlowTrace& trace, const PictureOptions& options);

}  // namespace sluice::ctl
