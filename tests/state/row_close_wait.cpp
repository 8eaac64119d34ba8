// CLOSE-WAIT, with 100 octets of ours in flight: the peer has sent FIN, we still may send. RFC 9293
// 3.10.7.4: as in ESTABLISHED, but text, URG and FIN "should not occur" and are ignored.

#include "tests/state/matrix.hpp"

namespace sluice::state {

Cells close_wait_cells() {
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
      {kAckNew, {.outcome = O::kSegmentProcessed}},
      {kAckNewGap, {.outcome = O::kSegmentProcessed}},
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
      {kFinAckNew, {.outcome = O::kSegmentProcessed}},
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
      {kZeroWindowNew, {.outcome = O::kSegmentProcessed}},
      {kDataAfterClose, {.impossible = "no octet is taken after the FIN"}},
      {kRetransmitTimer, {.send = {{.flags = wire::kAck, .seq = -100, .payload = 100}}}},
      {kPersistTimer, {.send = {{.flags = wire::kAck, .payload = 1}}}},
      {kDelayedAckTimer, {.impossible = "no octet is taken after the FIN"}},
      {kKeepaliveTimer, {.send = {{.flags = wire::kAck, .seq = -1}}}},
      {kUserTimeout, {.next = Row::kClosed, .told = app::kClosed, .reason = CloseReason::kTimedOut}},
      {kFinWait2Timer, {.impossible = "it runs in FIN-WAIT-2 only"}},
      {kSynAckTimer, {.impossible = "it belongs to half-open entries"}},
      {kTimeWaitTimer, {.impossible = "it belongs to TIME-WAIT entries"}},
      {kApplicationTimer, {.told = app::kTimer}},
      {kCallOpen, {.error = Error::kAddressInUse}},
      {kCallListen, {.error = Error::kAddressInUse}},
      // Nagle: a short segment waits while octets are in flight.
      {kCallSend, {.value = 10}},
      {kCallReceive, {.error = Error::kEndOfStream}},
      {kCallShutdown, {.send = {{.flags = wire::kFin | wire::kAck}}, .next = Row::kLastAck}},
      {kCallClose, {.send = {{.flags = wire::kFin | wire::kAck}}, .next = Row::kLastAck}},
      {kCallAbort, {.send = {rst_ack()}, .next = Row::kClosed, .told = app::kClosed, .reason = CloseReason::kAborted}},
      {kCallAccept, {.told = app::kOpened | app::kReadable}},
  };
}

}  // namespace sluice::state
