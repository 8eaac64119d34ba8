#pragma once

// What a world's network does to frames, and what a peer on it does that no peer should.

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "drivers/sim/link_options.hpp"
#include "tests/sim/dice.hpp"

namespace sluice::sim {

/// How one host misbehaves, seen from the other. A filter on the wire does it: both hosts run the
/// stack under test.
enum class Mischief : std::uint8_t {
  kNone,
  kSplitAcks,      ///< One ACK becomes many, each for a part (Savage et al. 1999).
  kDuplicateAcks,  ///< Each ACK comes several times.
  kOptimistic,     ///< Acknowledges octets that have not arrived, and so are lost for good.
  kShrinkWindow,   ///< The right edge moves to the left.
  kZeroWindow,     ///< The window is shut for long.
  kRenege,         ///< Octets that SACK has reported are gone (RFC 2018 8).
  kFalseDsack,     ///< Reports duplicates that never came (RFC 2883).
  kClockForward,   ///< The timestamp clock jumps ahead.
  kClockBack,      ///< The timestamp clock jumps back: PAWS may cut the connection off.
  kFalseEcho,      ///< TSecr is a number that nobody has sent.
  kWindowScale,    ///< The shift count in its SYN is not the one that it uses, or above 14.
  kAlwaysEce,      ///< Every segment says ECE.
  kCount
};

struct MischiefPlan {
  Mischief kind = Mischief::kNone;
  unsigned host = 0;
  drivers::Ratio often = {1, 1};  ///< Of its segments that could carry it.
  Duration from;                  ///< From the world's begin.
  Duration until;
};

/// Another path, from a point in time on.
struct PathChangePlan {
  Duration at;
  std::array<drivers::LinkOptions, 2> link;
};

/// One direction's delay, rate, queue and single faults.
drivers::LinkOptions draw_link(Dice& dice, Weather weather);
/// Bursts, policing, marks, reordering jitter and a smaller MTU, each now and then. `port_mtu`
/// bounds the path's.
void draw_features(Dice& dice, Weather weather, std::uint16_t port_mtu, drivers::LinkOptions& link);
/// Some paths that are narrower than their ends cut what is too long for them.
void draw_cutting(Dice& dice, drivers::LinkOptions& link);
MischiefPlan draw_mischief(Dice& dice, Duration heal_at);

/// What is left of a path when its faults have gone: delay, rate, queue and marks.
drivers::LinkOptions healed(const drivers::LinkOptions& link);
/// Losses of one frame in a hundred or fewer: five SYNs in a row are not lost.
bool is_gentle(const drivers::LinkOptions& link);

std::string describe(const drivers::LinkOptions& link);
std::string describe(const MischiefPlan& plan);
std::string text(Duration d);

}  // namespace sluice::sim
