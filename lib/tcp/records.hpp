#pragma once

// What a connection needs only while octets are queued or in flight: slab records in private
// memory of the worker, for they point to mbufs.

#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>

#include "base/time.hpp"
#include "packet/packet.hpp"
#include "tcp/tcb.hpp"

namespace sluice::tcp {

/// Octets that belong to the congestion algorithm while data is in flight; each gives them a
/// struct.
struct CongestionState {
  static constexpr std::size_t kSize = 160;
  alignas(8) std::byte octets[kSize] = {};

  template <class State>
  State& as() {
    static_assert(std::is_trivially_copyable_v<State> && sizeof(State) <= kSize);
    return *std::launder(reinterpret_cast<State*>(octets));
  }
  template <class State>
  const State& as() const {
    static_assert(std::is_trivially_copyable_v<State> && sizeof(State) <= kSize);
    return *std::launder(reinterpret_cast<const State*>(octets));
  }
};

/// A delivery-rate sample (draft-cheng-iccrg-delivery-rate-estimation): what was delivered between
/// the sending of the newest segment that an ACK delivered and that ACK.
struct RateSample {
  std::uint32_t interval_us = 0;   ///< The longer of the send and the ACK interval; 0: no sample.
  std::uint32_t delivered = 0;     ///< Octets delivered over it.
  std::uint32_t lost = 0;          ///< Octets found lost over it.
  std::uint32_t tx_in_flight = 0;  ///< Octets in flight when that segment had been sent.
  std::uint32_t prior_delivered = 0;  ///< SendRecord::delivered when it was sent.
  bool is_app_limited = false;        ///< The application, not the network, set the rate.
  bool is_retransmitted = false;      ///< That segment was sent more than once.

  /// Octets a second; 0 without a sample.
  std::uint64_t rate() const {
    return interval_us == 0 ? 0 : std::uint64_t{delivered} * 1'000'000 / interval_us;
  }
};

enum class RecoveryPhase : std::uint8_t {
  kOpen,      ///< Nothing known to be lost; segments may be SACKed (reordering).
  kReducing,  ///< "CWR": an ECN echo or a repaired tail loss halves cwnd; nothing is sent again.
  kFastRecovery,  ///< Losses are repaired at the rate PRR gives, until RECOVER is acknowledged.
  kTimeout,       ///< After an RTO: what was lost is sent again in slow start.
};

/// What the one loss timer of a connection (kTimerRetransmit) will do (RFC 8985 8).
enum class LossTimer : std::uint8_t {
  kRto,      ///< Retransmission timeout, or a persist probe while kPersisting.
  kProbe,    ///< PTO: send a tail loss probe.
  kReorder,  ///< RACK: the reordering window of some segment is over.
  kForget,   ///< Nothing is in flight: the record waited for late news of a retransmission.
};

enum SentRunFlag : std::uint8_t {
  kRunSacked = 1u << 0,
  kRunLost = 1u << 1,        ///< Declared lost: to be sent again, or is again on its way.
  kRunResent = 1u << 2,      ///< Its latest sending was a retransmission, which is in flight.
  kRunEverResent = 1u << 3,  ///< Karn: its RTT means nothing.
  kRunAppLimited = 1u << 4,  ///< Sent when the application had nothing more to send.
};

/// Segments with neighbouring sequence numbers that were sent at the same instant and have shared
/// their fate since: what one turn of the loop sends is one run, until a SACK or a loss divides it.
struct SentRun {
  SeqNum left;
  std::uint32_t length = 0;  ///< Of sequence space: octets, and FIN.
  //= rfc8985#4 MUST-3
  std::uint32_t sent_at_us = 0;    ///< The latest sending.
  std::uint16_t segment_size = 1;  ///< Of all its segments but the last. Never 0.
  std::uint8_t flags = 0;          ///< SentRunFlag
  std::uint8_t resendings = 0;
  // For the delivery-rate sample: the record's figures when it was sent.
  std::uint32_t delivered = 0;
  std::uint32_t delivered_at_us = 0;
  std::uint32_t first_sent_at_us = 0;
  std::uint32_t lost_total = 0;
  std::uint32_t tx_in_flight = 0;  ///< With its first segment.
  std::uint32_t next = kNoIndex;

  bool has(std::uint8_t mask) const { return (flags & mask) != 0; }
  SeqNum end() const { return left + length; }
  /// Octets in flight when its last segment had been sent.
  std::uint32_t tx_in_flight_of_last() const {
    return tx_in_flight + length - (length < segment_size ? length : segment_size);
  }
  std::uint32_t segments() const { return (length + segment_size - 1) / segment_size; }
};
static_assert(std::is_trivially_copyable_v<SentRun> && sizeof(SentRun) == 40);

/// Octets accepted from the application and not yet acknowledged.
///
///      base = first queued octet                       snd.nxt        base + queue.bytes()
///      | runs: in flight, SACKed, lost, resent ........ | not yet sent | (then FIN, if queued)
struct SendRecord {
  packet::PacketChain queue;
  SeqNum base;                 ///< Sequence number of the queue's first octet.
  SeqNum cursor_seq;           ///< Sequence number of the cursor's first octet.
  rte_mbuf* cursor = nullptr;  ///< Borrowed: an mbuf of the queue, to begin a search at.

