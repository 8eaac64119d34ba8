// SYN-RECEIVED of a passive open: an entry of the half-open queue. RFC 9293 3.10.7.4, with what it
// says of a passive OPEN: RST, and SYN in the window, return to LISTEN and nobody is told; an ACK of
// anything but our SYN is answered by <SEQ=SEG.ACK><CTL=RST>. Segments whose ACK is not the event's
// point acknowledge our SYN, and so make the connection.

#include "tests/state/matrix.hpp"

namespace sluice::state {

Cells half_open_cells() {
  using enum Event;
  using O = Outcome;
  return {
      {kSyn, {.next = Row::kListen, .outcome = O::kHandshakeReset}},
      {kSynGap, {.next = Row::kListen, .outcome = O::kHandshakeReset}},
      // The client's SYN again: our SYN-ACK was lost. The ACK that the RFC asks for would be of no
      // use to a client in SYN-SENT, which needs our SYN.
      {kSynOld, {.send = {{.flags = wire::kSyn | wire::kAck, .seq = -1}}, .outcome = O::kSynDuplicate}},
      {kSynAck, {.next = Row::kListen, .outcome = O::kHandshakeReset}},
      {kSynAckGap, {.next = Row::kListen, .outcome = O::kHandshakeReset}},
      {kSynAckOld, {.send = {ack()}, .outcome = O::kHandshakeUnacceptable}},
      {kSynAckBeyond, {.next = Row::kListen, .outcome = O::kHandshakeReset}},
      {kAckOld, {.send = {rst(-2)}, .outcome = O::kHandshakeBadAck}},
      {kAckOldGap, {.send = {rst(-2)}, .outcome = O::kHandshakeBadAck}},
      {kAckTooOld, {.send = {rst(-2)}, .outcome = O::kHandshakeBadAck}},
      {kAckTooOldGap, {.send = {rst(-2)}, .outcome = O::kHandshakeBadAck}},
      {kAckDuplicate, {.send = {rst(-1)}, .outcome = O::kHandshakeBadAck}},
      {kAckDuplicateGap, {.send = {rst(-1)}, .outcome = O::kHandshakeBadAck}},
      {kAckNew, {.next = Row::kEstablished, .outcome = O::kHandshakeCompleted, .told = kAcceptable}},
      {kAckNewGap, {.next = Row::kEstablished, .outcome = O::kHandshakeCompleted, .told = kAcceptable}},
      {kAckBeyond, {.send = {rst(1)}, .outcome = O::kHandshakeBadAck}},
      {kAckBeyondGap, {.send = {rst(1)}, .outcome = O::kHandshakeBadAck}},
      {kData, {.next = Row::kEstablished, .outcome = O::kHandshakeCompleted, .told = kAcceptable}},  // its ACK is delayed
      {kDataGap, {.send = {sack(100, 200)}, .next = Row::kEstablished, .outcome = O::kHandshakeCompleted, .told = kAcceptable}},
      {kDataLeft, {.next = Row::kEstablished, .outcome = O::kHandshakeCompleted, .told = kAcceptable}},
      {kDataRight,
       {.send = {{.flags = wire::kAck, .sack_right = std::pair{-50, 0}}},
        .next = Row::kEstablished,
        .outcome = O::kHandshakeCompleted, .told = kAcceptable}},
      {kDataOutsideLeft, {.send = {ack()}, .outcome = O::kHandshakeUnacceptable}},
      {kDataOutsideRight, {.send = {ack()}, .outcome = O::kHandshakeUnacceptable}},
      {kDataNoAck, {.outcome = O::kAckMissing}},
      {kFin, {.send = {ack(1)}, .next = Row::kCloseWait, .outcome = O::kHandshakeCompleted, .told = kAcceptable}},
      {kFinGap, {.send = {ack()}, .next = Row::kEstablished, .outcome = O::kHandshakeCompleted, .told = kAcceptable}},
      {kFinData, {.send = {ack(101)}, .next = Row::kCloseWait, .outcome = O::kHandshakeCompleted, .told = kAcceptable}},
      {kFinDataGap, {.send = {sack(100, 200)}, .next = Row::kEstablished, .outcome = O::kHandshakeCompleted, .told = kAcceptable}},
      {kFinOld, {.send = {ack()}, .outcome = O::kHandshakeUnacceptable}},
      {kFinOutside, {.send = {ack()}, .outcome = O::kHandshakeUnacceptable}},
      {kFinAckNew, {.send = {ack(1)}, .next = Row::kCloseWait, .outcome = O::kHandshakeCompleted, .told = kAcceptable}},
      {kRst, {.next = Row::kListen, .outcome = O::kHandshakeReset}},
      {kRstAck, {.next = Row::kListen, .outcome = O::kHandshakeReset}},
      {kRstGap, {.send = {ack()}, .outcome = O::kRstChallenged}},
      {kRstOutsideLeft, {.outcome = O::kRstOutside}},
      {kRstOutsideRight, {.outcome = O::kRstOutside}},
      {kUrg, {.next = Row::kEstablished, .outcome = O::kHandshakeCompleted, .told = kAcceptable}},
      {kUrgGap, {.send = {sack(100, 200)}, .next = Row::kEstablished, .outcome = O::kHandshakeCompleted, .told = kAcceptable}},
      {kUrgNoData, {.next = Row::kEstablished, .outcome = O::kHandshakeCompleted, .told = kAcceptable}},
      {kUrgOld, {.send = {ack()}, .outcome = O::kHandshakeUnacceptable}},
      {kOldTimestampAck, {.send = {ack()}, .outcome = O::kPawsRejected}},
      {kOldTimestampAckGap, {.send = {ack()}, .outcome = O::kPawsRejected}},
      {kOldTimestampData, {.send = {ack()}, .outcome = O::kPawsRejected}},
      {kOldTimestampDataGap, {.send = {ack()}, .outcome = O::kPawsRejected}},
      {kOldTimestampFin, {.send = {ack()}, .outcome = O::kPawsRejected}},
      {kOldTimestampRst, {.next = Row::kListen, .outcome = O::kHandshakeReset}},
      {kOldTimestampSyn, {.send = {ack()}, .outcome = O::kPawsRejected}},
      {kNoTimestampAck, {.outcome = O::kNoTimestamp}},
      {kNoTimestampAckGap, {.outcome = O::kNoTimestamp}},
      {kNoTimestampData, {.outcome = O::kNoTimestamp}},
      {kNoTimestampDataGap, {.outcome = O::kNoTimestamp}},
      {kNoTimestampFin, {.outcome = O::kNoTimestamp}},
      {kNoTimestampRst, {.next = Row::kListen, .outcome = O::kHandshakeReset}},
      {kZeroWindow, {.next = Row::kEstablished, .outcome = O::kHandshakeCompleted, .told = kAcceptable}},
      {kZeroWindowGap, {.next = Row::kEstablished, .outcome = O::kHandshakeCompleted, .told = kAcceptable}},
      {kZeroWindowNew, {.next = Row::kEstablished, .outcome = O::kHandshakeCompleted, .told = kAcceptable}},
      {kDataAfterClose, {.impossible = "nobody has a handle yet"}},
      {kRetransmitTimer, {.impossible = "an entry has one timer: kSynAckTimer"}},
      {kPersistTimer, {.impossible = "nothing can be queued before the connection is made"}},
      {kDelayedAckTimer, {.impossible = "no octet is taken before the connection is made"}},
      {kKeepaliveTimer, {.impossible = "keepalive begins with ESTABLISHED"}},
      // Its lifetime ends: back to LISTEN in silence.
      {kUserTimeout, {.next = Row::kListen}},
      {kFinWait2Timer, {.impossible = "it runs in FIN-WAIT-2 only"}},
      {kSynAckTimer, {.send = {{.flags = wire::kSyn | wire::kAck, .seq = -1}}}},
      {kTimeWaitTimer, {.impossible = "it belongs to TIME-WAIT entries"}},
      {kApplicationTimer, {.impossible = "nobody has a handle yet"}},
      {kCallOpen, {.error = Error::kAddressInUse}},
      {kCallListen, {.error = Error::kAddressInUse}},
      {kCallSend, {.impossible = "nobody has a handle yet"}},
      {kCallReceive, {.impossible = "nobody has a handle yet"}},
      {kCallShutdown, {.impossible = "nobody has a handle yet"}},
      // The listener closes: its half-open entries go silently.
      {kCallClose, {.next = Row::kClosed}},
      {kCallAbort, {.next = Row::kClosed}},
      {kCallAccept, {.error = Error::kWouldBlock}},
  };
}

}  // namespace sluice::state
