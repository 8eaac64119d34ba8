#pragma once

// Many clients of one engine, each with its manners.

#include <deque>
#include <optional>
#include <vector>

#include "tests/support/tcp_app.hpp"

namespace sluice::testing {

/// What a client of the crowd does with what it is sent.
enum class Manner : std::uint8_t {
  kHonest,      ///< Acknowledges everything at once.
  kZeroWindow,  ///< Takes nothing, and answers every probe with a shut window.
  kCrumbs,      ///< Takes an octet for each of ours that comes, and opens the window for one more.
  kSilent,      ///< Says nothing any more.
};

struct Client {
  Client(support::TcpRig& rig, std::uint16_t port, Manner its_manner)
      : peer(rig, {.remote_port = Port{port}, .timestamps = false}), manner(its_manner) {}
  support::TcpPeer peer;
  Manner manner;
  ConnHandle handle{};
  bool is_open = false;
  std::optional<wire::SeqNum> reset;  ///< SEG.SEQ of the RST that it was sent.
  bool has_fin = false;
};

/// An engine, its one listener, and clients of every manner.
class Crowd {
 public:
  explicit Crowd(const tcp::EngineConfig& config)
      : rig(config), listener_(support::listen_on(rig, 80)) {}

  /// SYN and, if it is answered, ACK.
  Client& knock(Manner manner = Manner::kHonest) {
    Client& client = clients.emplace_back(rig, next_port_++, manner);
    send_syn(client);
    if (manner != Manner::kSilent) acknowledge(client);
    return client;
  }
  void send_syn(Client& client) {
    client.peer.send_syn();
    settle();
  }
  void acknowledge(Client& client) {
    if (client.peer.una != wire::SeqNum{}) client.peer.acknowledge();
    settle();
  }
  /// Handshake and accept(). Not open afterwards: there was no room.
  Client& connect(Manner manner = Manner::kHonest) {
    Client& client = knock(manner);
    if (manner == Manner::kSilent) acknowledge(client);
    const auto handle = tcp::accept(rig.ctx(), listener_);
    client.is_open = handle.has_value();
    if (handle) client.handle = *handle;
    rig.settle();
    if (manner == Manner::kZeroWindow) client.peer.window = 0;
    if (manner == Manner::kCrumbs) client.peer.window = 1;
    if (handle && client.peer.window < 2) client.peer.acknowledge();
    return client;
  }
  void connect_many(unsigned count) {
    for (unsigned i = 0; i < count; ++i) REQUIRE(connect().is_open);
  }

  std::size_t send(Client& client, std::size_t octets) {
    const std::size_t taken = support::send_octets(rig, client.handle, support::pattern(octets, 0));
    settle();
    return taken;
  }

  /// A zero-window client opens its window so far, and shuts it again.
  void take(Client& client, std::uint16_t octets) {
    client.manner = Manner::kHonest;
    client.peer.window = octets;
    client.peer.acknowledge();
    settle();
    client.manner = Manner::kZeroWindow;
    client.peer.window = 0;
    client.peer.acknowledge();
    settle();
  }

  /// Clients read and answer until nobody has more to say.
  void settle() {
    for (auto sent = rig.take_sent(); !sent.empty(); sent = rig.take_sent())
      for (const support::SentSegment& segment : sent) hear(segment);
  }

  void run_for(Duration span) {
    const Instant end = rig.now() + span;
    while (rig.now() < end) {
      rig.run_until(std::min(end, rig.now() + Duration::from_ms(100)));
      settle();
    }
  }

  /// The reason for which a connection ended, if it was told.
  std::optional<CloseReason> told(const Client& client) {
    for (const support::ToldEvent& event : rig.take_told()) all_told_.push_back(event);
    for (const support::ToldEvent& event : all_told_)
      if (event.index == client.handle.index && (event.mask & app::kClosed)) return event.reason;
    return std::nullopt;
  }
  std::uint64_t count(telemetry::Counter counter) { return rig.metrics().of(counter); }
  bool is_known(const Client& client) {
    const tcp::FlowKey& flow = client.peer.flow();
    return !rig.ctx().find_flow(flow, rig.ctx().hash_of(flow)).is_none();
  }
  std::uint64_t shed() {
    return count(telemetry::Counter::kShedHalfOpen) + count(telemetry::Counter::kShedOutOfOrder) +
           count(telemetry::Counter::kShedOrphan) + count(telemetry::Counter::kShedIdle) +
           count(telemetry::Counter::kShedSlowReader);
  }

  support::TcpRig rig;
  std::deque<Client> clients;
  std::vector<const Client*> resets;  ///< In the order in which they were sent.

 private:
  void hear(const support::SentSegment& segment) {
    for (Client& client : clients) {
      support::TcpPeer& peer = client.peer;
      if (!(segment.flow == peer.flow())) continue;
      if (segment.has(wire::kRst)) {
        if (!client.reset) resets.push_back(&client);
        client.reset = segment.header.seq;
        return;
      }
      if (segment.has(wire::kSyn)) {
        peer.una = segment.end();
        return;
      }
      if (client.manner == Manner::kSilent || segment.end() == segment.header.seq) return;
      client.has_fin |= segment.has(wire::kFin);
      if (client.manner == Manner::kHonest && wire::seq_leq(segment.header.seq, peer.una))
        peer.una = wire::seq_max(peer.una, segment.end());
      if (client.manner == Manner::kCrumbs && !segment.payload.empty() &&
          wire::seq_leq(segment.header.seq, peer.una))
        peer.una = wire::seq_max(peer.una, segment.header.seq + 1);
      return peer.acknowledge();
    }
  }

  ListenerHandle listener_;
  std::uint16_t next_port_ = 20000;
  std::vector<support::ToldEvent> all_told_;
};

}  // namespace sluice::testing
