#pragma once

// The matrix's columns. A segment is in order (SEG.SEQ = RCV.NXT) unless its name says otherwise;
// "Gap" is the same segment 100 octets further on: in the window, behind a gap.

#include <optional>
#include <string_view>
#include <vector>

#include "sluice/errors.hpp"
#include "tests/state/fixture.hpp"

namespace sluice::state {

// clang-format off
#define SLUICE_SEGMENT_EVENTS(X)                                                                   \
  X(kSyn) X(kSynGap) X(kSynOld)                       /* Old: just below RCV.NXT: the first SYN */ \
  X(kSynAck) X(kSynAckGap) X(kSynAckOld) X(kSynAckBeyond) X(kSynAckBeyondGap)                      \
  X(kAckOld) X(kAckOldGap)                            /* below SND.UNA, by one */                  \
  X(kAckTooOld) X(kAckTooOldGap)                      /* below it by more than a window */         \
  X(kAckDuplicate) X(kAckDuplicateGap)                /* SND.UNA */                                \
  X(kAckNew) X(kAckNewGap)                            /* SND.NXT */                                \
  X(kAckBeyond) X(kAckBeyondGap)                      /* above it */                               \
  X(kData) X(kDataGap) X(kDataLeft) X(kDataRight)     /* Left, Right: half of it outside */        \
  X(kDataOutsideLeft) X(kDataOutsideRight) X(kDataNoAck)                                           \
  X(kFin) X(kFinGap) X(kFinData) X(kFinDataGap) X(kFinOld) X(kFinOutside) X(kFinAckNew)            \
  X(kFinAckNewGap)                                                                                 \
  X(kRst) X(kRstAck) X(kRstGap) X(kRstAckGap) X(kRstOutsideLeft) X(kRstOutsideRight)               \
  X(kUrg) X(kUrgGap) X(kUrgNoData) X(kUrgNoDataGap) X(kUrgOld)                                     \
  X(kOldTimestampAck) X(kOldTimestampAckGap) X(kOldTimestampData) X(kOldTimestampDataGap)          \
  X(kOldTimestampFin) X(kOldTimestampFinGap) X(kOldTimestampRst) X(kOldTimestampRstGap)            \
  X(kOldTimestampSyn) X(kOldTimestampSynGap)                                                       \
  X(kNoTimestampAck) X(kNoTimestampAckGap) X(kNoTimestampData) X(kNoTimestampDataGap)              \
  X(kNoTimestampFin) X(kNoTimestampFinGap) X(kNoTimestampRst) X(kNoTimestampRstGap)                \
  X(kZeroWindow) X(kZeroWindowGap)                                                                 \
  X(kZeroWindowNew) X(kZeroWindowNewGap)              /* New: and everything acknowledged */

#define SLUICE_OTHER_EVENTS(X)                                                                     \
  X(kDataAfterClose)                                  /* close(), then octets come */              \
  X(kRetransmitTimer) X(kPersistTimer) X(kDelayedAckTimer) X(kKeepaliveTimer) X(kUserTimeout)      \
  X(kFinWait2Timer) X(kSynAckTimer) X(kTimeWaitTimer) X(kApplicationTimer)                         \
  X(kCallOpen) X(kCallListen) X(kCallSend) X(kCallReceive) X(kCallShutdown) X(kCallClose)          \
  X(kCallAbort) X(kCallAccept)
// clang-format on

enum class Event {
#define SLUICE_EVENT(name) name,
  SLUICE_SEGMENT_EVENTS(SLUICE_EVENT) SLUICE_OTHER_EVENTS(SLUICE_EVENT)
#undef SLUICE_EVENT
};
std::string_view name_of(Event event);
std::span<const Event> all_events();
bool is_segment(Event event);

/// How the fixture of an event differs from the usual one, and the engine's configuration.
Way way_of(Event event);
tcp::EngineConfig config_of(Event event);

/// What a user call gave.
struct CallResult {
  std::optional<Error> error;
  std::uint32_t value = 0;  ///< Octets taken or given.
};

/// The segment of a segment event, against the numbers of the fixture.
support::PeerSegment segment_of(Event event, const Fixture& fixture);
/// Lets the event happen. False if a timer that should have fired did not.
bool perform(Event event, Fixture& fixture, CallResult& call);

}  // namespace sluice::state
