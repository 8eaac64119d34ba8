// TIME-WAIT, after we closed first: a compact entry. RFC 9293 3.10.7.4: the peer's FIN again is
// acknowledged and restarts 2 MSL; RFC 1337: RST is ignored; RFC 6191: a SYN with a later timestamp
// begins a new incarnation. Whatever else is old is answered by an ACK.

#include "tests/state/matrix.hpp"

namespace sluice::state {

Cells time_wait_cells() {
  using enum Event;
  using O = Outcome;
  return {
      // RFC 6191: the timestamp is later than any of the old incarnation.
      {kSyn,
       {.send = {{.flags = wire::kSyn | wire::kAck, .seq = std::nullopt, .ack = 1}},
        .next = Row::kHalfOpen,
        .outcome = O::kSynQueued}},
      {kSynGap,
       {.send = {{.flags = wire::kSyn | wire::kAck, .seq = std::nullopt, .ack = 101}},
        .next = Row::kHalfOpen,
        .outcome = O::kSynQueued}},
      {kSynOld,
       {.send = {{.flags = wire::kSyn | wire::kAck, .seq = std::nullopt, .ack = 0}},
        .next = Row::kHalfOpen,
        .outcome = O::kSynQueued}},
      {kSynAck, {.send = {ack()}, .outcome = O::kTimeWaitAcked}},
      {kSynAckGap, {.send = {ack()}, .outcome = O::kTimeWaitAcked}},
      {kSynAckOld, {.send = {ack()}, .outcome = O::kTimeWaitAcked}},
      {kSynAckBeyond, {.send = {ack()}, .outcome = O::kTimeWaitAcked}},
      {kAckOld, {.outcome = O::kTimeWaitIgnored}},
      // Nothing lies beyond the peer's FIN: a segment from there is confused, and told so.
      {kAckOldGap, {.send = {ack()}, .outcome = O::kTimeWaitAcked}},
      {kAckTooOld, {.outcome = O::kTimeWaitIgnored}},
      {kAckTooOldGap, {.send = {ack()}, .outcome = O::kTimeWaitAcked}},
      {kAckDuplicate, {.outcome = O::kTimeWaitIgnored}},
      {kAckDuplicateGap, {.send = {ack()}, .outcome = O::kTimeWaitAcked}},
      {kAckNew, {.outcome = O::kTimeWaitIgnored}},
      {kAckNewGap, {.send = {ack()}, .outcome = O::kTimeWaitAcked}},
      {kAckBeyond, {.outcome = O::kTimeWaitIgnored}},
      {kAckBeyondGap, {.send = {ack()}, .outcome = O::kTimeWaitAcked}},
      {kData, {.send = {ack()}, .outcome = O::kTimeWaitAcked}},
      {kDataGap, {.send = {ack()}, .outcome = O::kTimeWaitAcked}},
      {kDataLeft, {.send = {ack()}, .outcome = O::kTimeWaitAcked}},
      {kDataRight, {.send = {ack()}, .outcome = O::kTimeWaitAcked}},
      {kDataOutsideLeft, {.send = {ack()}, .outcome = O::kTimeWaitAcked}},
      {kDataOutsideRight, {.send = {ack()}, .outcome = O::kTimeWaitAcked}},
      {kDataNoAck, {.send = {ack()}, .outcome = O::kTimeWaitAcked}},
      {kFin, {.send = {ack()}, .outcome = O::kTimeWaitAcked}},
      {kFinGap, {.send = {ack()}, .outcome = O::kTimeWaitAcked}},
      {kFinData, {.send = {ack()}, .outcome = O::kTimeWaitAcked}},
      {kFinDataGap, {.send = {ack()}, .outcome = O::kTimeWaitAcked}},
      // The peer's FIN again: acknowledge it, restart the 2 MSL timeout.
      {kFinOld, {.send = {ack()}, .outcome = O::kTimeWaitFin}},
      {kFinOutside, {.send = {ack()}, .outcome = O::kTimeWaitAcked}},
      {kFinAckNew, {.send = {ack()}, .outcome = O::kTimeWaitAcked}},
      // RFC 1337: a RST does not end the wait.
      {kRst, {.outcome = O::kTimeWaitIgnored}},
      {kRstAck, {.outcome = O::kTimeWaitIgnored}},
      {kRstGap, {.outcome = O::kTimeWaitIgnored}},
      {kRstOutsideLeft, {.outcome = O::kTimeWaitIgnored}},
      {kRstOutsideRight, {.outcome = O::kTimeWaitIgnored}},
      {kUrg, {.send = {ack()}, .outcome = O::kTimeWaitAcked}},
      {kUrgGap, {.send = {ack()}, .outcome = O::kTimeWaitAcked}},
      {kUrgNoData, {.outcome = O::kTimeWaitIgnored}},
      {kUrgOld, {.send = {ack()}, .outcome = O::kTimeWaitAcked}},
      {kOldTimestampAck, {.send = {ack()}, .outcome = O::kTimeWaitAcked}},
      {kOldTimestampAckGap, {.send = {ack()}, .outcome = O::kTimeWaitAcked}},
      {kOldTimestampData, {.send = {ack()}, .outcome = O::kTimeWaitAcked}},
      {kOldTimestampDataGap, {.send = {ack()}, .outcome = O::kTimeWaitAcked}},
      {kOldTimestampFin, {.send = {ack()}, .outcome = O::kTimeWaitAcked}},
      {kOldTimestampRst, {.outcome = O::kTimeWaitIgnored}},
      // An old duplicate, for its timestamp is: no new incarnation.
      {kOldTimestampSyn, {.send = {ack()}, .outcome = O::kTimeWaitAcked}},
      // RFC 7323 3.2: without the timestamp that was agreed, dropped in silence.
      {kNoTimestampAck, {.outcome = O::kTimeWaitIgnored}},
      {kNoTimestampAckGap, {.outcome = O::kTimeWaitIgnored}},
      {kNoTimestampData, {.outcome = O::kTimeWaitIgnored}},
      {kNoTimestampDataGap, {.outcome = O::kTimeWaitIgnored}},
      {kNoTimestampFin, {.outcome = O::kTimeWaitIgnored}},
      {kNoTimestampRst, {.outcome = O::kTimeWaitIgnored}},
      {kZeroWindow, {.outcome = O::kTimeWaitIgnored}},
      {kZeroWindowGap, {.send = {ack()}, .outcome = O::kTimeWaitAcked}},
      {kZeroWindowNew, {.outcome = O::kTimeWaitIgnored}},
      {kDataAfterClose,
       {.send = {ack()},
        .outcome = O::kTimeWaitAcked,
        .told = app::kClosed,
        .reason = CloseReason::kNormal}},
      {kRetransmitTimer, {.impossible = "an entry has one timer: 2 MSL"}},
      {kPersistTimer, {.impossible = "an entry has one timer: 2 MSL"}},
      {kDelayedAckTimer, {.impossible = "an entry has one timer: 2 MSL"}},
      {kKeepaliveTimer, {.impossible = "an entry has one timer: 2 MSL"}},
      {kUserTimeout, {.impossible = "an entry has one timer: 2 MSL"}},
      {kFinWait2Timer, {.impossible = "an entry has one timer: 2 MSL"}},
      {kSynAckTimer, {.impossible = "an entry has one timer: 2 MSL"}},
      {kTimeWaitTimer, {.next = Row::kClosed}},
      {kApplicationTimer, {.impossible = "an entry has one timer: 2 MSL"}},
      {kCallOpen, {.error = Error::kAddressInUse}},
      {kCallListen, {.error = Error::kAddressInUse}},
      // The handle lives on until the application has read the end of the stream.
      {kCallSend, {.error = Error::kClosing}},
      {kCallReceive,
       {.told = app::kClosed, .reason = CloseReason::kNormal, .error = Error::kEndOfStream}},
      {kCallShutdown, {.error = Error::kClosing}},
      {kCallClose, {.told = app::kClosed, .reason = CloseReason::kNormal}},
      {kCallAbort, {.told = app::kClosed, .reason = CloseReason::kNormal}},
      {kCallAccept, {.error = Error::kWouldBlock}},
  };
}

}  // namespace sluice::state
