#pragma once

#include <cstdint>

#include "base/time.hpp"
#include "base/token_bucket.hpp"

namespace sluice::tcp {

enum class Algorithm : std::uint8_t { kNewReno, kCubic, kDctcp, kBbr };

/// Explicit congestion notification (RFC 3168).
enum class EcnMode : std::uint8_t {
  kOff,
  kAccept,  ///< If the peer asks for it.
  kOffer,   ///< connect() asks, too.
};

/// When SYNs are answered by a cookie, without a half-open entry.
enum class CookieMode : std::uint8_t {
  kOff,
  kAuto,    ///< From three quarters of the SYN backlog, or of the table, down to one.
  kAlways,  ///< No half-open entries at all.
};

/// Everything about one worker's engine that an operator can set. Totals of the configuration file
/// are divided among workers before they come here. Units are in the names; ranges are checked by
/// runtime/config.
struct EngineConfig {
  // Sizes: fixed at start.
  std::uint32_t max_connections = 65536;
  std::uint32_t max_half_open = 16384;  ///< Global cap; a listener's syn_backlog lies under it.
  std::uint32_t max_accept_queue =
      4096;                             ///< Global cap; a listener's accept_backlog lies under it.
  std::uint32_t max_time_wait = 65536;  ///< Entries, IPv4; IPv6 has a quarter of it.
  std::uint32_t max_listeners = 64;
  std::uint32_t max_in_flight =
      32768;  ///< Connections with data queued or in flight, per direction.
  std::uint32_t recorder_events = 65536;  ///< 0 switches the flight recorder off.

  // Buffers.
  std::uint32_t receive_buffer_bytes = 256
                                       << 10;  ///< At first; grows while a fast sender fills it ...
  std::uint32_t receive_buffer_max_bytes = 8 << 20;  ///< ... up to here, ...
  std::uint32_t receive_growth_bytes = 256 << 20;    ///< ... and all connections by this together.
  std::uint32_t send_buffer_bytes = 256 << 10;       ///< At first; twice cwnd if that is more, ...
  std::uint32_t send_buffer_max_bytes = 8 << 20;     ///< ... up to here.
  std::uint32_t reassembly_segments = 256;           ///< Out-of-order packets, per connection.
  std::uint32_t reassembly_worker_segments = 65536;  ///< The same, per worker.
  std::uint32_t copy_break_bytes = 256;              ///< Smaller payloads are copied together.

  // Handshake.
  //= rfc9293#3.8.3 MUST-23  7 give the three minutes; the default is the 63 s of other servers
  std::uint8_t syn_retries = 5;  ///< After 1, 2, 4, 8, 16 s; timed out 32 s after the last.
  std::uint8_t syn_ack_retries = 5;
  CookieMode syn_cookies = CookieMode::kAuto;  ///< Unless the listener says otherwise.
  bool is_fleet = false;  ///< Keys and clock are shared: other servers' cookies are taken.
  Duration cookie_to_wall = Duration::zero();  ///< Of a fleet: what makes `now` the wall's time.
  Duration cookie_clock_error = Duration::from_s(2);  ///< Of a fleet: how far its clocks lie apart.
  Duration half_open_lifetime = Duration::from_s(63);
  std::uint16_t ephemeral_first = 32768;
  std::uint16_t ephemeral_last = 60999;

  // Options offered.
  bool timestamps = true;
  bool sack = true;
  bool window_scaling = true;
  std::uint16_t max_mss = 0;  ///< Octets; 0: what the path's MTU gives.

  // Retransmission.
  //= rfc6298#2.1 SHLD-1
  Duration rto_initial = Duration::from_s(1);
  Duration rto_min = Duration::from_ms(200);
  Duration rto_max = Duration::from_s(120);
  std::uint32_t initial_window_segments = 10;  ///< RFC 6928.
  //= rfc9293#3.8.3 SHLD-11
  Duration user_timeout = Duration::from_s(900);
  Algorithm congestion = Algorithm::kCubic;  ///< Unless listener, route or stream say otherwise.
  EcnMode ecn = EcnMode::kAccept;
  bool pacing = false;               ///< For algorithms that do not ask for it themselves.
  bool black_hole_detection = true;  ///< Smaller segments after three timeouts of a full one.

  // Acknowledging and sending.
  //= rfc9293#3.8.6.3 SHLD-18, MUST-40  rfc5681#4.2 SHLD-1, MUST-1, MUST-2
  Duration delayed_ack = Duration::from_ms(40);
  std::uint8_t quick_acks = 16;  ///< Full segments acknowledged at once after the start.
  bool nodelay = false;          ///< true switches Nagle's algorithm off.

  // Closing.
  //= rfc9293#3.6.1 MUST-13
  Duration time_wait = Duration::from_s(60);   ///< 2 MSL.
  Duration fin_wait_2 = Duration::from_s(60);  ///< For closed (orphaned) connections.
  std::uint32_t max_orphans = 16384;

  // Overload: who goes when tables or pools run out, and nobody before.
  Duration overload_idle_age = Duration::from_s(60);  ///< 0: idle connections stay.
  std::uint32_t overload_slow_rate = 256;  ///< Octets a second that a peer takes at least ...
  Duration overload_slow_grace =
      Duration::from_s(30);  ///< ... over so long, or all that waited. 0: slow readers stay.

  // Keepalive (off unless a stream or `keepalive` says so).
  //= rfc9293#3.8.4 MUST-25
  bool keepalive = false;
  //= rfc9293#3.8.4 MUST-27, MUST-28
  Duration keepalive_idle = Duration::from_s(7200);
  Duration keepalive_interval = Duration::from_s(75);
  std::uint8_t keepalive_count = 9;

  // Caps on what strangers can make us send, per worker. As large a burst as a second's rate: see
  // RandomBudget for what a burst hides.
  TokenBucket::Limits reset_limit = {1000, 1000};
  TokenBucket::Limits syn_ack_prefix_limit = {10'000, 65'536};  ///< To each source prefix.
  //= rfc5961#7 SHLD-1, SHLD-3
  TokenBucket::Limits challenge_limit = {1000, 1000};
};

}  // namespace sluice::tcp
