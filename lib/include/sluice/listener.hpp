#pragma once

#include <cstdint>
#include <optional>

#include "base/address.hpp"
#include "base/handle.hpp"
#include "base/result.hpp"
#include "stream.hpp"

namespace sluice {

/// When SYNs are answered by a cookie: nothing is kept until the client's ACK proves its address.
enum class SynCookies : std::uint8_t {
  kOff,
  kAuto,    ///< From three quarters of the SYN backlog, or of the table, down to one.
  kAlways,  ///< The listener has no half-open entries at all.
};

/// Of one listener. Backlogs are totals, divided among workers: one at least for each. 0, and what
/// is above it, means the global cap of the config (tcp.max_half_open, tcp.max_accept_queue), never
/// "no bound".
struct ListenOptions {
  Port port;
  std::optional<IpAddr> address = {};   ///< None: any address of ours.
  std::uint32_t syn_backlog = 1024;     ///< Half-open entries.
  std::uint32_t accept_backlog = 1024;  ///< Established, not yet accepted.
  bool trace = false;                   ///< Record every segment of its connections.
  /// Congestion control of its connections, by name; empty: the route's, or the config's.
  std::string_view congestion = {};
  std::optional<SynCookies> syn_cookies = {};  ///< None: the config's.
};

struct ListenerInfo {
  Endpoint local;
  std::uint32_t half_open = 0;
  std::uint32_t syn_backlog = 0;
  std::uint32_t accept_queued = 0;
  std::uint32_t accept_backlog = 0;
  bool is_paused = false;
};

class Listener {
 public:
  Listener() = default;

  /// Takes the oldest established connection off the accept queue and gives it `handler`
  /// (borrowed, may be null and set later). kWouldBlock if none waits or accepting is paused.
  Result<Stream, Error> accept(StreamHandler* handler);
  /// accept() gives kWouldBlock and on_acceptable stays away; the accept queue fills to its
  /// backlog, after which last ACKs are ignored, so that clients retry.
  Result<void, Error> pause_accepting();
  Result<void, Error> resume_accepting();
  /// No new connections; half-open ones go, waiting ones are reset, accepted ones stay.
  Result<void, Error> close();
  Result<ListenerInfo, Error> info() const;
  ListenerHandle handle() const { return handle_; }
  Worker worker() const;

  bool operator==(const Listener&) const = default;

 private:
  friend class stack::Stack;
  friend class Worker;
  Listener(stack::Stack* stack, ListenerHandle handle) : stack_(stack), handle_(handle) {}
  stack::Stack* stack_ = nullptr;
  ListenerHandle handle_;
};

/// The pull primitive of a listener. One object a worker and listener.
class ListenerHandler {
 public:
  virtual ~ListenerHandler() = default;
  /// Connections wait: call accept() until kWouldBlock.
  virtual void on_acceptable(Listener listener) = 0;
};

}  // namespace sluice
