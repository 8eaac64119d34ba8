#include "tcp/gate/source_sketch.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace sluice::tcp {
namespace {

// Otmar Ertl, "New cardinality estimation algorithms for HyperLogLog sketches" (2017), algorithm 6:
// sigma stands for the registers that are still 0, tau for those that are full.

double sigma(double x) {
  if (x == 1.0) return std::numeric_limits<double>::infinity();
  double power = 1.0, sum = x, before;
  do {
    x *= x;
    before = sum;
    sum += x * power;
    power += power;
  } while (sum != before);
  return sum;
}

double tau(double x) {
  if (x == 0.0 || x == 1.0) return 0.0;
  double power = 1.0, sum = 1.0 - x, before;
  do {
    x = std::sqrt(x);
    before = sum;
    power *= 0.5;
    sum -= (1.0 - x) * (1.0 - x) * power;
  } while (sum != before);
  return sum / 3.0;
}

}  // namespace

Prefix readable_prefix(std::uint64_t prefix) {
  if (prefix >> 56 == kV4Prefix >> 56)
    return {Ipv4Addr{static_cast<std::uint32_t>(prefix) << 8}, 24};
  std::array<std::uint8_t, 16> octets{};
  for (std::size_t i = 0; i < 8; ++i) octets[i] = static_cast<std::uint8_t>(prefix >> (56 - 8 * i));
  return {IpAddr::from_v6_octets(octets), 64};
}

std::uint32_t DistinctPrefixes::estimate(const DistinctPrefixes& a, const DistinctPrefixes& b) {
  constexpr double kCount = 1u << kIndexBits;
  constexpr double kTwoLn2 = 1.3862943611198906;
  std::array<std::uint32_t, kMaxRank + 1> with_rank{};
  for (std::size_t i = 0; i < a.registers_.size(); ++i)
    ++with_rank[std::max(a.registers_[i], b.registers_[i])];
  double sum = kCount * tau(1.0 - with_rank[kMaxRank] / kCount);
  for (std::size_t rank = kMaxRank - 1; rank > 0; --rank) sum = 0.5 * (sum + with_rank[rank]);
  sum += kCount * sigma(with_rank[0] / kCount);
  const double estimate = kCount * kCount / (kTwoLn2 * sum);
  return static_cast<std::uint32_t>(std::min(estimate + 0.5, 4294967295.0));
}

void TopPrefixes::copy_to(std::span<Entry, kEntries> out) const {
  for (std::size_t at = 0; at < kEntries; ++at) out[at] = {prefixes_[at], counts_[at], 0};
  std::sort(out.begin(), out.end(), [](const Entry& a, const Entry& b) {
    return a.count != b.count ? a.count > b.count : a.prefix < b.prefix;
  });
}

void TopPrefixes::give_up() {
  ++error_;
  for (std::size_t at = 0; at < kEntries; ++at)
    if (--counts_[at] == 0) free_ |= std::uint32_t{1} << at;
}

}  // namespace sluice::tcp
