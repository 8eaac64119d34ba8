#pragma once

// How fast to send. What to send again is recovery's business.

#include <cstdint>
#include <optional>
#include <string_view>

#include "tcp/config.hpp"
#include "tcp/records.hpp"
#include "tcp/tcb.hpp"

namespace sluice::tcp {

inline constexpr std::uint32_t kMaxWindow = 1u << 30;  ///< Octets: window scaling has no more.
inline constexpr std::uint32_t kInitialSsthresh = 0x7fffffff;  ///< No congestion was seen yet.

/// What an ACK did, after the scoreboard, SND.UNA and the loss detector have taken it. Octets are
/// sequence space; times are microseconds modulo 2^32.
struct AckEvent {
  std::uint32_t acked_bytes = 0;      ///< SND.UNA moved by, without what SACKs had told before.
  std::uint32_t delivered_bytes = 0;  ///< Acknowledged or SACKed for the first time.
  std::uint32_t lost_bytes = 0;       ///< Found lost by this ACK, or by a timer since the last.
  std::uint32_t flight_before = 0;    ///< SND.NXT - SND.UNA before it came.
  std::uint32_t pipe_before = 0;      ///< Estimate of what was in the network before it came.
  std::uint32_t pipe = 0;             ///< The same now (RFC 6675's pipe).
  std::uint32_t rtt_us = 0;  ///< Of the segment sent last among those never sent again; 0: none.
  std::uint32_t now_us = 0;
  std::uint32_t delivered_total = 0;  ///< SendRecord::delivered, modulo 2^32.
  bool is_window_limited = false;     ///< cwnd, not the application or the peer, was the limit.
  bool has_ece = false;               ///< The peer echoes a congestion mark (RFC 3168).
  bool is_recovering = false;  ///< Fast recovery or CWR: proportional rate reduction sets cwnd.
  bool is_paced = false;       ///< Segments leave by the pacer, not in bursts.
  RateSample rate = {};

  /// May cwnd grow for this ACK, as algorithms driven by loss see it?
  bool may_grow() const {
    //= rfc3168#6.1.2  not for an ACK that echoes a mark
    // A window nobody used proves nothing (RFC 7661 1).
    return acked_bytes != 0 && is_window_limited && !is_recovering && !has_ece;
  }
};

enum class CongestionCause : std::uint8_t { kLoss, kEce, kTimeout };

/// Once for each window of data, before recovery begins.
struct CongestionEvent {
  CongestionCause cause = CongestionCause::kLoss;
  std::uint32_t flight = 0;  ///< SND.NXT - SND.UNA.
  std::uint32_t now_us = 0;
};

/// A segment found to be lost. Octets.
struct LostSegment {
  std::uint32_t length = 0;
  std::uint32_t tx_in_flight = 0;  ///< In flight when it had been sent, itself included.
  std::uint32_t lost = 0;          ///< Found lost since it was sent, itself included.
  std::uint32_t now_us = 0;
  bool is_app_limited = false;  ///< When it was sent.
};

/// What an algorithm is, beside its functions.
struct ControllerTraits {
  bool owns_window = false;  ///< Sets cwnd itself in recovery too, instead of PRR (BBR).
  bool is_paced = false;     ///< Pacing is on unless the stream says otherwise.
  bool needs_ecn = false;    ///< Negotiates ECN, and its receiver echoes each mark (DCTCP).
  bool keeps_state = false;  ///< Its state outlives idle times: the send record is not dropped.
};

/// One congestion-control algorithm: stateless itself. Its state is cwnd and ssthresh in the TCB,
/// and a CongestionState in the send record, zero when the record is made. Integer arithmetic only.
class Controller {
 public:
  virtual ~Controller() = default;
  virtual std::string_view name() const = 0;
  virtual ControllerTraits traits() const { return {}; }
  /// A send record was made, or the stream switched to this algorithm: `state` is zero.
  virtual void start(Tcb&, CongestionState&, std::uint32_t /*now_us*/) const {}
  /// Every ACK of a connection with octets in flight that delivered something or echoed a mark.
  /// Grows cwnd unless `is_recovering`.
  virtual void on_ack(Tcb& block, CongestionState& state, const AckEvent& event) const = 0;
  /// Each segment that the loss detector gives up, before the on_ack() of the ACK that told.
  virtual void on_lost(Tcb&, CongestionState&, const LostSegment&) const {}
  /// A congestion event: the new ssthresh. Remembers what on_undo() must restore.
  virtual std::uint32_t ssthresh_after_loss(Tcb& block, CongestionState& state,
                                            const CongestionEvent& event) const = 0;
  /// The retransmission timer expired; ssthresh is set, cwnd will be the loss window.
  virtual void on_timeout(Tcb&, CongestionState&) const {}
  /// Fast recovery or CWR is over; cwnd is ssthresh (or was restored).
  virtual void on_recovery_end(Tcb&, CongestionState&, std::uint32_t /*now_us*/) const {}
  /// The last congestion event was none: cwnd and ssthresh are restored already (RFC 3522, 5682).
  virtual void on_undo(Tcb&, CongestionState&) const {}
  /// Nothing was in flight for longer than an RTO: cwnd was reduced to the restart window.
  virtual void on_idle_restart(Tcb&, CongestionState&, std::uint32_t /*now_us*/) const {}
  /// Octets per second to pace at; 0: what cwnd and SRTT give (pacing_rate() in output/pacing).
  virtual std::uint64_t pacing_rate(const Tcb&, const CongestionState&) const { return 0; }
};

const Controller& controller(Algorithm algorithm);
inline const Controller& controller_of(const Tcb& block) {
  return controller(static_cast<Algorithm>(block.congestion));
}
/// "newreno", "cubic", "dctcp", "bbr"; nothing for other names.
std::optional<Algorithm> algorithm_of(std::string_view name);

/// RFC 6928: at most ten segments, or what `segments` says. Octets.
std::uint32_t initial_window(std::uint32_t mss, std::uint32_t segments);

}  // namespace sluice::tcp
