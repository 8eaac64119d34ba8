#include "tcp/congestion/controller.hpp"

#include <algorithm>

#include "tcp/congestion/bbr.hpp"
#include "tcp/congestion/cubic.hpp"
#include "tcp/congestion/dctcp.hpp"
#include "tcp/congestion/new_reno.hpp"

namespace sluice::tcp {
namespace {

constinit const NewReno kNewReno;
constinit const Cubic kCubic;
constinit const Dctcp kDctcp;
constinit const Bbr kBbr;
/// In the order of Algorithm.
constexpr const Controller* kControllers[] = {&kNewReno, &kCubic, &kDctcp, &kBbr};

}  // namespace

const Controller& controller(Algorithm algorithm) {
  return *kControllers[static_cast<std::size_t>(algorithm)];
}

std::optional<Algorithm> algorithm_of(std::string_view name) {
  for (std::size_t i = 0; i < std::size(kControllers); ++i)
    if (kControllers[i]->name() == name) return static_cast<Algorithm>(i);
  return std::nullopt;
}

std::uint32_t initial_window(std::uint32_t mss, std::uint32_t segments) {
  //= rfc6928#2  min (10*MSS, max (2*MSS, 14600)); scaled for another number of segments
  return std::min(segments * mss, std::max(2 * mss, segments * 1460));
}

}  // namespace sluice::tcp
