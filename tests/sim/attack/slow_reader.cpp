#include "tests/sim/attack/slow_reader.hpp"

#include <algorithm>

#include "tests/sim/dice.hpp"

namespace sluice::sim {
namespace {

using support::Octets;
using support::TcpFrame;

constexpr std::size_t kRequest = 20;           // octets
constexpr std::uint32_t kSmallWindow = 1000;   // what a zero-window holder takes at first
constexpr std::uint32_t kOpenWindow = 20'000;  // what those offer who only never end
constexpr unsigned kSyns = 4;
constexpr std::uint64_t kAcknowledge = std::uint64_t{1} << 32;

}  // namespace

SlowReader::SlowReader(const Scene& scene, const AttackPlan& plan, std::uint64_t seed)
    : Attacker(scene, plan, seed), seed_(seed), peers_(1 + rng_.below(6)) {
  for (std::size_t i = 0; i < peers_.size(); ++i) {
    peers_[i].habit = static_cast<Habit>(rng_.below(static_cast<std::uint64_t>(Habit::kCount)));
    peers_[i].server_port = listener(rng_);
    at(some_time(), i);
  }
}

EndPlan SlowReader::servers_plan(Port port) const {
  Dice dice(mix(seed_, port.value, 3));
  EndPlan plan;
  plan.send_bytes = static_cast<std::uint32_t>(dice.between(30'000, 100'000));
  plan.closes_at_end = true;
  // As any server has: a bound on how long a client may take.
  plan.abort_at = dice.between(s(10), s(40));
  plan.user_timeout = s(60);
  switch (peers_[port.value - kFirstPort].habit) {
    case Habit::kZeroWindow:
    case Habit::kOneOctet:
      plan.finish = Finish::kShutdown;
      break;
    case Habit::kHalfClose:
      plan.finish = Finish::kLast;
      break;
    case Habit::kNoClose:
    case Habit::kCount:
      plan.finish = Finish::kClose;
      break;
  }
  return plan;
}

void SlowReader::on_event(std::uint64_t token, Instant) {
  const auto index = static_cast<std::size_t>(token & 0xffffffffu);
  if ((token & kAcknowledge) != 0) {
    acknowledge(index);
  } else {
    send_syn(index);
  }
}

TcpFrame SlowReader::segment(std::size_t index, std::uint8_t flags) const {
  const Peer& peer = peers_[index];
  TcpFrame frame(in_the_name_of(Plan::kSlowReader, plan_.victim));
  frame.tcp.source = port_of(index);
  frame.tcp.destination = Port{peer.server_port};
  frame.tcp.seq = peer.next;
  frame.tcp.ack = peer.received;
  frame.tcp.flags = flags;
  frame.tcp.window = static_cast<std::uint16_t>(peer.window);
  return frame;
}

void SlowReader::send_syn(std::size_t index) {
  Peer& peer = peers_[index];
  if (peer.is_open || peer.is_gone || peer.syns == kSyns || !spend()) return;
  if (peer.syns++ == 0) peer.iss = peer.next = wire::SeqNum(any32());
  const bool takes_all = peer.habit == Habit::kHalfClose || peer.habit == Habit::kNoClose;
  peer.window = peer.habit == Habit::kOneOctet ? 1 : takes_all ? kOpenWindow : kSmallWindow;
  TcpFrame syn = segment(index, wire::kSyn);
  syn.tcp.ack = wire::SeqNum(0);
  syn.tcp.options.has_mss = true;
  syn.tcp.options.mss = 536;
  send(plan_.victim, build(syn));
  scene_.clock.schedule(scene_.clock.now() + s(1), *this, index);
}

void SlowReader::on_gateway(unsigned from, const support::ParsedFrame& frame) {
  if (from != plan_.victim || !frame.tcp || frame.ip->destination != Plan::kSlowReader) return;
  const std::size_t index = frame.tcp->destination.value - std::size_t{kFirstPort};
  if (index >= peers_.size()) return;
  Peer& peer = peers_[index];
  if (frame.tcp->has(wire::kRst)) peer.is_gone = true;
  if (peer.is_gone) return;
  if (frame.tcp->has(wire::kSyn)) {
    open(index, frame);
  } else if (peer.is_open) {
    take(index, frame);
  }
}

/// The SYN-ACK: answered with the request, again if it comes again.
void SlowReader::open(std::size_t index, const support::ParsedFrame& frame) {
  Peer& peer = peers_[index];
  if (frame.tcp->ack != peer.iss + 1 || (peer.is_open && frame.tcp->seq != peer.irs)) return;
  if (!spend()) return;
  if (!peer.is_open) {
    static constexpr Act kActs[] = {Act::kSlowZeroWindow, Act::kSlowOneOctet, Act::kSlowHalfClose,
                                    Act::kSlowNoClose};
    scene_.tally.count(kActs[static_cast<std::size_t>(peer.habit)]);
    peer.is_open = true;
    peer.irs = frame.tcp->seq;
    peer.received = peer.irs + 1;
  }
  const bool ends = peer.habit == Habit::kHalfClose;
  peer.next = peer.iss + 1;
  TcpFrame request =
      segment(index, static_cast<std::uint8_t>(wire::kAck | (ends ? wire::kFin : 0)));
  request.payload.resize(kRequest);
  own_content(port_of(index)).fill(0, request.payload);
  peer.next = peer.iss + 1 + kRequest + (ends ? 1 : 0);
  send(plan_.victim, build(request));
}

void SlowReader::take(std::size_t index, const support::ParsedFrame& frame) {
  Peer& peer = peers_[index];
  const wire::TcpHeader& tcp = *frame.tcp;
  if (tcp.seq == peer.received) {
    const std::size_t count = std::min<std::size_t>(frame.payload.size(), peer.window);
    const std::uint64_t place = wire::seq_distance(peer.irs + 1, peer.received);
    if (!servers_content(port_of(index)).matches(place, std::span(frame.payload).first(count)))
      scene_.ledger.fail("slow reader {}: octets {}..{} are not what was sent", index, place,
                         place + count);
    peer.received += static_cast<std::uint32_t>(count);
    if (peer.habit == Habit::kZeroWindow) peer.window -= static_cast<std::uint32_t>(count);
    const bool is_end = tcp.has(wire::kFin) && count == frame.payload.size();
    if (is_end && peer.habit == Habit::kHalfClose) return;
    if (is_end && peer.habit == Habit::kNoClose) peer.received += 1;
  }
  // After a while: an ACK at once for an octet at a time would be a storm at one instant.
  if (!frame.payload.empty() || tcp.has(wire::kFin))
    scene_.clock.schedule(scene_.clock.now() + ms(5), *this, kAcknowledge | index);
}

/// With the budget its patience ends: it falls silent, as one whose host has gone.
void SlowReader::acknowledge(std::size_t index) {
  if (peers_[index].is_gone || !spend()) return;
  send(plan_.victim, build(segment(index, wire::kAck)));
}

}  // namespace sluice::sim
