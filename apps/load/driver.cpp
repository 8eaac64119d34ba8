#include "driver.hpp"

#include <algorithm>
#include <utility>

namespace load {

using sluice::Duration;
using sluice::Instant;

namespace {

// Connections of a worker that are on their way at once, beyond those that requests ask for: as
// many as a listener's backlog takes.
constexpr std::uint32_t kWindow = 256;
// A target that refuses is not asked again at once.
constexpr Duration kCoolingTime = Duration::from_ms(100);
// All connections are looked at so often for what took too long.
constexpr Duration kSweepTime = Duration::from_ms(50);

std::uint32_t share_of(std::uint32_t total, const Arrivals::Share& share) {
  return total / share.workers + (share.worker < total % share.workers ? 1u : 0u);
}

}  // namespace

Driver::Driver(sluice::Worker worker, Deps deps)
    : worker_(worker),
      deps_(std::move(deps)),
      arrivals_(deps_.options.phases, deps_.options.spacing, deps_.share, deps_.options.seed),
      pendings_(std::size_t{share_of(deps_.options.connections, deps_.share)} *
                deps_.options.pipeline),
      connections_(share_of(deps_.options.connections, deps_.share)),
      held_(share_of(deps_.options.hold, deps_.share), HeldConnection(this)),
      ready_(connections_.size()),
      closed_(connections_.size() + held_.size()),
      cooling_(connections_.size() + held_.size()),
      next_address_(deps_.share.worker) {
  const std::uint32_t depth = deps_.options.pipeline;
  for (std::size_t i = 0; i < connections_.size(); ++i)
    connections_[i].place(this, std::span(pendings_).subspan(i * depth, depth));
  const auto all = static_cast<std::uint32_t>(connections_.size() + held_.size());
  // Without kept connections one tries whether the target answers.
  const auto first = static_cast<std::uint32_t>(connections_.size());
  for (std::uint32_t id = is_kept() ? 0 : first; id < all; ++id) closed_.push(id);
  if (!is_kept()) closed_.push(0);
  result_.phases.resize(deps_.options.phases.size());
  result_.to_open = closed_.size();
  progress_at_ = swept_at_ = worker_.now();
  worker_.set_round_handler(this);
}

Instant Driver::on_round(Instant now) {
  if (state_ != State::kDone && worker_.is_draining()) interrupt(now);
  switch (state_) {
    case State::kSettingUp:
      set_up(now);
      break;
    case State::kWaiting:
      open_closed(now);
      if (const auto start = deps_.coordinator.start(); start && now >= *start) begin_run(*start);
      break;
    case State::kRunning:
      run(now);
      break;
    case State::kEnding:
      finish();
      break;
    case State::kDone:
      break;
  }
  if (state_ == State::kDone) return Instant::never();
  sweep(now);
  if (deps_.exchange.is_wanted()) hand_over(now);
  return next_round(now);
}

/// Neither the answers nor the requests that come next may wait for a worker that sleeps.
Instant Driver::next_round(Instant now) const {
  constexpr Duration kNap = Duration::from_us(300);     // worth a sleep, ...
  constexpr Duration kWakeUp = Duration::from_us(100);  // ... which may last so much longer
  switch (state_) {
    case State::kSettingUp:
      return now + Duration::from_ms(1);
    case State::kDone:
      return Instant::never();
    case State::kRunning: {
      if (!deps_.options.is_open_loop || outstanding_ > 0) return now;
      const Instant next = std::min(arrivals_.next(), phase_ends_[phase_]);
      return next - now > kNap ? next - kWakeUp : now;
    }
    case State::kWaiting:
    case State::kEnding:
      return now;
  }
  return now;
}

void Driver::set_up(Instant now) {
  cool(now);
  open_closed(now);
  if (is_set_up()) {
    deps_.coordinator.arrive(now);
    state_ = State::kWaiting;
  } else if (now - progress_at_ > deps_.options.setup_timeout) {
    state_ = State::kDone;
    deps_.coordinator.give_up();
  }
  result_.opened = open_held_ + (is_kept() ? open_ : (is_probe_gone_ ? 1 : 0));
}

bool Driver::is_set_up() const {
  const bool has_all = is_kept() ? open_ == connections_.size() : is_probe_gone_;
  return has_all && open_held_ == held_.size();
}

void Driver::begin_run(Instant start) {
  state_ = State::kRunning;
  start_ = start;
  Instant end = start;
  for (const Phase& phase : deps_.options.phases) {
    end = end + phase.length;
    phase_ends_.push_back(end);
  }
  arrivals_.begin(start);
  if (!is_kept())
    for (std::uint32_t id = 0; id < connections_.size(); ++id) closed_.push(id);
  else
    for (Connection& connection : connections_) feed(connection);
}

void Driver::run(Instant now) {
  cool(now);
  if (is_kept()) {
    open_closed(now);
    issue_due(now);
  } else if (deps_.options.is_open_loop) {
    connect_due(now);
  } else {
    connect_again(now);
  }
  enter_phase(now);
}

/// What was due in a phase that has ended and found no connection is not sent in the next: each
/// phase is measured for itself.
void Driver::enter_phase(Instant now) {
  while (now >= phase_ends_[phase_]) {
    const std::uint64_t unsent = arrivals_.skip_to(phase_ + 1);
    count(phase_, [&](Tally& tally) { tally.unsent += unsent; });
    if (phase_ + 1 < phase_ends_.size()) {
      ++phase_;
      continue;
    }
    state_ = State::kEnding;
    result_.lasted = phase_ends_.back() - start_;
    return;
  }
}

void Driver::issue_due(Instant now) {
  while (arrivals_.next() <= now && !ready_.is_empty()) {
    Connection& connection = connections_[ready_.pop()];
    connection.is_ready = false;
    if (connection.room() == 0) continue;
    issue(connection, {arrivals_.next(), now, arrivals_.phase()}, 1);
    arrivals_.advance();
    feed(connection);
  }
}

void Driver::connect_due(Instant now) {
  while (arrivals_.next() <= now && !closed_.is_empty()) {
    const std::uint32_t id = closed_.pop();
    if (is_held(id)) {
      if (!open(id, nullptr, now)) return;
      continue;
    }
    const Pending pending{arrivals_.next(), now, arrivals_.phase()};
    arrivals_.advance();
    // A limit was met; looking for a free port in vain is dear, so the rest waits for a round.
    if (!open(id, &pending, now)) return;
  }
}

void Driver::connect_again(Instant now) {
  for (std::size_t count = closed_.size(); count > 0; --count) {
    const std::uint32_t id = closed_.pop();
    const Pending pending{now, now, phase_};
    if (!open(id, is_held(id) ? nullptr : &pending, now)) return;
  }
}

void Driver::finish() {
  if (outstanding_ > 0) return;
  end();
  deps_.coordinator.leave();
}

void Driver::end() {
  for (const Connection& connection : connections_) count_retransmitted(connection.retransmitted());
  state_ = State::kDone;
}

void Driver::interrupt(Instant now) {
  const bool was_running = state_ == State::kRunning;
  if (was_running) result_.lasted = now - start_;
  result_.was_interrupted = state_ != State::kEnding;
  end();
}

void Driver::sweep(Instant now) {
  const auto share = static_cast<double>((now - swept_at_).ns()) / kSweepTime.ns();
  const auto budget =
      std::min(connections_.size(),
               static_cast<std::size_t>(share * static_cast<double>(connections_.size())));
  if (budget == 0) return;
  swept_at_ = now;
  for (std::size_t i = 0; i < budget; ++i) {
    if (sweep_cursor_ == connections_.size()) sweep_cursor_ = 0;
    connections_[sweep_cursor_++].check(now);
  }
}

void Driver::cool(Instant now) {
  while (!cooling_.is_empty() && cooling_.front().until <= now) closed_.push(cooling_.pop().id);
}

void Driver::open_closed(Instant now) {
  // The first alone finds the way: a link that comes up, a neighbour that answers. It may take a
  // second SYN, which the others need not wait for.
  const bool has_way = open_ + open_held_ > 0 || state_ != State::kSettingUp;
  const std::uint32_t window = has_way ? kWindow : 1;
  while (connecting_ < window && !closed_.is_empty()) {
    const std::uint32_t id = closed_.pop();
    const Pending probe{now, now, kNoPhase};
    if (!open(id, is_kept() || is_held(id) ? nullptr : &probe, now)) return;
  }
}

bool Driver::open(std::uint32_t id, const Pending* pending, Instant now) {
  const sluice::IpAddr local = deps_.addresses[next_address_];
  next_address_ = (next_address_ + deps_.share.workers) % deps_.addresses.size();
  sluice::StreamHandler* const handler =
      is_held(id) ? static_cast<sluice::StreamHandler*>(&held_[id - connections_.size()])
                  : &connections_[id];
  const auto stream =
      worker_.connect({.remote = deps_.options.target, .local_address = local}, handler);
  if (!stream) {
    const auto failure = failure_of(stream.error());
    if (!failure) return false;  // the program ends
    if (pending != nullptr) {
      ++outstanding_;
      count(pending->phase, [](Tally& tally) { ++tally.issued; });
      on_failure(*pending, *failure);
    } else if (!is_held(id)) {
      on_lone_failure(*failure);
    }
    retire(id, failure);
    return false;
  }
  ++connecting_;
  if (is_held(id)) return true;
  count(phase_, [](Tally& tally) { ++tally.connects; });
  connections_[id].begin(*stream, now);
  if (pending != nullptr) issue(connections_[id], *pending, 1);
  return true;
}

void Driver::issue(Connection& connection, const Pending& pending, std::uint32_t number) {
  outstanding_ += number;
  count(pending.phase, [&](Tally& tally) { tally.issued += number; });
  connection.issue(pending, number);
}

void Driver::feed(Connection& connection) {
  if (state_ != State::kRunning || !is_kept()) return;
  const std::uint32_t room = connection.room();
  if (room == 0) return;
  if (!deps_.options.is_open_loop) {
    const Instant due = now();
    issue(connection, {due, due, phase_}, room);
  } else if (!std::exchange(connection.is_ready, true)) {
    ready_.push(id_of(connection));
  }
}

void Driver::retire(std::uint32_t id, std::optional<Failure> failure) {
  if (state_ == State::kDone) return;
  const bool is_before = state_ == State::kSettingUp || state_ == State::kWaiting;
  if (is_before && failure) result_.last_failure = failure;
  if (is_before && has_probed_ && !is_kept() && !is_held(id)) {
    is_probe_gone_ = true;
    progress_at_ = now();
    return;
  }
  if (failure || is_before)
    cooling_.push({now() + kCoolingTime, id});
  else
    closed_.push(id);
}

template <class Change>
void Driver::count(std::uint32_t phase, Change&& change) {
  if (!is_counting() || phase == kNoPhase) return;
  change(result_.phases[phase].tally);
  change(deps_.exchange.current().tally);
}

void Driver::hand_over(Instant now) {
  Glimpse& glimpse = deps_.exchange.current();
  glimpse.open = open_;
  glimpse.held = open_held_;
  glimpse.outstanding = outstanding_;
  glimpse.phase = phase_;
  glimpse.is_running = is_counting();
  if (is_counting()) glimpse.since_start = now - start_;
  deps_.exchange.hand_over();
}

void Driver::count_sent(std::uint64_t octets) {
  count(phase_, [&](Tally& tally) { tally.octets_sent += octets; });
}

void Driver::count_received(std::uint64_t octets) {
  count(phase_, [&](Tally& tally) { tally.octets_received += octets; });
}

void Driver::on_connected(Connection& connection, Duration took) {
  --connecting_;
  ++open_;
  progress_at_ = now();
  count(phase_, [](Tally& tally) { ++tally.connected; });
  (is_counting() ? result_.phases[phase_].connect : result_.set_up_connect).record(took);
  feed(connection);
}

void Driver::on_answer(const Pending& pending) {
  --outstanding_;
  if (pending.phase == kNoPhase) {
    has_probed_ = true;
    return;
  }
  if (!is_counting()) return;
  const Instant at = now();
  const Duration latency = at - pending.due;
  const bool is_late = at >= phase_ends_[pending.phase];
  count(pending.phase, [&](Tally& tally) {
    ++tally.answered;
    tally.late += is_late ? 1 : 0;
  });
  result_.phases[pending.phase].latency.record(latency);
  deps_.exchange.current().latency.record(latency);
}

void Driver::on_failure(const Pending& pending, Failure failure) {
  --outstanding_;
  if (pending.phase == kNoPhase) {
    result_.last_failure = failure;
    has_probed_ |= failure == Failure::kBadStatus;  // that was an answer
  }
  count(pending.phase, [&](Tally& tally) { ++tally.failures[static_cast<std::size_t>(failure)]; });
}

void Driver::on_lone_failure(Failure failure) {
  if (state_ == State::kSettingUp) result_.last_failure = failure;
  count(phase_, [&](Tally& tally) { ++tally.failures[static_cast<std::size_t>(failure)]; });
}

void Driver::on_gone(Connection& connection, Before before, std::optional<Failure> failure) {
  before == Before::kConnecting ? static_cast<void>(--connecting_) : static_cast<void>(--open_);
  retire(id_of(connection), failure);
}

void Driver::on_held() {
  --connecting_;
  ++open_held_;
  progress_at_ = now();
}

void Driver::on_held_gone(HeldConnection& connection, Before before,
                          std::optional<Failure> failure) {
  if (before == Before::kConnecting) {
    --connecting_;
  } else {
    --open_held_;
    if (is_counting()) ++result_.held_lost;
  }
  const auto index = static_cast<std::uint32_t>(&connection - held_.data());
  retire(static_cast<std::uint32_t>(connections_.size()) + index, failure);
}

}  // namespace load
