// CLOSED: RFC 9293 3.10.7.1. A RST is discarded; anything else is answered by a RST that the sender
// must find acceptable: <SEQ=SEG.ACK>, or <SEQ=0><ACK=SEG.SEQ+SEG.LEN> if there was no ACK.

#include "tests/state/matrix.hpp"

namespace sluice::state {

Cells closed_cells() {
  using enum Event;
  using O = Outcome;
  constexpr std::string_view kNoTimer = "nothing exists that a timer could belong to";
  return {
      {kSyn, {.send = {rst_from_nothing(1)}, .outcome = O::kStrayAnswered}},
      {kSynGap, {.send = {rst_from_nothing(101)}, .outcome = O::kStrayAnswered}},
      {kSynOld, {.send = {rst_from_nothing(0)}, .outcome = O::kStrayAnswered}},
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
      {kDataNoAck, {.send = {rst_from_nothing(100)}, .outcome = O::kStrayAnswered}},
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
      {kOldTimestampSyn, {.send = {rst_from_nothing(1)}, .outcome = O::kStrayAnswered}},
      {kNoTimestampAck, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kNoTimestampAckGap, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kNoTimestampData, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kNoTimestampDataGap, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kNoTimestampFin, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kNoTimestampRst, {.outcome = O::kStrayRst}},
      {kZeroWindow, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kZeroWindowGap, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kZeroWindowNew, {.send = {rst(0)}, .outcome = O::kStrayAnswered}},
      {kDataAfterClose, {.impossible = "there is nothing to close"}},
      {kRetransmitTimer, {.impossible = kNoTimer}},
      {kPersistTimer, {.impossible = kNoTimer}},
      {kDelayedAckTimer, {.impossible = kNoTimer}},
      {kKeepaliveTimer, {.impossible = kNoTimer}},
      {kUserTimeout, {.impossible = kNoTimer}},
      {kFinWait2Timer, {.impossible = kNoTimer}},
      {kSynAckTimer, {.impossible = kNoTimer}},
      {kTimeWaitTimer, {.impossible = kNoTimer}},
      {kApplicationTimer, {.impossible = kNoTimer}},
      // 3.10.1: select an ISS, send <SEQ=ISS><CTL=SYN>.
      {kCallOpen, {.send = {{.flags = wire::kSyn, .seq = -1}}, .next = Row::kSynSent}},
      {kCallListen, {.next = Row::kListen}},
      // "error: connection does not exist", in the API's words.
      {kCallSend, {.error = Error::kStaleHandle}},
      {kCallReceive, {.error = Error::kStaleHandle}},
      {kCallShutdown, {.error = Error::kStaleHandle}},
      {kCallClose, {.error = Error::kStaleHandle}},
      {kCallAbort, {.error = Error::kStaleHandle}},
      {kCallAccept, {.error = Error::kStaleHandle}},
  };
}

}  // namespace sluice::state
