#include "tests/packetdrill/blocking_calls.hpp"

#include <cerrno>
#include <utility>

namespace sluice::packetdrill {
namespace {

constexpr Duration kPatience = Duration::from_s(3 * 3600);

// Of the thread that packetdrill makes blocking calls on: it has no object of ours.
thread_local std::optional<Instant> time_of_answer;

}  // namespace

BlockingCalls::BlockingCalls(VirtualStack& stack)
    : stack_(stack), clock_thread_(std::this_thread::get_id()) {
  stack_.on_step([this] { return retry(); });
}

std::optional<Instant> BlockingCalls::take_time_of_answer() {
  return std::exchange(time_of_answer, std::nullopt);
}

Answer BlockingCalls::complete(std::unique_lock<std::mutex>& lock, const Attempt& attempt) {
  if (const auto answer = attempt()) return *answer;
  if (std::this_thread::get_id() == clock_thread_) {
    const Instant limit = stack_.now() + kPatience;
    stack_.settle();
    for (;;) {
      if (const auto answer = attempt()) return *answer;
      if (!stack_.run_to_next_deadline(limit)) return error_of(EDEADLK);
    }
  }
  const auto parked = parked_.emplace(parked_.end(), attempt);
  stack_.settle();
  parked->answered.wait(lock, [&] { return parked->answer.has_value(); });
  const Answer answer = *parked->answer;
  time_of_answer = parked->at;
  parked_.erase(parked);
  return answer;
}

bool BlockingCalls::retry() {
  bool is_any_answered = false;
  for (Parked& call : parked_) {
    if (call.answer) continue;
    call.answer = call.attempt();
    if (!call.answer) continue;
    call.at = stack_.stepped_at();
    call.answered.notify_one();
    is_any_answered = true;
  }
  return is_any_answered;
}

}  // namespace sluice::packetdrill
