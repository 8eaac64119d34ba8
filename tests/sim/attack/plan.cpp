#include "tests/sim/attack/plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "tests/sim/network_plan.hpp"

namespace sluice::sim {
namespace {

AttackPlan draw_attack(Dice& dice, Attack kind) {
  AttackPlan plan;
  plan.kind = kind;
  plan.victim = static_cast<unsigned>(dice.between(0, 1));
  plan.from = dice.one_in(2) ? Duration::zero() : dice.between(Duration::zero(), s(1));
  plan.until = plan.from + dice.pick({s(2), s(4), s(8)});
  switch (kind) {
    case Attack::kGuesser:
      plan.frames = static_cast<std::uint32_t>(dice.between(60, 200));
      break;
    case Attack::kReplayer:
      plan.frames = static_cast<std::uint32_t>(dice.between(60, 250));
      break;
    case Attack::kFlooder:
      plan.frames = dice.pick32({300, 500, 700});
      plan.uses_neighbors = dice.one_in(3);
      break;
    case Attack::kSlowReader:
      plan.frames = static_cast<std::uint32_t>(dice.between(40, 200));
      break;
    case Attack::kCount:
      break;
  }
  return plan;
}

}  // namespace

std::vector<AttackPlan> draw_attacks(Dice& dice) {
  std::vector<AttackPlan> attacks;
  if (!dice.one_in(3)) return attacks;
  const auto first = dice.between(0, kAttacks - 1);
  attacks.push_back(draw_attack(dice, static_cast<Attack>(first)));
  if (dice.one_in(3)) {
    const auto second = (first + dice.between(1, kAttacks - 1)) % kAttacks;
    attacks.push_back(draw_attack(dice, static_cast<Attack>(second)));
  }
  return attacks;
}

bool has_attack(const std::vector<AttackPlan>& attacks, Attack kind) {
  return std::any_of(attacks.begin(), attacks.end(),
                     [kind](const AttackPlan& plan) { return plan.kind == kind; });
}

const char* name_of(Attack kind) {
  static constexpr const char* kNames[] = {"guesser", "replayer", "flooder", "slow reader"};
  static_assert(std::size(kNames) == kAttacks);
  return kNames[static_cast<std::size_t>(kind)];
}

std::string describe(const AttackPlan& plan) {
  return fmt::format("{}, {} frames, host {}, from {} to {}{}", name_of(plan.kind), plan.frames,
                     plan.victim, text(plan.from), text(plan.until),
                     plan.uses_neighbors ? ", in neighbours' names too" : "");
}

}  // namespace sluice::sim
