#pragma once

// A neighbour as it lies in the state region, where `sluicectl neigh` reads it.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "base/address.hpp"
#include "base/seqlock.hpp"

namespace sluice::link {

/// What is known of a neighbour. The values are those of the state region.
///
///                 asked            answered            `reachable` passes
///     (no entry) ------> INCOMPLETE ------> REACHABLE ---------------------> STALE -- unused -->
///     gone
///                          |    ^               ^                              |
///          never answered  |    |               |  answered                    |  used
///                          v    |               |                              v
///                       FAILED  +---------------+---------------------------- PROBE
///                          |        not answered: asked by broadcast again
///                          v
///                        gone, one retry time later
enum class NeighborState : std::uint8_t {
  kFree,        ///< Not an entry.
  kIncomplete,  ///< Asked by broadcast; packets wait.
  kReachable,   ///< Heard from lately.
  kStale,       ///< Not heard from lately; asked again when used.
  kProbe,       ///< Asked by unicast while packets still go there (RFC 1122 2.3.2.1 (2)).
  kFailed,      ///< Did not answer: packets are refused at once until the entry is gone.
  kStatic,      ///< Configured. Nothing on the network changes it.
};

/// "REACHABLE", as `ip neigh` writes it.
std::string_view to_string(NeighborState state);

/// One entry. kFree entries are all zero but for the version.
struct NeighborRecord {
  SeqVersion version;
  NeighborState state;
  std::uint8_t interface;
  std::uint8_t probes;  ///< Requests sent since the last answer.
  std::uint8_t reserved;
  MacAddr mac;           ///< Zero while INCOMPLETE or FAILED.
  std::uint16_t queued;  ///< Packets waiting for the answer.
  IpAddr address;
  std::int64_t confirmed_at;  ///< Instant of the last answer or learning, ns; 0: none.
  std::int64_t state_since;   ///< Instant of the last change of state, ns.
};
static_assert(std::is_trivially_copyable_v<NeighborRecord> && sizeof(NeighborRecord) == 48);

/// What ARP claimed that it may not. The values are indices in the state region.
enum class NeighborAlarm : std::uint8_t {
  kOurAddress,   ///< Another host says that an address of ours is its own.
  kPinned,       ///< Another MAC for a neighbour that the operator pinned.
  kOtherMac,     ///< Another MAC for a neighbour whose MAC is known.
  kUnsolicited,  ///< An answer that nobody asked for, about an address that we know nothing of.
};
inline constexpr std::uint32_t kNeighborAlarms = 4;

/// "own-address", as `sluicectl neigh --json` writes it.
std::string_view name_of(NeighborAlarm alarm);

/// The last claim of a kind; all zero while there was none. Nothing was learnt from it.
struct NeighborAlarmRecord {
  SeqVersion version;
  std::uint8_t interface;
  std::uint8_t reserved[3];
  IpAddr address;
  MacAddr known;    ///< The MAC that stands: ours, the pinned or the learnt one; zero: none.
  MacAddr claimed;  ///< The claimant's.
  std::uint32_t reserved2;
  std::uint64_t count;  ///< Claims of this kind since the start.
  std::int64_t at;      ///< Instant of the last, ns.
};
static_assert(std::is_trivially_copyable_v<NeighborAlarmRecord> &&
              sizeof(NeighborAlarmRecord) == 56);

}  // namespace sluice::link
