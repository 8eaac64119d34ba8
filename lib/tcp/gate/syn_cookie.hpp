#pragma once

// SYN cookies that lose nothing: what a half-open entry would hold rides in the SYN-ACK's sequence
// number (and, with timestamps, in the low bits of its TSval) and comes back in the client's ACK.
//
//   31                    10   9   8     6   5     2   1     0
//   +-----------------------+----+--------+---------+-----+-----+
//   |          MAC          |slot|  MSS   | wscale  |SACK | ECN |   ISS
//   +-----------------------+----+--------+---------+-----+-----+
//                                                   2     0
//   ... TSval, rounded down to a multiple of 8, with | finer MSS|
//
// The MAC is SipHash of the 4-tuple, the client's ISN and the ten bits below it, under a key that
// is the slot's own: the slot's parity says which of the two slots that are in force made it, so
// that one MAC is compared. A guessed ACK fits once in 2^22.

#include <array>
#include <cstdint>
#include <optional>

#include "base/keyed_hash.hpp"
#include "base/time.hpp"
#include "tcp/segment.hpp"

namespace sluice::tcp {

/// What a cookie remembers of a SYN. Timestamps are not in it: they were agreed if the ACK has
/// them.
struct CookieFacts {
  std::uint16_t peer_mss = 536;     ///< Octets; comes back rounded down, see cookie_mss().
  std::uint8_t peer_wscale = 0xff;  ///< 0..14, or 0xff: not offered.
  bool sack = false;
  bool ecn = false;
  bool operator==(const CookieFacts&) const = default;
};

/// The MSS that comes back: at most `mss`, exact for 64, 536, 1220, 1360, 1440, 1452, 1460 and
/// 8960. `is_fine` (with timestamps): an eighth of the way between two of those is told apart.
std::uint16_t cookie_mss(std::uint16_t mss, bool is_fine);

/// The largest value not after `now` (a TSval) whose low three bits say `fine`: what a SYN-ACK's
/// TSval has to be, so that PAWS takes everything that follows. At most 15 ticks behind, which is
/// by how much the first RTT sample may be too long.
constexpr std::uint32_t cookie_timestamp(std::uint32_t now, std::uint8_t fine) {
  const std::uint32_t marked = (now & ~7u) | fine;
  return static_cast<std::int32_t>(marked - now) > 0 ? marked - 8 : marked;
}

/// How servers agree on the time of a cookie.
struct CookieClock {
  /// Added to `now`: with a fleet's key what makes it wall time, else 0.
  Duration to_wall = Duration::zero();
  /// By how much the clocks of a fleet may differ. A cookie lives at least kSlot - 2 * error.
  Duration error = Duration::zero();
};

/// Makes and checks the cookies of one worker. Workers (and with a fleet's key machines) with the
/// same master take each other's.
class SynCookies {
 public:
  static constexpr Duration kSlot = Duration::from_s(32);

  SynCookies(const HashKey& master, CookieClock clock) : master_(master), clock_(clock) {}

  struct Cookie {
    wire::SeqNum iss;
    std::uint8_t fine;  ///< For cookie_timestamp().
  };
  /// One SipHash, about 30 cycles.
  Cookie make(const FlowKey& flow, wire::SeqNum irs, const CookieFacts& facts, Instant now);

  /// What the SYN said, if `iss` is a cookie of the present or the last slot for this flow and
  /// client ISN. `ts_ecr`: of the ACK, if it has timestamps. One SipHash.
  std::optional<CookieFacts> check(const FlowKey& flow, wire::SeqNum irs, wire::SeqNum iss,
                                   std::optional<std::uint32_t> ts_ecr, Instant now);

  /// Number of the slot whose cookies are made at `now`.
  std::uint64_t slot_at(Instant now) const {
    return static_cast<std::uint64_t>((now + clock_.to_wall).ns()) /
           static_cast<std::uint64_t>(kSlot.ns());
  }

 private:
  struct SlotKey {
    std::uint64_t slot = ~std::uint64_t{0};
    HashKey key;
  };
  const HashKey& key_of(std::uint64_t slot) {
    SlotKey& kept = keys_[slot & 1];
    if (kept.slot != slot) derive(kept, slot);
    return kept.key;
  }
  void derive(SlotKey& kept, std::uint64_t slot) const;

  HashKey master_;
  CookieClock clock_;
  std::array<SlotKey, 2> keys_;  ///< By parity, derived when a slot begins.
};

}  // namespace sluice::tcp
