#pragma once

// The parts of one shard, and what its public API calls need beside the engine.

#include <memory>
#include <vector>

#include "base/reserved_memory.hpp"
#include "base/rng.hpp"
#include "base/slab.hpp"
#include "stack/egress.hpp"
#include "stack/handler_pool.hpp"
#include "stack/ingress.hpp"
#include "stack/network.hpp"
#include "stack/stack.hpp"
#include "tcp/engine.hpp"

namespace sluice::stack {

/// An application timer of the worker.
struct WorkerTimer {
  TimerNode node;
  Tick deadline = 0;
  std::uint32_t generation = 0;
  TimerHandler* handler = nullptr;
  std::uint32_t link = 0;  ///< Of the slab.
};

/// What a listener's connections are handed to: one of the two.
struct ListenerApp {
  ListenerHandler* pull = nullptr;
  std::unique_ptr<HandlerPool> push;
};

/// The application's side of a connection, at the TCB's index: one pointer, whose lowest bit says
/// that a listener's HandlerPool made the handler.
class StreamApp {
 public:
  StreamApp() = default;
  static StreamApp borrowed(StreamHandler* handler) { return StreamApp(handler, 0); }
  static StreamApp pooled(StreamHandler* handler) { return StreamApp(handler, kPooled); }

  StreamHandler* handler() const {
    return reinterpret_cast<StreamHandler*>(bits_ & ~kPooled);  // NOLINT: a tagged pointer
  }
  bool is_pooled() const { return (bits_ & kPooled) != 0; }

 private:
  static constexpr std::uintptr_t kPooled = 1;
  static_assert(alignof(StreamHandler) > kPooled);
  StreamApp(StreamHandler* handler, std::uintptr_t tag)
      : bits_(reinterpret_cast<std::uintptr_t>(handler) | tag) {}

  std::uintptr_t bits_ = 0;
};

inline constexpr std::size_t kIdleConnectionOctets =
    sizeof(tcp::Tcb) + sizeof(tcp::TcbTotals) + sizeof(StreamApp) + tcp::FlowTable::kOctetsPerEntry;
static_assert(kIdleConnectionOctets <= 256, "the budget of an idle connection");

struct Stack::Impl {
  Impl(Stack& stack, const StackConfig& config, const StackDeps& deps, Instant now);
  ~Impl();

  void count_spare_buffers();
  bool can_feed() const;
  void dispatch();
  void dispatch_listeners();
  void dispatch_listener(std::uint16_t index);
  void dispatch_stream(std::uint32_t index);
  bool deliver_closed(std::uint32_t index);
  void accept_all(std::uint16_t listener);
  void hand_reports_to_engine(Instant now);
  void free_handler(std::uint32_t index);
  void destroy_pooled(StreamHandler* handler);
  Stream stream(std::uint32_t index) {
    return Stream(&self, tcp::handle_of(engine.context(), index));
  }

  struct TimerNodes {
    WorkerTimer* base;
    TimerNode& operator()(std::uint32_t index) const { return base[index].node; }
  };
  static constexpr std::uint32_t kWorkerTimers = 1024;
  static constexpr std::size_t kBurst = 64;

  Stack& self;
  StackConfig config;  ///< Changed by Stack::reconfigure() alone.
  const unsigned worker;
  packet::Pools pools;
  telemetry::Metrics& metrics;
  telemetry::WorkerInfo& info;
  Rng rng;
  Network network;
  Egress egress;
  Ingress ingress;
  tcp::Engine engine;

  PostOffice* post_office = nullptr;
  MessageHandler* message_handler = nullptr;
  ReservedMemory stream_memory;
  std::span<StreamApp> streams;                       ///< By TCB index; all zero: none.
  std::vector<ListenerApp> listeners;                 ///< By listener index.
  std::vector<std::unique_ptr<HandlerPool>> retired;  ///< Of closed listeners, with live handlers.
  std::vector<WorkerTimer> timer_memory;
  Slab<WorkerTimer> timers;
  TimerWheel<TimerNodes> timer_wheel;
  RoundHandler* round_handler = nullptr;
  Instant round_due = Instant::never();  ///< When it must be called at the latest.
  std::uint32_t drain_cursor = 0;
  std::vector<tcp::InboundSegment> inbound;
  std::vector<tcp::IcmpError> errors;
  std::vector<tcp::OutboundSegment> outbound;
};

}  // namespace sluice::stack
