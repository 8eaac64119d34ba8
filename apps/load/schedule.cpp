#include "schedule.hpp"

#include <cmath>

namespace load {

using sluice::Duration;
using sluice::Instant;

namespace {

double seconds(Duration duration) {
  return static_cast<double>(duration.ns()) / 1e9;
}

}  // namespace

double expected_requests(const Phase& phase) {
  return (phase.from_rate + phase.to_rate) / 2 * seconds(phase.length);
}

// requests(t) = from t + slope t^2 / 2. Solved for t in the form that subtracts nothing from its
// like, so that a ramp from 0 and one without slope are no special cases.
Duration due_after(const Phase& phase, double ordinal) {
  if (ordinal <= 0) return Duration::zero();
  const double slope = (phase.to_rate - phase.from_rate) / seconds(phase.length);
  const double square = phase.from_rate * phase.from_rate + 2 * slope * ordinal;
  const double after = 2 * ordinal / (phase.from_rate + std::sqrt(std::max(square, 0.0)));
  return Duration::from_ns(static_cast<std::int64_t>(after * 1e9));
}

Arrivals::Arrivals(const std::vector<Phase>& phases, Spacing spacing, Share share,
                   std::uint64_t seed)
    : phases_(phases),
      spacing_(spacing),
      share_(share),
      rng_(seed + 0x9e3779b97f4a7c15u * (share.worker + 1)) {}

void Arrivals::begin(Instant start) {
  phase_start_ = start;
  enter(0);
}

void Arrivals::enter(std::uint32_t phase) {
  phase_ = phase;
  if (is_over()) {
    next_ = Instant::never();
    return;
  }
  phase_requests_ = expected_requests(phases_[phase]);
  ordinal_ = spacing_ == Spacing::kEven ? static_cast<double>(share_.worker) : gap();
  settle();
}

/// To the next request of this worker, in requests of all.
double Arrivals::gap() {
  if (spacing_ == Spacing::kEven) return static_cast<double>(share_.workers);
  constexpr double kScale = 1.0 / 9007199254740992.0;  // 2^-53: uniform in (0, 1]
  const double uniform = static_cast<double>((rng_.next() >> 11) + 1) * kScale;
  return -std::log(uniform) * static_cast<double>(share_.workers);
}

/// Turns the ordinal into a time, or goes on to the next phase.
void Arrivals::settle() {
  if (ordinal_ < phase_requests_) {
    next_ = phase_start_ + due_after(phases_[phase_], ordinal_);
    return;
  }
  phase_start_ = phase_start_ + phases_[phase_].length;
  enter(phase_ + 1);
}

void Arrivals::advance() {
  ordinal_ += gap();
  settle();
}

std::uint64_t Arrivals::skip_to(std::uint32_t phase) {
  std::uint64_t skipped = 0;
  while (!is_over() && phase_ < phase) {
    const double left = (phase_requests_ - ordinal_) / static_cast<double>(share_.workers);
    skipped += static_cast<std::uint64_t>(std::ceil(left));
    phase_start_ = phase_start_ + phases_[phase_].length;
    enter(phase_ + 1);
  }
  return skipped;
}

}  // namespace load
