#pragma once

// One value that says what an ACK did; recovery, congestion, RTT and counters all read this one.

#include <cstdint>

#include "tcp/records.hpp"

namespace sluice::tcp {

struct AckOutcome {
  SeqNum ack;                       ///< SEG.ACK.
  SeqNum prior_una;                 ///< SND.UNA before it.
  std::uint32_t flight_before = 0;  ///< SND.NXT - SND.UNA before it.
  std::uint32_t pipe_before = 0;
  std::uint32_t acked = 0;         ///< SND.UNA moved by; sequence space.
  std::uint32_t newly_sacked = 0;  ///< Octets SACKed for the first time.
  std::uint32_t delivered = 0;     ///< Acknowledged or SACKed for the first time.
  std::uint32_t newly_lost = 0;    ///< Declared lost because of it.
  std::uint32_t rtt_us = 0;        ///< Of the last segment delivered that was sent once; 0: none.
  std::uint32_t rtt_oldest_us =
      0;  ///< Of the first such segment: with the peer's delay of its ACK.
  bool has_dsack = false;
  bool is_tail_probe_dsack = false;    ///< It reports that the tail loss probe was received twice.
  bool is_original_delivered = false;  ///< What an RTO took for lost arrived by its first sending.
  bool is_duplicate = false;           ///< A duplicate ACK in RFC 5681's sense.
  bool is_reneging = false;            ///< The peer no longer has what it SACKed at SND.UNA.
  bool has_ece = false;
  bool has_timestamp = false;
  std::uint32_t ts_ecr = 0;  ///< With has_timestamp.
  RateSample rate;

  bool has_advanced() const { return acked > 0; }
};

}  // namespace sluice::tcp
