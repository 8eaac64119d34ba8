#include "tcp/output/pacing.hpp"

#include <algorithm>

#include "tcp/congestion/controller.hpp"

namespace sluice::tcp {
std::uint64_t pacing_rate(const Tcb& block, const SendRecord& record) {
  if (!block.has(kPaced)) return 0;
  const std::uint64_t own = controller_of(block).pacing_rate(block, record.congestion);
  const std::uint64_t srtt_us = block.srtt_us8 / 8;
  if (own != 0) {
    // A segment for each round trip at least (for each RTO while none was measured). A rate that
    // was measured while only the timer clocked segments out would else hold them for that long
    // again, and so stay true for ever.
    const std::uint64_t patience_us = srtt_us != 0 ? srtt_us : block.rto_us;
    return std::max(own, std::uint64_t{block.snd_mss} * 1'000'000 / patience_us);
  }
  if (srtt_us == 0) return 0;
  // Above cwnd per round trip, or pacing itself would keep the window from growing.
  const std::uint64_t percent = block.cwnd < block.ssthresh / 2 ? 200 : 120;
  return std::max<std::uint64_t>(std::uint64_t{block.cwnd} * percent * 10'000 / srtt_us, 1);
}

bool is_held_by_pacing(Context& ctx, std::uint32_t index, SendRecord& record) {
  if (record.next_send_at_ns <= ctx.now.ns()) return false;
  record.pacing_at = ctx.tick_after(Duration::from_ns(record.next_send_at_ns - ctx.now.ns()));
  ctx.arm(index, kTimerPacing, record.pacing_at);
  return true;
}

namespace {

/// When the next segment was due, if that has passed.
std::int64_t due_at(const Context& ctx, const SendRecord& record) {
  // What was missed while nothing was to send is not caught up, but for the tick that a timer is
  // late.
  return std::max(record.next_send_at_ns, ctx.now.ns() - kTickLength.ns());
}

/// What a segment of `length` octets takes at `rate`, not 0.
std::int64_t interval_ns(std::uint32_t length, std::uint64_t rate) {
  return static_cast<std::int64_t>(std::uint64_t{length} * 1'000'000'000 / rate);
}

}  // namespace

void note_paced(Context& ctx, Tcb& block, SendRecord& record, PacedSegments sent) {
  const std::uint64_t rate = pacing_rate(block, record);
  block.pacing_rate = pack_float16(rate);
  if (rate == 0) return;
  record.next_send_at_ns = due_at(ctx, record) + interval_ns(sent.length, rate) * sent.count;
}

std::uint32_t segments_until_held(const Context& ctx, const Tcb& block, const SendRecord& record,
                                  std::uint32_t length) {
  const std::uint64_t rate = pacing_rate(block, record);
  const std::int64_t interval = rate == 0 ? 0 : interval_ns(length, rate);
  if (interval == 0) return 0xffffffffu;
  return static_cast<std::uint32_t>(
      std::min<std::int64_t>((ctx.now.ns() - due_at(ctx, record)) / interval + 1, 0xffffffff));
}

}  // namespace sluice::tcp
