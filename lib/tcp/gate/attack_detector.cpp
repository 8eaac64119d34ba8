#include "tcp/gate/attack_detector.hpp"

namespace sluice::tcp {
namespace {

// SYNs a second, of a worker and listener. Fewer than these are nobody's flood: a scanner, or load
// balancers that look whether the port is open and never complete.
constexpr std::uint32_t kFloodSyns = 200, kFloodSynsHeld = 100;
constexpr std::uint32_t kOddSyns = 50, kOddSynsHeld = 25;
// With three quarters of the backlog taken: a backlog of 1024 entries of 63 s is held by 17 a
// second.
constexpr std::uint32_t kHoldingSyns = 16, kHoldingSynsHeld = 8;
// Connections a second that were turned away: a few are a hiccup.
constexpr std::uint32_t kTurnedAway = 10, kTurnedAwayHeld = 1;
constexpr std::uint32_t kManyStrays = 10'000, kManyStraysHeld = 5'000;
// More prefixes than a person would put on a list.
constexpr std::uint32_t kManyPrefixes = 64;

struct Look {
  GateState state = GateState::kCalm;
  GateReason reason = GateReason::kNone;
};

bool is_backlog_filled(const GateFigures& figures, const GateVerdict& before) {
  const std::uint64_t quarters = before.state == GateState::kCalm ? 3 : 2;
  return figures.syn_backlog > 0 &&
         std::uint64_t{figures.half_open} * 4 >= figures.syn_backlog * quarters;
}

/// In a steady stream half as many again are proved as are overdue: a third of these is 22 % of the
/// SYNs, a half 33 %.
Look look_for_attack(const GateFigures& figures, const GateVerdict& before) {
  const bool holds = before.state == GateState::kAttack;
  const std::uint64_t proved = figures.proved;
  if (proved * (holds ? 2 : 3) > figures.overdue_answered) return {};
  if (figures.overdue_syns >= (holds ? kFloodSynsHeld : kFloodSyns))
    return {GateState::kAttack, figures.prefixes >= kManyPrefixes ? GateReason::kFloodFromMany
                                                                  : GateReason::kFloodFromFew};
  // A SYN that was refused found it full, though its oldest entries may have given way since.
  if ((is_backlog_filled(figures, before) || figures.refused > 0) &&
      figures.overdue_syns >= (holds ? kHoldingSynsHeld : kHoldingSyns))
    return {GateState::kAttack, GateReason::kBacklogHeld};
  return {};
}

/// Half of the SYNs, two thirds while the state holds: less is what loss alone can explain.
bool do_few_complete(const GateFigures& figures, const GateVerdict& before) {
  const bool holds = before.state != GateState::kCalm;
  return figures.overdue_syns >= (holds ? kOddSynsHeld : kOddSyns) &&
         std::uint64_t{figures.proved} * 4 <=
             std::uint64_t{figures.overdue_answered} * (holds ? 4 : 3);
}

Look look_at(const GateFigures& figures, const GateVerdict& before) {
  if (const Look attack = look_for_attack(figures, before); attack.state != GateState::kCalm)
    return attack;
  const bool holds = before.state != GateState::kCalm;
  const std::uint32_t turned_away = holds ? kTurnedAwayHeld : kTurnedAway;
  const auto pressed = [](GateReason reason) { return Look{GateState::kPressed, reason}; };
  if (figures.refused >= turned_away) return pressed(GateReason::kSynsRefused);
  if (figures.unaccepted >= turned_away) return pressed(GateReason::kAcceptQueueFull);
  if (is_backlog_filled(figures, before)) return pressed(GateReason::kBacklogFilling);
  if (do_few_complete(figures, before)) return pressed(GateReason::kFewComplete);
  if (figures.strays >= (holds ? kManyStraysHeld : kManyStrays))
    return pressed(GateReason::kManyStrays);
  return {};
}

std::uint8_t one_more(std::uint8_t steps) {
  return steps == 255 ? steps : static_cast<std::uint8_t>(steps + 1);
}

}  // namespace

GateVerdict judge(const GateFigures& figures, const GateVerdict& before) {
  const Look look = look_at(figures, before);
  GateVerdict after = before;
  after.at_attack = look.state == GateState::kAttack ? one_more(before.at_attack) : 0;
  after.at_pressed = look.state != GateState::kCalm ? one_more(before.at_pressed) : 0;
  after.below = look.state < before.state ? one_more(before.below) : 0;
  const GateState reached = after.at_attack >= kStepsToRise    ? GateState::kAttack
                            : after.at_pressed >= kStepsToRise ? GateState::kPressed
                                                               : GateState::kCalm;
  if (reached > before.state || after.below >= kStepsToFall) {
    after.state = reached;
    after.below = 0;
    after.reason = reached == GateState::kCalm ? GateReason::kNone : look.reason;
  } else if (look.state == before.state) {
    after.reason = look.reason;
  }
  return after;
}

}  // namespace sluice::tcp
