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
  const auto round_down = [&](std::uint32_t octets) { return octets & ~(grain - 1); };
  const std::uint32_t most = 65535u << block.rcv_wscale();
  const std::uint32_t current = receive_window(block);
  const std::uint32_t free = free_buffer(ctx, block);
  std::uint32_t window = current;
  // The step is that of the buffer: a window as wide as its field can say is kept so wide.
  //= rfc9293#3.8.6.2.2 MUST-39
  if (free > current && free - current >= least_step(ctx, block))
    window = round_down(std::min(free, most));
  // What is kept is rounded up to what the scaled field can say, or the edge would creep left; but
  // not for ever, or small segments would push it right past the end of the buffer.
  //= rfc9293#3.8.6 SHLD-14
  const std::uint32_t rounded_up = round_down(current + grain - 1);
  const bool is_covered = std::uint64_t{block.receive_charged} + rounded_up <=
                          std::uint64_t{ctx.receive_buffer_of(block)} + grain;
  window = std::min(std::max(window, is_covered ? rounded_up : round_down(current)), most);
  //= rfc7323#2.4 MUST-2, SHLD-1
  block.rcv.adv = block.rcv.nxt + std::max(window, current);  // what was promised stays acceptable
  //= rfc7323#2.3 MUST-6
  return static_cast<std::uint16_t>(window >> block.rcv_wscale());
}

bool is_window_update_due(const Context& ctx, const Tcb& block) {
  const std::uint32_t size = ctx.receive_buffer_of(block);
  const std::uint32_t current = receive_window(block);
  const std::uint32_t low = 2u * std::max<std::uint32_t>(block.rcv_mss, 536);
  if (current >= low && current > size - size / 4) return false;  // it cannot open by a quarter
  const std::uint32_t free = std::min(free_buffer(ctx, block), 65535u << block.rcv_wscale());
  if (free <= current || free - current < least_step(ctx, block)) return false;
  // While the window is wide, ACKs of what comes tell the peer soon enough.
  return free - current >= size / 4 || current < low;
}

void grow_receive_buffer(Context& ctx, std::uint32_t index) {
  Tcb& block = ctx.tcb(index);
  constexpr std::uint32_t kShortestRound = 2;
  const auto now = static_cast<std::uint16_t>(ctx.tick);
  const auto elapsed = static_cast<std::uint16_t>(now - block.space_at);
  if (elapsed < kShortestRound) return;
  const std::uint32_t size = ctx.receive_buffer_of(block);
  const std::uint32_t most = ctx.config.receive_buffer_max_bytes;
  if (size >= most || !block.has(kWindowScaleOk)) return;
  constexpr std::uint32_t kPage = 4096;
  const std::uint64_t read = ctx.totals[index].bytes_received - block.receive_charged;
  const auto pages = static_cast<std::uint16_t>(read / kPage);
  // A round trip by our own measure: 2 ms at least, for ticks are whole.
  const std::uint32_t round_ms = std::clamp(block.srtt_us8 / 8 / 1000 + 1, kShortestRound, 30'000u);
  if (elapsed < round_ms) return;
  const std::uint32_t rate = static_cast<std::uint16_t>(pages - block.space_from) * kPage;
  const bool is_measured = block.space_at != 0 || block.space_from != 0;
  block.space_at = now;
  block.space_from = pages;
  // Room for two round trips' worth: a sender in slow start doubles its window in each.
  if (!is_measured || rate < size / 2 || ctx.is_low_on_buffers()) return;
  const std::uint32_t wanted = std::min(most, std::max(2 * rate, size + size / 2)) / kPage;
  const std::uint32_t larger = std::min(wanted, 0xffffu);
  if (larger * kPage <= size) return;
  const std::uint32_t growth = larger * kPage - size;
  if (ctx.receive_growth + growth > ctx.config.receive_growth_bytes) return;
  ctx.receive_growth += growth;
  block.receive_pages = static_cast<std::uint16_t>(larger);
  ctx.metrics.count(Counter::kReceiveBuffersGrown);
}

std::uint8_t window_scale_for(const EngineConfig& config) {
  const std::uint32_t most = std::max(config.receive_buffer_bytes, config.receive_buffer_max_bytes);
  // The window moves by 2^scale octets: with more than a quarter of the buffer that it begins with
  // it might never open again. A buffer that grows past what is left to say stays unsaid.
  const std::uint32_t coarsest = config.receive_buffer_bytes / 4;
  std::uint8_t scale = 0;
  //= rfc7323#2.3 MUST-7
  while (scale < wire::kMaxWindowScale && (most >> scale) > 65535 && (2u << scale) <= coarsest)
    ++scale;
  return scale;
}

}  // namespace sluice::tcp
