#pragma once

// How fast to send. What to send again is recovery's business.

#include <cstdint>
#include <string_view>

#include "base/time.hpp"
#include "tcp/records.hpp"
#include "tcp/tcb.hpp"

namespace sluice::tcp {

enum class Algorithm : std::uint8_t { kNewReno };

/// What an ACK of new data did.
struct AckEvent {
  std::uint32_t acked_bytes;
  std::uint32_t flight_before;  ///< Octets in flight before it came.
  bool is_window_limited;       ///< cwnd, not the application or the peer, was the limit.
};

/// One congestion-control algorithm: stateless itself, its state is the TCB's cwnd and ssthresh
/// and 24 octets of the send record.
class Controller {
 public:
  virtual ~Controller() = default;
  virtual std::string_view name() const = 0;
  /// Grows cwnd for an ACK outside fast recovery.
  virtual void on_ack(Tcb& block, CongestionState& state, const AckEvent& event) const = 0;
  /// The new ssthresh when a loss is found with `flight` octets out.
  virtual std::uint32_t ssthresh_after_loss(const Tcb& block, CongestionState& state,
                                            std::uint32_t flight) const = 0;
};

const Controller& controller(Algorithm algorithm);
inline const Controller& controller_of(const Tcb& block) {
  return controller(static_cast<Algorithm>(block.congestion));
}

/// RFC 6928: at most ten segments, or what `segments` says. Octets.
std::uint32_t initial_window(std::uint32_t mss, std::uint32_t segments);

}  // namespace sluice::tcp
