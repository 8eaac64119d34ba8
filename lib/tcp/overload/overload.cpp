#include "tcp/overload/overload.hpp"

#include <algorithm>

#include "tcp/input/reassembly.hpp"
#include "tcp/output/control.hpp"
#include "tcp/recovery/loss_recovery.hpp"

namespace sluice::tcp {
namespace {

/// Longer than an honest peer's answer to a FIN takes, be it lost twice.
constexpr Tick kOrphanAge = ticks_in(Duration::from_s(5));
/// With nobody to shed: who becomes old or slow can wait so long.
constexpr Tick kRest = 16;

constexpr std::array<ShedKind, 4> kInOrder = {ShedKind::kOutOfOrder, ShedKind::kOrphan,
                                              ShedKind::kIdle, ShedKind::kSlowReader};

/// Orphans have nobody who would miss them; of what is alive nothing goes before it must.
constexpr Pressure level_of(ShedKind kind) {
  return kind == ShedKind::kOrphan ? Pressure::kPressed : Pressure::kFull;
}

Counter counter_of(ShedKind kind) {
  switch (kind) {
    case ShedKind::kOutOfOrder:
      return Counter::kShedOutOfOrder;
    case ShedKind::kOrphan:
      return Counter::kShedOrphan;
    case ShedKind::kIdle:
      return Counter::kShedIdle;
    case ShedKind::kSlowReader:
      return Counter::kShedSlowReader;
  }
  return Counter::kShedSlowReader;
}

std::uint32_t queued_segments(Context& ctx, const Tcb& block) {
  return block.send_record == kNoIndex ? 0 : ctx.sends.slab[block.send_record].queue.segments();
}

/// For how long the peer has let octets or a FIN of ours wait; 0: nothing waits.
Tick stalled_for(Context& ctx, const Tcb& block) {
  const bool is_in_flight = flight_size(block) > 0;
  if (block.send_record == kNoIndex) return is_in_flight ? ctx.tick - block.unacked_since : 0;
  const SendRecord& record = ctx.sends.slab[block.send_record];
  return is_in_flight || !record.queue.is_empty() ? ctx.tick - record.goal_since : 0;
}

/// For how long an orphan with nothing more to send has waited for its peer.
Tick orphaned_for(Context& ctx, const Tcb& block) {
  if (block.state == State::kFinWait2 && ctx.is_armed(block, kTimerLinger))
    return ctx.tick - (block.linger_at - ticks_in(ctx.config.fin_wait_2));
  return stalled_for(ctx, block);
}

bool is_idle(Context& ctx, const Tcb& block) {
  return flight_size(block) == 0 && queued_segments(ctx, block) == 0 &&
         block.receive_charged == 0 && !ctx.has_unread(block) && !block.has(kEventPending);
}

/// Keeps the `most` heaviest, heaviest first.
template <class Candidates>
void keep_heaviest(Candidates& candidates, std::size_t most) {
  const auto count = std::min(most, candidates.size());
  std::partial_sort(candidates.begin(), candidates.begin() + static_cast<std::ptrdiff_t>(count),
                    candidates.end(), [](const auto& a, const auto& b) {
                      return a.weight != b.weight ? a.weight > b.weight : a.index < b.index;
                    });
  candidates.resize(count);
}

}  // namespace

Overload::Overload(const Context& ctx)
    : idle_age_(ticks_in(ctx.config.overload_idle_age)),
      slow_grace_(ticks_in(ctx.config.overload_slow_grace)),
      marks_{Watermark(ctx.tcbs.capacity()), Watermark(ctx.pools.receive->size),
             Watermark(ctx.pools.indirect->size), Watermark(ctx.sends.slab.capacity()),
             Watermark(ctx.receives.slab.capacity())},
      stepped_at_(ctx.tick),
      refused_by_listener_(ctx.listeners.size()),
      wanted_by_listener_(ctx.listeners.size()) {
  for (auto& candidates : found_) candidates.reserve(kExamined);
  half_open_found_.reserve(kExamined);
}

void Overload::step(Context& ctx) {
  if (ctx.tick - stepped_at_ < pause_) return;
  stepped_at_ = ctx.tick;
  pause_ = 1;
  shed_half_open(ctx);
  measure(ctx);
  if (pressure_ == Pressure::kCalm) return;
  examine(ctx);
  const std::uint32_t end = ctx.tcbs.high_water();
  if (std::all_of(unseen_.begin(), unseen_.end(), [&](std::uint32_t n) { return n >= end; }))
    pause_ = kRest;
  shed(ctx);
}

Instant Overload::next_deadline(const Context& ctx) const {
  const bool is_due =
      pressure_ != Pressure::kCalm || ctx.metrics.of(Outcome::kSynQueueFull) != refused_;
  return is_due ? start_of_tick(ctx.now, stepped_at_ + pause_) : Instant::never();
}

void Overload::measure(const Context& ctx) {
  const auto free_of = [](const auto& slab) { return slab.capacity() - slab.used(); };
  Amounts free{};
  free[kConnections] = free_of(ctx.tcbs);
  free[kReceiveBuffers] =
      std::min<std::uint32_t>(rte_mempool_avail_count(ctx.pools.receive), ctx.spare_buffers);
  free[kViews] = rte_mempool_avail_count(ctx.pools.indirect);
  free[kSendRecords] = free_of(ctx.sends.slab);
  free[kReceiveRecords] = free_of(ctx.receives.slab);

  const Pressure before = pressure_;
  pressure_ = Pressure::kCalm;
  bool has_risen = false;
  for (std::size_t i = 0; i < kResources; ++i) {
    has_risen |= marks_[i].measure(free[i]);
    pressure_ = std::max(pressure_, marks_[i].level());
    for (const Pressure level : {Pressure::kPressed, Pressure::kFull})
      missing_[static_cast<std::size_t>(level)][i] = marks_[i].missing(level);
  }
  if (pressure_ > before)
    ctx.metrics.count(pressure_ == Pressure::kFull ? Counter::kOverloadFull
                                                   : Counter::kOverloadPressed);
  // Other kinds are wanted now: what the walk did not see before it was not looking for.
  if (has_risen) unseen_.fill(0);
}

bool Overload::is_wanted(ShedKind kind, const Amounts& frees) const {
  const Amounts& missing = missing_[static_cast<std::size_t>(level_of(kind))];
  for (std::size_t i = 0; i < kResources; ++i)
    if (missing[i] > 0 && frees[i] > 0) return true;
  return false;
}

void Overload::examine(Context& ctx) {
  for (auto& candidates : found_) candidates.clear();
  const std::uint32_t end = ctx.tcbs.high_water();
  const std::uint32_t count = std::min(kExamined, end);
  for (std::uint32_t i = 0; i < count; ++i) {
    if (hand_ >= end) hand_ = 0;
    examine_connection(ctx, hand_++);
  }
  examined_ += count;
  for (const ShedKind kind : kInOrder)
    unseen(kind) = found(kind).empty() ? std::min(unseen(kind) + count, end) : 0;
}

void Overload::consider(ShedKind kind, const Candidate& candidate) {
  if (is_wanted(kind, candidate.frees)) found(kind).push_back(candidate);
}

Overload::Amounts Overload::freed_by_closing(Context& ctx, const Tcb& block) {
  Amounts frees{};
  frees[kConnections] = 1;
  frees[kReceiveBuffers] = frees[kViews] = queued_segments(ctx, block);
  if (block.send_record != kNoIndex) frees[kSendRecords] = 1;
  if (block.receive_record != kNoIndex) {
    const ReceiveRecord& record = ctx.receives.slab[block.receive_record];
    frees[kReceiveBuffers] += record.ready.segments() + record.packets;
    frees[kReceiveRecords] = 1;
  }
  return frees;
}

void Overload::examine_connection(Context& ctx, std::uint32_t index) {
  const Tcb& block = ctx.tcb(index);
  if (!is_synchronized(block.state) || block.has(kDetached)) return;
  if (block.receive_record != kNoIndex) {
    const ReceiveRecord& record = ctx.receives.slab[block.receive_record];
    Candidate gap{.index = index, .weight = record.packets};
    gap.frees[kReceiveBuffers] = record.packets;
    gap.frees[kReceiveRecords] = record.ready.is_empty() ? 1 : 0;
    if (record.packets > 0) consider(ShedKind::kOutOfOrder, gap);
  }
  if (block.has(kWaitsAccept)) return;  // it waits for our application

  const std::uint32_t held = queued_segments(ctx, block);
  Candidate candidate{.index = index, .frees = freed_by_closing(ctx, block)};
  if (block.has(kOrphan) && held == 0) {
    candidate.weight = orphaned_for(ctx, block);
    if (candidate.weight >= kOrphanAge) consider(ShedKind::kOrphan, candidate);
  } else if (is_idle(ctx, block)) {
    candidate.weight = ctx.tick - ctx.totals[index].last_received_at;
    if (idle_age_ > 0 && candidate.weight >= idle_age_) consider(ShedKind::kIdle, candidate);
  } else if (const Tick stalled = stalled_for(ctx, block);
             slow_grace_ > 0 && stalled >= slow_grace_) {
    candidate.weight = std::uint64_t{held} << 32 | stalled;
    consider(block.has(kOrphan) ? ShedKind::kOrphan : ShedKind::kSlowReader, candidate);
  }
}

void Overload::shed(Context& ctx) {
  std::uint32_t budget = kShed;
  for (const ShedKind kind : kInOrder) {
    std::vector<Candidate>& candidates = found(kind);
    keep_heaviest(candidates, budget);
    for (const Candidate& victim : candidates) {
      if (budget == 0 || ctx.control.is_full()) return;  // no room to tell the peer
      if (!is_wanted(kind, victim.frees)) continue;      // those before it have freed enough
      if (kind == ShedKind::kOutOfOrder) {
        discard_out_of_order(ctx, ctx.touch(victim.index));
      } else {
        send_reset(ctx, victim.index);
        ctx.close(victim.index, CloseReason::kOverload);
      }
      ctx.metrics.count(counter_of(kind));
      for (Amounts& missing : missing_)
        for (std::size_t i = 0; i < kResources; ++i)
          missing[i] -= std::min(missing[i], victim.frees[i]);
      --budget;
    }
    if (unseen(kind) < ctx.tcbs.high_water()) return;
  }
}

/// For each SYN that was refused since the last look, the oldest entry in its way.
void Overload::shed_half_open(Context& ctx) {
  const std::uint64_t refused = ctx.metrics.of(Outcome::kSynQueueFull);
  if (refused == refused_) return;
  std::uint64_t budget = std::min<std::uint64_t>(refused - refused_, kShed);
  refused_ = refused;
  for (std::uint16_t index = 0; index < ctx.listeners.size(); ++index) {
    const std::uint64_t total = ctx.listeners[index].syn_dropped_total;
    std::uint64_t& known = refused_by_listener_[index];
    wanted_by_listener_[index] = total < known ? total : total - known;  // less: another listener
    known = total;
  }
  const bool is_table_full = ctx.half_opens.is_full();  // then all are in each other's way
  find_half_open(ctx);
  keep_heaviest(half_open_found_, kShed);
  for (const Candidate& victim : half_open_found_) {
    std::uint64_t& wanted = wanted_by_listener_[ctx.half_opens[victim.index].listener];
    if (budget == 0) return;
    if (wanted == 0 && !is_table_full) continue;
    if (wanted > 0) --wanted;
    --budget;
    ctx.drop_half_open(victim.index);
    ctx.metrics.count(Counter::kShedHalfOpen);
  }
}

/// Entries whose SYN-ACK was sent again and whose client has said nothing; of listeners that
/// refused SYNs, or of all.
void Overload::find_half_open(Context& ctx) {
  const bool is_table_full = ctx.half_opens.is_full();
  half_open_found_.clear();
  const std::uint32_t end = ctx.half_opens.high_water();
  const std::uint32_t count = std::min(kExamined, end);
  for (std::uint32_t i = 0; i < count; ++i, ++half_open_hand_) {
    if (half_open_hand_ >= end) half_open_hand_ = 0;
    const HalfOpen& entry = ctx.half_opens[half_open_hand_];
    if (entry.listener == ListenerHandle::kNone || entry.retransmits == 0 ||
        (entry.flags & kHalfOpenAckPending) != 0)
      continue;
    if (is_table_full || wanted_by_listener_[entry.listener] > 0)
      half_open_found_.push_back({.index = half_open_hand_, .weight = ctx.tick - entry.created_at});
  }
  examined_ += count;
}

}  // namespace sluice::tcp
