#pragma once

#include <cxxopts.hpp>
#include <string>
#include <vector>

#include "apps/ctl/command.hpp"

namespace sluice::ctl {

/// `sluicectl gate deny|allow|forget PREFIX...` and `sluicectl gate prefixes`: `words` are what
/// stands behind `gate`. Throws UsageError for any other.
int run_gate_words(const std::vector<std::string>& words, const cxxopts::ParseResult& parsed,
                   Streams streams);

}  // namespace sluice::ctl
