// RFC 9293's requirements that no other test here shows: opening, acknowledging, closing, errors.

#include <catch2/catch.hpp>

#include "tcp/timer/tcp_timers.hpp"
#include "tests/support/tcp_app.hpp"

namespace sluice::tcp {
namespace {

using namespace support;
using telemetry::Counter;
using telemetry::Outcome;
using wire::kAck;
using wire::kFin;
using wire::kPsh;
using wire::kRst;
using wire::kSyn;
using wire::kUrg;

constexpr std::uint32_t kMss = 1448;
const Endpoint kServer{Ipv4Addr::from_octets(10, 0, 0, 1), Port{443}};

InboundSegment inbound(TcpRig& rig, const TcpPeer& peer, const PeerSegment& segment) {
  wire::TcpHeader header;
  header.source = peer.flow().remote_port;
  header.destination = peer.flow().local_port;
  header.seq = segment.seq;
  header.ack = segment.ack;
  header.flags = segment.flags;
  header.window = segment.window;
  header.options = segment.options;
  std::vector<std::byte> octets(wire::tcp_header_length(header));
  wire::emit_tcp(header, octets);
  octets.insert(octets.end(), segment.payload.begin(), segment.payload.end());
  return {make_packet(rig.pools().receive(), octets), peer.flow().remote, peer.flow().local};
}

bool is_told(TcpRig& rig, std::uint8_t event) {
  bool found = false;
  for (const ToldEvent& told : rig.take_told()) found = found || (told.mask & event) != 0;
  return found;
}

std::vector<SentSegment> data_of(const std::vector<SentSegment>& segments) {
  std::vector<SentSegment> data;
  for (const SentSegment& segment : segments)
    if (!segment.payload.empty()) data.push_back(segment);
  return data;
}

}  // namespace

//= rfc9293#3.10.7.4 MUST-58, MUST-59 test
TEST_CASE("a burst of segments in order is taken whole before one ACK is sent",
          "[tcp][input][rfc9293]") {
  TcpRig rig;
  TcpPeer peer(rig, {.window = 65535});
  const ConnHandle connection = establish(rig, peer);
  std::vector<InboundSegment> burst;
  for (int i = 0; i < 8; ++i) {
    burst.push_back(inbound(rig, peer, peer.segment(kAck, kMss)));
    peer.nxt += kMss;
  }
  rig.engine().receive(burst, rig.now());
  rig.settle();
  const auto sent = rig.take_sent();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].header.ack == peer.nxt);
  CHECK(read_octets(rig, connection) == pattern(8 * kMss));
  burst.clear();
  require_nothing_left(rig);
}

//= rfc9293#3.9.1.1 MUST-41, MUST-42 test
TEST_CASE("listening on a port of a connection that is opening disturbs neither",
          "[tcp][handshake][rfc9293]") {
  TcpRig rig;
  const auto opening = open(rig.ctx(), {.remote = kServer, .local = {}, .local_port = Port{5000}});
  REQUIRE(opening.has_value());
  rig.settle();
  CHECK(find_tcb(rig.ctx(), *opening)->state == State::kSynSent);
  const ListenerHandle listener = listen_on(rig, 5000);
  CHECK(find_tcb(rig.ctx(), *opening)->state == State::kSynSent);

  // A second passive OPEN is an error, and the first goes on.
  const auto again =
      listen(rig.ctx(), {.address = {}, .port = Port{5000}, .syn_backlog = 0, .accept_backlog = 0});
  REQUIRE(!again.has_value());
  CHECK(again.error() == Error::kAddressInUse);

  TcpPeer server(rig, {.local_port = Port{5000}, .remote_port = kServer.port});
  static_cast<void>(server.read());
  server.give(server.segment(kSyn | kAck));
  CHECK(find_tcb(rig.ctx(), *opening)->state == State::kEstablished);
  static_cast<void>(server.read());
  TcpPeer client(rig, {.local_port = Port{5000}, .remote_port = Port{40000}});
  client.connect();
  CHECK(find_tcb(rig.ctx(), accept_on(rig, listener))->state == State::kEstablished);
  require_nothing_left(rig);
}

//= rfc9293#3.9.1.1 MUST-43, MUST-44, MUST-45 test
TEST_CASE("an active open takes the local address asked for, else the route's, and keeps it",
          "[tcp][handshake][rfc9293]") {
  TcpRig rig;
  const IpAddr first = rig.path().source, second = Ipv4Addr::from_octets(10, 0, 0, 77);
  const auto by_route = open(rig.ctx(), {.remote = kServer, .local = {}, .local_port = Port{5000}});
  REQUIRE(by_route.has_value());
  rig.settle();
  const auto by_caller =
      open(rig.ctx(), {.remote = kServer, .local = second, .local_port = Port{5001}});
  REQUIRE(by_caller.has_value());
  rig.settle();
  const auto syns = rig.take_sent();
  REQUIRE(syns.size() == 2);
  CHECK(syns[0].flow.local == first);
  CHECK(syns[1].flow.local == second);

  rig.path().source = Ipv4Addr::from_octets(10, 0, 0, 99);  // the route changes
  rig.run_for(Duration::from_ms(1001));
  const auto again = rig.take_sent();
  REQUIRE(again.size() == 2);
  for (const SentSegment& syn : again)
    CHECK(syn.flow.local == (syn.flow.local_port == Port{5000} ? first : second));
  require_nothing_left(rig);
}

