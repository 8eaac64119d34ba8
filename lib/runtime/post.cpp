#include "runtime/post.hpp"

#include <algorithm>

namespace sluice::runtime {

using telemetry::Counter;

Post::Post(unsigned workers) : workers_(workers), wakers_(workers), is_closed_(workers) {
  for (std::size_t i = 0; i < std::size_t{workers} * (workers + 1); ++i)
    rings_.push_back(std::make_unique<Ring>());
}

Result<void, Error> Post::post_from_outside(unsigned to, const Message& message) {
  if (to >= workers_) return fail(Error::kInvalidArgument);
  if (is_closed_[to].load(std::memory_order_acquire)) return fail(Error::kDraining);
  Message copy = message;
  copy.set_from(Message::kNoWorker);
  const std::lock_guard turn(outside_);
  if (!ring(workers_, to).push(copy)) return fail(Error::kWouldBlock);
  wake(to);
  return {};
}

PostBox::PostBox(Post& post, unsigned worker, telemetry::Metrics& metrics)
    : post_(post), worker_(worker), metrics_(metrics), wants_room_(post.workers()) {}

Result<void, Error> PostBox::post(unsigned to, const Message& message) {
  if (to >= post_.workers()) return fail(Error::kInvalidArgument);
  if (post_.is_closed_[to].load(std::memory_order_acquire)) return fail(Error::kDraining);
  Message copy = message;
  copy.set_from(static_cast<std::uint16_t>(worker_));
  if (post_.ring(worker_, to).push(copy)) {
    metrics_.count(Counter::kMessagesPosted);
    if (to != worker_) post_.wake(to);
    return {};
  }
  metrics_.count(Counter::kMessagesRefused);
  if (!wants_room_[to]) ++rooms_wanted_;
  wants_room_[to] = true;
  return fail(Error::kWouldBlock);
}

bool PostBox::has_messages(const stack::Stack& stack) const {
  if (stack.message_handler() == nullptr) return false;
  for (std::size_t sender = 0; sender <= post_.workers(); ++sender)
    if (post_.ring(sender, worker_).read_available() > 0) return true;
  return false;
}

bool PostBox::deliver(stack::Stack& stack) {
  bool worked = rooms_wanted_ > 0 && tell_of_room(stack);
  for (std::size_t sender = 0; sender <= post_.workers(); ++sender)
    worked |= deliver_from(sender, stack);
  return worked;
}

bool PostBox::deliver_from(std::size_t sender, stack::Stack& stack) {
  Post::Ring& ring = post_.ring(sender, worker_);
  // What a handler posts to its own worker joins the next round.
  std::size_t left = std::min(ring.read_available(), kPerRound);
  std::uint64_t delivered = 0;
  for (Message message; left > 0; --left) {
    // Asked anew each time: a handler may take itself away, and what is left waits for the next.
    MessageHandler* const handler = stack.message_handler();
    if (handler == nullptr || !ring.pop(message)) break;
    ++delivered;
    handler->on_message(stack.worker(), message);
  }
  if (delivered > 0) metrics_.count(Counter::kMessagesDelivered, delivered);
  return delivered > 0;
}

bool PostBox::tell_of_room(stack::Stack& stack) {
  bool worked = false;
  for (unsigned to = 0; to < post_.workers(); ++to) {
    MessageHandler* const handler = stack.message_handler();
    if (handler == nullptr) return worked;
    // Half of the places at once: not a call for every message that the other takes.
    const bool has_room = post_.ring(worker_, to).write_available() >= Post::kCapacity / 2 ||
                          post_.is_closed_[to].load(std::memory_order_acquire);
    if (!wants_room_[to] || !has_room) continue;
    wants_room_[to] = false;
    --rooms_wanted_;
    worked = true;
    handler->on_post_room(stack.worker(), to);
  }
  return worked;
}

void PostBox::close() {
  post_.is_closed_[worker_].store(true, std::memory_order_release);
}

}  // namespace sluice::runtime
