#pragma once

// The one generator that a world's draws come from, with names for what is drawn.

#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "base/rng.hpp"
#include "base/time.hpp"
#include "drivers/sim/link_options.hpp"

namespace sluice::sim {

constexpr Duration us(std::int64_t n) {
  return Duration::from_us(n);
}
constexpr Duration ms(std::int64_t n) {
  return Duration::from_ms(n);
}
constexpr Duration s(std::int64_t n) {
  return Duration::from_s(n);
}

/// Draws in one fixed order: what comes first must not depend on what comes later.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : rng_(seed) {}
  bool one_in(std::uint64_t n) { return rng_.chance(1, n); }
  std::uint64_t between(std::uint64_t low, std::uint64_t high) {
    return low + rng_.below(high - low + 1);
  }
  Duration between(Duration low, Duration high) {
    return Duration::from_ns(low.ns() + static_cast<std::int64_t>(rng_.below(
                                            static_cast<std::uint64_t>((high - low).ns()) + 1)));
  }
  /// Up to `percent` per cent, in steps of a thousandth.
  drivers::Ratio up_to_percent(std::uint32_t percent) {
    return {static_cast<std::uint32_t>(rng_.below(percent * 10 + 1)), 1000};
  }
  template <class T>
  T pick(std::initializer_list<T> choices) {
    return *(choices.begin() + static_cast<std::ptrdiff_t>(rng_.below(choices.size())));
  }
  std::uint32_t pick32(std::initializer_list<std::uint32_t> choices) { return pick(choices); }

 private:
  Rng rng_;
};

enum class Weather : std::uint8_t { kClear, kMild, kRough, kStorm };

}  // namespace sluice::sim
