#pragma once

// What the state region says of the gate: a record a listener, and one of source prefixes a worker.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/seqlock.hpp"
#include "tcp/gate/source_sketch.hpp"

namespace sluice::tcp {

enum class GateState : std::uint8_t {
  kCalm,
  kPressed,  ///< Something is scarce, or odd: look, it may be honest.
  kAttack,   ///< What arrives is not meant to become connections.
};

/// Why a listener is not calm.
enum class GateReason : std::uint8_t {
  kNone,
  kSynsRefused,      ///< Pressed: the backlog is full without cookies, or a prefix above its cap.
  kAcceptQueueFull,  ///< Pressed: the application accepts too slowly.
  kBacklogFilling,   ///< Pressed: three quarters of the backlog are half-open.
  kFewComplete,      ///< Pressed: too many SYNs lead to nothing.
  kManyStrays,       ///< Pressed: segments of no connection. A server that was restarted has them.
  kFloodFromMany,    ///< Attack: SYNs that do not complete, from more prefixes than one could list.
  kFloodFromFew,     ///< Attack: the same from few: those can be denied.
  kBacklogHeld,      ///< Attack: few SYNs, but they hold the backlog.
  kCount,
};

/// A listener of one worker, same index as its ListenerRecord. Written twice a second while there
/// is something to say. The figures are of the second that ended at `second_end`.
struct GateRecord {
  SeqVersion version;
  GateState state;
  GateReason reason;
  std::uint16_t generation;   ///< Of the listener that this is about.
  std::int64_t state_since;   ///< Instant, ns; 0: always.
  std::int64_t second_end;    ///< Instant, ns; 0: nothing has come yet.
  std::uint32_t syns;         ///< SYNs; without repetitions that a half-open entry knows.
  std::uint32_t refused;      ///< Of these: not answered, neither by an entry nor by a cookie.
  std::uint32_t by_entry;     ///< Connections made from half-open entries ...
  std::uint32_t by_cookie;    ///< ... and by cookies.
  std::uint32_t unaccepted;   ///< ACKs that found the accept queue or a table full.
  std::uint32_t strays;       ///< Segments to the listener's port that belong to nothing.
  std::uint32_t prefixes;     ///< Distinct source prefixes of the SYNs, estimated: 3.3 %.
  std::uint32_t half_open;    ///< At the end.
  std::uint32_t syn_backlog;  ///< As bounded by the worker's table.
  std::uint32_t state_changes;
  std::uint32_t attacks;  ///< Changes to kAttack.
  std::uint32_t reserved;

  std::uint32_t completed() const { return by_entry + by_cookie; }
  /// Percent of the SYNs that became connections; at most 100, for some belong to earlier SYNs.
  std::uint32_t complete_percent() const {
    const std::uint64_t made = completed();
    return made >= syns ? 100 : static_cast<std::uint32_t>(made * 100 / syns);
  }
};
static_assert(std::is_trivially_copyable_v<GateRecord> && sizeof(GateRecord) == 72);

/// The largest senders of the last second in which there were any.
struct TopPrefixList {
  std::int64_t second_end;  ///< Instant, ns; 0: none yet.
  std::uint32_t total;      ///< Segments that were counted.
  std::uint32_t error;  ///< By how much a count may be too small, and by how much one is missing.
  std::array<TopPrefixes::Entry, TopPrefixes::kEntries> entries;  ///< Largest first.
};

/// Of one worker, all listeners together.
struct TopPrefixesRecord {
  SeqVersion version;
  std::uint32_t reserved;
  TopPrefixList syns;
  TopPrefixList strays;  ///< To ports that nobody listens on, too.
};
static_assert(std::is_trivially_copyable_v<TopPrefixesRecord>);

// Words, for those who read the region; any number is survived.

std::string_view text_of(GateState state);    ///< "calm", "pressed", "attack"; "?" beyond.
std::string_view name_of(GateReason reason);  ///< "flood-from-many"; "?" beyond.
/// The reason in numbers: "of 5,120 SYNs/s 2 % complete, from 4,900 prefixes". Empty if none.
std::string describe(const GateRecord& record);

}  // namespace sluice::tcp
