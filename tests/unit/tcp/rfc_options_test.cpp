// The options of RFC 9293 (MSS), 7323 (window scale, timestamps, PAWS) and 2018 (SACK), on the
// wire.

#include <catch2/catch.hpp>
#include <memory>
#include <set>

#include "tcp/input/acceptability.hpp"
#include "tcp/output/window.hpp"
#include "tests/support/tcp_app.hpp"

namespace sluice::tcp {
namespace {

using namespace support;
using telemetry::Outcome;
using wire::kAck;
using wire::kFin;
using wire::kRst;
using wire::kSyn;

const Endpoint kServer{Ipv4Addr::from_octets(10, 0, 0, 1), Port{443}};

ConnHandle open_to_server(TcpRig& rig) {
  const auto handle = open(rig.ctx(), {.remote = kServer, .local = {}, .local_port = Port{5000}});
  REQUIRE(handle.has_value());
  rig.settle();
  return *handle;
}

/// A connection whose SYN carried `options` and nothing else; the client sends no options later.
ConnHandle establish_with(TcpRig& rig, TcpPeer& peer, const wire::TcpOptions& options,
                          std::vector<SentSegment>* syn_ack = nullptr) {
  const ListenerHandle listener = listen_on(rig, 80);
  PeerSegment syn = peer.segment(kSyn);
  syn.options = options;
  peer.give(syn);
  peer.nxt = peer.iss() + 1;
  const auto answer = peer.read();
  REQUIRE(answer.size() == 1);
  if (syn_ack != nullptr) *syn_ack = answer;
  peer.acknowledge();
  const ConnHandle handle = accept_on(rig, listener);
  static_cast<void>(peer.read());
  return handle;
}

std::size_t largest_payload(const std::vector<SentSegment>& segments) {
  std::size_t largest = 0;
  for (const SentSegment& segment : segments) largest = std::max(largest, segment.payload.size());
  return largest;
}

}  // namespace

//= rfc9293#3.7.1 MUST-14, MUST-67 test
//= rfc9293#3.2 MUST-65 test
//= rfc2018#2 MUST-1 test
TEST_CASE("MSS, SACK-permitted and window scale are in SYNs and in nothing else",
          "[tcp][options][rfc9293][rfc2018][rfc7323]") {
  TcpRig rig;
  rig.path().mtu = 1400;
  std::vector<SentSegment> sent;
  const auto collect = [&](const std::vector<SentSegment>& more) {
    sent.insert(sent.end(), more.begin(), more.end());
  };
  TcpPeer client(rig);
  const ListenerHandle listener = listen_on(rig, 80);
  client.send_syn();
  collect(client.read());
  client.acknowledge();
  const ConnHandle passive = accept_on(rig, listener);
  const ConnHandle active = open_to_server(rig);
  TcpPeer server(rig, {.local_port = Port{5000}, .remote_port = kServer.port});
  collect(server.read());
  server.give(server.segment(kSyn | kAck));
  server.nxt = server.iss() + 1;
  for (const ConnHandle connection : {passive, active}) {
    TcpPeer& peer = connection.index == passive.index ? client : server;
    collect(peer.read());
    send_octets(rig, connection, pattern(3000));
    collect(peer.read());
    peer.acknowledge();
    PeerSegment ahead = peer.segment(kAck, 10);
    ahead.seq += 10;
    peer.give(ahead);
    collect(peer.read());
    REQUIRE(shutdown(rig.ctx(), connection).has_value());
    rig.settle();
    collect(peer.read());
  }
  std::size_t syns = 0;
  for (const SentSegment& segment : sent) {
    if (segment.has(kSyn)) ++syns;
    CHECK(segment.header.options.has_mss == segment.has(kSyn));
    CHECK(segment.header.options.has_sack_permitted == segment.has(kSyn));
    CHECK(segment.header.options.has_window_scale == segment.has(kSyn));
    if (segment.has(kSyn)) CHECK(segment.header.options.mss == 1400 - 40);
  }
  CHECK(syns == 2);
  CHECK(sent.size() > 8);
  require_nothing_left(rig);
}

//= rfc9293#3.7.1 MUST-15, MUST-16 test
TEST_CASE("a segment is as large as the peer's MSS and the path allow, 536 without the option",
          "[tcp][options][rfc9293]") {
  struct Case {
    bool has_mss;
    std::uint16_t mss, mtu;
    std::size_t payload;
  };
  const auto the = GENERATE(values<Case>({{false, 0, 1500, 536},
                                          {true, 1000, 1500, 1000},
                                          {true, 1460, 900, 860},
                                          {true, 9000, 1500, 1460},
                                          {false, 0, 500, 460}}));
  TcpRig rig;
  rig.path().mtu = the.mtu;
  TcpPeer peer(rig, {.window = 20'000, .timestamps = false});
  wire::TcpOptions options;
  options.has_mss = the.has_mss;
  options.mss = the.mss;
  const ConnHandle connection = establish_with(rig, peer, options);
  send_octets(rig, connection, pattern(10'000));
  CHECK(largest_payload(peer.read()) == the.payload);
  require_nothing_left(rig);
}

//= rfc7323#2.2 MUST-1, MUST-3 test
//= rfc7323#2.3 MUST-1, MUST-2, MUST-3, MUST-4, MUST-5, MUST-6, MUST-8 test
TEST_CASE("windows are scaled if both SYNs said so, never in a SYN, and by 14 at most",
          "[tcp][options][rfc7323]") {
  EngineConfig config = TcpRig::small_config();
  config.receive_buffer_bytes = 1 << 20;
  TcpRig rig(config);
  const std::uint8_t ours = window_scale_for(config);
  REQUIRE(ours == 5);  // 65535 << 5 is the first that covers 2^20
  const auto offered = GENERATE(std::optional<std::uint8_t>{}, std::optional<std::uint8_t>{0},
                                std::optional<std::uint8_t>{7}, std::optional<std::uint8_t>{14},
                                std::optional<std::uint8_t>{15}, std::optional<std::uint8_t>{255});
  const unsigned theirs = offered ? std::min<unsigned>(*offered, 14) : 0;
  ConnHandle connection;
  std::vector<SentSegment> syn;
  std::unique_ptr<TcpPeer> peer;
  TcpPeer::Options options{.window = 1000, .window_scale = offered};
  SECTION("passive open") {
    peer = std::make_unique<TcpPeer>(rig, options);
    const ListenerHandle listener = listen_on(rig, 80);
    peer->send_syn();
    syn = peer->read();
    REQUIRE(syn.size() == 1);
    CHECK(syn[0].header.options.has_window_scale == offered.has_value());
    peer->acknowledge();
    connection = accept_on(rig, listener);
  }
  SECTION("active open") {
    options.local_port = Port{5000};
    options.remote_port = kServer.port;
    peer = std::make_unique<TcpPeer>(rig, options);
    connection = open_to_server(rig);
    syn = peer->read();
    REQUIRE(syn.size() == 1);
    CHECK(syn[0].header.options.has_window_scale);
    peer->give(peer->segment(kSyn | kAck));
    CHECK(find_tcb(rig.ctx(), connection)->snd.wnd == 1000);  // a SYN's window is as it stands
    peer->nxt = peer->iss() + 1;
    peer->acknowledge();
  }
  CHECK(syn[0].header.window == 65535);
  if (syn[0].header.options.has_window_scale) CHECK(syn[0].header.options.window_scale == ours);
  CHECK(find_tcb(rig.ctx(), connection)->snd.wnd == 1000u << theirs);
  static_cast<void>(peer->read());

  // Ours: what the field says, shifted, is the room there is, as nearly as it can be said.
  for (int i = 0; i < 2; ++i) peer->send(kAck, 1460);
  rig.run_for(Duration::from_ms(50));
  const auto ack = peer->read();
  REQUIRE(!ack.empty());
  const std::uint32_t window = ack.back().header.window;
  const std::uint32_t room = (1u << 20) - 2 * 1460;
  if (offered) {
    CHECK((window << ours) + (1u << ours) > room);
    CHECK(window << ours < room + (1u << ours));
  } else {
    CHECK(window == 65535);
  }
  require_nothing_left(rig);
}

//= rfc7323#2.2 MUST-2 test
TEST_CASE("a window scale outside a SYN is ignored", "[tcp][options][rfc7323]") {
  TcpRig rig;
  TcpPeer peer(rig, {.window = 1000, .window_scale = 2});
  const ConnHandle connection = establish(rig, peer);
  PeerSegment late = peer.segment(kAck, 10);
  late.options.has_window_scale = true;
  late.options.window_scale = 9;
  peer.give(late);
  peer.nxt += 10;
  CHECK(find_tcb(rig.ctx(), connection)->snd.wnd == 4000);
  peer.send(kAck, 10);
  CHECK(find_tcb(rig.ctx(), connection)->snd.wnd == 4000);
  require_nothing_left(rig);
}

//= rfc7323#2.3 MUST-7 test
TEST_CASE("a receive buffer of any size is announced with a scale of 14 at most",
          "[tcp][options][rfc7323]") {
  EngineConfig config;
  for (const std::uint32_t size : {1u, 65535u, 65536u, 1u << 20, 1u << 30, 0xffffffffu}) {
    config.receive_buffer_bytes = size;
    const unsigned scale = window_scale_for(config);
    CHECK(scale <= 14);
    CHECK((scale == 14 || (size >> scale) <= 65535));
  }
}

//= rfc7323#3.2 MUST-1, MUST-2, MUST-4 test
//= rfc7323#4.3 MUST-1, SHLD-1, SHLD-2 test
TEST_CASE("every segment echoes the timestamp of the segment that last moved the left edge",
          "[tcp][options][rfc7323]") {
  TcpRig rig;
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  const auto give_at = [&](std::uint32_t ts_val, std::uint32_t offset, std::size_t count) {
    PeerSegment segment = peer.segment(kAck, count);
    segment.seq = peer.nxt + offset;
    segment.options.ts_val = ts_val;
    peer.give(segment);
  };
  const auto echo_of_last = [&] {
    const auto sent = rig.take_sent();
    REQUIRE(!sent.empty());
    for (const SentSegment& segment : sent) CHECK(segment.header.options.has_timestamps);
    return sent.back().header.options.ts_ecr;
  };
  const std::uint32_t base = peer.ts_now() + 10;
  give_at(base + 1, 0, 100);  // (A) delayed: the earliest of the two is echoed
  peer.nxt += 100;
  give_at(base + 2, 0, 100);
  peer.nxt += 100;
  rig.run_for(Duration::from_ms(50));
  CHECK(echo_of_last() == base + 1);
  give_at(base + 3, 100, 100);  // (B) behind a gap: the one before the gap
  CHECK(echo_of_last() == base + 1);
  give_at(base + 4, 0, 100);  // (C) what fills it: its own
  CHECK(echo_of_last() == base + 4);
  peer.nxt += 200;
  send_octets(rig, connection, pattern(10));
  CHECK(echo_of_last() == base + 4);
  REQUIRE(shutdown(rig.ctx(), connection).has_value());
  rig.settle();
  CHECK(echo_of_last() == base + 4);  // in a FIN, too
  rig.run_for(Duration::from_ms(300));
  CHECK(echo_of_last() == base + 4);  // and in what is sent again
  require_nothing_left(rig);
}

//= rfc7323#7.1 SHLD-1 test
TEST_CASE("each flow has a timestamp clock that begins somewhere else", "[tcp][options][rfc7323]") {
  EngineConfig config = TcpRig::small_config();
  const bool uses_cookies = GENERATE(false, true);
  config.syn_cookies = uses_cookies ? CookieMode::kAlways : CookieMode::kOff;
  TcpRig rig(config);
  listen_on(rig, 80);
  std::set<std::uint32_t> clocks;
  for (std::uint16_t i = 0; i < 20; ++i) {
    TcpPeer peer(rig, {.remote_port = Port{static_cast<std::uint16_t>(2000 + i)}});
    peer.send_syn();
    const auto answer = rig.take_sent();
    REQUIRE(answer.size() == 1);
    clocks.insert(answer[0].header.options.ts_val >> 16);  // all within one tick
  }
  CHECK(clocks.size() == 20);
  require_nothing_left(rig);
}

//= rfc7323#3.2 MUST-3 test
TEST_CASE("the echo in a segment without ACK is ignored", "[tcp][options][rfc7323]") {
  TcpRig rig;
  TcpPeer peer(rig);
  const ListenerHandle listener = listen_on(rig, 80);
  PeerSegment syn = peer.segment(kSyn);
  syn.options.ts_ecr = GENERATE(1u, 0x7fffffffu, 0xfffffff0u);
  peer.give(syn);
  peer.nxt += 1;
  static_cast<void>(peer.read());
  rig.run_for(Duration::from_ms(100));
  peer.acknowledge();
  const Tcb& block = *find_tcb(rig.ctx(), accept_on(rig, listener));
  CHECK(block.srtt_us8 / 8 == 100'000);
  require_nothing_left(rig);
}

//= rfc7323#3.2 MUST-5 test
TEST_CASE("segments that lack the timestamp are dropped without a word and end nothing",
          "[tcp][options][rfc7323]") {
  TcpRig rig;
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  for (const std::uint8_t flags : {std::uint8_t{kAck}, std::uint8_t(kAck | kFin)}) {
    PeerSegment bare = peer.segment(flags, 100);
    bare.options = {};
    peer.give(bare);
  }
  CHECK(rig.take_sent().empty());
  CHECK(rig.metrics().of(Outcome::kNoTimestamp) == 2);
  peer.send(kAck, 50);
  CHECK(read_octets(rig, connection) == pattern(50));
  CHECK(find_tcb(rig.ctx(), connection)->state == State::kEstablished);
  require_nothing_left(rig);
}

//= rfc7323#3.2 MUST-6 test
TEST_CASE("timestamps that were not agreed upon are ignored", "[tcp][options][rfc7323]") {
  TcpRig rig;
  TcpPeer peer(rig, {.timestamps = false});
  const ConnHandle connection = establish(rig, peer);
  for (const std::uint32_t ts_val : {5'000'000u, 1u, 0xf0000000u}) {
    PeerSegment segment = peer.segment(kAck, 100);
    segment.options.has_timestamps = true;
    segment.options.ts_val = ts_val;
    peer.give(segment);
    peer.nxt += 100;
  }
  CHECK(read_octets(rig, connection) == pattern(300));
  send_octets(rig, connection, pattern(10));
  for (const SentSegment& segment : rig.take_sent()) CHECK(!segment.header.options.has_timestamps);
  require_nothing_left(rig);
}

//= rfc7323#5.3 MUST-1, MUST-2 test
//= rfc7323#5.2 MUST-1 test
TEST_CASE("PAWS comes before the window, answers with an ACK, and leaves RST alone",
          "[tcp][input][rfc7323]") {
  TcpRig rig;
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  PeerSegment old = peer.segment(kAck, 10);
  old.options.ts_val -= 1000;
  peer.give(old);
  CHECK(rig.take_sent().size() == 1);
  CHECK(rig.metrics().of(Outcome::kPawsRejected) == 1);
  old.seq = peer.nxt + 1'000'000;  // outside the window as well
  peer.give(old);
  CHECK(rig.metrics().of(Outcome::kPawsRejected) == 2);
  CHECK(rig.metrics().of(Outcome::kOutsideWindow) == 0);
  CHECK(read_octets(rig, connection).empty());
  PeerSegment reset = peer.segment(kRst);
  reset.options.has_timestamps = true;
  reset.options.ts_val = peer.ts_now() - 1000;
  peer.give(reset);
  CHECK(find_tcb(rig.ctx(), connection) == nullptr);
  require_nothing_left(rig);
}

//= rfc7323#5.2 MUST-2 test
TEST_CASE("nothing is learnt from a RST's timestamp", "[tcp][input][rfc7323]") {
  TcpRig rig;
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  const std::uint32_t ts_recent = find_tcb(rig.ctx(), connection)->ts_recent;
  for (const std::uint32_t offset : {1u, 100u, 8000u}) {
    PeerSegment reset = peer.segment(kRst | kAck);
    reset.seq += offset;  // in the window, and not RCV.NXT
    reset.options.ts_val = peer.ts_now() + 1'000'000;
    peer.give(reset);
    CHECK(find_tcb(rig.ctx(), connection)->ts_recent == ts_recent);
  }
  CHECK(rig.metrics().of(Outcome::kRstChallenged) == 3);
  for (const SentSegment& challenge : rig.take_sent())
    CHECK(challenge.header.options.ts_ecr == ts_recent);
  peer.send(kAck, 10);  // which PAWS would reject
  CHECK(read_octets(rig, connection) == pattern(10));
  require_nothing_left(rig);
}

//= rfc5961#5.2 MUST-1, MUST-2 test
TEST_CASE("nothing is learnt from a segment whose ACK is refused",
          "[tcp][input][rfc5961][rfc7323]") {
  TcpRig rig;
  TcpPeer peer(rig);
  const ConnHandle connection = establish(rig, peer);
  const Tcb* const block = find_tcb(rig.ctx(), connection);
  const std::uint32_t ts_recent = block->ts_recent;
  PeerSegment guess = peer.segment(kAck, 10);  // where the next octet belongs
  guess.options.ts_val = peer.ts_now() + 0x7000'0000;
  PeerSegment beyond = guess, old = guess, bare = guess;
  beyond.ack += 1;
  old.ack = old.ack - block->snd_max_wnd - 1;
  bare.flags = wire::kPsh;
  for (const PeerSegment* segment : {&beyond, &old, &bare}) {
    peer.give(*segment);
    CHECK(block->ts_recent == ts_recent);
  }
  CHECK(rig.metrics().of(Outcome::kAckBeyondSent) == 1);
  CHECK(rig.metrics().of(Outcome::kAckTooOld) == 1);
  CHECK(rig.metrics().of(Outcome::kAckMissing) == 1);
  static_cast<void>(rig.take_sent());
  peer.send(kAck, 10);  // which PAWS would reject, and with it all that the peer ever sends
  CHECK(read_octets(rig, connection) == pattern(10));
  require_nothing_left(rig);
}

//= rfc7323#5.5 MUST-1 test
TEST_CASE("a timestamp that is 24 days old rejects nothing", "[tcp][input][rfc7323]") {
  constexpr Tick kDay = 24u * 3600 * 1000;
  for (const Tick taken_at : {Tick{0}, Tick{0xffff0000u}}) {
    CHECK(is_paws_rejected(99, 100, taken_at, taken_at));
    CHECK(is_paws_rejected(99, 100, taken_at, taken_at + 24 * kDay - 1));
    CHECK(!is_paws_rejected(99, 100, taken_at, taken_at + 24 * kDay));
    CHECK(!is_paws_rejected(100, 100, taken_at, taken_at));
    CHECK(!is_paws_rejected(101, 100, taken_at, taken_at));
    CHECK(!is_paws_rejected(5, 0xfffffff0u, taken_at, taken_at));  // the clock went round
  }
}

//= rfc2018#4 MUST-1 test
TEST_CASE("no SACK blocks are sent to a peer that did not permit them", "[tcp][options][rfc2018]") {
  TcpRig rig;
  TcpPeer peer(rig, {.sack = false});
  establish(rig, peer);
  for (std::uint32_t i = 1; i < 6; ++i) {
    PeerSegment ahead = peer.segment(kAck, 10);
    ahead.seq += i * 20;
    peer.give(ahead);
  }
  const auto sent = rig.take_sent();
  CHECK(sent.size() == 5);
  for (const SentSegment& segment : sent) CHECK(segment.header.options.sack_count == 0);
  require_nothing_left(rig);
}

//= rfc2018#5 MUST-1 test
//= rfc2018#8 MUST-4 test
TEST_CASE("octets that were SACKed are kept, and sent again after a timeout at the left edge",
          "[tcp][recovery][rfc2018]") {
  TcpRig rig;
  TcpPeer peer(rig, {.window = 65535});
  const ConnHandle connection = establish(rig, peer);
  const wire::SeqNum una = peer.una;
  send_octets(rig, connection, pattern(4 * 1448));
  static_cast<void>(peer.read());
  const wire::SeqNum nxt = peer.una;
  peer.una = una;
  PeerSegment sack = peer.segment(kAck);
  sack.options.sack_count = 1;
  sack.options.sack[0] = {una + 1448, nxt};
  peer.give(sack);
  sack.options.sack[0] = {una, nxt};  // all of it, and yet SND.UNA stays: the peer reneges
  peer.give(sack);
  static_cast<void>(rig.take_sent());
  std::vector<std::byte> got(4 * 1448);
  std::vector<bool> has(got.size());
  for (int i = 0; i < 30; ++i) {
    rig.run_for(Duration::from_s(1));
    for (const SentSegment& segment : rig.take_sent()) {
      const std::uint32_t at = wire::seq_distance(una, segment.header.seq);
      for (std::size_t j = 0; j < segment.payload.size(); ++j) {
        got.at(at + j) = segment.payload[j];
        has.at(at + j) = true;
      }
    }
    while (wire::seq_lt(peer.una, nxt) && has[wire::seq_distance(una, peer.una)]) peer.una += 1;
    if (peer.una != una) peer.acknowledge();
  }
  CHECK(peer.una == nxt);
  CHECK(got == pattern(got.size()));
  require_nothing_left(rig);
}

}  // namespace sluice::tcp
