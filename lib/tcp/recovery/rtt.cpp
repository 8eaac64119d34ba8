#include "tcp/recovery/rtt.hpp"

#include <algorithm>

namespace sluice::tcp {

//= rfc9293#3.8.1 MUST-18
void on_rtt_sample(Tcb& block, const EngineConfig& config, Duration rtt) {
  // A sample of nothing (same tick of the clock) still is a sample: the clock's grain.
  const auto us =
      static_cast<std::uint32_t>(std::clamp<std::int64_t>(rtt.us(), 1, std::int64_t{1} << 28));
  if (block.srtt_us8 == 0) {
    //= rfc6298#2.2 MUST-1
    block.srtt_us8 = us * 8;
    block.rttvar_us4 = us * 2;
  } else {
    //= rfc6298#2.3 MUST-1, MUST-2, SHLD-1  RTTVAR first, with the old SRTT; alpha = 1/8, beta = 1/4
    const std::uint32_t srtt = block.srtt_us8 / 8;
    const std::uint32_t deviation = srtt > us ? srtt - us : us - srtt;
    block.rttvar_us4 = block.rttvar_us4 - block.rttvar_us4 / 4 + deviation;
    block.srtt_us8 = block.srtt_us8 - block.srtt_us8 / 8 + us;
  }
  //= rfc6298#2.3 MUST-3  rfc6298#4 MUST-1
  constexpr std::uint32_t kClockGrainUs = 1'000;
  const std::uint64_t rto =
      std::uint64_t{block.srtt_us8 / 8} + std::max(kClockGrainUs, block.rttvar_us4);
  //= rfc6298#2.4 SHLD-1 exception: 200 ms (configurable) instead of 1 s, as every server stack has
  block.rto_us = static_cast<std::uint32_t>(
      std::clamp<std::uint64_t>(rto, static_cast<std::uint64_t>(config.rto_min.us()),
                                static_cast<std::uint64_t>(config.rto_max.us())));
}

void note_min_rtt(Tcb& block, std::uint32_t rtt_us, Tick now) {
  //= rfc8985#6.2 SHLD-1  a windowed minimum, for paths change
  constexpr std::uint16_t kWindow = 300;  // in units of 1.024 s
  const auto at = static_cast<std::uint16_t>(now >> 10);
  const auto age = static_cast<std::uint16_t>(at - block.min_rtt_at);
  if (block.min_rtt_us != 0 && rtt_us > block.min_rtt_us && age < kWindow) return;
  block.min_rtt_us = rtt_us;
  block.min_rtt_at = at;
}

Duration retransmission_timeout(const Tcb& block, const EngineConfig& config) {
  //= rfc6298#5.5 MUST-1  rfc6298#1 MUST-1  rfc9293#3.8.2 MUST-19
  const std::int64_t backed_off = static_cast<std::int64_t>(block.rto_us)
                                  << std::min<int>(block.backoff, 16);
  //= rfc6298#2.5
  return std::min(Duration::from_us(backed_off), config.rto_max);
}

}  // namespace sluice::tcp
