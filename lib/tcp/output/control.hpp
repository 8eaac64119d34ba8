#pragma once

// Segments that have no send queue behind them.

#include "tcp/context.hpp"

namespace sluice::tcp {

/// An mbuf with the emitted header and nothing else; null (and counted) if there is none to be had.
packet::PacketPtr make_header_packet(Context& ctx, const wire::TcpHeader& header);

/// Fills ports, timestamps and SACK blocks of a segment of `block`; seq, flags and window are the
/// caller's.
void fill_header(Context& ctx, Tcb& block, wire::TcpHeader& header);

/// Branch 3: the segment belongs to nothing here. RST as RFC 9293 3.10.7.1 says, under the cap.
Outcome answer_stray(Context& ctx, const Segment& segment);
/// RST <SEQ=SEG.ACK> against an ACK of something never sent, under the same cap. False: silenced.
bool send_reset_for_ack(Context& ctx, const Segment& segment);
/// RST of a synchronized (or SYN-RECEIVED) connection: <SEQ=SND.NXT><CTL=RST,ACK>; at the peer's
/// right edge if SND.NXT lies beyond.
void send_reset(Context& ctx, std::uint32_t index);
/// The same in answer to a segment: <SEQ=SEG.ACK><CTL=RST>, which is just where its sender takes a
/// RST, whatever of ours is still on its way (RFC 5961 3.2).
void send_reset(Context& ctx, std::uint32_t index, const Segment& segment);

/// <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK> of a connection, at once: before the next segment changes
/// what it says. Nothing if mbufs are lacking.
void send_ack_of_now(Context& ctx, std::uint32_t index);

/// The SYN-ACK of a half-open entry, the first or again.
void send_syn_ack(Context& ctx, std::uint32_t half_open_index);
/// The SYN-ACK of a cookie, in the SYN's own mbuf. `entry` is what would lie in the table,
/// `fine_mss` what goes into TSval's low bits.
void send_cookie(Context& ctx, const HalfOpen& entry, std::uint8_t fine_mss, Segment& syn);
/// <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK> of a half-open entry, at most one each half second and under
/// the worker's cap; or of a TIME-WAIT entry, always.
void send_half_open_ack(Context& ctx, std::uint32_t half_open_index);
void send_time_wait_ack(Context& ctx, FlowRef ref);
/// The same of a TIME-WAIT entry, limited as a half-open one's is. False: not sent.
bool challenge_time_wait(Context& ctx, FlowRef ref);

/// An ACK goes with the next transmit burst.
inline void acknowledge_now(Context& ctx, std::uint32_t index) {
  ctx.touch(index).set(kAckNow);
  ctx.want_output(index);
}
/// A challenge ACK (RFC 5961): at most 5 a second for each connection and under the worker's cap,
/// whose size nobody knows: five of another connection cannot be counted in it (CVE-2016-5696).
void challenge(Context& ctx, std::uint32_t index);
/// An ACK of the same connection budget, without the worker's cap: for what honest peers send too
/// (late ACKs, retransmissions without octets), which the load of others must not silence.
void acknowledge_within_budget(Context& ctx, std::uint32_t index);
/// The answer to a keepalive or window probe that lies just below RCV.NXT: five a second of its
/// own, for who does not know RCV.NXT must not be able to use it up and so end an idle connection.
void acknowledge_keepalive(Context& ctx, std::uint32_t index);

}  // namespace sluice::tcp
