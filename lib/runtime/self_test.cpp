#include "runtime/self_test.hpp"

namespace sluice::runtime {

using stack::PortVerdict;

SelfTest::SelfTest(stack::PortRecord& record, PortVerdict verdict)
    : verdict_(verdict), record_(record) {}

void SelfTest::note_as_predicted() {
  if (in_a_row_.fetch_add(1, std::memory_order_relaxed) + 1 == kEnough)
    conclude(PortVerdict::kVerified);
}

void SelfTest::note_not_predicted() {
  in_a_row_.store(0, std::memory_order_relaxed);
  if (failures_.fetch_add(1, std::memory_order_relaxed) + 1 > kForgiven)
    conclude(PortVerdict::kNotAsPredicted);
}

void SelfTest::conclude(PortVerdict verdict) {
  auto expected = PortVerdict::kPending;
  if (!verdict_.compare_exchange_strong(expected, verdict, std::memory_order_relaxed)) return;
  record_.version.begin_write();
  std::atomic_ref<PortVerdict>(record_.verdict).store(verdict, std::memory_order_relaxed);
  record_.version.end_write();
}

}  // namespace sluice::runtime
