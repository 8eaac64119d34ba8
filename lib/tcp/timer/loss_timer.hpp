#pragma once

// The one timer of what is in flight: RTO (RFC 6298), tail loss probe or reordering (RFC 8985 8).

#include "tcp/context.hpp"
#include "tcp/recovery/ack_outcome.hpp"

namespace sluice::tcp {

/// An ACK was taken: RTO starts anew if SND.UNA moved; a probe or RACK's wait may come before it.
/// Disarms if nothing is in flight.
void restart_loss_timer(Context& ctx, std::uint32_t index, SendSide& side, const AckOutcome& out,
                        std::uint32_t reorder_wait_us);
/// New octets were sent: RTO runs on (or starts), the tail probe starts anew.
void note_sent_for_loss_timer(Context& ctx, std::uint32_t index);
/// RTO (or, while persisting, the next window probe) from now, with the present backoff, and no
/// later than the user timeout.
void restart_rto(Context& ctx, std::uint32_t index);
/// The loss timer runs for octets in flight (or a shut window), not just to forget a record.
bool is_loss_timer_running(Context& ctx, const Tcb& block);
/// All is acknowledged. If a D-SACK may still tell that a retransmission was needless, or the next
/// ACK that a tail loss probe repaired a loss, the record stays for an RTO. True if it does.
bool keep_record_for_late_news(Context& ctx, std::uint32_t index);
/// RACK waits for a segment to come late.
void arm_reorder_timer(Context& ctx, std::uint32_t index, SendRecord& record,
                       std::uint32_t wait_us);

/// How long octets may stay unacknowledged: the stream's own limit, or the config's (RFC
/// 9293 3.8.3).
Duration user_timeout(const Context& ctx, const Tcb& block);
/// It was changed: what is in flight already is given up no later than it says now.
void restart_user_timeout(Context& ctx, std::uint32_t index);

}  // namespace sluice::tcp
