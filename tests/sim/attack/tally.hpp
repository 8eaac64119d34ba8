#pragma once

// What attackers did, counted: a world that they never reached proves nothing.

#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>

namespace sluice::sim {

enum class Act : std::uint8_t {
  kBlindGuess,         ///< Numbers of dice alone.
  kEdgeGuess,          ///< Next to what would be believed, on the wrong side.
  kIcmpGuess,          ///< An ICMP error about numbers that nobody sent.
  kTrueHit,            ///< A guess that a correct stack would believe: taken off the wire.
  kBlindOpen,          ///< A SYN to a half of a simultaneous open: believed by rule, taken off.
  kReplay,             ///< Of the connection that still lives, or of one that is gone.
  kOldLifeReplay,      ///< Of an earlier connection with the same ports.
  kOldLifeBelievable,  ///< The same, where the numbers fit: no rule tells, taken off.
  kFloodSyn,
  kFloodSynOfNeighbor,
  kFloodStray,
  kFloodCookieAck,
  kForgedConnection,  ///< A cookie was guessed.
  kSlowZeroWindow,    ///< Connections made.
  kSlowOneOctet,
  kSlowHalfClose,
  kSlowNoClose,
  kCount
};

struct AttackTally {
  std::array<std::uint64_t, static_cast<std::size_t>(Act::kCount)> acts{};

  void count(Act act) { ++acts[static_cast<std::size_t>(act)]; }
  std::uint64_t of(Act act) const { return acts[static_cast<std::size_t>(act)]; }
};

inline const char* name_of(Act act) {
  static constexpr const char* kNames[] = {"blind guesses",      "edge guesses",
                                           "ICMP guesses",       "true hits",
                                           "blind opens",        "replays",
                                           "old life's replays", "old life fits",
                                           "flood SYNs",         "neighbours' SYNs",
                                           "flood strays",       "flood cookie ACKs",
                                           "forged connections", "zero-window holders",
                                           "one-octet readers",  "half-closers unacking",
                                           "half-closers silent"};
  static_assert(std::size(kNames) == static_cast<std::size_t>(Act::kCount));
  return kNames[static_cast<std::size_t>(act)];
}

}  // namespace sluice::sim
