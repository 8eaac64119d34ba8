#include "tcp/congestion/dctcp.hpp"

#include <algorithm>

#include "tcp/congestion/new_reno.hpp"

namespace sluice::tcp {
namespace {

constexpr std::uint32_t kGain = 16;  //= rfc8257#4.2  1/g

void end_observation(Dctcp::State& dctcp) {
  //= rfc8257#3.3  steps 5 and 6: alpha = alpha (1 - g) + g M
  const std::uint64_t marked = std::uint64_t{std::min(dctcp.bytes_marked, dctcp.bytes_acked)} *
                               Dctcp::kWhole / dctcp.bytes_acked;
  // The old part is rounded down: without marks alpha must reach 0 (RFC 8257 4.2).
  const std::uint32_t decay = (dctcp.alpha + kGain - 1) / kGain;
  dctcp.alpha += static_cast<std::uint32_t>(marked / kGain) - decay;
  dctcp.bytes_acked = dctcp.bytes_marked = 0;
}

}  // namespace

void Dctcp::start(Tcb& block, CongestionState& state, std::uint32_t) const {
  State& dctcp = state.as<State>();
  dctcp.alpha = kWhole;  //= rfc8257#4.2  the cautious start
  dctcp.window_end = block.snd.nxt.value();
}

void Dctcp::on_ack(Tcb& block, CongestionState& state, const AckEvent& event) const {
  State& dctcp = state.as<State>();
  //= rfc8257#3.3  steps 1 to 4
  dctcp.bytes_acked += event.acked_bytes;
  if (event.has_ece) dctcp.bytes_marked += event.acked_bytes;
  if (wire::seq_gt(block.snd.una, SeqNum(dctcp.window_end))) {
    if (dctcp.bytes_acked != 0) end_observation(dctcp);
    dctcp.window_end = block.snd.nxt.value();  //= rfc8257#3.3  step 7
  }
  if (event.may_grow()) grow_as_reno(block, dctcp.counted, event);  //= rfc8257#3.4
}

std::uint32_t Dctcp::ssthresh_after_loss(Tcb& block, CongestionState& state,
                                         const CongestionEvent& event) const {
  State& dctcp = state.as<State>();
  dctcp.undo_counted = dctcp.counted;
  dctcp.counted = 0;
  if (event.cause != CongestionCause::kEce) return halved(block, event.flight);  //= rfc8257#3.5
  //= rfc8257#3.3  step 9: cwnd (1 - alpha / 2)
  const auto cut = static_cast<std::uint32_t>(std::uint64_t{block.cwnd} * dctcp.alpha /
                                              (std::uint64_t{2} * kWhole));
  return std::max<std::uint32_t>(block.cwnd - cut, 2u * block.snd_mss);
}

void Dctcp::on_undo(Tcb&, CongestionState& state) const {
  State& dctcp = state.as<State>();
  dctcp.counted = dctcp.undo_counted;
}

}  // namespace sluice::tcp
