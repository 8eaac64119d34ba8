#pragma once

#include <cstdint>

namespace sluice::bench {

/// Octets of this process that lie in memory now.
std::uint64_t resident_octets();

}  // namespace sluice::bench
