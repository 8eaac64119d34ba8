#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "keyed_hash.hpp"
#include "time.hpp"
#include "token_bucket.hpp"

namespace sluice {

/// Admits `rate_per_s` events a second on average, about `burst` at once, and does not tell how
/// many it admitted. A token bucket tells: a stranger who takes all that is left and counts it
/// learns what others took, and so whether his guesses about their connections were right
/// (CVE-2016-5696). Here each interval, the time in which the rate gives one burst, has a budget of
/// its own between half a burst and one and a half, drawn by a secret key; what is left is lost.
/// Who counts sees the draw, beside which a few events more or less cannot be seen: the larger the
/// burst, the better.
class RandomBudget {
 public:
  RandomBudget(TokenBucket::Limits limits, const HashKey& key) : key_(key) { set_limits(limits); }

  /// From now on; other limits than before begin with a draw.
  void set_limits(TokenBucket::Limits limits) {
    const std::uint32_t burst = limits.rate_per_s == 0 ? 0 : std::max(limits.burst, 1u);
    const auto interval =
        burst == 0 ? Duration::zero()
                   : Duration::from_ns(std::int64_t{1'000'000'000} * burst / limits.rate_per_s);
    if (burst == burst_ && interval == interval_) return;
    burst_ = burst;
    interval_ = interval;
    left_ = 0;
    ends_ = Instant{};
  }

  /// True, and one fewer left, if the event is admitted at `now`. `now` never goes back.
  bool take(Instant now) {
    if (is_spent(now)) return false;
    --left_;
    return true;
  }
  /// take() would say no.
  bool is_spent(Instant now) {
    if (now >= ends_ && burst_ != 0) draw(now);
    return left_ == 0;
  }

 private:
  void draw(Instant now) {
    const std::array<std::int64_t, 1> moment{now.ns()};
    const std::uint64_t random = keyed_hash(key_, std::as_bytes(std::span(moment)));
    // ceil(burst / 2) and fewer than `burst` more: one at least, `burst` on average.
    left_ = (burst_ + 1) / 2 + static_cast<std::uint32_t>((random >> 32) * burst_ >> 32);
    ends_ = now + interval_;
  }

  HashKey key_;
  std::uint32_t burst_ = 0;
  std::uint32_t left_ = 0;
  Duration interval_;
  Instant ends_{};
};

}  // namespace sluice
