#pragma once

// The records of a worker's connections, as they lie in the state region: no pointers, links are
// indices, times are 32-bit ticks. `sluicectl` reads them from another process.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "base/seqlock.hpp"
#include "base/timer_wheel.hpp"
#include "tcp/segment.hpp"
#include "tcp/state.hpp"
#include "wire/seq_num.hpp"

namespace sluice::tcp {

using wire::SeqNum;

inline constexpr std::uint32_t kNoIndex = 0xffffffffu;

/// Addresses of an IPv6 connection, beside the TCB.
struct V6Key {
  SeqVersion version;
  IpAddr local;
  IpAddr remote;
  std::uint32_t link;  ///< Of the slab.
};

/// A 4-tuple in 12 octets. IPv6: `local` is the index of a V6Key, `remote` is unused.
struct CompactKey {
  std::uint32_t local = 0;  ///< Ipv4Addr::value.
  std::uint32_t remote = 0;
  std::uint16_t local_port = 0;
  std::uint16_t remote_port = 0;
  constexpr bool operator==(const CompactKey&) const = default;
};

/// A large number in 16 bits: 11 of mantissa, 5 of exponent; exact to 0.1 %, rounded down.
constexpr std::uint16_t pack_float16(std::uint64_t rate) {
  constexpr int kMantissaBits = 11, kMaxExponent = 31;
  const int exponent =
      std::clamp(static_cast<int>(std::bit_width(rate)) - kMantissaBits, 0, kMaxExponent);
  const std::uint64_t mantissa = std::min<std::uint64_t>(rate >> exponent, 0x7ff);
  return static_cast<std::uint16_t>(static_cast<std::uint64_t>(exponent) << kMantissaBits |
                                    mantissa);
}
constexpr std::uint64_t unpack_float16(std::uint16_t packed) {
  return std::uint64_t{packed & 0x7ffu} << (packed >> 11);
}

/// Facts about a connection that are yes or no.
enum TcbFlag : std::uint32_t {
  kIsV6 = 1u << 0,
  kTimestampsOk = 1u << 1,  ///< Both sides offered timestamps.
  kSackOk = 1u << 2,        ///< Both sides permitted SACK.
  kWindowScaleOk = 1u << 3,
  kFinQueued = 1u << 4,    ///< shutdown() or close(): FIN follows the queued octets.
  kFinSent = 1u << 5,      ///< Our FIN has a sequence number: snd.nxt - 1 was or is it.
  kFinReceived = 1u << 6,  ///< The peer's FIN was taken in order.
  kOrphan = 1u << 7,       ///< close() was called: nobody reads any more.
  kNodelay = 1u << 8,
  kNodelaySet = 1u << 9,  ///< The stream, not the config, decides kNodelay.
  kKeepaliveOn = 1u << 10,
  kTraced = 1u << 11,
  kReadPaused = 1u << 12,
  kAckNow = 1u << 13,         ///< An ACK is due with the next transmit burst.
  kOutputPending = 1u << 14,  ///< On the list of connections that have something to send.
  kEventPending = 1u << 15,   ///< On the event list.
  kTouched = 1u << 16,        ///< On this burst's list of records to publish.
  kPersisting = 1u << 17,     ///< The retransmit deadline is a persist deadline.
  kActiveOpen = 1u << 18,
  kAccepted = 1u << 19,        ///< The application has it.
  kUrgentPending = 1u << 20,   ///< rcv_up was ahead of what the application had read.
  kRetransmitNow = 1u << 21,   ///< Output starts with the segment at SND.UNA.
  kSendBlocked = 1u << 22,     ///< A short write happened: tell the application when there is room.
  kEndDelivered = 1u << 23,    ///< The application has seen the end of the stream.
  kProbeNow = 1u << 24,        ///< Output starts with a window or keepalive probe.
  kReorderingSeen = 1u << 25,  ///< RACK: segments were delivered out of order here before.
  kReadRefused = 1u << 26,     ///< Push layer: the handler left octets; wait before offering again.
  kClosedDelivered = 1u << 27,  ///< The application has heard the end; the slot may go.
  kWaitsAccept = 1u << 28,      ///< On its listener's accept queue.
  kDetached = 1u << 29,  ///< Out of the flow table: TIME-WAIT or CLOSED, kept for its reader.
  kPaced = 1u << 30,     ///< By the stream's wish, else by its algorithm's or the config's.
  kPacedSet = 1u << 31,  ///< The stream, not the algorithm, decides kPaced.
};

/// Tcb::ecn (RFC 3168, 8257).
enum EcnFlag : std::uint8_t {
  kEcnOk = 1u << 0,  ///< Both sides agreed.
  kEcnEcho =
      1u << 1,  ///< Receiver: ECE in every ACK, until the peer's CWR (DCTCP: an unmarked segment).
  kEcnSendCwr = 1u << 2,  ///< Sender: CWR with the next new octets.
  kEcnOffered = 1u << 3,  ///< Our SYN asked for it.
};

/// Bits of Tcb::timers_armed; the deadlines beside them count only while set.
enum TcbTimer : std::uint8_t {
  kTimerRetransmit = 1u << 0,
  kTimerDelayedAck = 1u << 1,
  kTimerKeepalive = 1u << 2,
  kTimerLinger = 1u << 3,  ///< FIN-WAIT-2 of an orphan, or connect()'s end of patience.
  kTimerApplication = 1u << 4,
  kTimerPacing = 1u << 5,  ///< Its deadline lies in the send record.
};

/// The hot part of a connection. With its totals (40), a flow-table slot (9.2 at the design
/// load) and a handler pointer (8) an idle connection costs at most 256 octets.
///
///  send space:     una            nxt                     una+wnd
///   ... acked | sent, not acked | may be sent now        | not yet ...
///
///  receive space:  nxt                        adv
///   ... received  | window that was offered  | not offered; adv never moves left ...
struct alignas(64) Tcb {
  // Line 0: identity, what every received segment reads.
  SeqVersion version;
  std::uint32_t generation;
  CompactKey key;
  std::uint32_t flags;  ///< TcbFlag
  State state;
  std::uint8_t window_scales;  ///< Ours to apply to SEG.WND in bits 0..3, what we announce in 4..7.
  std::uint8_t timers_armed;   ///< TcbTimer
  std::uint8_t event_mask;     ///< app::Event bits waiting for delivery.
  struct {
    SeqNum nxt;
    SeqNum adv;       ///< Right edge of the window as last advertised.
    SeqNum last_ack;  ///< SEG.ACK of the last segment sent (RFC 7323's Last.ACK.sent).
  } rcv;
  std::uint32_t
      ts_recent;  ///< Void when nothing has come for 24 days (TcbTotals::last_received_at).
  std::uint16_t delivery_rate;  ///< As pack_float16() has it: the last sample.
  std::uint16_t pacing_rate;    ///< The same; 0: not paced.
  struct {
    SeqNum una;
    SeqNum nxt;
    //= rfc9293#3.1 MUST-1, REC-1
    std::uint32_t wnd;  ///< Octets.
  } snd;
  std::uint32_t send_record;  ///< Slab index of tcp::SendRecord; kNoIndex while nothing is queued.

