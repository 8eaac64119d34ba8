#pragma once

// When requests are due. In an open loop that is settled before the first of them is sent: whatever
// the server does, the load does not wait for it.

#include <cstdint>
#include <vector>

#include "base/rng.hpp"
#include "base/time.hpp"

namespace load {

/// A part of the run with figures of its own.
struct Phase {
  sluice::Duration length;
  double from_rate = 0;     ///< Requests a second, of all workers; 0 both: a closed loop.
  double to_rate = 0;       ///< At its end: in between the rate changes evenly.
  bool is_warm_up = false;  ///< Its figures are not shown.
  constexpr bool operator==(const Phase&) const = default;
};

/// How many requests are due in it.
double expected_requests(const Phase& phase);
/// After what time since its start the phase's request number `ordinal` (0, 1, ..., or any place
/// between) is due: the inverse of the integral of the rate. 0 <= ordinal < expected_requests().
sluice::Duration due_after(const Phase& phase, double ordinal);

enum class Spacing : std::uint8_t {
  kEven,     ///< Equal distances while the rate stands.
  kPoisson,  ///< As from very many clients that do not know of each other.
};

/// One worker's requests of a schedule, one after another. With even spacing the workers take
/// turns, so that all together are even again; Poisson processes add up to one by themselves.
class Arrivals {
 public:
  struct Share {
    unsigned worker = 0;
    unsigned workers = 1;
  };
  /// `phases` is borrowed.
  Arrivals(const std::vector<Phase>& phases, Spacing spacing, Share share, std::uint64_t seed);

  /// All times are relative to `start`.
  void begin(sluice::Instant start);
  bool is_over() const { return phase_ >= phases_.size(); }
  /// When the next request is due; never() if there is none.
  sluice::Instant next() const { return next_; }
  std::uint32_t phase() const { return phase_; }  ///< Of the next request.
  void advance();
  /// Gives up the requests of phases before `phase`. How many there were.
  std::uint64_t skip_to(std::uint32_t phase);

 private:
  void enter(std::uint32_t phase);
  double gap();
  void settle();

  const std::vector<Phase>& phases_;
  Spacing spacing_;
  Share share_;
  sluice::Rng rng_;
  std::uint32_t phase_ = 0;
  double ordinal_ = 0;  ///< Of the next request, within its phase.
  double phase_requests_ = 0;
  sluice::Instant phase_start_;
  sluice::Instant next_ = sluice::Instant::never();
};

}  // namespace load
