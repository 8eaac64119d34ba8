#include "tcp/input/plain_flight.hpp"

#include <algorithm>

#include "tcp/input/ack.hpp"
#include "tcp/recovery/rtt.hpp"

namespace sluice::tcp {

void take_plain_flight(Context& ctx, std::uint32_t index, const SendRecord& record) {
  Tcb& block = ctx.tcb(index);
  const SentRun& run = ctx.runs.slab[record.first_run];
  const std::uint32_t now_us = ctx.now_us();
  const std::uint32_t rtt_us = std::max(now_us - run.sent_at_us, 1u);
  // Sent once, or is_plain_flight() would have seen that it was lost.
  note_min_rtt(block, rtt_us, ctx.tick);
  block.is_probe_unmeasured = false;
  on_rtt_sample(block, ctx.config, Duration::from_us(rtt_us));
  const std::uint32_t interval_us =
      std::max({run.sent_at_us - run.first_sent_at_us, now_us - run.delivered_at_us, 1u});
  if (interval_us >= block.min_rtt_us)
    block.delivery_rate =
        pack_float16(RateSample{.interval_us = interval_us, .delivered = run.length}.rate());
  advance_una(ctx, index, block.snd.nxt);
  ctx.drop_send_record(block);
}

}  // namespace sluice::tcp
