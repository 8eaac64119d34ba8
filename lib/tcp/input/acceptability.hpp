#pragma once

// RFC 9293 3.10.7.4, first check, as pure functions of the receive sequence space.

#include <cstdint>

#include "tcp/context.hpp"
#include "tcp/output/window.hpp"

namespace sluice::tcp {

enum class Acceptability : std::uint8_t {
  kAcceptable,
  kAckOnly,       ///< Window shut, SEG.SEQ = RCV.NXT: ACK, URG and RST count, text and FIN do not.
  kOldDuplicate,  ///< All of it was received before.
  kOutside,
};

/// The four cases of RFC 9293's Table 6.
///
///    SEG.LEN  RCV.WND   acceptable if
///    0        0         SEG.SEQ = RCV.NXT
///    0        >0        RCV.NXT =< SEG.SEQ < RCV.NXT+RCV.WND
///    >0       0         never; but see MUST-66
///    >0       >0        its first or its last octet lies in the window
inline Acceptability check_acceptability(SeqNum seq, std::uint32_t length, SeqNum rcv_nxt,
                                         std::uint32_t rcv_wnd) {
  if (length == 0) {
    //= rfc9293#3.10.7.4
    const bool fits = seq == rcv_nxt || wire::seq_in_window(seq, rcv_nxt, rcv_wnd);
    if (fits) return Acceptability::kAcceptable;
    return wire::seq_lt(seq, rcv_nxt) ? Acceptability::kOldDuplicate : Acceptability::kOutside;
  }
  //= rfc9293#3.10.7.4 MUST-66
  if (rcv_wnd == 0 && seq == rcv_nxt) return Acceptability::kAckOnly;
  if (wire::seq_in_window(seq, rcv_nxt, rcv_wnd) ||
      wire::seq_in_window(seq + (length - 1), rcv_nxt, rcv_wnd))
    return Acceptability::kAcceptable;
  return wire::seq_leq(seq + length, rcv_nxt) ? Acceptability::kOldDuplicate
                                              : Acceptability::kOutside;
}

/// PAWS (RFC 7323 5.3, R1): the timestamp is older than the last in-order one, and that one is not
/// itself outdated (24 days without a segment).
//= rfc7323#5.3 MUST-1
inline bool is_paws_rejected(std::uint32_t ts_val, std::uint32_t ts_recent, Tick ts_recent_at,
                             Tick now) {
  //= rfc7323#5.5 MUST-1
  constexpr Tick kOutdated = 24u * 24 * 3600 * 1000;
  return static_cast<std::int32_t>(ts_val - ts_recent) < 0 && now - ts_recent_at < kOutdated;
}

}  // namespace sluice::tcp
