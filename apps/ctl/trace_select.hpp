#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "apps/ctl/flow_trace.hpp"

namespace sluice::ctl {

/// The lives that CONN names, oldest first: "LOCAL-REMOTE" or a remote endpoint names all lives of
/// a 4-tuple, a number the last connection of that index, "last" the youngest of all. Throws
/// UsageError for text of another form, std::runtime_error if there is no such connection or the
/// text names several.
std::vector<FlowTrace> select_lives(std::vector<FlowTrace> all, std::string_view conn);

}  // namespace sluice::ctl