  // The scoreboard (recovery/rexmit_queue). Octets of sequence space.
  //= rfc8985#4 MUST-2
  std::uint32_t first_run = kNoIndex;
  std::uint32_t last_run = kNoIndex;
  std::uint32_t run_count = 0;
  std::uint32_t sacked = 0;     ///< Without SACK: what duplicate ACKs say has left the network.
  std::uint32_t lost = 0;       ///< Declared lost, whether sent again or not.
  std::uint32_t to_resend = 0;  ///< Declared lost and not on its way again.
  std::uint32_t resent = 0;     ///< Retransmissions in flight.

  RecoveryPhase phase = RecoveryPhase::kOpen;
  LossTimer timer = LossTimer::kRto;
  std::uint8_t duplicate_acks = 0;   ///< Without SACK only.
  bool has_frto = false;             ///< RFC 5682: the timeout may still prove spurious.
  bool is_frto_sending_new = false;  ///< Its step 2b: new octets first, to see what comes back.
  bool has_rack = false;             ///< rack_* mean something.
  bool has_dsack_round = false;
  bool has_undo = false;              ///< undo_* and prior_* mean something.
  bool has_tail_probe = false;        ///< A tail loss probe is out: tail_probe_end.
  bool is_tail_probe_resent = false;  ///< It was a retransmission, no new octets.
  bool is_probe_due = false;          ///< Output: send a tail loss probe now.
  bool has_timed_round = false;       ///< timed_round_end means something.
  bool has_recover = false;    ///< `recover` lies ahead: no second reduction before it (RFC 6582).
  bool has_resend_ts = false;  ///< first_resend_ts means something.
  SeqNum recover;              ///< SND.NXT when this phase began (RFC 6582, 6675).
  SeqNum short_end;            ///< Where the last segment that was not full ended (Nagle).

  // RACK (RFC 8985): of the segment sent last among those delivered.
  std::uint32_t rack_sent_at_us = 0;
  std::uint32_t rack_rtt_us = 0;
  SeqNum rack_end;
  SeqNum rack_fack;    ///< Highest sequence number delivered.
  SeqNum dsack_round;  ///< A D-SACK widens the reordering window once until this is acknowledged.
  SeqNum tail_probe_end;   ///< SND.NXT when the tail loss probe was sent.
  SeqNum timed_round_end;  ///< SRTT takes one sample for each round trip (RFC 6298 4).
  Tick rto_at = 0;         ///< When the RTO would fire, whatever the timer is set for.

  // Undo (RFC 3522, 4015, 2883): how it was before the last congestion event.
  SeqNum undo_marker;  ///< SND.UNA then.
  std::int32_t undo_resendings =
      0;  ///< Retransmissions that no D-SACK has proved needless; -1: none yet.
  std::uint32_t prior_cwnd = 0;
  std::uint32_t prior_ssthresh = 0;
  std::uint32_t first_resend_ts = 0;  ///< TSval of its first retransmission (Eifel).

  // Proportional rate reduction (RFC 6937bis).
  std::uint32_t prr_delivered = 0;
  std::uint32_t prr_out = 0;
  std::uint32_t recover_flight = 0;  ///< RecoverFS
  std::uint32_t prr_goal = 0;        ///< Where cwnd comes down to: ssthresh, or less for a mark.

  // Delivery rate. Octets modulo 2^32 since the record was made.
  std::uint32_t delivered = 0;
  std::uint32_t delivered_at_us = 0;
  std::uint32_t first_sent_at_us = 0;
  std::uint32_t lost_total = 0;
  std::uint32_t lost_told = 0;          ///< Of which the algorithm has been told.
  std::uint32_t app_limited_until = 0;  ///< `delivered` at which the bubble is past; 0: none.

  // How fast the peer takes what is queued (overload/).
  SeqNum goal;          ///< Acknowledged up to here, it has taken its share, or all that waited.
  Tick goal_since = 0;  ///< When that was set.

  std::int64_t next_send_at_ns = 0;  ///< Pacing: not before.
  Tick pacing_at = 0;                ///< kTimerPacing's deadline.
  CongestionState congestion;

  /// Octets that are believed to be in the network (RFC 6675's pipe), of `flight` = SND.NXT -
  /// SND.UNA.
  std::uint32_t pipe(std::uint32_t flight) const {
    const std::uint32_t gone = sacked + lost;
    return (flight > gone ? flight - gone : 0) + resent;
  }
};

/// Notes in the private area of the head mbuf of a packet kept for reassembly.
struct ReassemblyNote {
  rte_mbuf* next_packet;  ///< In order of sequence number.
  std::uint32_t seq;
  std::uint32_t length;  ///< Payload octets; the mbuf chain holds just these.
  bool has_fin;          ///< FIN follows the payload.
};

/// Octets received and not yet read, and packets behind a gap.
struct ReceiveRecord {
  packet::PacketChain ready;         ///< In order, unread.
  rte_mbuf* first_packet = nullptr;  ///< Out of order: owned list, see ReassemblyNote.
  std::uint32_t packets = 0;
  std::uint32_t bytes = 0;
  std::uint8_t sack_count = 0;
  std::uint8_t duplicates = 0;  ///< The first so many of `sack` are D-SACK blocks, oldest first.
  /// What the next ACKs say: one duplicate each (RFC 2883), then what lies behind gaps, newest
  /// first (RFC 2018 4).
  wire::SackBlock sack[2 * wire::kMaxSackBlocks];

  /// Nothing to read, to keep or to say: the record may go.
  bool is_idle() const { return ready.is_empty() && packets == 0 && sack_count == 0; }

  ~ReceiveRecord();
};

}  // namespace sluice::tcp
