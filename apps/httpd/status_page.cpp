#include "status_page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace httpd {
namespace {

constexpr std::pair<std::string_view, double> kPercentiles[] = {
    {"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}, {"max", 1.0}};

/// Formats into fixed room; what does not fit is left out.
class Text {
 public:
  explicit Text(std::span<char> out) : out_(out) {}
  template <class... Args>
  void add(fmt::format_string<Args...> form, Args&&... args) {
    const std::size_t room = out_.size() - used_;
    const auto end = fmt::format_to_n(out_.data() + used_, room, form, std::forward<Args>(args)...);
    used_ += std::min(end.size, room);
  }
  std::size_t octets() const { return used_; }

 private:
  std::span<char> out_;
  std::size_t used_ = 0;
};

double us(sluice::Duration duration) {
  return static_cast<double>(duration.ns()) / 1000;
}

/// Closed is read first: a connection that comes and goes between must not make it negative.
std::uint64_t open_connections(const Stats& stats) {
  const std::uint64_t closed = stats.closed.get();
  return stats.accepted.get() - closed;
}

constexpr std::pair<std::string_view, Count Stats::*> kCounts[] = {
    {"accepted", &Stats::accepted},
    {"closed", &Stats::closed},
    {"keep_alive", &Stats::keep_alive},
    {"batches", &Stats::batches},
    {"short_writes", &Stats::short_writes},
    {"partial_heads", &Stats::partial_heads},
    {"evicted_heads", &Stats::evicted_heads},
    {"timed_out", &Stats::timed_out},
    {"octets", &Stats::octets}};

}  // namespace

std::size_t write_status_text(const std::vector<std::unique_ptr<Stats>>& workers,
                              std::span<char> out) {
  Text text(out);
  for (std::size_t i = 0; i < workers.size(); ++i) {
    const Stats& stats = *workers[i];
    text.add("worker {}\n  open {}\n  requests {}\n", i, open_connections(stats), stats.requests());
    for (const auto& [name, count] : kCounts) text.add("  {} {}\n", name, (stats.*count).get());
    for (std::size_t k = 0; k < kStatuses.size(); ++k)
      if (const auto count = stats.answers[k].get(); count > 0)
        text.add("  status_{} {}\n", kStatuses[k], count);
    text.add("  latency_us samples {}", stats.latency.count());
    for (const auto& [name, share] : kPercentiles)
      text.add(" {} {:.1f}", name, us(stats.latency.percentile(share)));
    text.add("\n");
  }
  return text.octets();
}

std::size_t write_status_json(const std::vector<std::unique_ptr<Stats>>& workers,
                              std::span<char> out) {
  Text text(out);
  text.add("{{\"workers\":[");
  for (std::size_t i = 0; i < workers.size(); ++i) {
    const Stats& stats = *workers[i];
    text.add("{}{{\"worker\":{},\"open\":{},\"requests\":{}", i == 0 ? "" : ",\n", i,
             open_connections(stats), stats.requests());
    for (const auto& [name, count] : kCounts) text.add(",\"{}\":{}", name, (stats.*count).get());
    text.add(",\"status\":{{");
    const char* comma = "";
    for (std::size_t k = 0; k < kStatuses.size(); ++k)
      if (const auto count = stats.answers[k].get(); count > 0)
        text.add("{}\"{}\":{}", std::exchange(comma, ","), kStatuses[k], count);
    text.add("}},\"latency_us\":{{\"samples\":{}", stats.latency.count());
    for (const auto& [name, share] : kPercentiles)
      text.add(",\"{}\":{:.1f}", name, us(stats.latency.percentile(share)));
    text.add("}}}}");
  }
  text.add("]}}\n");
  return text.octets();
}

}  // namespace httpd
