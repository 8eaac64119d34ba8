#include "runtime/stop.hpp"

#include "base/assert.hpp"

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
  SLUICE_ASSERT(signalled.compare_exchange_strong(expected, &level));
  struct sigaction action {};
  action.sa_handler = on_signal;
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