  // Line 1: sending, congestion, timers.
  SeqNum snd_wl1;
  SeqNum snd_wl2;
  std::uint32_t snd_max_wnd;  ///< Largest window the peer ever offered.
  std::uint32_t cwnd;         ///< Octets.
  std::uint32_t ssthresh;
  std::uint32_t srtt_us8;    ///< Microseconds times 8; 0 until measured.
  std::uint32_t rttvar_us4;  ///< Microseconds times 4.
  std::uint32_t rto_us;      ///< Without backoff.
  std::uint16_t snd_mss;     ///< Octets of payload with our usual options in place (Eff.snd.MSS).
  std::uint16_t rcv_mss;     ///< Largest payload seen: what a "full segment" is for delayed ACKs.
  std::uint32_t receive_charged;  ///< Octets of receive buffer in use, by us or by kept RxData.
  std::uint32_t receive_record;   ///< Slab index of tcp::ReceiveRecord, or kNoIndex.
  TimerNode timer;
  Tick retransmit_at;
  std::uint16_t delayed_ack_at;  ///< Low half of a Tick: at most 65 s ahead.
  std::uint16_t receive_pages;   ///< Receive buffer, 4 KiB each; 0: the config's initial size.

  // Line 2: less often.
  Tick keepalive_at;
  union {                       // of one type, at different times of a connection's life
    Tick linger_at;             ///< Once nobody owns it.
    Tick application_at;        ///< While the application does.
    std::uint32_t accept_prev;  ///< On the accept queue: the one before. next_event: the next.
  };
  Tick unacked_since;         ///< For the user timeout: when SND.UNA last moved with data out.
  std::uint32_t ts_offset;    ///< TSval = 1 ms clock + this (keyed hash of the 4-tuple).
  SeqNum rcv_up;              ///< RFC 9293 RCV.UP
  std::uint32_t next_output;  ///< Links of the intrusive lists.
  std::uint32_t next_event;
  std::uint16_t listener;   ///< Index, or 0xffff for an active open.
  std::uint8_t congestion;  ///< congestion::Algorithm
  std::uint8_t backoff;     ///< Retransmissions of the same octet so far.
  std::uint8_t ecn;         ///< EcnFlag
  std::uint8_t quick_acks;  ///< Segments still to acknowledge at once.
  std::uint8_t undone;      ///< Congestion events that were none, and were undone; stays at 255.
  std::uint8_t keepalive_probes;
  PathHint path;
  std::uint32_t min_rtt_us;
  std::uint16_t user_timeout;  ///< Milliseconds as pack_float16() has them; 0: the config's.
  std::uint16_t
      space_at;  ///< Receive autotuning: when this round trip began (low half of a Tick)...
  std::uint8_t close_reason;         ///< sluice::CloseReason, once CLOSED.
  std::uint8_t duplicate_acks_due;   ///< Duplicate ACKs to send: one for each segment behind a gap.
  std::uint8_t challenges_used;      ///< In challenge_second; high half: answers to keepalive.
  std::uint8_t challenge_second;     ///< Low octet of the tick's seconds.
  std::uint8_t reorder_window_mult;  ///< RACK.reo_wnd_mult, quarters of min_rtt; 0 stands for 1.
  std::uint8_t reorder_window_persist : 7;  ///< Recoveries until it is 1 again.
  std::uint8_t is_probe_unmeasured : 1;  ///< No round trip was measured since the last tail probe.
  std::uint16_t min_rtt_at;              ///< When min_rtt_us was measured: tick / 1024.
  std::uint8_t traffic_class;            ///< DSCP in the upper six bits, as in the IP header.
  std::uint8_t soft_error;               ///< sluice::SoftError that ICMP last reported, 0: none.
  std::uint16_t space_from;  ///< ... and what had been read then: 4 KiB units, modulo 2^16.

