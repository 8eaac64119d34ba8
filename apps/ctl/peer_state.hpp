#pragma once

// What state the other end is in, inferred from the segments that we saw. We are not there: a state
// is proved by a segment that the peer sent in it, or, where no segment of the peer's can prove it
// (FIN-WAIT-2, the end of LAST-ACK), assumed from our own segment's arrival.

#include <cstdint>
#include <optional>

#include "tcp/state.hpp"
#include "wire/seq_num.hpp"

namespace sluice::ctl {

/// The part of a segment that states depend on. Numbers are absolute.
struct SegmentView {
  std::uint8_t flags = 0;  ///< wire::TcpFlags
  wire::SeqNum seq;
  wire::SeqNum ack;
  std::uint32_t payload = 0;

  bool has(std::uint8_t mask) const { return (flags & mask) != 0; }
  /// The number after the segment's last one, SYN and FIN counted.
  wire::SeqNum end() const;
};

class PeerState {
 public:
  /// Nothing until the first segment says something.
  std::optional<tcp::State> state() const { return state_; }

  /// A segment of the peer's own that we believe (no forgery, no wrong checksum): gives the state
  /// in which the peer sent it.
  void on_received(const SegmentView& segment);
  /// A segment of ours: gives the state after its arrival.
  void on_sent(const SegmentView& segment);

 private:
  void infer_opening(const SegmentView& segment);
  void infer_our_fin_arrived();

  std::optional<tcp::State> state_;
  bool our_syn_sent_ = false;
  bool our_fin_sent_ = false;
  bool our_fin_acked_ = false;  ///< The peer has shown that it has our FIN.
  bool peer_fin_seen_ = false;
  bool peer_fin_acked_ = false;  ///< We have acknowledged the peer's FIN.
  wire::SeqNum our_fin_end_;     ///< What acknowledges our FIN.
  wire::SeqNum peer_fin_end_;
};

}  // namespace sluice::ctl
