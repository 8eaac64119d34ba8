#pragma once

#include <compare>
#include <cstdint>

namespace sluice {

/// Names one connection of one worker: the TCB's index and the generation of its slot. A handle
/// outlives the connection safely: once the slot is reused, every call with it is an error value.
struct ConnHandle {
  static constexpr std::uint32_t kNone = 0xffffffffu;

  std::uint32_t index = kNone;
  std::uint32_t generation = 0;

  constexpr bool is_none() const { return index == kNone; }
  constexpr auto operator<=>(const ConnHandle&) const = default;
};

/// Names one listener of one worker, in the same way.
struct ListenerHandle {
  static constexpr std::uint16_t kNone = 0xffff;

  std::uint16_t index = kNone;
  std::uint16_t generation = 0;

  constexpr bool is_none() const { return index == kNone; }
  constexpr auto operator<=>(const ListenerHandle&) const = default;
};

}  // namespace sluice
