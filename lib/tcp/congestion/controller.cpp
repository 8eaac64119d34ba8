#include "tcp/congestion/controller.hpp"

#include <algorithm>

#include "tcp/congestion/new_reno.hpp"

namespace sluice::tcp {

const Controller& controller(Algorithm algorithm) {
  static const NewReno kNewRenoController;
  switch (algorithm) {
    case Algorithm::kNewReno:
    case Algorithm::kCubic:
    case Algorithm::kDctcp:
    case Algorithm::kBbr:
      return kNewRenoController;
  }
  return kNewRenoController;
}

std::uint32_t initial_window(std::uint32_t mss, std::uint32_t segments) {
  //= rfc6928#2  min (10*MSS, max (2*MSS, 14600)); scaled for another number of segments
  return std::min(segments * mss, std::max(2 * mss, segments * 1460));
}

}  // namespace sluice::tcp
