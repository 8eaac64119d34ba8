#pragma once

// What is in flight, as runs of segments in order of sequence number, and the sums over them.

#include <cstdint>

#include "tcp/recovery/ack_outcome.hpp"
#include "tcp/recovery/send_side.hpp"

namespace sluice::tcp {

/// The list of a connection's SentRuns. It covers [SND.UNA, SND.NXT) without gap or overlap.
///
///      una                                                     nxt
///       | lost, resent | SACKed    | in flight | SACKed | in flight |
///
/// Runs come from a slab that the worker's connections share. A connection's first run is always to
/// be had; when the others are used up, runs are kept together that should be told apart: recovery
/// then is coarser, never wrong. (A peer that SACKs every other octet gets no more than that.)
class RexmitQueue {
 public:
  explicit RexmitQueue(SendSide& side) : record_(side.record), runs_(side.runs) {}

  bool is_empty() const { return record_.first_run == kNoIndex; }
  SentRun& operator[](std::uint32_t index) { return runs_[index]; }
  SentRun& first() { return runs_[record_.first_run]; }
  SentRun& last() { return runs_[record_.last_run]; }

  /// `act(index)` for each run, in order; it may split or change that run, not remove it.
  template <class Act>
  void for_each(Act&& act) {
    for (std::uint32_t index = record_.first_run; index != kNoIndex; index = runs_[index].next)
      act(index);
  }

  /// New octets were sent: a run of its own, or more of the last one.
  void append(const SentRun& sent);
  /// The last run, not SACKed, gets `more` octets that were never sent.
  void grow_last(std::uint32_t more);
  /// Cuts a run in two at `at`, which lies inside. False if there is no run to be had.
  [[nodiscard]] bool split(std::uint32_t index, SeqNum at);
  /// Takes the first `length` octets off, whatever run or runs' parts they are.
  void drop_front(std::uint32_t length);
  /// Neighbouring SACKed runs become one.
  void merge_sacked();
  void clear();

  // --- marks; the record's sums follow ---
  void mark_sacked(SentRun& run);
  void mark_lost(SentRun& run);
  /// Sent again: `now` becomes its time of sending.
  void mark_resent(SentRun& run, std::uint32_t now_us);
  void unmark_lost(SentRun& run);
  void unmark_sacked(SentRun& run);

  /// Of one connection. Each ACK may have to walk over them (CVE-2019-11478).
  static constexpr std::uint32_t kMostRuns = 1024;
  /// Slab's size, by connections in flight.
  static constexpr std::uint32_t kRunsPerConnection = 16;

 private:
  std::uint32_t take_extra();
  void count_out(const SentRun& run, std::uint32_t length);

  SendRecord& record_;
  Slab<SentRun>& runs_;
};

/// Puts what was sent first at SND.NXT into the queue, with the figures for its rate sample.
/// `length` of sequence space, in segments of `segment_size`. Call before SND.NXT moves.
void note_sent(SendSide& side, std::uint32_t length, std::uint32_t segment_size);

/// The loss detector gives `run` up: marks and totals, and the algorithm hears it.
void declare_lost(SendSide& side, SentRun& run);

/// SND.UNA moved from out.prior_una to out.ack: those octets leave the queue, and what they tell
/// (RTT, RACK, delivery rate) goes into `out`.
void take_acknowledged(SendSide& side, AckOutcome& out);

/// `run` (a part of one, perhaps) arrived at the peer: RTT, RACK and delivery rate learn of it.
void note_delivered(SendSide& side, const SentRun& run, AckOutcome& out);

}  // namespace sluice::tcp
