// LAST-ACK: the peer's FIN came first, ours is in flight. RFC 9293 3.10.7.4: "the only thing that can
// arrive in this state is an acknowledgment of our FIN", which ends the connection.

#include "tests/state/matrix.hpp"

namespace sluice::state {

Cells last_ack_cells() {
  using enum Event;
  using O = Outcome;
  return {
      {kSyn, {.send = {ack()}, .outcome = O::kSynChallenged}},
      {kSynGap, {.send = {ack()}, .outcome = O::kSynChallenged}},
      {kSynOld, {.send = {ack()}, .outcome = O::kSynChallenged}},
      {kSynAck, {.send = {ack()}, .outcome = O::kSynChallenged}},
      {kSynAckGap, {.send = {ack()}, .outcome = O::kSynChallenged}},
      {kSynAckOld, {.send = {ack()}, .outcome = O::kSynChallenged}},
      {kSynAckBeyond, {.send = {ack()}, .outcome = O::kSynChallenged}},
      {kAckOld, {.outcome = O::kSegmentProcessed}},
      {kAckOldGap, {.outcome = O::kSegmentProcessed}},
      {kAckTooOld, {.send = {ack()}, .outcome = O::kAckTooOld}},
      {kAckTooOldGap, {.send = {ack()}, .outcome = O::kAckTooOld}},
      {kAckDuplicate, {.outcome = O::kSegmentProcessed}},
      {kAckDuplicateGap, {.outcome = O::kSegmentProcessed}},
      {kAckNew, {.next = Row::kClosed, .outcome = O::kSegmentProcessed, .told = app::kClosed, .reason = CloseReason::kNormal}},
      {kAckNewGap, {.next = Row::kClosed, .outcome = O::kSegmentProcessed, .told = app::kClosed, .reason = CloseReason::kNormal}},
      {kAckBeyond, {.send = {ack()}, .outcome = O::kAckBeyondSent}},
      {kAckBeyondGap, {.send = {ack()}, .outcome = O::kAckBeyondSent}},
      // The peer has sent FIN: text, URG and FIN beyond it are ignored.
      {kData, {.outcome = O::kSegmentProcessed}},
      {kDataGap, {.outcome = O::kSegmentProcessed}},
      {kDataLeft, {.outcome = O::kSegmentProcessed}},
      {kDataRight, {.outcome = O::kSegmentProcessed}},
      {kDataOutsideLeft, {.send = {ack()}, .outcome = O::kOldDuplicate}},
      {kDataOutsideRight, {.send = {ack()}, .outcome = O::kOutsideWindow}},
      {kDataNoAck, {.outcome = O::kAckMissing}},
      {kFin, {.outcome = O::kSegmentProcessed}},
      {kFinGap, {.outcome = O::kSegmentProcessed}},
      {kFinData, {.outcome = O::kSegmentProcessed}},
      {kFinDataGap, {.outcome = O::kSegmentProcessed}},
      // The peer's FIN again: our ACK was lost.
      {kFinOld, {.send = {ack()}, .outcome = O::kOldDuplicate}},
      {kFinOutside, {.send = {ack()}, .outcome = O::kOutsideWindow}},
      {kFinAckNew, {.next = Row::kClosed, .outcome = O::kSegmentProcessed, .told = app::kClosed, .reason = CloseReason::kNormal}},
      {kRst, {.next = Row::kClosed, .outcome = O::kRstAccepted, .told = app::kClosed, .reason = CloseReason::kReset}},
      {kRstAck, {.next = Row::kClosed, .outcome = O::kRstAccepted, .told = app::kClosed, .reason = CloseReason::kReset}},
      {kRstGap, {.send = {ack()}, .outcome = O::kRstChallenged}},
      {kRstOutsideLeft, {.outcome = O::kRstOutside}},
      {kRstOutsideRight, {.outcome = O::kRstOutside}},
      {kUrg, {.outcome = O::kSegmentProcessed}},
      {kUrgGap, {.outcome = O::kSegmentProcessed}},
      {kUrgNoData, {.outcome = O::kSegmentProcessed}},
      {kUrgOld, {.send = {ack()}, .outcome = O::kOldDuplicate}},
      {kOldTimestampAck, {.send = {ack()}, .outcome = O::kPawsRejected}},
      {kOldTimestampAckGap, {.send = {ack()}, .outcome = O::kPawsRejected}},
      {kOldTimestampData, {.send = {ack()}, .outcome = O::kPawsRejected}},
      {kOldTimestampDataGap, {.send = {ack()}, .outcome = O::kPawsRejected}},
      {kOldTimestampFin, {.send = {ack()}, .outcome = O::kPawsRejected}},
      {kOldTimestampRst, {.next = Row::kClosed, .outcome = O::kRstAccepted, .told = app::kClosed, .reason = CloseReason::kReset}},
      {kOldTimestampSyn, {.send = {ack()}, .outcome = O::kPawsRejected}},
      {kNoTimestampAck, {.outcome = O::kNoTimestamp}},
      {kNoTimestampAckGap, {.outcome = O::kNoTimestamp}},
      {kNoTimestampData, {.outcome = O::kNoTimestamp}},
      {kNoTimestampDataGap, {.outcome = O::kNoTimestamp}},
      {kNoTimestampFin, {.outcome = O::kNoTimestamp}},
      {kNoTimestampRst, {.next = Row::kClosed, .outcome = O::kRstAccepted, .told = app::kClosed, .reason = CloseReason::kReset}},
      {kZeroWindow, {.outcome = O::kSegmentProcessed}},
      {kZeroWindowGap, {.outcome = O::kSegmentProcessed}},
      {kZeroWindowNew, {.next = Row::kClosed, .outcome = O::kSegmentProcessed, .told = app::kClosed, .reason = CloseReason::kNormal}},
      {kDataAfterClose, {.impossible = "no octet is taken after the FIN"}},
      {kRetransmitTimer, {.send = {{.flags = wire::kFin | wire::kAck, .seq = -1}}}},
      {kPersistTimer, {.send = {{.flags = wire::kAck, .payload = 1}}}},
      {kDelayedAckTimer, {.impossible = "no octet is taken after the FIN"}},
      {kKeepaliveTimer, {.impossible = "the FIN in flight is sent again until the user timeout, which is sooner"}},
      {kUserTimeout, {.next = Row::kClosed, .told = app::kClosed, .reason = CloseReason::kTimedOut}},
      {kFinWait2Timer, {.impossible = "it runs in FIN-WAIT-2 only"}},
      {kSynAckTimer, {.impossible = "it belongs to half-open entries"}},
      {kTimeWaitTimer, {.impossible = "it belongs to TIME-WAIT entries"}},
      {kApplicationTimer, {.told = app::kTimer}},
      {kCallOpen, {.error = Error::kAddressInUse}},
      {kCallListen, {.error = Error::kAddressInUse}},
      {kCallSend, {.error = Error::kClosing}},
      {kCallReceive, {.error = Error::kEndOfStream}},
      {kCallShutdown, {.error = Error::kClosing}},
      {kCallClose, {}},
      // 3.10.5 deletes the TCB in silence. We send a RST none the less: our FIN, and perhaps octets,
      // are unacknowledged, and the peer would wait for them without end.
      {kCallAbort, {.send = {rst_ack()}, .next = Row::kClosed, .told = app::kClosed, .reason = CloseReason::kAborted}},
      {kCallAccept, {.impossible = "the application closed it: it has accepted it"}},
  };
}

}  // namespace sluice::state
