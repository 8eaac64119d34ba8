#include "runtime/overload_log.hpp"

#include <fmt/format.h>

#include <atomic>

namespace sluice::runtime {

OverloadLog::OverloadLog(telemetry::StateRegion& region)
    : view_(telemetry::RegionView::over(region)), known_(view_.workers()) {}

std::vector<std::string> OverloadLog::changes() {
  std::vector<std::string> lines;
  for (std::uint32_t worker = 0; worker < known_.size(); ++worker) {
    const auto metrics =
        view_.section<telemetry::Metrics>(telemetry::SectionKind::kMetrics, worker);
    if (metrics.empty()) continue;
    std::string what;
    for (std::size_t i = 0; i < kKinds.size(); ++i) {
      const auto at = static_cast<std::size_t>(kKinds[i].counter);
      const std::uint64_t now =
          std::atomic_ref<std::uint64_t>(const_cast<std::uint64_t&>(metrics[0].counters[at]))
              .load(std::memory_order_relaxed);
      if (const std::uint64_t shed = now - known_[worker][i]; shed > 0)
        what += fmt::format("{}{} {}", what.empty() ? "" : ", ", shed, kKinds[i].text);
      known_[worker][i] = now;
    }
    if (!what.empty()) lines.push_back(fmt::format("worker {}: overload: shed {}", worker, what));
  }
  return lines;
}

}  // namespace sluice::runtime
