#pragma once

// What a connection needs only while octets are queued or in flight: slab records in private
// memory of the worker, for they point to mbufs.

#include <cstdint>

#include "base/time.hpp"
#include "packet/packet.hpp"
#include "tcp/tcb.hpp"

namespace sluice::tcp {

/// 24 octets that belong to the congestion algorithm while data is in flight.
struct CongestionState {
  std::uint64_t words[3] = {};
};

enum class RecoveryPhase : std::uint8_t {
  kOpen,          ///< Nothing known to be lost.
  kFastRecovery,  ///< RFC 6582, until RECOVER is acknowledged.
  kTimeout,       ///< After an RTO: all that was in flight is sent again, in slow start.
};

/// Octets accepted from the application and not yet acknowledged.
///
///      base = first queued octet        snd.nxt                base + queue.bytes()
///      | in flight ............ resend --> |  not yet sent ......... | (then FIN, if queued)
struct SendRecord {
  packet::PacketChain queue;
  SeqNum base;                 ///< Sequence number of the queue's first octet.
  rte_mbuf* cursor = nullptr;  ///< Borrowed: an mbuf of the queue, to begin a search at.
  SeqNum cursor_seq;           ///< Sequence number of its first octet.

  RecoveryPhase phase = RecoveryPhase::kOpen;
  bool is_timing = false;          ///< timed_seq is being timed (Karn: never one sent again).
  bool has_recover = false;        ///< `recover` means something (RFC 6582's guard).
  SeqNum recover;                  ///< SND.NXT when the loss was found.
  std::uint32_t last_advance = 0;  ///< Octets that the last ACK of new data acknowledged.
  SeqNum resend;                   ///< kTimeout: next octet to send again, up to `recover`.
  SeqNum timed_seq;                ///< An ACK beyond this ends the measurement.
  Instant timed_at;
  CongestionState congestion;
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
  wire::SackBlock sack[wire::kMaxSackBlocks];  ///< Newest first (RFC 2018 4).

  ~ReceiveRecord();
};

}  // namespace sluice::tcp
