#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

namespace sluice::bench {

/// How long clients waited. One that was never served counts as one that waited for the whole
/// bound, so that losing the slowest makes no percentile better.
class Waits {
 public:
  void add(double us) { us_.push_back(us); }
  std::size_t count() const { return us_.size(); }
  std::size_t count_within(double us) const {
    return static_cast<std::size_t>(
        std::count_if(us_.begin(), us_.end(), [us](double wait) { return wait <= us; }));
  }

  /// {"p50":..,"p99":..} over `clients`, of whom those who were not added waited `bound_us`.
  std::string json(std::size_t clients, double bound_us) const {
    std::vector<double> sorted = us_;
    sorted.resize(std::max(clients, sorted.size()), bound_us);
    std::sort(sorted.begin(), sorted.end());
    const auto at = [&](double share) {
      if (sorted.empty()) return 0.0;
      const double rank = std::ceil(share * static_cast<double>(sorted.size()));
      return sorted[static_cast<std::size_t>(std::max(rank, 1.0)) - 1];
    };
    return fmt::format("{{\"p50\":{:.1f},\"p90\":{:.1f},\"p99\":{:.1f},\"max\":{:.1f}}}", at(0.5),
                       at(0.9), at(0.99), at(1.0));
  }

 private:
  std::vector<double> us_;
};

}  // namespace sluice::bench
