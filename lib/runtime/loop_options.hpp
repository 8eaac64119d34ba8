#pragma once

#include "base/time.hpp"
#include "runtime/idle.hpp"

namespace sluice::runtime {

struct LoopOptions {
  Duration drain_timeout;
  Duration exit_when_idle;  ///< Zero: never.
  IdlePolicy::Limits idle;
};

}  // namespace sluice::runtime
