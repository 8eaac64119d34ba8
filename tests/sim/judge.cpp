// The verdict over a world: what its applications saw, against the model.

#include <algorithm>
#include <array>
#include <numeric>

#include "tcp/state.hpp"
#include "tests/sim/coverage.hpp"
#include "tests/sim/world.hpp"

namespace sluice::sim {
namespace {

bool is_polite(const EndPlan& plan) {
  return plan.abort_at.is_infinite() && plan.abort_opening_at.is_infinite() &&
         plan.close_at.is_infinite() &&
         (plan.finish == Finish::kShutdown || plan.finish == Finish::kLast ||
          plan.reading == Reading::kEcho);
}

}  // namespace

/// Both ends mean well, and nothing in the world can hinder them: they must succeed.
bool World::is_orderly(const Life& life) const {
  const ConnectionPlan& plan = plan_.connections[life.plan];
  return !plan_.may_fail && !is_tainted_ && is_polite(plan.ends[0]) && is_polite(plan.ends[1]) &&
         (plan.opening == Opening::kConnect || plan.opening == Opening::kSimultaneous);
}

void World::judge(Life& life) {
  for (unsigned end = 0; end < 2; ++end) {
    judge_end(life, *life.ends[end]);
    judge_direction(*life.ends[end], *life.ends[1 - end]);
    life.ends[end]->check_stale();
  }
  if (plan_.connections[life.plan].opening == Opening::kRefused ||
      plan_.connections[life.plan].opening == Opening::kUnreachable) {
    judge_refusal(life);
  } else if (is_orderly(life)) {
    judge_orderly(life);
  }
}

void World::judge_end(const Life& life, const Application& end) {
  const EndResult& seen = end.result();
  result_.octets += seen.received;
  if (seen.closed == 0) {
    const bool is_client = &end == life.ends[0].get();
    if (seen.is_open || (is_client && !life.refused))
      ledger_.fail("{}: never heard of its end", end.describe());
    return;
  }
  ++result_.reasons[static_cast<std::size_t>(seen.reason)];
  switch (seen.reason) {
    case CloseReason::kNormal:
      // Both FINs were acknowledged: the application (or the drain) has queued its own, and has
      // read or waived everything before the peer's.
      if (!seen.cut_short && !(seen.saw_end && (seen.ended_sending || end.plan().may_be_drained)))
        ledger_.fail("{}: a normal end that was none", end.describe());
      if (!seen.is_open) ledger_.fail("{}: ended normally before it opened", end.describe());
      break;
    case CloseReason::kAborted:
      // An echo that a drain keeps from sending cannot take what still comes.
      if (!seen.cut_short && !end.plan().may_be_drained)
        ledger_.fail("{}: nobody aborted it", end.describe());
      break;
    case CloseReason::kRefused:
    case CloseReason::kUnreachable:
      if (seen.is_open) ledger_.fail("{}: was open already", end.describe());
      break;
    case CloseReason::kShutdown:
      if (std::all_of(plan_.hosts.begin(), plan_.hosts.end(),
                      [](const HostPlan& host) { return host.drain_at.is_infinite(); }))
        ledger_.fail("{}: nobody drained its host", end.describe());
      break;
    case CloseReason::kReset:
      judge_reset(life, end);
      break;
    case CloseReason::kTimedOut:
    case CloseReason::kKeepalive:
      judge_silence(life, end);
      break;
    case CloseReason::kNoResources:
    case CloseReason::kOverload:
      if (!plan_.is_scarce) ledger_.fail("{}: nothing was scarce", end.describe());
      break;
  }
}

/// A peer falls silent only where the plan lets it: the network is cut, or octets are lost behind
/// TCP's back; the handshake meets nobody; this end has closed and does not wait for ever; or the
/// connection before it on the same ports left a TIME-WAIT, moved octets faster than the clock of
/// ISNs, and had no timestamps by which the new SYN would be known for one (RFC 9293 3.6.1).
void World::judge_silence(const Life& life, const Application& end) {
  if (plan_.may_fail || is_tainted_) return;
  const EndResult& seen = end.result();
  const bool is_orphan =
      seen.reason == CloseReason::kTimedOut && seen.cut_short && seen.ended_sending;
  const bool met_nobody = !seen.is_open && plan_.may_fail_handshake;
  const bool met_time_wait = !seen.is_open && life.repetition > 0 && !have_timestamps();
  if (!is_orphan && !met_nobody && !met_time_wait)
    ledger_.fail("{}: the network was whole and nobody silent", end.describe());
}

/// Why a connection may last until everybody's patience ends: an end that has nothing to send does
/// not learn that its peer is gone (or never got as far) if the one RST that would say so is lost,
/// or goes over a cap. While both ends live only a network that is cut for good, a peer that
/// acknowledged what it does not have, one whose timestamps jump, or tables that are too small for
/// all (who has a record waits for one who has none) hold them up.
bool World::may_stall(const Life& life) const {
  constexpr std::array kFatal = {Mischief::kOptimistic, Mischief::kClockForward,
                                 Mischief::kClockBack};
  if (is_tainted_ || plan_.outage_for.is_infinite() || plan_.is_scarce ||
      std::find(kFatal.begin(), kFatal.end(), plan_.mischief.kind) != kFatal.end())
    return true;
  const bool is_one_gone = std::any_of(life.ends.begin(), life.ends.end(), [](const auto& end) {
    return end->is_closed() || !end->result().is_open;
  });
  const bool is_reset_lost =
      has_losses() || !plan_.outage_at.is_infinite() ||
      std::any_of(hosts_.begin(), hosts_.end(), [](const auto& host) {
        return host->stack().metrics().of(telemetry::Outcome::kStraySilenced) > 0;
      });
  return is_one_gone && is_reset_lost;
}

bool World::have_timestamps() const {
  return plan_.hosts[0].stack.tcp.timestamps && plan_.hosts[1].stack.tcp.timestamps;
}

/// An ACK without octets is a stray to a listener that sent a cookie, if the client's first segment
/// was lost or overtaken. Timestamps would tell it from one, if they are honest. And a cookie is
/// out of date when the client takes most of a minute to find out what fits through a black hole,
/// which a path is, too, that makes more fragments than a host takes of one datagram.
bool World::may_miss_its_cookie(const Life& life) const {
  const unsigned server_host = 1 - plan_.connections[life.plan].client;
  const bool has_cookies = plan_.hosts[server_host].stack.tcp.syn_cookies != tcp::CookieMode::kOff;
  const bool has_echo = have_timestamps() && plan_.mischief.kind != Mischief::kFalseEcho;
  const bool may_be_late =
      link_->count(drivers::FrameFate::kTooLong) + link_->count(drivers::FrameFate::kFragmented) >
      0;
  return has_cookies && (may_be_late || (!has_echo && (plan_.may_fail_handshake || has_losses())));
}

/// Nobody but its peer resets a connection, and a peer that has closed or given up at that: a RST
/// that a stranger sent, or that the peer was talked into, is one too many.
void World::judge_reset(const Life& life, const Application& end) {
  if (plan_.may_fail || plan_.may_fail_handshake || is_tainted_ || may_miss_its_cookie(life))
    return;
  const Application& peer = *life.ends[&end == life.ends[0].get() ? 1 : 0];
  const EndResult& other = peer.result();
  if (!other.cut_short && !(peer.is_closed() && other.reason == CloseReason::kNormal))
    ledger_.fail("{} and {}: a reset that nobody meant", end.describe(), peer.describe());
}

/// Every octet once, in order (checked as it came), and an end of stream only where it was put.
void World::judge_direction(const Application& sender, const Application& receiver) {
  const EndResult& sent = sender.result();
  const EndResult& got = receiver.result();
  if (got.received > sent.sent)
    ledger_.fail("{} and {}: more came than was sent", sender.describe(), receiver.describe());
  const bool has_end = sent.ended_sending || sender.plan().may_be_drained;
  if (got.saw_end && !(has_end && got.received == sent.sent))
    ledger_.fail("{} and {}: an end of stream before the end", sender.describe(),
                 receiver.describe());
}

void World::judge_orderly(const Life& life) {
  const Application& client = *life.ends[0];
  const Application& server = *life.ends[1];
  if (life.refused) {
    ledger_.fail("{}: connect() failed: {}", client.describe(), to_string(*life.refused));
    return;
  }
  const bool has_timestamps =
      plan_.hosts[0].stack.tcp.timestamps && plan_.hosts[1].stack.tcp.timestamps;
  // Without timestamps TIME-WAIT gives way only to a later ISN, and a fast stream outruns its
  // clock.
  const bool may_meet_time_wait = life.repetition > 0 && !has_timestamps;
  const bool was_lost_in_handshake = (plan_.may_fail_handshake || may_meet_time_wait) &&
                                     (!client.result().is_open || !server.result().is_open);
  if (was_lost_in_handshake) {
    for (const Application* end : {&client, &server})
      if (end->is_closed() && end->result().reason == CloseReason::kNormal)
        ledger_.fail("{}: a normal end without a handshake", end->describe());
    return;
  }
  if (may_miss_its_cookie(life) && client.result().reason == CloseReason::kReset) return;
  for (unsigned end = 0; end < 2; ++end) {
    const EndResult& seen = life.ends[end]->result();
    const EndResult& other = life.ends[1 - end]->result();
    // The last ACK can be lost, or wait in a queue, until the other end's TIME-WAIT is over. All
    // was delivered by then, but octets that a slow application has not read yet go with the RST.
    const unsigned client_host = plan_.connections[life.plan].client;
    const unsigned other_host = end == 0 ? 1 - client_host : client_host;
    const bool may_be_late =
        has_losses() || plan_.hosts[other_host].stack.tcp.time_wait < longest_round_trip(plan_);
    const bool was_forgotten = seen.reason != CloseReason::kNormal && may_be_late &&
                               other.reason == CloseReason::kNormal && other.saw_end &&
                               other.received == seen.sent;
    const bool is_whole = seen.reason == CloseReason::kNormal && seen.saw_end;
    if (seen.ended_sending && (is_whole || was_forgotten)) continue;
    ledger_.fail("{}: both ends were orderly and the network bearable, yet it failed",
                 life.ends[end]->describe());
  }
}

bool World::has_losses() const {
  using drivers::FrameFate;
  using telemetry::Counter;
  for (const auto& host : hosts_)  // before a frame reached the wire
    for (const Counter counter : {Counter::kNeighborQueueFull, Counter::kNeighborTableFull,
                                  Counter::kNeighborFailed, Counter::kTxDropped})
      if (host->stack().metrics().of(counter) > 0) return true;
  if (link_->count(FrameFate::kFragmented) > 0)
    for (const auto& host : hosts_)  // a second copy of a fragment costs the datagram
      if (host->stack().metrics().of(telemetry::Outcome::kIpFragment) +
              host->stack().metrics().of(Counter::kFragmentsExpired) >
          0)
        return true;
  return link_->count(FrameFate::kLost) + link_->count(FrameFate::kCorrupted) +
             link_->count(FrameFate::kQueueFull) + link_->count(FrameFate::kRingFull) +
             link_->count(FrameFate::kNoBuffer) >
         0;
}

void World::judge_refusal(const Life& life) {
  if (life.refused || !life.ends[0]->is_closed()) return;
  const EndResult& seen = life.ends[0]->result();
  const bool is_refused = plan_.connections[life.plan].opening == Opening::kRefused;
  if (seen.is_open) ledger_.fail("{}: opened, with nobody there", life.ends[0]->describe());
  if (plan_.may_fail || plan_.may_fail_handshake || is_tainted_ || seen.cut_short) return;
  const CloseReason expected = is_refused ? CloseReason::kRefused : CloseReason::kUnreachable;
  if (seen.reason != expected)
    ledger_.fail("{}: expected {}", life.ends[0]->describe(), to_string(expected));
}

void World::judge_metrics(Host& host) {
  const telemetry::Metrics& metrics = host.stack().metrics();
  add(result_.metrics, metrics);
  const std::uint64_t outcomes =
      std::accumulate(metrics.outcomes.begin(), metrics.outcomes.end(), std::uint64_t{0});
  if (outcomes != metrics.of(telemetry::Counter::kRxPackets))
    ledger_.fail("host {}: {} frames received, {} outcomes", host.index(),
                 metrics.of(telemetry::Counter::kRxPackets), outcomes);
  judge_gate(host, metrics);
  for (std::size_t state = 0; state < telemetry::kStateCount; ++state) {
    const auto name = tcp::to_string(static_cast<tcp::State>(state));
    std::uint64_t entered = 0, left = 0;
    for (std::size_t other = 0; other < telemetry::kStateCount; ++other) {
      entered += metrics.transitions[other][state];
      left += metrics.transitions[state][other];
      if (metrics.transitions[state][other] > 0 && !is_transition_legal(state, other))
        ledger_.fail("host {}: {} went to {}, which no rule allows", host.index(), name,
                     tcp::to_string(static_cast<tcp::State>(other)));
    }
    const bool is_source = state == static_cast<std::size_t>(tcp::State::kClosed) ||
                           state == static_cast<std::size_t>(tcp::State::kListen);
    if (!is_source && entered != left)
      ledger_.fail("host {}: {} entered {} times and left {} times", host.index(), name, entered,
                   left);
  }
}

}  // namespace sluice::sim
