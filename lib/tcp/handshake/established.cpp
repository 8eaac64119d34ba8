#include "tcp/handshake/established.hpp"

#include <algorithm>

#include "tcp/congestion/controller.hpp"
#include "tcp/input/ack.hpp"
#include "tcp/output/output.hpp"
#include "tcp/output/window.hpp"
#include "tcp/recovery/loss_recovery.hpp"
#include "tcp/recovery/rexmit_queue.hpp"
#include "tcp/recovery/rtt.hpp"
#include "tcp/timer/tcp_timers.hpp"

namespace sluice::tcp {

std::uint16_t effective_send_mss(const EngineConfig& config, const FlowKey& flow,
                                 const Agreement& agreement) {
  const unsigned headers = (flow.is_v4() ? 20u : 40u) + 20u;
  //= rfc9293#3.7.1 MUST-16
  unsigned mss = std::min<unsigned>(agreement.peer_mss, agreement.path_mtu - headers);
  if (config.max_mss != 0) mss = std::min<unsigned>(mss, config.max_mss);
  if (agreement.timestamps) mss -= 12;
  return static_cast<std::uint16_t>(mss);
}

void apply_agreement(Context& ctx, Tcb& block, const Agreement& agreement) {
  //= rfc7323#3.2 SHLD-3
  if (agreement.timestamps) block.set(kTimestampsOk);
  if (agreement.sack) block.set(kSackOk);
  //= rfc7323#2.3 MUST-3, MUST-4
  block.window_scales = 0;
  if (agreement.peer_wscale != 0xff) {
    block.set(kWindowScaleOk);
    block.window_scales =
        static_cast<std::uint8_t>(agreement.peer_wscale | window_scale_for(ctx.config) << 4);
  }
  block.snd_mss = effective_send_mss(ctx.config, ctx.flow_of(block), agreement);
}

void settle_pacing(Context& ctx, Tcb& block) {
  if (block.has(kPacedSet)) return;
  block.clear(kPaced);
  if (ctx.config.pacing || controller_of(block).traits().is_paced) block.set(kPaced);
  if (SendRecord* const record = ctx.send_record(block)) record->next_send_at_ns = 0;
}

void use_algorithm(Context& ctx, Tcb& block, Algorithm algorithm) {
  block.congestion = static_cast<std::uint8_t>(algorithm);
  settle_pacing(ctx, block);
  if (SendRecord* const record = ctx.send_record(block)) {
    record->congestion = {};
    controller_of(block).start(block, record->congestion, ctx.now_us());
  }
}

void start_sending(Context& ctx, Tcb& block, bool had_loss) {
  //= rfc5681#3.1 MUST-3, MUST-4  after a lost SYN or SYN-ACK one segment, else RFC 6928's ten
  block.cwnd = initial_window(block.snd_mss, had_loss ? 1 : ctx.config.initial_window_segments);
  if (had_loss) {
    block.cwnd = block.snd_mss;
    //= rfc6298#5.7 MUST-1
    if (block.srtt_us8 == 0) block.rto_us = std::max(block.rto_us, 3'000'000u);
  }
  use_algorithm(ctx, block, static_cast<Algorithm>(block.congestion));
  block.rcv_mss = 536;
  block.quick_acks = ctx.config.quick_acks;
  block.unacked_since = ctx.tick;
}

void become_established(Context& ctx, std::uint32_t index, const Segment& segment) {
  Tcb& block = ctx.touch(index);
  const bool had_loss = block.backoff > 0;
  if (SendRecord* const record = ctx.send_record(block)) {
    SendSide side = ctx.send_side(block, *record);
    RexmitQueue queue(side);
    //= rfc6298#3  Karn: only of a SYN that was sent once
    if (!queue.is_empty() && !queue.first().has(kRunEverResent)) {
      const std::uint32_t rtt_us = std::max(side.now_us - queue.first().sent_at_us, 1u);
      on_rtt_sample(block, ctx.config, Duration::from_us(rtt_us));
      note_min_rtt(block, rtt_us, ctx.tick);
    }
    queue.clear();
  }
  block.snd.una = segment.ack();
  block.backoff = 0;
  ctx.disarm(block, kTimerRetransmit);
  block.clear(kRetransmitNow);
  set_send_window(block, segment, segment.window(block.snd_wscale()));
  start_sending(ctx, block, had_loss);
  ctx.drop_idle_send_record(block);
  ctx.transition(index, State::kEstablished);
  ctx.totals[index].last_received_at = ctx.tick;
  restart_keepalive(ctx, index);
  ctx.notify(index, app::kOpened);
  if (block.has(kFinQueued)) ctx.transition(index, State::kFinWait1);
  ctx.want_output(index);
}

}  // namespace sluice::tcp
