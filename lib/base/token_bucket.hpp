#pragma once

#include <algorithm>
#include <cstdint>

#include "time.hpp"

namespace sluice {

/// Admits `rate_per_s` events a second on average and `burst` at once. Integer arithmetic: tokens
/// are counted in nanoseconds of credit, so that slow rates lose nothing to rounding; an event
/// costs at least one, so that no rate above 10^9 is kept.
class TokenBucket {
 public:
  struct Limits {
    std::uint32_t rate_per_s = 0;  ///< 0 admits nothing.
    std::uint32_t burst = 1;
  };

  explicit TokenBucket(Limits limits)
      : cost_ns_(limits.rate_per_s == 0 ? 0 : std::max(1'000'000'000 / limits.rate_per_s, 1u)),
        capacity_ns_(cost_ns_ * limits.burst),
        credit_ns_(capacity_ns_) {}

  /// From now on; what was saved up stays, as far as the new burst goes.
  void set_limits(Limits limits) {
    const std::int64_t credit = credit_ns_;
    const Instant last = last_;
    *this = TokenBucket(limits);
    credit_ns_ = std::min(capacity_ns_, credit);
    last_ = last;
  }

  /// True, and one token fewer, if the event is admitted at `now`. `now` never goes back.
  bool take(Instant now) {
    if (cost_ns_ == 0) return false;
    credit_ns_ = std::min(capacity_ns_, credit_ns_ + std::min((now - last_).ns(), capacity_ns_));
    last_ = now;
    if (credit_ns_ < cost_ns_) return false;
    credit_ns_ -= cost_ns_;
    return true;
  }

 private:
  std::int64_t cost_ns_;
  std::int64_t capacity_ns_;
  std::int64_t credit_ns_;
  Instant last_{};
};

}  // namespace sluice
