#include "runtime/orders.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "base/assert.hpp"
#include "runtime/join.hpp"

namespace sluice::runtime {
namespace {

/// "worker 1", "workers 1, 2"; empty: none.
std::string listed(std::span<const OrderFate> fates, OrderFate fate) {
  std::vector<std::string> numbers;
  for (std::size_t worker = 0; worker < fates.size(); ++worker)
    if (fates[worker] == fate) numbers.push_back(std::to_string(worker));
  if (numbers.empty()) return {};
  return fmt::format("worker{} {}", numbers.size() == 1 ? "" : "s", join(numbers, ", "));
}

}  // namespace

// --- the worker's side ---

bool OrderPlace::take(const OrderSite& site) {
  State expected = State::kOffered;
  if (!state_.compare_exchange_strong(expected, State::kTaken, std::memory_order_acquire))
    return false;
  bool is_done = true;
  if (verb_ == Verb::kUndo)
    order_->undo(site);
  else
    is_done = order_->carry_out(site);
  is_refused_ = !is_done;
  expected = State::kTaken;
  if (state_.compare_exchange_strong(expected, State::kAnswered, std::memory_order_release))
    return true;
  SLUICE_ASSERT(expected == State::kUnwanted);
  if (verb_ == Verb::kCarryOut && is_done) order_->undo(site);
  state_.store(State::kEmpty, std::memory_order_release);
  return true;
}

void OrderPlace::close() {
  state_.store(State::kClosed, std::memory_order_release);
}

// --- the giver's ---

bool OrderPlace::is_free() {
  State expected = State::kAnswered;  // late, when nobody waited any more
  return state_.compare_exchange_strong(expected, State::kEmpty, std::memory_order_acquire) ||
         expected == State::kEmpty;
}

bool OrderPlace::offer(const std::shared_ptr<Order>& order, Verb verb) {
  if (!is_free()) return false;
  order_ = order;
  verb_ = verb;
  State expected = State::kEmpty;
  if (!state_.compare_exchange_strong(expected, State::kOffered, std::memory_order_release))
    return false;
  if (waker_ != nullptr) waker_->wake();
  return true;
}

bool OrderPlace::has_answered() const {
  const State state = state_.load(std::memory_order_acquire);
  return state == State::kAnswered || state == State::kClosed;
}

bool OrderPlace::settle() {
  State expected = State::kOffered;
  if (state_.compare_exchange_strong(expected, State::kEmpty, std::memory_order_acquire))
    return false;
  if (expected == State::kTaken &&
      state_.compare_exchange_strong(expected, State::kUnwanted, std::memory_order_acquire))
    return false;
  if (expected != State::kAnswered) return false;
  // Only a worker that ends writes here meanwhile.
  state_.compare_exchange_strong(expected, State::kEmpty, std::memory_order_acquire);
  return true;
}

Orders::Orders(std::size_t workers, Wait wait) : places_(workers), wait_(std::move(wait)) {}

std::vector<OrderFate> Orders::give(const std::shared_ptr<Order>& order) {
  return give(order, places_);
}

OrderFate Orders::give_to(std::size_t worker, const std::shared_ptr<Order>& order) {
  return give(order, std::span(places_).subspan(worker, 1)).front();
}

std::vector<OrderFate> Orders::give(const std::shared_ptr<Order>& order,
                                    std::span<OrderPlace> places) {
  const std::lock_guard turn(giving_);
  std::vector<OrderFate> fates(places.size(), OrderFate::kUndone);
  const bool is_strict = order->is_all_or_nothing();
  // Who has still an older one to do is not asked, and then nobody else is.
  bool is_hopeless = false;
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (places[i].is_free()) continue;
    fates[i] = OrderFate::kSilent;
    is_hopeless = true;
  }
  if (is_strict && is_hopeless) return fates;
  for (std::size_t i = 0; i < places.size(); ++i)
    if (fates[i] != OrderFate::kSilent && !places[i].offer(order, OrderPlace::Verb::kCarryOut))
      fates[i] = OrderFate::kSilent;
  await(places);
  for (std::size_t i = 0; i < places.size(); ++i) {
    OrderPlace& place = places[i];
    if (fates[i] == OrderFate::kSilent) continue;
    if (!is_strict && !place.has_answered())
      fates[i] = OrderFate::kPending;
    else if (place.settle())
      fates[i] = place.was_refused() ? OrderFate::kRefused : OrderFate::kDone;
    else
      fates[i] = OrderFate::kSilent;
  }
  if (is_strict && !is_done(fates)) take_back(order, places, fates);
  return fates;
}

void Orders::await(std::span<OrderPlace> places) const {
  const auto is_over = [&] {
    return std::all_of(places.begin(), places.end(), [](const OrderPlace& place) {
      const auto state = place.state_.load(std::memory_order_acquire);
      return state != OrderPlace::State::kOffered && state != OrderPlace::State::kTaken;
    });
  };
  for (unsigned tries = 0; !is_over() && wait_(tries); ++tries) {
  }
}

void Orders::take_back(const std::shared_ptr<Order>& order, std::span<OrderPlace> places,
                       std::vector<OrderFate>& fates) const {
  bool is_needed = false;
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (fates[i] != OrderFate::kDone) continue;
    fates[i] = OrderFate::kKept;
    is_needed |= places[i].offer(order, OrderPlace::Verb::kUndo);
  }
  if (!is_needed) return;
  await(places);
  // What is not taken now stays offered: it has to be undone, however late.
  for (std::size_t i = 0; i < places.size(); ++i)
    if (fates[i] == OrderFate::kKept && places[i].has_answered() && places[i].settle())
      fates[i] = OrderFate::kUndone;
}

// --- for the operator ---

bool is_done(std::span<const OrderFate> fates) {
  return std::all_of(fates.begin(), fates.end(),
                     [](OrderFate fate) { return fate == OrderFate::kDone; });
}

std::string explain(std::span<const OrderFate> fates) {
  if (is_done(fates)) return {};
  std::string text;
  const auto say = [&](OrderFate fate, std::string_view what) {
    const std::string who = listed(fates, fate);
    if (!who.empty()) text += fmt::format("{}{} {}", text.empty() ? "" : "; ", who, what);
  };
  say(OrderFate::kRefused, "refused");
  say(OrderFate::kSilent, "did not answer in time and will not do it");
  say(OrderFate::kPending, "did not answer in time: done when it runs again");
  say(OrderFate::kKept, "has it, and takes it back when it runs again");
  const bool is_clean = std::none_of(fates.begin(), fates.end(), [](OrderFate fate) {
    return fate == OrderFate::kDone || fate == OrderFate::kPending || fate == OrderFate::kKept;
  });
  if (is_clean) text += ": nothing has changed";
  return text;
}

Orders::Wait patient(Duration patience) {
  using std::chrono::steady_clock;
  auto deadline = std::make_shared<steady_clock::time_point>();
  return [patience, deadline](unsigned tries) {
    const auto now = steady_clock::now();
    if (tries == 0) *deadline = now + std::chrono::nanoseconds(patience.ns());
    if (now >= *deadline) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    return true;
  };
}

}  // namespace sluice::runtime
