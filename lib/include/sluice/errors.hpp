#pragma once

#include <cstdint>
#include <string_view>

namespace sluice {

/// Why a call on a stream or listener did nothing. Misuse is a value, never a crash.
enum class Error : std::uint8_t {
  kStaleHandle,   ///< The connection (on_closed has returned) or listener is gone; its slot may
                  ///< belong to another.
  kNotConnected,  ///< The handshake is not complete yet.
  kClosing,      ///< send() or shutdown() after shutdown(), the runtime's drain, or the end by both
                 ///< sides; after close() or abort() any call that Stream does not except.
  kReset,        ///< The connection ended by RST, ours or the peer's.
  kTimedOut,     ///< The connection ended because the peer stayed silent.
  kRefused,      ///< connect(): the peer answered RST.
  kUnreachable,  ///< connect(): no route, no neighbour, or ICMP said so.
  kWouldBlock,   ///< Nothing to read, no room to write, or nothing to accept now: not a fault.
  kEndOfStream,  ///< read(): the peer sent FIN and every octet before it was read.
  kNoBuffers,    ///< Out of mbufs or records: try again later.
  kTooManyConnections,  ///< The worker's connection table is full.
  kTooManyListeners,    ///< listen(): the worker has tcp.max_listeners of them.
  kAddressInUse,        ///< listen(): that address and port; connect(): no free local port, or the
                        ///< 4-tuple.
  kInvalidArgument,     ///< An option out of range, an address that is not ours, port 0.
  kDraining,            ///< The runtime is shutting down.
  kNoAnswer,            ///< A worker did not do in time what it was asked to: it hangs, or waits.
};

/// What ICMP last reported about a connection that goes on all the same (RFC 9293 3.9.2.2): anybody
/// on the way may have sent it.
enum class SoftError : std::uint8_t {
  kNone,
  kNetUnreachable,
  kHostUnreachable,
  kProtocolUnreachable,
  kPortUnreachable,
  kProhibited,
  kTimeExceeded,
  kParameterProblem,
};

/// Why a stream ended; what StreamHandler::on_closed is told.
enum class CloseReason : std::uint8_t {
  kNormal,   ///< Both sides sent FIN, each was acknowledged (TIME-WAIT goes on without the stream).
  kReset,    ///< The peer sent RST.
  kRefused,  ///< connect(): RST in SYN-SENT.
  kUnreachable,  ///< No way to the peer while connecting.
  kTimedOut,     ///< Handshake, user timeout, or a closed connection that the peer never finished.
  kKeepalive,    ///< The peer did not answer keepalive probes.
  kAborted,      ///< abort() here, close() with unread data (RFC 2525 2.17: answered by RST), or a
                 ///< handler that refused data when all was over.
  kShutdown,     ///< The runtime's drain deadline passed.
  kNoResources,  ///< No memory to go on.
  kOverload,     ///< Reset here to make room: the worker was full, and this connection idle or its
                 ///< peer too slow.
};

std::string_view to_string(Error error);
std::string_view to_string(CloseReason reason);

}  // namespace sluice
