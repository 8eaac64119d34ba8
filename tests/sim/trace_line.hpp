#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "drivers/sim/sim_link.hpp"

namespace sluice::sim {

/// One line that tells a frame and what became of it, for --verbose.
std::string trace_line(drivers::FrameFate fate, unsigned direction,
                       std::span<const std::byte> frame, Duration since_begin);

std::string_view name_of(drivers::FrameFate fate);

}  // namespace sluice::sim
