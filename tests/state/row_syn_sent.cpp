// SYN-SENT: RFC 9293 3.10.7.3. First the ACK: unless it is of our SYN, <SEQ=SEG.ACK><CTL=RST> (a
// RST is dropped). Second RST: it counts only with an acceptable ACK. Fourth SYN: with ACK
// ESTABLISHED, without SYN-RECEIVED. Fifth: anything else is dropped. There is no receive space
// yet, so that "in order" and "behind a gap" differ only in what is acknowledged. Segments whose
// ACK is not the event's point acknowledge our SYN, as an honest peer would.

#include "tests/state/matrix.hpp"

namespace sluice::state {

Cells syn_sent_cells() {
  using enum Event;
  using O = Outcome;
  return {
      {kSyn, {.send = {syn_ack(1)}, .next = Row::kSynReceived, .outcome = O::kSegmentProcessed}},
      {kSynGap,
       {.send = {syn_ack(101)}, .next = Row::kSynReceived, .outcome = O::kSegmentProcessed}},
      {kSynOld, {.send = {syn_ack(0)}, .next = Row::kSynReceived, .outcome = O::kSegmentProcessed}},
      {kSynAck,
       {.send = {ack(1)},
        .next = Row::kEstablished,
        .outcome = O::kSegmentProcessed,
        .told = app::kOpened}},
      {kSynAckGap,
       {.send = {ack(101)},
        .next = Row::kEstablished,
        .outcome = O::kSegmentProcessed,
        .told = app::kOpened}},
      {kSynAckOld,
       {.send = {ack(0)},
        .next = Row::kEstablished,
        .outcome = O::kSegmentProcessed,
        .told = app::kOpened}},
      {kSynAckBeyond, {.send = {rst(1)}, .outcome = O::kSynSentBadAck}},
      {kAckOld, {.send = {rst(-2)}, .outcome = O::kSynSentBadAck}},
      {kAckOldGap, {.send = {rst(-2)}, .outcome = O::kSynSentBadAck}},
      {kAckTooOld, {.send = {rst(-2)}, .outcome = O::kSynSentBadAck}},
      {kAckTooOldGap, {.send = {rst(-2)}, .outcome = O::kSynSentBadAck}},
      {kAckDuplicate, {.send = {rst(-1)}, .outcome = O::kSynSentBadAck}},
      {kAckDuplicateGap, {.send = {rst(-1)}, .outcome = O::kSynSentBadAck}},
      {kAckNew, {.outcome = O::kSynSentIgnored}},
      {kAckNewGap, {.outcome = O::kSynSentIgnored}},
      {kAckBeyond, {.send = {rst(1)}, .outcome = O::kSynSentBadAck}},
      {kAckBeyondGap, {.send = {rst(1)}, .outcome = O::kSynSentBadAck}},
      {kData, {.outcome = O::kSynSentIgnored}},
      {kDataGap, {.outcome = O::kSynSentIgnored}},
      {kDataLeft, {.outcome = O::kSynSentIgnored}},
      {kDataRight, {.outcome = O::kSynSentIgnored}},
      {kDataOutsideLeft, {.outcome = O::kSynSentIgnored}},
      {kDataOutsideRight, {.outcome = O::kSynSentIgnored}},
      {kDataNoAck, {.outcome = O::kSynSentIgnored}},
      {kFin, {.outcome = O::kSynSentIgnored}},
      {kFinGap, {.outcome = O::kSynSentIgnored}},
      {kFinData, {.outcome = O::kSynSentIgnored}},
      {kFinDataGap, {.outcome = O::kSynSentIgnored}},
      {kFinOld, {.outcome = O::kSynSentIgnored}},
      {kFinOutside, {.outcome = O::kSynSentIgnored}},
      {kFinAckNew, {.outcome = O::kSynSentIgnored}},
      {kRst, {.outcome = O::kSynSentIgnored}},
      {kRstAck,
       {.next = Row::kClosed,
        .outcome = O::kRstAccepted,
        .told = app::kClosed,
        .reason = CloseReason::kRefused}},
      {kRstGap, {.outcome = O::kSynSentIgnored}},
      {kRstOutsideLeft, {.outcome = O::kSynSentIgnored}},
      {kRstOutsideRight, {.outcome = O::kSynSentIgnored}},
      {kUrg, {.outcome = O::kSynSentIgnored}},
      {kUrgGap, {.outcome = O::kSynSentIgnored}},
      {kUrgNoData, {.outcome = O::kSynSentIgnored}},
      {kUrgOld, {.outcome = O::kSynSentIgnored}},
      {kOldTimestampAck, {.outcome = O::kSynSentIgnored}},
      {kOldTimestampAckGap, {.outcome = O::kSynSentIgnored}},
      {kOldTimestampData, {.outcome = O::kSynSentIgnored}},
      {kOldTimestampDataGap, {.outcome = O::kSynSentIgnored}},
      {kOldTimestampFin, {.outcome = O::kSynSentIgnored}},
      {kOldTimestampRst, {.outcome = O::kSynSentIgnored}},
      // No timestamp is recent yet: none is old.
      {kOldTimestampSyn,
       {.send = {syn_ack(1)}, .next = Row::kSynReceived, .outcome = O::kSegmentProcessed}},
      {kNoTimestampAck, {.outcome = O::kSynSentIgnored}},
      {kNoTimestampAckGap, {.outcome = O::kSynSentIgnored}},
      {kNoTimestampData, {.outcome = O::kSynSentIgnored}},
      {kNoTimestampDataGap, {.outcome = O::kSynSentIgnored}},
      {kNoTimestampFin, {.outcome = O::kSynSentIgnored}},
      {kNoTimestampRst, {.outcome = O::kSynSentIgnored}},
      {kZeroWindow, {.outcome = O::kSynSentIgnored}},
      {kZeroWindowGap, {.outcome = O::kSynSentIgnored}},
      {kZeroWindowNew, {.outcome = O::kSynSentIgnored}},
      {kDataAfterClose, {.impossible = "close() here ends the connection at once"}},
      {kRetransmitTimer, {.send = {{.flags = wire::kSyn, .seq = -1}}}},
      {kPersistTimer, {.impossible = "no window was offered yet"}},
      {kDelayedAckTimer, {.impossible = "nothing was received yet"}},
      {kKeepaliveTimer, {.impossible = "keepalive begins with ESTABLISHED"}},
      {kUserTimeout,
       {.next = Row::kClosed, .told = app::kClosed, .reason = CloseReason::kTimedOut}},
      {kFinWait2Timer, {.impossible = "it runs in FIN-WAIT-2 only"}},
      {kSynAckTimer, {.impossible = "it belongs to half-open entries"}},
      {kTimeWaitTimer, {.impossible = "it belongs to TIME-WAIT entries"}},
      {kApplicationTimer, {.told = app::kTimer}},
      {kCallOpen, {.error = Error::kAddressInUse}},
      {kCallListen,
       {}},  // any remote socket: another connection, which the open one does not exclude
      {kCallSend, {.value = 10}},  // 3.10.2: queued until ESTABLISHED
      {kCallReceive, {.error = Error::kWouldBlock}},
      {kCallShutdown, {.error = Error::kNotConnected}},
      // 3.10.4, 3.10.5: delete the TCB; nothing is sent.
      {kCallClose, {.next = Row::kClosed, .told = app::kClosed, .reason = CloseReason::kAborted}},
      {kCallAbort, {.next = Row::kClosed, .told = app::kClosed, .reason = CloseReason::kAborted}},
      {kCallAccept, {.impossible = "the application opened it: no listener has it"}},
  };
}

}  // namespace sluice::state
