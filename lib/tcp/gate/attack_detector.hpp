#pragma once

// From figures to a state, as one who looks at netstat would judge. Pure: no clock, no memory but
// what is passed.
//
//   SYNs ......... |  k-2  |  k-1  |   k   | now        a step is half a second
//                  '-- overdue ---'                     their ACKs have had 0.5 to 1.5 s
//                  '------ proved --------'             whose ACKs came in that time
//                          '--- a second --'            everything else

#include <cstdint>

#include "tcp/gate/gate_record.hpp"

namespace sluice::tcp {

/// What is judged. Counts of segments.
struct GateFigures {
  // Of the last second.
  std::uint32_t syns = 0;
  std::uint32_t refused = 0;
  std::uint32_t unaccepted = 0;
  std::uint32_t strays = 0;
  std::uint32_t prefixes = 0;
  // Of the second that ended half a second ago, and of the time since it began.
  std::uint32_t overdue_syns = 0;
  std::uint32_t overdue_answered = 0;  ///< By an entry or a cookie: those that could complete.
  std::uint32_t proved = 0;  ///< Handshakes completed, be it that no room was left for them.
  // Now.
  std::uint32_t half_open = 0;
  std::uint32_t syn_backlog = 0;
};

/// A state, and what has to be kept for hysteresis. Steps are counted up to 255.
struct GateVerdict {
  GateState state = GateState::kCalm;
  GateReason reason = GateReason::kNone;
  std::uint8_t at_attack = 0;   ///< Steps in a row that looked like an attack ...
  std::uint8_t at_pressed = 0;  ///< ... or at least like pressure.
  std::uint8_t below = 0;       ///< Steps in a row that looked milder than the state.
  bool operator==(const GateVerdict&) const = default;
};

inline constexpr std::uint8_t kStepsToRise = 2;
inline constexpr std::uint8_t kStepsToFall = 10;  ///< Five seconds.

/// The verdict after one more step. A state rises when two steps in a row look so, and falls when
/// ten in a row look milder; while it holds, the marks are lower, so that it does not flutter.
///
/// A busy honest server stays calm, however fast its load rises or falls: of the SYNs that are
/// overdue all are proved whose round trip takes less than half a second, and what the same time
/// brought of earlier and later ones counts as well. With slower round trips a crowd that comes
/// from nothing may look pressed for its first second, not attacked. A flood is seen within two
/// seconds. Pressure is no accusation: a slow application, or strays after a restart, is shown as
/// what it is.
GateVerdict judge(const GateFigures& figures, const GateVerdict& before);

}  // namespace sluice::tcp
