// ESTABLISHED, with 100 octets of ours in flight: RFC 9293 3.10.7.4, RFC 5961 (challenges), RFC 7323
// (PAWS). A lone small segment is acknowledged later (3.8.6.3); one behind a gap at once (RFC 5681
// 4.2), with its SACK block.

#include "tests/state/matrix.hpp"

namespace sluice::state {

Cells established_cells() {
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
      {kData, {.outcome = O::kSegmentProcessed, .told = app::kReadable}},
      {kDataGap, {.send = {sack(100, 200)}, .outcome = O::kSegmentOutOfOrder}},
      {kDataLeft, {.outcome = O::kSegmentProcessed, .told = app::kReadable}},
      {kDataRight, {.send = {{.flags = wire::kAck, .sack_right = std::pair{-50, 0}}}, .outcome = O::kSegmentOutOfOrder}},
      {kDataOutsideLeft, {.send = {ack()}, .outcome = O::kOldDuplicate}},
      {kDataOutsideRight, {.send = {ack()}, .outcome = O::kOutsideWindow}},
      {kDataNoAck, {.outcome = O::kAckMissing}},
      {kFin, {.send = {ack(1)}, .next = Row::kCloseWait, .outcome = O::kSegmentProcessed, .told = app::kReadable}},
      {kFinGap, {.send = {ack()}, .outcome = O::kSegmentOutOfOrder}},
      {kFinData, {.send = {ack(101)}, .next = Row::kCloseWait, .outcome = O::kSegmentProcessed, .told = app::kReadable}},
      {kFinDataGap, {.send = {sack(100, 200)}, .outcome = O::kSegmentOutOfOrder}},
      {kFinOld, {.send = {ack()}, .outcome = O::kOldDuplicate}},
      {kFinOutside, {.send = {ack()}, .outcome = O::kOutsideWindow}},
      {kFinAckNew, {.send = {ack(1)}, .next = Row::kCloseWait, .outcome = O::kSegmentProcessed, .told = app::kReadable}},
      {kRst, {.next = Row::kClosed, .outcome = O::kRstAccepted, .told = app::kClosed, .reason = CloseReason::kReset}},
      {kRstAck, {.next = Row::kClosed, .outcome = O::kRstAccepted, .told = app::kClosed, .reason = CloseReason::kReset}},
      {kRstGap, {.send = {ack()}, .outcome = O::kRstChallenged}},
      {kRstOutsideLeft, {.outcome = O::kRstOutside}},
      {kRstOutsideRight, {.outcome = O::kRstOutside}},
      {kUrg, {.outcome = O::kSegmentProcessed, .told = app::kReadable | app::kUrgent}},
      {kUrgGap, {.send = {sack(100, 200)}, .outcome = O::kSegmentOutOfOrder, .told = app::kUrgent}},
      {kUrgNoData, {.outcome = O::kSegmentProcessed, .told = app::kUrgent}},
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
      {kDataAfterClose, {.impossible = "close() leads to FIN-WAIT-1: see there"}},
      {kRetransmitTimer, {.send = {{.flags = wire::kAck, .seq = -100, .payload = 100}}}},
      {kPersistTimer, {.send = {{.flags = wire::kAck, .payload = 1}}}},
      {kDelayedAckTimer, {.send = {ack(100)}}},
      // 3.8.4: a segment below the window, which must be answered.
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
      {kCallReceive, {.error = Error::kWouldBlock}},
      {kCallShutdown, {.send = {{.flags = wire::kFin | wire::kAck}}, .next = Row::kFinWait1}},
      {kCallClose, {.send = {{.flags = wire::kFin | wire::kAck}}, .next = Row::kFinWait1}},
      {kCallAbort, {.send = {rst_ack()}, .next = Row::kClosed, .told = app::kClosed, .reason = CloseReason::kAborted}},
      {kCallAccept, {.told = app::kOpened}},
  };
}

}  // namespace sluice::state
