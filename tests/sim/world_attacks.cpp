// What a world does for its attackers and their victims: guests that no plan of connections has,
// and bounds that hold while they are at it.

#include <algorithm>

#include "telemetry/metrics.hpp"
#include "tests/sim/world.hpp"

namespace sluice::sim {
namespace {

MissingDefence missing_defence(Canary canary) {
  if (canary == Canary::kResetNumber) return MissingDefence::kResetNumber;
  if (canary == Canary::kDataAck) return MissingDefence::kDataAck;
  return MissingDefence::kNone;
}

}  // namespace

void World::let_attackers_in() {
  const Scene scene{.clock = clock_,
                    .link = *link_,
                    .ledger = ledger_,
                    .tally = result_.tally,
                    .regions = {&hosts_[0]->region(), &hosts_[1]->region()},
                    .begin = plan_.begin};
  attackers_ = std::make_unique<Attackers>(scene, plan_, missing_defence(options_.canary));
}

/// What leaves by the gateway is no longer on the wire. It counts for the trace.
bool World::left_by_gateway(unsigned direction, std::vector<std::vector<std::byte>>& frames,
                            Instant now) {
  if (!attackers_ || !attackers_->takes_as_gateway(direction, frames[0])) return false;
  on_frame(drivers::FrameFate::kSent, direction, frames[0], now);
  frames.clear();
  return true;
}

/// The server's end of a connection that an attacker has made, as an honest peer would.
Application* World::guest_end(unsigned host, const Endpoint& remote) {
  SlowReader* const reader = attackers_ ? attackers_->slow_reader() : nullptr;
  if (reader == nullptr || remote.address != IpAddr(Plan::kSlowReader)) return nullptr;
  Guest& guest = guests_.emplace_back();
  guest.plan = reader->servers_plan(remote.port);
  guest.plan.may_be_drained = plan_.hosts[host].drain_at != Duration::infinite();
  guest.end = std::make_unique<Application>(
      ledger_, hosts_[host]->worker(), guest.plan, reader->servers_content(remote.port),
      reader->own_content(remote.port), fmt::format("guest from port {}", remote.port.value));
  return guest.end.get();
}

/// A connection that nobody made: a guess may fit a cookie once in four million. The bound on how
/// often it did is the run's (coverage.cpp).
bool World::is_forgery(const Endpoint& remote) {
  const bool may_guess =
      has_attack(plan_.attacks, Attack::kGuesser) || has_attack(plan_.attacks, Attack::kFlooder);
  const bool is_of_a_life = std::any_of(lives_.begin(), lives_.end(), [&](const Life& life) {
    return life.client_port == remote.port;
  });
  if (!may_guess || is_of_a_life) return false;
  result_.tally.count(Act::kForgedConnection);
  return true;
}

bool World::are_attackers_done() const {
  const Duration age = clock_.now() - plan_.begin;
  return std::all_of(plan_.attacks.begin(), plan_.attacks.end(),
                     [age](const AttackPlan& attack) { return age >= attack.until; }) &&
         std::all_of(guests_.begin(), guests_.end(),
                     [](const Guest& guest) { return guest.end->is_done(); });
}

/// While it lasts: what strangers send makes no connection, and no more half-open entries than the
/// backlogs allow.
void World::check_memory(Host& host) {
  const telemetry::WorkerInfo& now = host.info();
  const HostPlan& plan = plan_.hosts[host.index()];
  std::uint64_t own = lives_.size();
  for (const Act act : {Act::kForgedConnection, Act::kSlowZeroWindow, Act::kSlowOneOctet,
                        Act::kSlowHalfClose, Act::kSlowNoClose})
    own += result_.tally.of(act);
  if (now.tcbs_in_use > own)
    ledger_.fail("host {}: {} TCBs, where {} connections were made", host.index(), now.tcbs_in_use,
                 own);
  if (now.half_open_in_use > listeners_[host.index()].size() * plan.syn_backlog)
    ledger_.fail("host {}: {} half-open entries", host.index(), now.half_open_in_use);
}

void World::judge_guests() {
  for (const Guest& guest : guests_) {
    const EndResult& seen = guest.end->result();
    result_.octets += seen.received;
    if (seen.closed != 1) ledger_.fail("{}: never heard of its end", guest.end->describe());
  }
}

/// Whether what the gate counted can be, and caps were kept.
void World::judge_gate(const Host& host, const telemetry::Metrics& metrics) {
  using telemetry::Counter;
  using telemetry::Outcome;
  const tcp::EngineConfig& tcp = plan_.hosts[host.index()].stack.tcp;
  const auto seconds = static_cast<std::uint64_t>((clock_.now() - plan_.begin).s()) + 1;
  const auto bound = [&](const char* what, std::uint64_t count, TokenBucket::Limits limits) {
    // Half as many again: a budget may be drawn at random, so that nobody can count it.
    const std::uint64_t most = (limits.burst + limits.rate_per_s * seconds) * 3 / 2 + limits.burst;
    if (count > most)
      ledger_.fail("host {}: {} {}, above the cap of {} in {} s", host.index(), count, what, most,
                   seconds);
  };
  bound("strays answered", metrics.of(Outcome::kStrayAnswered), tcp.reset_limit);
  if (tcp.syn_cookies == tcp::CookieMode::kOff &&
      metrics.of(Outcome::kSynCookieSent) + metrics.of(Outcome::kCookieCompleted) > 0)
    ledger_.fail("host {}: cookies, though they are off", host.index());
  if (tcp.syn_cookies == tcp::CookieMode::kAlways && metrics.of(Counter::kCookiesEngaged) > 0)
    ledger_.fail("host {}: cookies engaged, though they always are", host.index());
  if (metrics.of(Counter::kCookiesReleased) > metrics.of(Counter::kCookiesEngaged))
    ledger_.fail("host {}: cookies ended more often than they began", host.index());
  if (metrics.of(Counter::kGateAttacks) > metrics.of(Counter::kGateStateChanges))
    ledger_.fail("host {}: more attacks than changes of state", host.index());
}

}  // namespace sluice::sim
