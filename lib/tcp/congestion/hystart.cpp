#include "tcp/congestion/hystart.hpp"

#include <algorithm>

namespace sluice::tcp {
namespace {

//= rfc9406#4.3
constexpr std::uint32_t kMinRttThreshUs = 4'000;
constexpr std::uint32_t kMaxRttThreshUs = 16'000;
constexpr std::uint32_t kMinRttDivisor = 8;
constexpr std::uint8_t kRttSamples = 8;
constexpr std::uint32_t kCssGrowthDivisor = 4;
constexpr std::uint8_t kCssRounds = 5;
constexpr std::uint32_t kUnpacedLimit = 8;  // segments for one ACK; with pacing there is no burst

}  // namespace

void HyStart::begin_round(Tcb& block) {
  window_end = block.snd.nxt.value();
  last_round_rtt_us = this_round_rtt_us;
  this_round_rtt_us = 0;
  samples = 0;
  //= rfc9406#4.2  a round in which CSS began counts whole
  if (is_in_css && ++css_rounds > kCssRounds) block.ssthresh = block.cwnd;
}

void HyStart::take_sample(std::uint32_t rtt_us) {
  if (this_round_rtt_us == 0 || rtt_us < this_round_rtt_us) this_round_rtt_us = rtt_us;
  if (samples < kRttSamples) ++samples;
  if (samples < kRttSamples) return;
  if (is_in_css) {
    //= rfc9406#4.2  the rise was jitter: slow start resumes
    if (this_round_rtt_us < css_baseline_us) is_in_css = false;
    return;
  }
  if (last_round_rtt_us == 0) return;
  //= rfc9406#4.2
  const std::uint32_t threshold =
      std::max(kMinRttThreshUs, std::min(last_round_rtt_us / kMinRttDivisor, kMaxRttThreshUs));
  if (this_round_rtt_us < last_round_rtt_us + threshold) return;
  css_baseline_us = this_round_rtt_us;
  css_rounds = 1;
  is_in_css = true;
}

void HyStart::on_ack(Tcb& block, const AckEvent& event) {
  if (!is_in_round) {
    is_in_round = true;
    begin_round(block);
  }
  if (event.may_grow()) {
    //= rfc9406#4.2  L = 8, or infinite
    std::uint32_t growth = event.acked_bytes;
    if (!event.is_paced) growth = std::min(growth, kUnpacedLimit * block.snd_mss);
    if (is_in_css) growth /= kCssGrowthDivisor;
    block.cwnd = std::min(kMaxWindow, block.cwnd + growth);
  }
  if (event.rtt_us != 0) take_sample(event.rtt_us);
  if (wire::seq_gt(block.snd.una, SeqNum(window_end))) begin_round(block);
}

}  // namespace sluice::tcp
