#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/address.hpp"
#include "base/handle.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "errors.hpp"
#include "rx_data.hpp"

namespace sluice {

class StreamHandler;
class Worker;

/// What a connection looks like now (TCP_INFO's figures). Durations are zero until measured.
struct StreamInfo {
  Endpoint local;
  Endpoint remote;
  std::string_view state;  ///< RFC 9293 3.3.2: "ESTABLISHED", ...
  Duration srtt;
  Duration rttvar;
  Duration min_rtt;
  Duration rto;
  std::uint32_t mss = 0;  ///< Octets of payload in a full segment that we send.
  std::uint32_t cwnd_bytes = 0;
  std::uint32_t ssthresh_bytes = 0;
  std::uint32_t send_window_bytes = 0;  ///< What the peer offers.
  std::uint32_t receive_window_bytes = 0;
  std::uint32_t unacked_bytes = 0;
  std::uint32_t send_queued_bytes = 0;  ///< Accepted by send() and not yet acknowledged.
  std::uint32_t receive_queued_bytes = 0;
  std::uint64_t bytes_received = 0;
  std::uint64_t bytes_acked = 0;
  std::uint32_t retransmitted_segments = 0;
  std::uint32_t lost_segments = 0;      ///< Declared lost, rightly or not.
  std::uint32_t undone_reductions = 0;  ///< Congestion events that proved to be none; up to 255.
  std::string_view congestion;          ///< "cubic", ...
  std::uint64_t pacing_rate = 0;        ///< Octets per second; 0: not paced.
  std::uint64_t delivery_rate = 0;      ///< Octets per second, last measured; 0: never yet.
  Duration reordering_window;  ///< How much later than others a segment may come before it is lost.
  bool has_reordering = false;     ///< Segments of ours arrived out of order here before.
  bool has_ecn = false;            ///< Agreed with the peer.
  std::uint32_t urgent_bytes = 0;  ///< Unread, up to the urgent pointer; 0: none.
  SoftError soft_error = SoftError::kNone;
};

/// A TCP connection, as a value: a worker and a handle. Cheap to copy, safe to keep: after
/// close() or abort() every call but abort(), set_handler() and those that only look answers
/// Error::kClosing; once on_closed has returned, each answers Error::kStaleHandle. Use it on its
/// worker's thread only.
class Stream {
 public:
  Stream() = default;

  /// Octets that have come in order and were not read. kWouldBlock: none now. kEndOfStream: the
  /// peer's FIN stands where the next octet would. Other errors: the connection has ended. While
  /// on_data runs, what it was handed counts as read: read() gives what lies behind it.
  Result<RxData, Error> read();

  /// Copies octets to the send queue. Gives how many were taken: fewer than offered, down to 0,
  /// when the send buffer is full, which is ordinary; on_writable comes when there is room again.
  Result<std::size_t, Error> send(std::span<const std::byte> octets);
  Result<std::size_t, Error> send(std::string_view text);
  /// Moves received octets to the send queue without copying. `data` keeps what was not taken.
  Result<std::size_t, Error> send(RxData& data);

  /// "I have no more to send" (RFC 9293 CLOSE): FIN after all queued octets. Reading goes on.
  Result<void, Error> shutdown();
  /// The application is done both ways: FIN after all queued octets. Of the callbacks only
  /// on_closed still comes. Unread octets, and any that still come, make it a RST (RFC 1122
  /// 4.2.2.13).
  Result<void, Error> close();
  /// RST now, after close() too; queued octets are gone, on_closed still comes.
  Result<void, Error> abort();

  /// Stops on_readable/on_data; octets queue up to the receive buffer, then the window closes.
  Result<void, Error> pause_reading();
  Result<void, Error> resume_reading();

  /// Borrowed: it must stay until its on_closed is called or another takes its place, or nullptr,
  /// with which events are dropped. That works until on_closed has returned, after close() and
  /// abort() too: a handler that ends its stream and wants no on_closed says set_handler(nullptr)
  /// and may delete itself. One that a listener made is destroyed here.
  Result<void, Error> set_handler(StreamHandler* handler);
  StreamHandler* handler() const;
  Result<void, Error> set_nodelay(std::optional<bool> nodelay);  ///< nullopt: the config's default.
  /// Gives up when sent octets stay unacknowledged this long (RFC 9293 3.8.3); zero: config
  /// default.
  Result<void, Error> set_user_timeout(Duration limit);
  Result<void, Error> set_keepalive(bool on);
  /// "newreno", "cubic", "dctcp" or "bbr", from now on. kInvalidArgument for other names.
  Result<void, Error> set_congestion(std::string_view name);
  /// Spreads segments over the round trip; nullopt: as the algorithm and the config have it.
  Result<void, Error> set_pacing(std::optional<bool> pacing);
  /// The six bits of the IP header's class (RFC 2474), 0..63, in every segment from now on.
  Result<void, Error> set_dscp(std::uint8_t dscp);
  /// on_timer once, after `delay`; replaces an earlier one. infinite(): none.
  Result<void, Error> set_timer(Duration delay);
  /// Records every segment of this stream for `sluicectl trace`.
  Result<void, Error> set_trace(bool on);

  Result<StreamInfo, Error> info() const;
  bool is_stale() const;
  ConnHandle handle() const { return handle_; }
  Worker worker() const;

  bool operator==(const Stream&) const = default;

 private:
  friend class stack::Stack;
  friend class StreamHandler;
  Stream(stack::Stack* stack, ConnHandle handle) : stack_(stack), handle_(handle) {}
  /// What a push handler left of `offered` octets goes back to the front.
  void unread(RxData data, std::size_t offered);
  bool take_end_of_stream();  ///< True once: the end is reached and nobody was told.
  stack::Stack* stack_ = nullptr;
  ConnHandle handle_;
};

/// What a connection tells its application. Calls come after a burst of packets was processed,
/// never from inside another call on the stream; whatever you call here takes effect in the next
/// round. You may close, abort or delete anything in any of them; but before a borrowed handler is
/// deleted, its streams' on_closed must have come or set_handler(nullptr) have taken it off them.
/// Exceptions must not escape.
class StreamHandler {
 public:
  virtual ~StreamHandler() = default;

  virtual void on_open(Stream) {}  ///< The handshake is complete (once, first).

  /// New octets or the peer's FIN: the pull primitive. The default reads and calls on_data, then
  /// on_peer_closed once at the end of the stream.
  virtual void on_readable(Stream stream);
  /// Received octets: take what you want of them. What you leave in `data` is unread again, and
  /// offered again when the stream becomes writable, more octets come, or reading is resumed. So
  /// `stream.send(data)` alone is an echo server with back-pressure. Octets of another connection
  /// that you put in `data` are kept and offered in the same way, here, and count against this
  /// stream's receive buffer from then on. Once both sides have closed none of that comes any
  /// more: octets are offered until a call takes none of them and does not pause reading; then
  /// they are discarded, and on_closed(kAborted) follows.
  virtual void on_data(Stream, RxData& data) { data.consume(data.size()); }
  virtual void on_peer_closed(Stream stream) { stream.close(); }
  /// There is room to send after a short write.
  virtual void on_writable(Stream) {}
  /// The peer set the urgent pointer; RFC 6093: the octets stay in line, this is only a hint.
  virtual void on_urgent(Stream) {}
  virtual void on_timer(Stream) {}
  /// The last call. The handle is stale when it returns; a handler that a listener made for itself
  /// is destroyed then.
  virtual void on_closed(Stream, CloseReason) {}
};

}  // namespace sluice