//= rfc9293#3.5 MUST-11 test
TEST_CASE("a RST in SYN-RECEIVED is told after an active open and not after a passive one",
          "[tcp][handshake][rfc9293]") {
  TcpRig rig;
  SECTION("passive: back to LISTEN") {
    const ListenerHandle listener = listen_on(rig, 80);
    TcpPeer peer(rig);
    peer.send_syn();
    static_cast<void>(peer.read());
    peer.give(peer.segment(kRst));
    CHECK(rig.ctx().half_opens.used() == 0);
    CHECK(rig.take_told().empty());
    CHECK(rig.take_sent().empty());
    TcpPeer next(rig, {.remote_port = Port{40001}});
    next.connect();
    CHECK(accept(rig.ctx(), listener).has_value());
  }
  SECTION("active, by a simultaneous open: refused") {
    const auto opening =
        open(rig.ctx(), {.remote = kServer, .local = {}, .local_port = Port{5000}});
    REQUIRE(opening.has_value());
    rig.settle();
    TcpPeer peer(rig, {.local_port = Port{5000}, .remote_port = kServer.port});
    static_cast<void>(peer.read());
    peer.send(kSyn);
    CHECK(find_tcb(rig.ctx(), *opening)->state == State::kSynReceived);
    peer.nxt = peer.iss() + 1;
    static_cast<void>(peer.read());
    peer.send(kRst | kAck);
    const auto told = rig.take_told();
    REQUIRE(told.size() == 1);
    CHECK(told[0].reason == CloseReason::kRefused);
  }
  require_nothing_left(rig);
}

//= rfc9293#3.6 MUST-12 test
TEST_CASE("the application hears whether the peer closed or reset", "[tcp][close][rfc9293]") {
  TcpRig rig;
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  peer.send(kAck, 10);
  CHECK(read_octets(rig, connection) == pattern(10));
  SECTION("FIN") {
    peer.send(kFin | kAck);
    CHECK(is_told(rig, app::kReadable));
    const auto end = receive(rig.ctx(), connection);
    REQUIRE(!end.has_value());
    CHECK(end.error() == Error::kEndOfStream);
  }
  SECTION("RST") {
    static_cast<void>(rig.take_told());
    peer.give(peer.segment(kRst | kAck));
    const auto told = rig.take_told();
    REQUIRE(told.size() == 1);
    CHECK(told[0].mask == app::kClosed);
    CHECK(told[0].reason == CloseReason::kReset);
  }
  require_nothing_left(rig);
}

//= rfc9293#3.9.2.2 MUST-54, MUST-56 test
TEST_CASE("no ICMP error ends a connection that is open", "[tcp][rfc9293][rfc5927]") {
  const IcmpErrorKind kind = GENERATE(
      IcmpErrorKind::kNetUnreachable, IcmpErrorKind::kHostUnreachable,
      IcmpErrorKind::kProtocolUnreachable, IcmpErrorKind::kPortUnreachable,
      IcmpErrorKind::kProhibited, IcmpErrorKind::kTimeExceeded, IcmpErrorKind::kParameterProblem);
  TcpRig rig;
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  const wire::SeqNum una = peer.una;
  send_octets(rig, connection, pattern(100));
  static_cast<void>(peer.read());
  CHECK(rig.engine().on_icmp_error({.kind = kind, .flow = peer.flow(), .seq = una}, rig.now()));
  CHECK(!rig.engine().on_icmp_error({.kind = kind, .flow = peer.flow(), .seq = una + 1000},
                                    rig.now()));
  rig.settle();
  REQUIRE(find_tcb(rig.ctx(), connection) != nullptr);
  CHECK(find_tcb(rig.ctx(), connection)->state == State::kEstablished);
  peer.acknowledge();
  peer.send(kAck, 20);
  CHECK(read_octets(rig, connection) == pattern(20));
  require_nothing_left(rig);
}

//= rfc9293#3.9.1.2 MUST-61 test
TEST_CASE("PSH is in the last segment of what is queued, and in no other",
          "[tcp][output][rfc9293]") {
  TcpRig rig;
  TcpPeer peer(rig, {.window = 65535});
  const ConnHandle connection = establish(rig, peer);
  send_octets(rig, connection, pattern(4 * kMss));
  const auto data = data_of(peer.read());
  REQUIRE(data.size() == 4);
  for (std::size_t i = 0; i < data.size(); ++i) CHECK(data[i].has(kPsh) == (i == 3));
  require_nothing_left(rig);
}

