#pragma once

// Who attacks a world, drawn with it: each kind knows what such an attacker can know, and no more.

#include <cstdint>
#include <string>
#include <vector>

#include "tests/sim/dice.hpp"

namespace sluice::sim {

enum class Attack : std::uint8_t {
  kGuesser,     ///< Off the path: knows addresses and some ports, guesses numbers.
  kReplayer,    ///< On the path: sends again what it has seen, unchanged, in any order.
  kFlooder,     ///< SYNs, ACKs and strays in many names.
  kSlowReader,  ///< Connects properly, and then takes nothing, or next to nothing, or never ends.
  kCount
};
inline constexpr std::size_t kAttacks = static_cast<std::size_t>(Attack::kCount);

struct AttackPlan {
  Attack kind = Attack::kGuesser;
  unsigned victim = 0;       ///< Host. The guesser and the replayer attack both.
  std::uint32_t frames = 0;  ///< At most so many of its own.
  Duration from;             ///< From the world's begin.
  Duration until;
  bool uses_neighbors = false;  ///< The flooder: in the names of hosts on the segment, too.
};

/// One attacker, or two of different kinds; none in most worlds.
std::vector<AttackPlan> draw_attacks(Dice& dice);
bool has_attack(const std::vector<AttackPlan>& attacks, Attack kind);

const char* name_of(Attack kind);
std::string describe(const AttackPlan& plan);

}  // namespace sluice::sim
