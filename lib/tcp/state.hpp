#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sluice::tcp {

/// RFC 9293 3.3.2. The values are those of the state region.
enum class State : std::uint8_t {
  kClosed,
  kListen,
  kSynSent,
  kSynReceived,
  kEstablished,
  kFinWait1,
  kFinWait2,
  kCloseWait,
  kClosing,
  kLastAck,
  kTimeWait,
};
inline constexpr std::size_t kStateCount = 11;

/// "SYN-SENT", as the RFC writes it.
std::string_view to_string(State state);

/// A connection that has seen both SYNs: ESTABLISHED and everything after it.
constexpr bool is_synchronized(State state) {
  return state >= State::kEstablished;
}
/// The peer may still send data that we want: its FIN has not come.
constexpr bool may_receive_data(State state) {
  return state == State::kEstablished || state == State::kFinWait1 || state == State::kFinWait2;
}
/// Our FIN is not yet in the send queue.
constexpr bool may_queue_data(State state) {
  return state == State::kSynSent || state == State::kSynReceived || state == State::kEstablished ||
         state == State::kCloseWait;
}

}  // namespace sluice::tcp
