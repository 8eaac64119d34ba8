#pragma once

// What a host may have made of fragments, for those who watch the wire: a datagram has arrived when
// each of its parts has, in whatever order and however often. The host may have let them go
// meanwhile; to believe that they are here makes a model milder.

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "tests/sim/plan_addresses.hpp"

namespace sluice::sim {

class Rejoiner {
 public:
  /// Sees a frame that has reached host `to`. Gives the frame that was cut, if this was the last
  /// part of it.
  std::optional<std::vector<std::byte>> on_arrived(unsigned to, std::span<const std::byte> frame);

 private:
  struct Parts {
    std::map<std::size_t, std::vector<std::byte>> payload;  ///< By offset.
    std::optional<std::size_t> length;                      ///< Of all, once the last is here.
  };
  std::array<std::map<std::uint16_t, Parts>, kHosts> datagrams_;  ///< By identification.
};

}  // namespace sluice::sim
