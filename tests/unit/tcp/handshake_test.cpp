#include <catch2/catch.hpp>
#include <set>

#include "tcp/handshake/isn.hpp"
#include "tests/support/tcp_app.hpp"

namespace sluice::tcp {
namespace {

using namespace support;
using telemetry::Counter;
using telemetry::Outcome;
using wire::kAck;
using wire::kRst;
using wire::kSyn;

const Endpoint kServer{Ipv4Addr::from_octets(10, 0, 0, 1), Port{443}};

ConnHandle open_to_server(TcpRig& rig, Port local = {}) {
  const auto handle = open(rig.ctx(), {.remote = kServer, .local = {}, .local_port = local});
  REQUIRE(handle.has_value());
  rig.settle();
  return *handle;
}

/// Times of what was sent, in milliseconds since `start`.
std::vector<std::int64_t> times_of(const std::vector<SentSegment>& sent, Instant start) {
  std::vector<std::int64_t> times;
  for (const SentSegment& segment : sent) times.push_back((segment.at - start).ms());
  return times;
}

}  // namespace

//= rfc9293#3.8.3 MUST-22 test
TEST_CASE("a SYN is sent at t = 0, 1, 3, 7, 15 and 31 s, and the connect times out at 63 s",
          "[tcp][handshake]") {
  TcpRig rig;
  const Instant start = rig.now();
  const ConnHandle connection = open_to_server(rig);
  rig.run_for(Duration::from_ms(62'990));
  const auto sent = rig.take_sent();
  CHECK(times_of(sent, start) == std::vector<std::int64_t>{0, 1000, 3000, 7000, 15000, 31000});
  for (const SentSegment& segment : sent) CHECK(segment.header.seq == sent[0].header.seq);
  CHECK(find_tcb(rig.ctx(), connection) != nullptr);
  rig.run_for(Duration::from_ms(20));
  const auto told = rig.take_told();
  REQUIRE(told.size() == 1);
  CHECK(told[0].reason == CloseReason::kTimedOut);
  CHECK(rig.metrics().of(Counter::kConnectTimedOut) == 1);
  require_nothing_left(rig);
}

//= rfc9293#3.8.3 MUST-23 test
TEST_CASE("with seven retransmissions a SYN is given three minutes and more", "[tcp][handshake]") {
  EngineConfig config = TcpRig::small_config();
  config.syn_retries = 7;
  TcpRig rig(config);
  const Instant start = rig.now();
  const ConnHandle connection = open_to_server(rig);
  rig.run_for(Duration::from_s(180));
  CHECK(times_of(rig.take_sent(), start) ==
        std::vector<std::int64_t>{0, 1000, 3000, 7000, 15000, 31000, 63000, 127000});
  CHECK(find_tcb(rig.ctx(), connection) != nullptr);
  CHECK(rig.take_told().empty());
  rig.run_for(Duration::from_s(128));
  const auto told = rig.take_told();
  REQUIRE(told.size() == 1);
  CHECK(told[0].reason == CloseReason::kTimedOut);
  require_nothing_left(rig);
}

//= rfc9293#3.8.3 MUST-21 test
TEST_CASE("a connect whose user timeout is over gives up, and does not send SYNs faster",
          "[tcp][handshake]") {
  TcpRig rig;
  const Instant start = rig.now();
  const ConnHandle connection = open_to_server(rig);
  find_tcb(rig.ctx(), connection)->user_timeout = pack_float16(2500);
  rig.run_for(Duration::from_ms(2490));
  CHECK(find_tcb(rig.ctx(), connection) != nullptr);
  rig.run_for(Duration::from_ms(20));
  CHECK(times_of(rig.take_sent(), start) == std::vector<std::int64_t>{0, 1000});
  CHECK(find_tcb(rig.ctx(), connection) == nullptr);
  const auto told = rig.take_told();
  REQUIRE(told.size() == 1);
  CHECK(told[0].reason == CloseReason::kTimedOut);
  require_nothing_left(rig);
}

TEST_CASE("a SYN-ACK is sent at t = 0, 1, 3, 7, 15 and 31 s, and the entry goes at 63 s",
          "[tcp][handshake]") {
  TcpRig rig;
  listen_on(rig, 80);
  TcpPeer peer(rig);
  const Instant start = rig.now();
  peer.send_syn();
  rig.run_for(Duration::from_ms(62'990));
  CHECK(times_of(rig.take_sent(), start) ==
        std::vector<std::int64_t>{0, 1000, 3000, 7000, 15000, 31000});
  CHECK(rig.ctx().half_opens.used() == 1);
  rig.run_for(Duration::from_ms(20));
  CHECK(rig.ctx().half_opens.used() == 0);
  CHECK(rig.take_sent().empty());
  CHECK(rig.metrics().of(Counter::kHalfOpenExpired) == 1);
  require_nothing_left(rig);
}

TEST_CASE("the number of SYN-ACKs and the lifetime of an entry are configurable",
          "[tcp][handshake]") {
  EngineConfig config = TcpRig::small_config();
  config.syn_ack_retries = 1;
  config.half_open_lifetime = Duration::from_s(2);
  TcpRig rig(config);
  listen_on(rig, 80);
  TcpPeer peer(rig);
  peer.send_syn();
  rig.run_for(Duration::from_s(60));
  CHECK(rig.take_sent().size() == 2);
  CHECK(rig.ctx().half_opens.used() == 0);
  require_nothing_left(rig);
}

TEST_CASE("an entry goes when its lifetime is over, though SYN-ACKs would still be sent",
          "[tcp][handshake]") {
  EngineConfig config = TcpRig::small_config();
  config.half_open_lifetime = Duration::from_s(5);
  TcpRig rig(config);
  listen_on(rig, 80);
  TcpPeer peer(rig);
  const Instant start = rig.now();
  peer.send_syn();
  rig.run_for(Duration::from_ms(4990));
  CHECK(rig.ctx().half_opens.used() == 1);
  rig.run_for(Duration::from_ms(20));
  CHECK(rig.ctx().half_opens.used() == 0);
  rig.run_for(Duration::from_s(60));
  CHECK(times_of(rig.take_sent(), start) == std::vector<std::int64_t>{0, 1000, 3000});
  require_nothing_left(rig);
}

TEST_CASE(
    "a full accept queue ignores the last ACK and keeps the entry, so that a later one completes",
    "[tcp][handshake]") {
  TcpRig rig;
  const ListenerHandle listener = listen_on(rig, 80, 10, 1);
  TcpPeer first(rig), second(rig, {.remote_port = Port{40001}});
  first.connect();
  second.connect();
  CHECK(rig.take_sent().empty());
  CHECK(rig.metrics().of(Outcome::kAcceptQueueFull) == 1);
  CHECK(rig.find(second.flow()) == nullptr);
  CHECK(rig.ctx().listeners[0].half_open == 1);
  accept_on(rig, listener);
  rig.run_for(Duration::from_ms(1100));
  REQUIRE(second.read().size() == 1);  // the SYN-ACK again
  second.acknowledge();
  CHECK(rig.find(second.flow()) != nullptr);
  accept_on(rig, listener);
  require_nothing_left(rig);
}

TEST_CASE("without cookies a full half-open queue ignores SYNs", "[tcp][handshake]") {
  EngineConfig config = TcpRig::small_config();
  config.syn_cookies = CookieMode::kOff;
  TcpRig rig(config);
  listen_on(rig, 80, 2);
  for (std::uint16_t i = 0; i < 3; ++i) {
    TcpPeer peer(rig, {.remote_port = Port{static_cast<std::uint16_t>(3000 + i)}});
    peer.send_syn();
  }
  CHECK(rig.take_sent().size() == 2);
  CHECK(rig.metrics().of(Outcome::kSynQueueFull) == 1);
  CHECK(rig.ctx().listeners[0].syn_dropped_total == 1);
  require_nothing_left(rig);
}

TEST_CASE("connect() hears at once that it was refused, or that there is no way",
          "[tcp][handshake]") {
  TcpRig rig;
  const ConnHandle connection = open_to_server(rig);
  const auto sent = rig.take_sent();
  REQUIRE(sent.size() == 1);
  const auto reason = [&] {
    const auto told = rig.take_told();
    REQUIRE(told.size() == 1);
    return told[0].reason;
  };
  const auto report = [&](IcmpErrorKind kind, wire::SeqNum seq) {
    const bool is_matched =
        rig.engine().on_icmp_error({.kind = kind, .flow = sent[0].flow, .seq = seq}, rig.now());
    rig.settle();
    return is_matched;
  };
  SECTION("by a RST that acknowledges the SYN") {
    rig.receive(sent[0].flow,
                {.flags = kRst | kAck, .seq = wire::SeqNum{0}, .ack = sent[0].header.seq + 1});
    CHECK(reason() == CloseReason::kRefused);
  }
  SECTION("by ICMP port unreachable about the SYN") {
    CHECK(report(IcmpErrorKind::kPortUnreachable, sent[0].header.seq));
    CHECK(reason() == CloseReason::kRefused);
  }
  SECTION("by ICMP host unreachable") {
    CHECK(report(IcmpErrorKind::kHostUnreachable, sent[0].header.seq));
    CHECK(reason() == CloseReason::kUnreachable);
  }
  SECTION("by a neighbour that does not answer") {
    CHECK(report(IcmpErrorKind::kNoNeighbor, sent[0].header.seq));
    CHECK(reason() == CloseReason::kUnreachable);
  }
  SECTION("but not by an ICMP error about what was never sent") {
    CHECK(!report(IcmpErrorKind::kHostUnreachable, sent[0].header.seq + 1000));
    CHECK(find_tcb(rig.ctx(), connection) != nullptr);
  }
  require_nothing_left(rig);
}

TEST_CASE("open() refuses what cannot be, each with its own error", "[tcp][handshake]") {
  TcpRig rig;
  const auto error_of_open = [&](const OpenRequest& request) {
    const auto handle = open(rig.ctx(), request);
    REQUIRE(!handle.has_value());
    return handle.error();
  };
  CHECK(error_of_open({.remote = {kServer.address, Port{0}}, .local = {}, .local_port = {}}) ==
        Error::kInvalidArgument);
  CHECK(error_of_open({.remote = {{}, Port{80}}, .local = {}, .local_port = {}}) ==
        Error::kInvalidArgument);
  open_to_server(rig, Port{5000});
  CHECK(error_of_open({.remote = kServer, .local = {}, .local_port = Port{5000}}) ==
        Error::kAddressInUse);
  rig.path().error = PathError::kNoRoute;
  CHECK(error_of_open({.remote = kServer, .local = {}, .local_port = {}}) == Error::kUnreachable);
  rig.path().error = PathError::kNoAddress;
  CHECK(error_of_open({.remote = kServer, .local = {}, .local_port = {}}) ==
        Error::kInvalidArgument);
  rig.path().error.reset();
  rig.ctx().is_draining = true;
  CHECK(error_of_open({.remote = kServer, .local = {}, .local_port = {}}) == Error::kDraining);
  require_nothing_left(rig);
}

TEST_CASE("ephemeral ports are within their range, all different, and not to be guessed",
          "[tcp][handshake][rfc6056]") {
  EngineConfig config = TcpRig::small_config();
  config.ephemeral_first = 50'000;
  config.ephemeral_last = 50'019;
  TcpRig rig(config);
  listen_on(rig, 50'007);
  std::vector<std::uint16_t> ports;
  for (int i = 0; i < 19; ++i) {
    open_to_server(rig);
    ports.push_back(rig.take_sent().back().flow.local_port.value);
  }
  const std::set<std::uint16_t> different(ports.begin(), ports.end());
  CHECK(different.size() == 19);
  CHECK(different.count(50'007) == 0);
  CHECK(*different.begin() >= 50'000);
  CHECK(*different.rbegin() <= 50'019);
  const auto full = open(rig.ctx(), {.remote = kServer, .local = {}, .local_port = {}});
  REQUIRE(!full.has_value());
  CHECK(full.error() == Error::kAddressInUse);
  // Another peer has another sequence of ports, and the whole range for itself.
  const auto other =
      open(rig.ctx(), {.remote = {kServer.address, Port{444}}, .local = {}, .local_port = {}});
  CHECK(other.has_value());
  rig.settle();
  require_nothing_left(rig);
}

TEST_CASE("where the ports to a remote begin depends on the remote and on a secret",
          "[tcp][handshake][rfc6056]") {
  const auto first_port = [](const Keys& keys, std::uint8_t host, std::uint16_t port) {
    TcpRig rig(TcpRig::small_config(), Instant::from_ns(1'000'000'000), shared_pools(), keys);
    const auto opened =
        open(rig.ctx(), {.remote = {Ipv4Addr::from_octets(10, 0, 1, host), Port{port}},
                         .local = {},
                         .local_port = {}});
    REQUIRE(opened.has_value());
    rig.settle();
    const std::uint16_t chosen = rig.take_sent().back().flow.local_port.value;
    require_nothing_left(rig);
    return chosen;
  };
  Keys other = rig_keys();
  other.ports.octets[0] ^= 1;
  constexpr unsigned kRemotes = 20;
  std::set<std::uint16_t> of_hosts, of_ports, of_keys;
  for (std::uint8_t i = 0; i < kRemotes; ++i) {
    of_hosts.insert(first_port(rig_keys(), i, 443));
    of_ports.insert(first_port(rig_keys(), 200, static_cast<std::uint16_t>(443 + i)));
    of_keys.insert(first_port(other, i, 443));
  }
  // Two of twenty may meet, out of so many ports; not more.
  CHECK(of_hosts.size() >= kRemotes - 2);
  CHECK(of_ports.size() >= kRemotes - 2);
  CHECK(of_keys.size() >= kRemotes - 2);
  std::set<std::uint16_t> of_both = of_hosts;
  of_both.insert(of_keys.begin(), of_keys.end());
  CHECK(of_both.size() >= 2 * kRemotes - 4);
}

TEST_CASE("an active open takes a port whose answers come home, by the same rules",
          "[tcp][handshake][rfc6056]") {
  EngineConfig config = TcpRig::small_config();
  config.ephemeral_first = 50'000;
  config.ephemeral_last = 50'019;
  TcpRig rig(config);
  rig.path().home = [](const FlowKey& flow) { return flow.local_port.value % 3 == 1; };
  std::vector<std::uint16_t> ports;
  for (int i = 0; i < 6; ++i) {
    open_to_server(rig);
    ports.push_back(rig.take_sent().back().flow.local_port.value);
  }
  // 50,002 and every third after it, one after the other from where the hash says, once round.
  CHECK(std::set<std::uint16_t>(ports.begin(), ports.end()) ==
        std::set<std::uint16_t>{50'002, 50'005, 50'008, 50'011, 50'014, 50'017});
  for (std::size_t i = 1; i < ports.size(); ++i)
    CHECK((ports[i] == ports[i - 1] + 3 || (ports[i - 1] == 50'017 && ports[i] == 50'002)));
  const auto full = open(rig.ctx(), {.remote = kServer, .local = {}, .local_port = {}});
  REQUIRE(!full.has_value());
  CHECK(full.error() == Error::kAddressInUse);

  const auto fixed = open(rig.ctx(), {.remote = kServer, .local = {}, .local_port = Port{40'001}});
  REQUIRE(!fixed.has_value());
  CHECK(fixed.error() == Error::kInvalidArgument);
  require_nothing_left(rig);
}

//= rfc9293#3.4.1 MUST-8, MUST-9, SHLD-1 test
TEST_CASE("an ISN grows with time by one for each 4 us, and tells nothing of another 4-tuple",
          "[tcp][handshake][rfc6528]") {
  const auto iss = [](const HashKey& key, const FlowKey& of, Instant at) {
    return initial_sequence_number(flow_hash(key, of), at);
  };
  const HashKey secret = rig_keys().first_numbers;
  const FlowKey flow{Ipv4Addr::from_octets(10, 0, 0, 2), Ipv4Addr::from_octets(10, 0, 0, 1),
                     Port{80}, Port{4000}};
  const Instant now = Instant::from_ns(1'000'000'000);
  const wire::SeqNum first = iss(secret, flow, now);
  CHECK(iss(secret, flow, now + Duration::from_us(4)) == first + 1);
  CHECK(iss(secret, flow, now + Duration::from_s(1)) == first + 250'000);
  // Over all remote ports the differences of neighbours are spread over the whole circle.
  std::set<std::uint32_t> differences;
  unsigned in_lower_half = 0;
  for (std::uint16_t port = 1; port <= 1000; ++port) {
    FlowKey other = flow;
    other.remote_port = Port{port};
    const std::uint32_t difference = wire::seq_distance(first, iss(secret, other, now));
    differences.insert(difference);
    in_lower_half += difference < 0x80000000u ? 1 : 0;
  }
  CHECK(differences.size() > 995);
  CHECK(in_lower_half > 400);
  CHECK(in_lower_half < 600);
  HashKey another = secret;
  another.octets[0] ^= 1;
  CHECK(iss(another, flow, now) != first);
}

//= rfc9293#3.5 MUST-10 test
TEST_CASE("two ends that open at once meet in ESTABLISHED", "[tcp][handshake][rfc9293]") {
  const FlowKey flow{Ipv4Addr::from_octets(10, 0, 0, 2), kServer.address, Port{5000}, kServer.port};
  const std::uint32_t ours = GENERATE(0u, 0x7fffffffu, 0xffffffffu);
  TcpRig rig(TcpRig::small_config(), time_of_iss(flow, wire::SeqNum{ours}));
  const ConnHandle connection = open_to_server(rig, Port{5000});
  TcpPeer peer(
      rig,
      {.iss = wire::SeqNum{ours ^ 0x55u}, .local_port = Port{5000}, .remote_port = kServer.port});
  const auto syn = peer.read();
  REQUIRE(syn.size() == 1);
  CHECK(syn[0].header.seq == wire::SeqNum{ours});
  peer.give(peer.segment(kSyn));
  const auto answer = peer.read();
  REQUIRE(answer.size() == 1);
  CHECK(answer[0].has(kSyn));
  CHECK(answer[0].header.seq == wire::SeqNum{ours});
  CHECK(answer[0].header.ack == peer.iss() + 1);
  CHECK(find_tcb(rig.ctx(), connection)->state == State::kSynReceived);
  peer.give(peer.segment(kSyn | kAck));  // the other side's answer
  CHECK(find_tcb(rig.ctx(), connection)->state == State::kEstablished);
  peer.nxt = peer.iss() + 1;
  send_octets(rig, connection, pattern(100));
  peer.send(kAck, 50);
  CHECK(read_octets(rig, connection) == pattern(50));
  CHECK(peer.read().back().payload == pattern(100));
  require_nothing_left(rig);
}

TEST_CASE("octets sent before the connection is open follow the handshake", "[tcp][handshake]") {
  TcpRig rig;
  const ConnHandle connection = open_to_server(rig, Port{5000});
  TcpPeer peer(rig, {.local_port = Port{5000}, .remote_port = kServer.port});
  static_cast<void>(peer.read());
  send_octets(rig, connection, pattern(500));
  CHECK(peer.read().empty());
  peer.give(peer.segment(kSyn | kAck));
  peer.nxt = peer.iss() + 1;
  std::vector<std::byte> got;
  for (const SentSegment& segment : peer.read())
    got.insert(got.end(), segment.payload.begin(), segment.payload.end());
  CHECK(got == pattern(500));
  require_nothing_left(rig);
}

}  // namespace sluice::tcp