  bool has(std::uint32_t mask) const { return (flags & mask) != 0; }
  void set(std::uint32_t mask) { flags |= mask; }
  void clear(std::uint32_t mask) { flags &= ~mask; }
  std::uint8_t snd_wscale() const { return window_scales & 0x0f; }
  std::uint8_t rcv_wscale() const { return window_scales >> 4; }
};
static_assert(std::is_trivially_copyable_v<Tcb>);
static_assert(offsetof(Tcb, snd_wl1) == 64 && offsetof(Tcb, keepalive_at) == 128);
static_assert(sizeof(Tcb) == 192, "the hot part is three cache lines");

/// The cold part of a connection, at the same index in its own section.
struct TcbTotals {
  SeqVersion version;
  std::uint32_t retransmitted_segments;
  std::uint64_t bytes_received;  ///< In order, from the peer.
  std::uint64_t bytes_acked;     ///< Ours that the peer acknowledged.
  std::uint32_t send_queued;     ///< Octets that send() accepted and nobody acknowledged: Send-Q.
  std::uint32_t lost_segments;   ///< Declared lost, rightly or not.
  Tick opened_at;
  Tick last_received_at;
};
static_assert(std::is_trivially_copyable_v<TcbTotals> && sizeof(TcbTotals) == 40);

/// A half-open passive connection. Never a TCB: a SYN costs this and a flow-table slot.
struct HalfOpen {
  SeqVersion version;
  SeqNum iss;
  SeqNum irs;
  IpAddr local;
  IpAddr remote;
  std::uint16_t local_port;
  std::uint16_t remote_port;
  std::uint16_t listener;     ///< 0xffff while the slot is free.
  std::uint16_t peer_mss;     ///< Octets; 536 if the SYN had none (RFC 9293 3.7.1).
  std::uint16_t peer_window;  ///< Of the SYN: never scaled.
  std::uint8_t peer_wscale;   ///< 0..14; 0xff: not offered.
  std::uint8_t flags;         ///< HalfOpenFlag
  std::uint8_t retransmits;   ///< SYN-ACKs sent again by the timer.
  std::uint8_t answered_at;   ///< With kHalfOpenAnswered: see answer_time().
  std::uint8_t congestion;    ///< Algorithm
  std::uint16_t path_mtu;
  std::uint32_t ts_recent;  ///< TSval of the SYN.
  std::uint32_t ts_offset;  ///< TSval = 1 ms clock + this.
  Tick created_at;
  std::uint32_t sent_at_us;  ///< Time of a SYN's answer, microseconds modulo 2^32.
  TimerNode timer;           ///< Next SYN-ACK, or the end.
};
static_assert(std::is_trivially_copyable_v<HalfOpen> && sizeof(HalfOpen) <= 96);

enum HalfOpenFlag : std::uint8_t {
  kHalfOpenTimestamps = 1u << 0,
  kHalfOpenSack = 1u << 1,
  kHalfOpenTraced = 1u << 2,
  kHalfOpenAckPending = 1u << 3,  ///< Its last ACK came while the accept queue was full.
  kHalfOpenEcn = 1u << 4,
  kHalfOpenCookie = 1u << 5,  ///< No entry of the table: what a cookie brought back.
  kHalfOpenAnswered = 1u << 6,
  kHalfOpenAskedAgain = 1u << 7,  ///< Its SYN came more than once, and was answered each time.
};

/// A connection in TIME-WAIT: a ring ordered by time of entry.
struct TimeWait4 {
  SeqVersion version;
  CompactKey key;  ///< All zero: the slot is free or given up.
  SeqNum snd_nxt;
  SeqNum rcv_nxt;
  std::uint32_t ts_recent;
  std::uint32_t ts_offset;
  Tick deadline;
  std::uint16_t rcv_wnd;  ///< As in a header: already shifted.
  std::uint16_t flags;    ///< TimeWaitFlag
};
static_assert(std::is_trivially_copyable_v<TimeWait4> && sizeof(TimeWait4) <= 40);

struct TimeWait6 {
  SeqVersion version;
  IpAddr local;
  IpAddr remote;
  std::uint16_t local_port;
  std::uint16_t remote_port;
  SeqNum snd_nxt;
  SeqNum rcv_nxt;
  std::uint32_t ts_recent;
  std::uint32_t ts_offset;
  Tick deadline;
  std::uint16_t rcv_wnd;
  std::uint16_t flags;
};
static_assert(std::is_trivially_copyable_v<TimeWait6> && sizeof(TimeWait6) <= 64);

enum TimeWaitFlag : std::uint16_t {
  kTimeWaitInUse = 1u << 0,
  kTimeWaitTimestamps = 1u << 1,
  kTimeWaitTraced = 1u << 2,
  kTimeWaitRestarted = 1u << 3,  ///< 2 MSL began anew: to be moved to the back of the ring.
  kTimeWaitAnswered = 1u << 4,  ///< The upper octet is the answer_time() of the last challenge ACK.
};

/// When a half-open entry or one of TIME-WAIT was last sent a challenge ACK: half seconds, modulo
/// 256. They have one each, as a connection has five a second.
constexpr std::uint8_t answer_time(Tick now) {
  return static_cast<std::uint8_t>(now >> 9);
}

/// A listener of one worker.
struct ListenerRecord {
  SeqVersion version;
  IpAddr address;  ///< Unspecified: any address of ours.
  std::uint16_t port;
  std::uint16_t generation;
  std::uint8_t is_open;
  std::uint8_t is_paused;
  std::uint8_t is_traced;
  std::uint8_t
      congestion;  ///< tcp::Algorithm of its connections; 0xff: what the route or the config says.
  std::uint8_t cookie_mode;         ///< tcp::CookieMode
  std::uint8_t is_sending_cookies;  ///< 1: SYNs are answered by cookies now.
  std::uint8_t reserved[2];
  std::uint32_t syn_backlog;
  std::uint32_t accept_backlog;
  std::uint32_t half_open;      ///< Entries now.
  std::uint32_t accept_queued;  ///< Connections waiting now.
  std::uint32_t accept_head;    ///< TCB indices, linked by next_output's twin in AcceptLink.
  std::uint32_t accept_tail;
  std::uint64_t accepted_total;
  std::uint64_t syn_dropped_total;
  std::uint64_t accept_dropped_total;
  std::uint64_t cookies_sent_total;
  std::uint64_t cookies_accepted_total;
  std::uint64_t cookies_rejected_total;  ///< ACKs that were none while cookies were out.
  std::uint64_t last_cookie_slot;        ///< Of the last one sent; 0: none yet.
};
static_assert(std::is_trivially_copyable_v<ListenerRecord>);

}  // namespace sluice::tcp
