#include "tcp/congestion/new_reno.hpp"

#include <algorithm>

namespace sluice::tcp {

void grow_as_reno(Tcb& block, std::uint32_t& counted, const AckEvent& event) {
  //= rfc5681#3.1 MUST-1
  if (block.cwnd < block.ssthresh) {
    //= rfc5681#3.1 SHLD-3  and no more: RFC 3465's limit of two is an experiment
    const std::uint32_t growth = std::min<std::uint32_t>(event.acked_bytes, block.snd_mss);
    block.cwnd = std::min(kMaxWindow, block.cwnd + growth);
    return;
  }
  //= rfc5681#3.1 SHLD-4, SHLD-5, MUST-6, MUST-7  one SMSS for each cwnd of octets acknowledged
  counted += event.acked_bytes;
  if (counted < block.cwnd) return;
  counted -= block.cwnd;
  block.cwnd = std::min(kMaxWindow, block.cwnd + block.snd_mss);
}

std::uint32_t halved(const Tcb& block, std::uint32_t flight) {
  //= rfc5681#3.1 MUST-5, MUST-8  equation (4)
  return std::max<std::uint32_t>(flight / 2, 2u * block.snd_mss);
}

void NewReno::on_ack(Tcb& block, CongestionState& state, const AckEvent& event) const {
  if (event.may_grow()) grow_as_reno(block, state.as<State>().counted, event);
}

std::uint32_t NewReno::ssthresh_after_loss(Tcb& block, CongestionState& state,
                                           const CongestionEvent& event) const {
  State& reno = state.as<State>();
  reno.undo_counted = reno.counted;
  reno.counted = 0;
  return halved(block, event.flight);  //= rfc3168#6.1.2  a mark counts as a loss
}

void NewReno::on_undo(Tcb&, CongestionState& state) const {
  State& reno = state.as<State>();
  reno.counted = reno.undo_counted;
}

}  // namespace sluice::tcp