//= rfc9293#3.8.6 MUST-34, MUST-35, SHLD-15, SHLD-16, SHLD-17 test
//= rfc7323#2.4 MUST-1, MUST-3 test
TEST_CASE("a window that shrinks below what is in flight stops new octets, not old ones",
          "[tcp][output][window][rfc9293]") {
  EngineConfig config = TcpRig::small_config();
  config.nodelay = true;
  config.user_timeout = Duration::from_s(30);
  TcpRig rig(config);
  TcpPeer peer(rig, {.window = 8000});
  const ConnHandle connection = establish(rig, peer);
  const wire::SeqNum una = peer.una;
  send_octets(rig, connection, pattern(12'000));
  const auto first = data_of(peer.read());
  REQUIRE(!first.empty());
  const wire::SeqNum nxt = first.back().end();
  CHECK(wire::seq_distance(una, nxt) <= 8000);
  peer.una = una;
  peer.window = GENERATE(std::uint16_t{2000}, std::uint16_t{0});
  peer.acknowledge();
  CHECK(data_of(rig.take_sent()).empty());
  // The left edge comes again; nothing that is new does. The peer answers: it is not given up.
  bool has_come_again = false;
  for (int i = 0; i < 60; ++i) {
    rig.run_for(Duration::from_s(1));
    const auto data = data_of(rig.take_sent());
    for (const SentSegment& segment : data) {
      has_come_again = has_come_again || segment.header.seq == una;
      CHECK(wire::seq_leq(segment.end(), nxt));
    }
    if (!data.empty() && peer.window == 0) peer.acknowledge();
    if (peer.window != 0 && has_come_again) break;
  }
  CHECK(has_come_again);
  REQUIRE(find_tcb(rig.ctx(), connection) != nullptr);
  peer.window = 20'000;
  peer.una = nxt;
  peer.acknowledge();
  rig.run_for(Duration::from_s(5));
  const auto rest = data_of(peer.read());
  REQUIRE(!rest.empty());
  CHECK(rest.front().header.seq == nxt);
  require_nothing_left(rig);
}

//= rfc9293#3.8.4 MUST-25, MUST-27, MUST-28 test
TEST_CASE("keep-alives are off by default, and their interval is two hours",
          "[tcp][timer][rfc9293]") {
  CHECK(!EngineConfig{}.keepalive);
  CHECK(EngineConfig{}.keepalive_idle >= Duration::from_s(7200));
  TcpRig rig;
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  SECTION("off: silence for a day") {
    rig.run_for(Duration::from_s(24 * 3600));
    CHECK(rig.take_sent().empty());
  }
  SECTION("on: one after two hours") {
    find_tcb(rig.ctx(), connection)->set(kKeepaliveOn);
    restart_keepalive(rig.ctx(), connection.index);
    rig.run_for(Duration::from_s(7199));
    CHECK(rig.take_sent().empty());
    rig.run_for(Duration::from_s(2));
    CHECK(rig.take_sent().size() == 1);
  }
  CHECK(find_tcb(rig.ctx(), connection) != nullptr);
  require_nothing_left(rig);
}

//= rfc9293#3.8.4 MUST-26 test
TEST_CASE("keep-alives are not sent while octets of ours are unacknowledged",
          "[tcp][timer][rfc9293]") {
  EngineConfig config = TcpRig::small_config();
  config.keepalive = true;
  config.keepalive_idle = Duration::from_s(60);
  config.keepalive_interval = Duration::from_s(10);
  TcpRig rig(config);
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  const wire::SeqNum una = peer.una;
  send_octets(rig, connection, pattern(10));
  rig.run_for(Duration::from_s(100));
  for (const SentSegment& segment : rig.take_sent()) {
    CHECK(segment.header.seq == una);  // the octets again, and no probe below them
    CHECK(segment.payload.size() == 10);
  }
  CHECK(rig.metrics().of(Counter::kKeepaliveProbes) == 0);
  require_nothing_left(rig);
}

//= rfc9293#3.4 MUST-66 test
TEST_CASE("RST and URG are processed while the window is shut", "[tcp][input][rfc9293]") {
  EngineConfig config = TcpRig::small_config();
  config.receive_buffer_bytes = 10'000;
  TcpRig rig(config);
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  for (int i = 0; i < 10; ++i) peer.send(kAck, 1000);
  rig.run_for(Duration::from_ms(50));
  const auto sent = peer.read();
  REQUIRE(!sent.empty());
  REQUIRE(sent.back().header.window == 0);
  static_cast<void>(rig.take_told());
  SECTION("URG") {
    PeerSegment urgent = peer.segment(kAck | kUrg, 100);
    urgent.urgent = 100;
    peer.give(urgent);
    CHECK(is_told(rig, app::kUrgent));
    CHECK(find_tcb(rig.ctx(), connection)->rcv.nxt == peer.nxt);  // its octets are not taken
  }
  SECTION("RST") {
    peer.give(peer.segment(kRst));
    CHECK(find_tcb(rig.ctx(), connection) == nullptr);
  }
  SECTION("RST with octets") {
    peer.give(peer.segment(kRst, 100));
    CHECK(find_tcb(rig.ctx(), connection) == nullptr);
  }
  require_nothing_left(rig);
}

}  // namespace sluice::tcp
