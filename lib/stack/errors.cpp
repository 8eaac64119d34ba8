#include "sluice/errors.hpp"

namespace sluice {

std::string_view to_string(Error error) {
  switch (error) {
    case Error::kStaleHandle:
      return "connection or listener is gone";
    case Error::kNotConnected:
      return "handshake not complete";
    case Error::kClosing:
      return "already closing";
    case Error::kReset:
      return "connection reset";
    case Error::kTimedOut:
      return "timed out";
    case Error::kRefused:
      return "connection refused";
    case Error::kUnreachable:
      return "unreachable";
    case Error::kWouldBlock:
      return "nothing there now";
    case Error::kEndOfStream:
      return "end of stream";
    case Error::kNoBuffers:
      return "out of buffers";
    case Error::kTooManyConnections:
      return "connection table full";
    case Error::kTooManyListeners:
      return "too many listeners, see tcp.max_listeners";
    case Error::kAddressInUse:
      return "address in use";
    case Error::kInvalidArgument:
      return "invalid argument";
    case Error::kDraining:
      return "shutting down";
    case Error::kNoAnswer:
      return "no answer from a worker";
  }
  return "?";
}

std::string_view to_string(CloseReason reason) {
  switch (reason) {
    case CloseReason::kNormal:
      return "closed by both sides";
    case CloseReason::kReset:
      return "reset by the peer";
    case CloseReason::kRefused:
      return "refused";
    case CloseReason::kUnreachable:
      return "unreachable";
    case CloseReason::kTimedOut:
      return "timed out";
    case CloseReason::kKeepalive:
      return "keepalive unanswered";
    case CloseReason::kAborted:
      return "aborted here";
    case CloseReason::kShutdown:
      return "reset at shutdown";
    case CloseReason::kNoResources:
      return "out of resources";
    case CloseReason::kOverload:
      return "shed in overload";
  }
  return "?";
}

}  // namespace sluice
