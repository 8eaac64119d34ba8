#include "tcp/gate/gate_watch.hpp"

#include <algorithm>

namespace sluice::tcp {

using telemetry::Counter;

GateWatch::GateWatch(std::span<GateRecord> records, TopPrefixesRecord& top, const HashKey& key,
                     Instant start)
    : records_(records),
      top_(top),
      hash_(key),
      tallies_(records.size()),
      syn_sampler_(hash_(0)),
      stray_sampler_(hash_(1)),
      step_begin_(start),
      step_end_(start + kStep),
      now_(start) {}

void GateWatch::begin(ListenerHandle listener) {
  tallies_[listener.index] = Tally{};
  GateRecord& record = records_[listener.index];
  record.version.begin_write();
  renew_record(record);
  record.generation = listener.generation;
  record.version.end_write();
}

void GateWatch::end_step(const ListenTable& listeners, std::uint32_t max_half_open, Instant now,
                         telemetry::Metrics& metrics) {
  now_ = now;
  const auto step_ms =
      static_cast<std::uint32_t>(std::min<std::int64_t>((now - step_begin_).ms(), 0x7fffffff));
  second_ms_ = last_step_ms_ + step_ms;
  last_step_ms_ = step_ms;
  step_begin_ = now;
  step_end_ = now + kStep;
  is_active_ = false;
  for (std::uint16_t index = 0; index < listeners.size(); ++index)
    judge_listener(listeners[index], index, max_half_open, metrics);
  parity_ ^= 1;
  for (Tally& tally : tallies_)
    if (tally.is_active) tally.prefixes[parity_].clear();

  if (parity_ == 0) {  // two steps are a second
    top_.version.begin_write();
    publish_top(top_syns_, syn_sampler_, top_.syns);
    publish_top(top_strays_, stray_sampler_, top_.strays);
    top_.version.end_write();
  }
  is_active_ |= syn_sampler_.seen() > 0 || stray_sampler_.seen() > 0;
}

void GateWatch::publish_top(TopPrefixes& top, Sampler& sampler, TopPrefixList& list) {
  if (sampler.seen() > 0) {  // else the last senders stay to be seen
    const std::uint32_t weight = sampler.weight();
    list.second_end = now_.ns();
    list.total = sampler.seen();
    list.error = top.error() * weight;
    top.copy_to(list.entries);
    for (TopPrefixes::Entry& entry : list.entries) entry.count *= weight;
  }
  top.clear();
  sampler.end_second();
}

void GateWatch::judge_listener(const ListenerRecord& listener, std::uint16_t index,
                               std::uint32_t max_half_open, telemetry::Metrics& metrics) {
  Tally& tally = tallies_[index];
  GateRecord& record = records_[index];
  const Counts& running = tally.steps[0];
  const Counts& last = tally.steps[1];
  const Counts& before_last = tally.steps[2];
  constexpr Counts kNothing;
  const bool was_active = tally.is_active;
  tally.is_active = !(running == kNothing && last == kNothing && before_last == kNothing) ||
                    tally.verdict != GateVerdict{};
  is_active_ |= tally.is_active;
  if (!tally.is_active && !was_active) return;

  const auto a_second = [this](std::uint32_t count) {
    return static_cast<std::uint32_t>(std::uint64_t{count} * 1000 / std::max(second_ms_, 1u));
  };
  const auto made = [&](Completion how) {
    const auto at = static_cast<std::size_t>(how);
    return a_second(running.completions[at] + last.completions[at]);
  };
  const std::uint32_t syns = running.syns + last.syns;
  const GateFigures figures{
      .syns = a_second(syns),
      .refused = a_second(syns - running.answered - last.answered),
      .unaccepted = made(Completion::kUnaccepted),
      .strays = a_second(running.strays + last.strays),
      .prefixes = syns == 0 ? 0 : DistinctPrefixes::estimate(tally.prefixes[0], tally.prefixes[1]),
      .overdue_syns = last.syns + before_last.syns,
      .overdue_answered = last.answered + before_last.answered,
      .proved = running.proved() + last.proved() + before_last.proved(),
      .half_open = listener.half_open,
      .syn_backlog = listener.syn_backlog == 0 ? max_half_open
                                               : std::min(listener.syn_backlog, max_half_open)};
  const GateState before = tally.verdict.state;
  tally.verdict = listener.is_open ? judge(figures, tally.verdict) : GateVerdict{};
  const GateState state = tally.verdict.state;

  record.version.begin_write();
  record.reason = tally.verdict.reason;
  record.second_end = now_.ns();
  record.syns = figures.syns;
  record.refused = figures.refused;
  record.by_entry = made(Completion::kByEntry);
  record.by_cookie = made(Completion::kByCookie);
  record.unaccepted = figures.unaccepted;
  record.strays = figures.strays;
  record.prefixes = figures.prefixes;
  record.half_open = figures.half_open;
  record.syn_backlog = figures.syn_backlog;
  if (state != before) {
    record.state = state;
    record.state_since = now_.ns();
    ++record.state_changes;
    metrics.count(Counter::kGateStateChanges);
    if (state == GateState::kAttack) {
      ++record.attacks;
      metrics.count(Counter::kGateAttacks);
    }
  }
  record.version.end_write();
  std::rotate(tally.steps.begin(), tally.steps.end() - 1, tally.steps.end());
  tally.steps[0] = {};
}

}  // namespace sluice::tcp
