#pragma once

// What a thread beside the workers (the control thread, one of the application's) has them do: each
// worker carries an order out between two of its rounds, on its own thread, and answers.
//
//                     offer                  the worker's turn            its answer
//      EMPTY ───────────────────▶ OFFERED ───────────────────▶ TAKEN ───────────────────▶ ANSWERED
//        ▲  ▲                        │                           │                            │
//        │  └──── revoked: no time ──┘          no time: UNWANTED│                            │
//        │                                            │ ◀────────┘                            │
//        ├──── the worker undoes it when it is done ──┘                                       │
//        └──────────────────────────── collected ─────────────────────────────────────────────┘
//
// So an order that was given up is carried out by nobody, however late a worker wakes.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "runtime/loop_options.hpp"
#include "runtime/waker.hpp"
#include "stack/stack.hpp"

namespace sluice::runtime {

/// What an order acts on: all of it one worker's, and idle meanwhile.
struct OrderSite {
  unsigned worker;
  stack::Stack& stack;
  LoopOptions& options;
  Instant now;
};

/// One object for all workers. What they leave in it is kept apart by worker; who gave the order
/// may read what a worker left once that has answered.
class Order {
 public:
  virtual ~Order() = default;
  /// False: refused, and nothing has changed here.
  virtual bool carry_out(const OrderSite& site) = 0;
  /// Takes back what carry_out() did here.
  virtual void undo(const OrderSite& site) = 0;
  /// False: who does not answer does it later, and nobody takes it back.
  virtual bool is_all_or_nothing() const { return true; }
};

/// What became of an order on one worker.
enum class OrderFate : std::uint8_t {
  kDone,
  kRefused,
  kUndone,   ///< Done and taken back, or not begun: others could not.
  kSilent,   ///< No answer in time: it will not do it.
  kPending,  ///< No answer in time: it does it when it runs again.
  kKept,     ///< Done; it is to take it back, which it does when it runs again.
};

/// One worker's place for an order.
class OrderPlace {
 public:
  /// Worker: there is something to take. One load of a line that is written only when there is.
  bool is_offered() const { return state_.load(std::memory_order_relaxed) == State::kOffered; }
  /// Worker: carries out what is offered. False: it was taken back meanwhile.
  bool take(const OrderSite& site);
  /// Worker: it takes nothing any more.
  void close();
  /// What ends the worker's sleep when something is offered. Null: it never sleeps. Before orders
  /// are given.
  void set_waker(Waker* waker) { waker_ = waker; }

 private:
  friend class Orders;
  enum class State : std::uint8_t { kEmpty, kOffered, kTaken, kAnswered, kUnwanted, kClosed };
  enum class Verb : std::uint8_t { kCarryOut, kUndo };

  // Of the giver:
  bool offer(const std::shared_ptr<Order>& order, Verb verb);
  bool is_free();
  bool has_answered() const;
  bool was_refused() const { return is_refused_; }
  /// Takes the answer out, or the order back. False: there was no answer.
  bool settle();

  alignas(64) std::atomic<State> state_ = State::kEmpty;
  Verb verb_ = Verb::kCarryOut;
  bool is_refused_ = false;
  Waker* waker_ = nullptr;
  std::shared_ptr<Order> order_;  ///< Kept as long as the worker may use it.
};

/// All workers' places. Any thread but a worker's may give orders: one at a time, by a mutex that
/// no worker ever takes.
class Orders {
 public:
  /// Waits a little; false once it was long enough. `tries` counts from 0 for each order.
  using Wait = std::function<bool(unsigned tries)>;

  Orders(std::size_t workers, Wait wait);

  OrderPlace& place(std::size_t worker) { return places_[worker]; }
  std::size_t workers() const { return places_.size(); }

  /// Gives the order to all workers and waits for their answers; see OrderFate and
  /// Order::is_all_or_nothing.
  std::vector<OrderFate> give(const std::shared_ptr<Order>& order);
  /// The same for one of them.
  OrderFate give_to(std::size_t worker, const std::shared_ptr<Order>& order);

 private:
  std::vector<OrderFate> give(const std::shared_ptr<Order>& order, std::span<OrderPlace> places);
  void await(std::span<OrderPlace> places) const;
  void take_back(const std::shared_ptr<Order>& order, std::span<OrderPlace> places,
                 std::vector<OrderFate>& fates) const;

  std::vector<OrderPlace> places_;
  Wait wait_;
  std::mutex giving_;
};

/// All of them kDone.
bool is_done(std::span<const OrderFate> fates);
/// Why not, for the operator: "worker 1 does not answer: nothing has changed". Empty if done.
std::string explain(std::span<const OrderFate> fates);

/// Polls for answers: 1 s, or as long as `patience` says.
Orders::Wait patient(Duration patience = Duration::from_s(1));

}  // namespace sluice::runtime
