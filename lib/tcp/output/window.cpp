#include "tcp/output/window.hpp"

#include <algorithm>

namespace sluice::tcp {
namespace {

std::uint32_t free_buffer(const Context& ctx, const Tcb& block) {
  const std::uint32_t size = ctx.receive_buffer_of(block);
  return size > block.receive_charged ? size - block.receive_charged : 0;
}

/// The least step of the right edge that is worth telling (RFC 9293 3.8.6.2.2).
std::uint32_t least_step(const Context& ctx, const Tcb& block) {
  return std::min<std::uint32_t>(ctx.receive_buffer_of(block) / 2,
                                 std::max<std::uint32_t>(block.rcv_mss, 536));
}

}  // namespace

std::uint16_t advertise_window(Context& ctx, Tcb& block) {
  const std::uint32_t grain = 1u << block.rcv_wscale();
  const std::uint32_t most = 65535u << block.rcv_wscale();
  const std::uint32_t current = receive_window(block);
  const std::uint32_t free = free_buffer(ctx, block);
  std::uint32_t window = current;
  // The step is that of the buffer: a window as wide as its field can say is kept so wide.
  //= rfc9293#3.8.6.2.2 MUST-39
  if (free > current && free - current >= least_step(ctx, block))
    window = std::min(free, most) / grain * grain;
  // What is kept is rounded up to what the scaled field can say, or the edge would creep left; but
  // not for ever, or small segments would push it right past the end of the buffer.
  //= rfc9293#3.8.6 SHLD-14
  const std::uint32_t rounded_up = (current + grain - 1) / grain * grain;
  const bool is_covered = std::uint64_t{block.receive_charged} + rounded_up <=
                          std::uint64_t{ctx.receive_buffer_of(block)} + grain;
  window = std::min(std::max(window, is_covered ? rounded_up : current / grain * grain), most);
  block.rcv.adv = block.rcv.nxt + std::max(window, current);  // what was promised stays acceptable
  return static_cast<std::uint16_t>(window >> block.rcv_wscale());
}

bool is_window_update_due(const Context& ctx, const Tcb& block) {
  const std::uint32_t size = ctx.receive_buffer_of(block);
  const std::uint32_t current = receive_window(block);
  const std::uint32_t free = std::min(free_buffer(ctx, block), 65535u << block.rcv_wscale());
  if (free <= current || free - current < least_step(ctx, block)) return false;
  // While the window is wide, ACKs of what comes tell the peer soon enough.
  return free - current >= size / 4 || current < 2u * std::max<std::uint32_t>(block.rcv_mss, 536);
}

std::uint8_t window_scale_for(const EngineConfig& config) {
  std::uint8_t scale = 0;
  while (scale < wire::kMaxWindowScale && (config.receive_buffer_bytes >> scale) > 65535) ++scale;
  return scale;
}

}  // namespace sluice::tcp
