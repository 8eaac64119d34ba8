#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/address.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "listener.hpp"
#include "message.hpp"
#include "stream.hpp"

namespace sluice {

/// An application timer that is not a stream's. Borrowed by the worker until it fired or is
/// cancelled.
class TimerHandler {
 public:
  virtual ~TimerHandler() = default;
  virtual void on_timer() = 0;
};

/// What a worker calls in each of its rounds, behind the callbacks of streams and timers: for work
/// that is due more finely than timers tick (1 ms). One a worker; one that has none pays a null
/// check a round.
class RoundHandler {
 public:
  virtual ~RoundHandler() = default;
  /// `now` is Worker::now(). Gives when it must be called again at the latest: never() if only what
  /// comes in matters, `now` to have the worker poll without a sleep.
  virtual Instant on_round(Instant now) = 0;
};

struct TimerHandle {
  std::uint32_t index = 0xffffffffu;
  std::uint32_t generation = 0;
  constexpr bool operator==(const TimerHandle&) const = default;
};

struct ConnectOptions {
  Endpoint remote;
  std::optional<IpAddr> local_address = {};  ///< None: what the route says.
  /// 0: an ephemeral port (RFC 6056). Of several workers one alone gets the answers to any other
  /// port: for the rest it is kInvalidArgument.
  Port local_port = {};
  std::string_view congestion = {};  ///< By name; empty: the route's, or the config's.
  bool trace = false;
};

/// Makes the handlers of one listener on one worker, in memory reserved before the loops start.
class HandlerFactory {
 public:
  virtual ~HandlerFactory() = default;
  virtual std::size_t object_size() const = 0;
  virtual std::size_t object_alignment() const = 0;
  virtual StreamHandler* construct(void* memory) = 0;
};

/// One shard: its connections, listeners and timers. Its calls are for its own thread.
class Worker {
 public:
  Worker() = default;

  unsigned index() const;
  Instant now() const;  ///< Time of the burst at hand: the only clock a handler needs.

  /// Pull: `handler` (borrowed) hears when connections wait.
  Result<Listener, Error> listen(const ListenOptions& options, ListenerHandler& handler);
  /// Push: each connection is accepted at once and gets a handler made by `factory` (owned).
  Result<Listener, Error> listen(const ListenOptions& options,
                                 std::unique_ptr<HandlerFactory> factory);
  /// Begins a connection; `handler` (borrowed) hears on_open, or on_closed with the reason.
  Result<Stream, Error> connect(const ConnectOptions& options, StreamHandler* handler);

  Result<TimerHandle, Error> set_timer(Duration delay, TimerHandler& handler);
  void cancel_timer(TimerHandle timer);  ///< A stale handle is ignored.

  /// `handler` (borrowed) is called in every round from the next on; null: none any more. It
  /// replaces an earlier one.
  void set_round_handler(RoundHandler* handler);
  /// The runtime is shutting down: connect() and listen() answer kDraining.
  bool is_draining() const;
  /// Posts to worker `to`, itself included: a copy, that comes to its MessageHandler after a burst
  /// of its own, or waits until it has one. A few cycles, never waits. kWouldBlock: as many as
  /// there is room for are on their way from here to there; nothing is posted, and on_post_room
  /// says when to try again. kDraining: it has ended. Until then one that drains takes messages;
  /// what was posted and not delivered when it ended is lost. kInvalidArgument: no such worker.
  Result<void, Error> post(unsigned to, const Message& message);
  template <MessageValue T>
  Result<void, Error> post(unsigned to, const T& value) {
    return post(to, Message(value));
  }
  /// Who hears the messages to this worker (borrowed). Null: they wait.
  Result<void, Error> set_message_handler(MessageHandler* handler);

  bool operator==(const Worker&) const = default;

 private:
  friend class stack::Stack;
  friend class Stream;
  friend class Listener;
  explicit Worker(stack::Stack* stack) : stack_(stack) {}
  stack::Stack* stack_ = nullptr;
};

}  // namespace sluice
