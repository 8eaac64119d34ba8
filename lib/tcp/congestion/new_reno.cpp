#include "tcp/congestion/new_reno.hpp"

#include <algorithm>

namespace sluice::tcp {
namespace {

struct Counted {
  std::uint64_t octets = 0;  ///< Delivered since cwnd last grew.
};

}  // namespace

void NewReno::on_ack(Tcb& block, CongestionState& state, const AckEvent& event) const {
  if (event.is_recovering || !event.is_window_limited)
    return;  // a window nobody used proves nothing (RFC 7661 1)
  constexpr std::uint32_t kMaximum = 1u << 30;
  if (block.cwnd < block.ssthresh) {
    //= rfc5681#3.1  cwnd += min(N, SMSS)
    block.cwnd = std::min(
        kMaximum, block.cwnd + std::min<std::uint32_t>(event.delivered_bytes, block.snd_mss));
    return;
  }
  // One SMSS for each cwnd of octets acknowledged.
  state.as<Counted>().octets += event.delivered_bytes;
  if (state.as<Counted>().octets >= block.cwnd) {
    state.as<Counted>().octets -= block.cwnd;
    block.cwnd = std::min(kMaximum, block.cwnd + block.snd_mss);
  }
}

std::uint32_t NewReno::ssthresh_after_loss(Tcb& block, CongestionState& state, std::uint32_t flight,
                                           std::uint32_t) const {
  state.as<Counted>().octets = 0;
  //= rfc5681#3.1  equation (4)
  return std::max<std::uint32_t>(flight / 2, 2u * block.snd_mss);
}

}  // namespace sluice::tcp
