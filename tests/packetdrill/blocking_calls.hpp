#pragma once

// Calls of the application that may have to wait for the stack.

#include <condition_variable>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <thread>

#include "tests/packetdrill/virtual_stack.hpp"

namespace sluice::packetdrill {

/// What a call gives: a value, or an errno.
struct Answer {
  long value = 0;
  int error = 0;
};
inline Answer error_of(int number) {
  return {-1, number};
}

/// One try of a call. Nothing: it would block.
using Attempt = std::function<std::optional<Answer>()>;

class BlockingCalls {
 public:
  /// The thread that makes this object is the one whose calls move the clock.
  explicit BlockingCalls(VirtualStack& stack);

  /// Makes `attempt` until it gives an answer. The clock's thread runs the stack meanwhile,
  /// deadline by deadline (without one: EDEADLK). Any other is parked, and looks asleep to the
  /// kernel, until a step of the stack lets its call succeed.
  Answer complete(std::unique_lock<std::mutex>& lock, const Attempt& attempt);

  /// When the call of this thread was answered, if it was parked: what its next look at the clock
  /// shall show, for the clock may have moved on before the thread ran again.
  static std::optional<Instant> take_time_of_answer();

 private:
  struct Parked {
    explicit Parked(const Attempt& call) : attempt(call) {}
    const Attempt& attempt;
    std::optional<Answer> answer;
    Instant at;
    std::condition_variable answered;
  };

  bool retry();

  VirtualStack& stack_;
  const std::thread::id clock_thread_;
  std::list<Parked> parked_;
};

}  // namespace sluice::packetdrill
