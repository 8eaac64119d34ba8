#pragma once

// Numbers as people read them.

#include <cstdint>
#include <string>

#include "base/time.hpp"

namespace load {

/// "12.3 us", "4.56 ms", "1.20 s": three digits.
std::string time_text(sluice::Duration duration);
/// "987", "12.3 k", "4.56 M": three digits.
std::string with_unit(double amount);
/// "1,234,567"
std::string grouped(std::uint64_t count);

}  // namespace load
