#pragma once

// A train of segments (tcp::OutboundSegment) cut into its segments, for a port that does not.

#include <array>
#include <cstddef>
#include <cstdint>

#include "packet/packet.hpp"

namespace sluice::stack {

inline bool is_train(const rte_mbuf& packet) {
  return packet.tso_segsz != 0;
}

/// Gives the segments of a train one after the other. Each has the train's headers, whatever lies
/// in its first mbuf, but for the sequence number and, before the last, PSH and FIN; and the
/// train's flags and lengths of headers. Its payload is the train's own mbufs: nothing is copied.
class TrainCutter {
 public:
  /// The TCP header begins at `tcp_offset` of `train`; `segment_size` octets of payload are one
  /// segment. Takes mbufs for headers from `pool`, all at once: without them there is no segment.
  TrainCutter(packet::PacketPtr train, std::size_t tcp_offset, std::uint16_t segment_size,
              rte_mempool& pool);
  ~TrainCutter();
  TrainCutter(const TrainCutter&) = delete;
  TrainCutter& operator=(const TrainCutter&) = delete;

  std::uint32_t left() const { return left_; }  ///< Segments to come.
  /// Precondition: left() > 0.
  packet::PacketPtr next();

 private:
  static constexpr std::uint32_t kMostSegments = 64;

  rte_mbuf* copy_headers();
  void move_payload(rte_mbuf& segment);

  packet::PacketPtr head_;  ///< The train's first mbuf: the last segment's at the end.
  rte_mbuf* payload_;       ///< Of the segments to come.
  std::size_t tcp_offset_;
  std::uint16_t segment_size_;
  std::uint32_t left_;
  std::uint32_t next_seq_;
  std::array<rte_mbuf*, kMostSegments> headers_;
};

}  // namespace sluice::stack
