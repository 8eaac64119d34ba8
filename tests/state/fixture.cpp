#include "tests/state/fixture.hpp"

#include "base/assert.hpp"
#include "tcp/user_calls.hpp"

namespace sluice::state {
namespace {

using support::TcpPeer;
using support::TcpRig;

constexpr Duration kPause =
    Duration::from_ms(10);  // between fixture and event: clocks have moved on
constexpr Port kLocal{80}, kRemote{40000};

bool comes_from_listener(Row row) {
  return row != Row::kClosed && row != Row::kSynSent && row != Row::kSynReceived;
}

Instant start_of(Row row, const Isns& isns) {
  const Instant at = support::time_of_iss(fixture_flow(), isns.ours);
  return row == Row::kClosed || row == Row::kListen ? at - kPause : at;
}

}  // namespace

std::string_view name_of(Row row) {
  static constexpr std::string_view kNames[kRowCount] = {"CLOSED",
                                                         "LISTEN",
                                                         "SYN-SENT",
                                                         "SYN-RECEIVED (half-open)",
                                                         "SYN-RECEIVED (TCB)",
                                                         "ESTABLISHED",
                                                         "FIN-WAIT-1",
                                                         "FIN-WAIT-2",
                                                         "CLOSE-WAIT",
                                                         "CLOSING",
                                                         "LAST-ACK",
                                                         "TIME-WAIT"};
  return kNames[static_cast<std::size_t>(row)];
}

tcp::FlowKey fixture_flow() {
  return {Ipv4Addr::from_octets(10, 0, 0, 2), Ipv4Addr::from_octets(10, 0, 0, 1), kLocal, kRemote};
}

Fixture::Fixture(Row row, const Isns& isns, Way way, const tcp::EngineConfig& config)
    : rig(config, start_of(row, isns)),
      peer(rig, {.iss = isns.peers, .local_port = kLocal, .remote_port = kRemote}) {
  reach(row, isns, way);
  static_cast<void>(peer.read());
  static_cast<void>(rig.take_told());
  rig.ctx().acceptable_listeners = 0;
  rig.run_for(kPause);
  SLUICE_ASSERT(rig.sent().empty());
  SLUICE_ASSERT(row_now(row) == row);
}

void Fixture::reach(Row row, const Isns& isns, Way way) {
  snd_una = snd_nxt = isns.ours + 1;
  honest_ack = snd_nxt;
  rcv_nxt = right = isns.peers;
  if (comes_from_listener(row)) {
    const auto handle = tcp::listen(rig.ctx(), {.address = {}, .port = kLocal});
    SLUICE_ASSERT(handle.has_value());
    listener = *handle;
  }
  if (row == Row::kClosed || row == Row::kListen) return;
  if (row == Row::kSynSent || row == Row::kSynReceived) {
    const auto handle = tcp::open(
        rig.ctx(), {.remote = {fixture_flow().remote, kRemote}, .local = {}, .local_port = kLocal});
    SLUICE_ASSERT(handle.has_value());
    connection = *handle;
    rig.settle();
    snd_una = isns.ours;
    const auto syn = peer.read();
    SLUICE_ASSERT(syn.size() == 1 && syn[0].header.seq == isns.ours);
    if (row == Row::kSynSent) return;
    peer.give(peer.segment(wire::kSyn));
    peer.nxt = isns.peers + 1;
    const auto answer = peer.read();
    SLUICE_ASSERT(answer.size() == 1);
    rcv_nxt = peer.nxt;
    right = rcv_nxt + answer[0].header.window;
    return;
  }
  peer.send_syn();
  const auto answer = peer.read();
  SLUICE_ASSERT(answer.size() == 1 && answer[0].header.seq == isns.ours);
  rcv_nxt = peer.nxt;
  right = rcv_nxt + answer[0].header.window;
  if (row == Row::kHalfOpen) {
    snd_una = isns.ours;
    return;
  }
  largest_window = peer.window;
  peer.acknowledge();
  reach_passively(row, way);
  rcv_nxt = peer.nxt;
  snd_nxt = peer.una;
  const tcp::Tcb* const block = rig.find(peer.flow());
  snd_una = block != nullptr ? block->snd.una : snd_nxt;
  right = block != nullptr ? block->rcv.adv : rcv_nxt + 0x20000;
  honest_ack = snd_una;
}

void Fixture::take_peers_fin() {
  peer.send(wire::kFin | wire::kAck);
  static_cast<void>(rig.take_told());
}

void Fixture::trade_octets() {
  peer.send(wire::kAck | wire::kPsh, 300);
  rig.run_for(Duration::from_ms(50));
  const auto octets = tcp::receive(rig.ctx(), connection);
  SLUICE_ASSERT(octets.has_value() && octets->bytes() == 300);
  tcp::credit(rig.ctx(), connection, 300);
  SLUICE_ASSERT(tcp::send(rig.ctx(), connection, support::pattern(200)).has_value());
  rig.settle();
  static_cast<void>(peer.read());
  peer.acknowledge();
}

/// The peer shuts its window, and ten octets are given to send.
void Fixture::hold_back() {
  peer.window = 0;
  peer.acknowledge();
  SLUICE_ASSERT(tcp::send(rig.ctx(), connection, support::pattern(10)).has_value());
  rig.settle();
}

void Fixture::reach_passively(Row row, Way way) {
  tcp::Context& ctx = rig.ctx();
  if (way == Way::kUnaccepted && (row == Row::kEstablished || row == Row::kCloseWait)) {
    if (row == Row::kCloseWait) peer.send(wire::kFin | wire::kAck);
    static_cast<void>(peer.read());
    return;
  }
  const auto accepted = tcp::accept(ctx, listener);
  SLUICE_ASSERT(accepted.has_value());
  connection = *accepted;
  rig.settle();
  trade_octets();

  const bool keeps_octets_in_flight = row == Row::kEstablished || row == Row::kCloseWait;
  if (way == Way::kHeldBack) {
    hold_back();
  } else if (way == Way::kUsual && keeps_octets_in_flight) {
    SLUICE_ASSERT(tcp::send(ctx, connection, support::pattern(100, 200)).has_value());
    rig.settle();
  }
  // The peer acknowledges from here on only what a state needs.
  const wire::SeqNum before = peer.una;
  static_cast<void>(peer.read());
  const wire::SeqNum sent = peer.una;
  peer.una = before;
  const bool peer_closes_first = row == Row::kCloseWait || row == Row::kLastAck;
  if (peer_closes_first) take_peers_fin();
  if (!keeps_octets_in_flight) SLUICE_ASSERT(tcp::shutdown(ctx, connection).has_value());
  rig.settle();
  peer.una = sent;
  static_cast<void>(peer.read());
  if (row == Row::kClosing) {
    const wire::SeqNum all = peer.una;
    peer.una = before;
    take_peers_fin();
    peer.una = all;
  }
  if (row == Row::kFinWait2 || row == Row::kTimeWait) peer.acknowledge();
  if (row == Row::kTimeWait) take_peers_fin();
}

Row Fixture::row_now(Row before) {
  tcp::Context& ctx = rig.ctx();
  const tcp::FlowKey& flow = peer.flow();
  const tcp::FlowRef ref = ctx.find_flow(flow, ctx.hash_of(flow));
  if (ref.is_none()) {
    const bool had_none =
        before == Row::kClosed || before == Row::kListen || before == Row::kHalfOpen;
    return had_none && ctx.listeners.is_listening(kLocal) ? Row::kListen : Row::kClosed;
  }
  if (ref.kind() == tcp::FlowRef::kHalfOpen) return Row::kHalfOpen;
  if (ref.kind() != tcp::FlowRef::kConnection) return Row::kTimeWait;
  switch (ctx.tcb(ref.index()).state) {
    case tcp::State::kClosed:
      return Row::kClosed;
    case tcp::State::kListen:
      return Row::kListen;
    case tcp::State::kSynSent:
      return Row::kSynSent;
    case tcp::State::kSynReceived:
      return Row::kSynReceived;
    case tcp::State::kEstablished:
      return Row::kEstablished;
    case tcp::State::kFinWait1:
      return Row::kFinWait1;
    case tcp::State::kFinWait2:
      return Row::kFinWait2;
    case tcp::State::kCloseWait:
      return Row::kCloseWait;
    case tcp::State::kClosing:
      return Row::kClosing;
    case tcp::State::kLastAck:
      return Row::kLastAck;
    case tcp::State::kTimeWait:
      return Row::kTimeWait;
  }
  return Row::kClosed;
}

}  // namespace sluice::state
