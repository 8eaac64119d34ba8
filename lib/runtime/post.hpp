#pragma once

// The application's messages between workers (Worker::post). A bounded ring for each pair:
//
//   worker 0 ── [ 0 to 0 ] ──▶ worker 0        each has one writer and one reader, so the order of
//   a
//            ── [ 0 to 1 ] ──▶ worker 1        pair is kept, nobody waits, and a full ring is told
//            to
//   others   ── [ mutex, ring ] ─▶ each        who posts, not to who reads
//
// Only threads that are no workers share a ring, and take turns at it by a mutex of their own.

#include <atomic>
#include <boost/lockfree/spsc_queue.hpp>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "runtime/waker.hpp"
#include "sluice/worker.hpp"
#include "stack/stack.hpp"
#include "telemetry/metrics.hpp"

namespace sluice::runtime {

class Post;

/// A worker's ends of the rings. Lives on its thread.
class PostBox final : public stack::PostOffice {
 public:
  /// Messages taken from one sender in a round: a round stays short.
  static constexpr std::size_t kPerRound = 64;

  PostBox(Post& post, unsigned worker, telemetry::Metrics& metrics);

  Result<void, Error> post(unsigned to, const Message& message) override;
  /// There is something to deliver.
  bool has_messages(const stack::Stack& stack) const;
  /// Calls the stack's MessageHandler for what has come, and for room that was waited for. Once a
  /// round, after the stack's own callbacks. True if it called it.
  bool deliver(stack::Stack& stack);
  /// The worker takes nothing any more: who posts to it is told so.
  void close();

 private:
  bool deliver_from(std::size_t sender, stack::Stack& stack);
  bool tell_of_room(stack::Stack& stack);

  Post& post_;
  unsigned worker_;
  telemetry::Metrics& metrics_;
  std::vector<bool> wants_room_;  ///< By receiver: it was full.
  std::uint32_t rooms_wanted_ = 0;
};

/// All rings of a process.
class Post {
 public:
  static constexpr std::size_t kCapacity = 256;  ///< Of a ring.

  explicit Post(unsigned workers);

  unsigned workers() const { return workers_; }
  /// What ends a worker's sleep when something was posted to it. Null: it never sleeps.
  void set_waker(unsigned worker, Waker* waker) { wakers_[worker] = waker; }
  /// From any thread that is no worker's; see Runtime::post.
  Result<void, Error> post_from_outside(unsigned to, const Message& message);

 private:
  friend class PostBox;
  using Ring = boost::lockfree::spsc_queue<Message, boost::lockfree::capacity<kCapacity>>;

  /// From worker `from`, or (workers()) from outside.
  Ring& ring(std::size_t from, unsigned to) const { return *rings_[from * workers_ + to]; }
  void wake(unsigned worker) const {
    if (wakers_[worker] != nullptr) wakers_[worker]->wake();
  }

  unsigned workers_;
  std::vector<std::unique_ptr<Ring>> rings_;
  std::vector<Waker*> wakers_;
  std::vector<std::atomic<bool>> is_closed_;  ///< By receiver.
  std::mutex outside_;                        ///< Held by none of the workers.
};

}  // namespace sluice::runtime
