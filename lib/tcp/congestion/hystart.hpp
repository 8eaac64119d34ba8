#pragma once

#include <cstdint>

#include "tcp/congestion/controller.hpp"

namespace sluice::tcp {

/// HyStart++ (RFC 9406): the initial slow start ends when the round-trip time rises, before the
/// bottleneck's queue overflows. A rise may be jitter, so growth first slows down for five rounds
/// ("conservative slow start", CSS), and speeds up again when the round-trip time falls back.
///
///   slow start --- RTT rose by max(4 ms, min(RTT/8, 16 ms)) ---> CSS --- 5 rounds ---> avoidance
///       ^------------------ RTT below that of CSS's start ---------'
///
/// Zero is the state before the first ACK.
struct HyStart {
  std::uint32_t window_end;         ///< The round ends when octets beyond it are acknowledged.
  std::uint32_t last_round_rtt_us;  ///< Least RTT of the round before; 0: none.
  std::uint32_t this_round_rtt_us;  ///< Of this round; 0: none.
  std::uint32_t css_baseline_us;    ///< Least RTT when CSS began.
  std::uint8_t samples;             ///< RTT samples of this round, up to 8.
  std::uint8_t css_rounds;          ///< Begun since CSS began.
  bool is_in_round;
  bool is_in_css;

  /// An ACK in slow start: grows cwnd; sets ssthresh to it when slow start is over.
  void on_ack(Tcb& block, const AckEvent& event);

 private:
  void begin_round(Tcb& block);
  void take_sample(std::uint32_t rtt_us);
};

}  // namespace sluice::tcp
