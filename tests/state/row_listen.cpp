// LISTEN: RFC 9293 3.10.7.2. First RST: ignored. Second ACK: answered by <SEQ=SEG.ACK><CTL=RST>.
// Third SYN: SYN-ACK and a half-open entry, wherever its sequence number lies, for there is no
// receive space yet. Fourth: anything else is dropped.

#include "tests/state/matrix.hpp"

namespace sluice::state {

Cells listen_cells() {
  using enum Event;
  using O = Outcome;
  constexpr std::string_view kNoTimer = "a listener has no timer";
  return {
      {kSyn, {.send = {syn_ack(1)}, .next = Row::kHalfOpen, .outcome = O::kSynQueued}},
      {kSynGap, {.send = {syn_ack(101)}, .next = Row::kHalfOpen, .outcome = O::kSynQueued}},
      {kSynOld, {.send = {syn_ack(0)}, .next = Row::kHalfOpen, .outcome = O::kSynQueued}},
      {kSynAck, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kSynAckGap, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kSynAckOld, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kSynAckBeyond, {.send = {rst(1)}, .outcome = O::kStrayAnswered}},
      {kAckOld, {.send = {rst(-1)}, .outcome = O::kStrayAnswered}},
      {kAckOldGap, {.send = {rst(-1)}, .outcome = O::kStrayAnswered}},
      {kAckTooOld, {.send = {rst(-1)}, .outcome = O::kStrayAnswered}},
      {kAckTooOldGap, {.send = {rst(-1)}, .outcome = O::kStrayAnswered}},
      {kAckDuplicate, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kAckDuplicateGap, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kAckNew, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kAckNewGap, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kAckBeyond, {.send = {rst(1)}, .outcome = O::kStrayAnswered}},
      {kAckBeyondGap, {.send = {rst(1)}, .outcome = O::kStrayAnswered}},
      {kData, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kDataGap, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kDataLeft, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kDataRight, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kDataOutsideLeft, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kDataOutsideRight, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kDataNoAck, {.outcome = O::kListenNoSyn}},
      {kFin, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kFinGap, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kFinData, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kFinDataGap, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kFinOld, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kFinOutside, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kFinAckNew, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kRst, {.outcome = O::kStrayRst}},
      {kRstAck, {.outcome = O::kStrayRst}},
      {kRstGap, {.outcome = O::kStrayRst}},
      {kRstOutsideLeft, {.outcome = O::kStrayRst}},
      {kRstOutsideRight, {.outcome = O::kStrayRst}},
      {kUrg, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kUrgGap, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kUrgNoData, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kUrgOld, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kOldTimestampAck, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kOldTimestampAckGap, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kOldTimestampData, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kOldTimestampDataGap, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kOldTimestampFin, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kOldTimestampRst, {.outcome = O::kStrayRst}},
      {kOldTimestampSyn, {.send = {syn_ack(1)}, .next = Row::kHalfOpen, .outcome = O::kSynQueued}},
      {kNoTimestampAck, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kNoTimestampAckGap, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kNoTimestampData, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kNoTimestampDataGap, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kNoTimestampFin, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kNoTimestampRst, {.outcome = O::kStrayRst}},
      {kZeroWindow, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kZeroWindowGap, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kZeroWindowNew, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kDataAfterClose, {.impossible = "a listener takes no octets"}},
      {kRetransmitTimer, {.impossible = kNoTimer}},
      {kPersistTimer, {.impossible = kNoTimer}},
      {kDelayedAckTimer, {.impossible = kNoTimer}},
      {kKeepaliveTimer, {.impossible = kNoTimer}},
      {kUserTimeout, {.impossible = kNoTimer}},
      {kFinWait2Timer, {.impossible = kNoTimer}},
      {kSynAckTimer, {.impossible = kNoTimer}},
      {kTimeWaitTimer, {.impossible = kNoTimer}},
      {kApplicationTimer, {.impossible = kNoTimer}},
      // 3.10.1: an active OPEN from a listening port. The listener stays: it is another connection.
      {kCallOpen, {.send = {{.flags = wire::kSyn, .seq = -1}}, .next = Row::kSynSent}},
      {kCallListen, {.error = Error::kAddressInUse}},
      {kCallSend, {.impossible = "a listener's handle is no stream"}},
      {kCallReceive, {.impossible = "a listener's handle is no stream"}},
      {kCallShutdown, {.impossible = "a listener's handle is no stream"}},
      {kCallClose, {.next = Row::kClosed}},
      {kCallAbort, {.next = Row::kClosed}},  // the listener's only end is close()
      {kCallAccept, {.error = Error::kWouldBlock}},
  };
}

}  // namespace sluice::state
