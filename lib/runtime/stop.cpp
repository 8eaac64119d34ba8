#include "runtime/stop.hpp"

#include "sluice/runtime.hpp"

namespace sluice::runtime {
namespace {

// A signal handler has no other way to find its object.
std::atomic<StopLevel*> signalled{nullptr};

void on_signal(int) {
  if (StopLevel* const level = signalled.load(std::memory_order_acquire))
    level->fetch_add(1, std::memory_order_release);
}

}  // namespace

SignalStop::SignalStop(StopLevel& level) {
  StopLevel* expected = nullptr;
  if (!signalled.compare_exchange_strong(expected, &level))
    throw SetupError("a process has one Runtime at a time: let the first go before the next", 1);
  struct sigaction action {};
  action.sa_handler = on_signal;
  // What starts is not to fail half-way through a call. A sleep ends in any case.
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, &old_interrupt_);
  ::sigaction(SIGTERM, &action, &old_terminate_);
}

SignalStop::~SignalStop() {
  ::sigaction(SIGINT, &old_interrupt_, nullptr);
  ::sigaction(SIGTERM, &old_terminate_, nullptr);
  signalled.store(nullptr, std::memory_order_release);
}

}  // namespace sluice::runtime
