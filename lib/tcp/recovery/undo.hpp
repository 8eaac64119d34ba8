#pragma once

// A congestion event that was none is undone: the peer got everything, only late or out of order.

#include "tcp/recovery/ack_outcome.hpp"
#include "tcp/recovery/send_side.hpp"

namespace sluice::tcp {

/// cwnd and ssthresh as they are now are what an undo restores; what is sent again from here on
/// counts as needless until the contrary is shown. Before ssthresh changes.
void remember_for_undo(SendSide& side);
/// A segment goes out again: `segments` more that a D-SACK may prove needless (RFC 3708), and the
/// timestamp by which Eifel tells originals from retransmissions (RFC 3522).
void note_resending(SendSide& side, std::uint32_t segments);

/// All that was sent again was needless by the peer's D-SACKs, or this ACK answers an original that
/// was sent before the first retransmission.
bool may_undo(const SendSide& side, const AckOutcome& out);
/// The ACK answers what was sent before the first retransmission (RFC 3522 3.2).
bool is_answer_to_original(const SendSide& side, const AckOutcome& out);
/// Every retransmission since the event was reported as a duplicate.
bool is_proved_needless(const SendRecord& record);

enum class Unmark : bool { kNothing, kLost };
/// cwnd and ssthresh as before the event; with kLost nothing counts as lost any more.
void undo(SendSide& side, Unmark unmark);

}  // namespace sluice::tcp
