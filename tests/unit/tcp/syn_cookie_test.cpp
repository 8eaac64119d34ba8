// SYN cookies: what they carry, how long they live, and that a connection made by one is like any
// other.

#include "tcp/gate/syn_cookie.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>

#include "tcp/user_calls.hpp"
#include "tests/support/tcp_rig.hpp"

namespace sluice::tcp {
namespace {

using support::PeerSegment;
using support::TcpPeer;
using support::TcpRig;
using wire::kAck;
using wire::kFin;
using wire::kRst;
using wire::kSyn;
using wire::SeqNum;

constexpr std::array<std::uint16_t, 8> kExactMss = {64, 536, 1220, 1360, 1440, 1452, 1460, 8960};

HashKey key_of(std::uint8_t value) {
  HashKey key;
  key.octets.fill(value);
  return key;
}

FlowKey flow_from(std::uint16_t port) {
  return {Ipv4Addr::from_octets(10, 0, 0, 2), Ipv4Addr::from_octets(192, 0, 2, 7), Port{80},
          Port{port}};
}

EngineConfig with_cookies(CookieMode mode) {
  EngineConfig config = TcpRig::small_config();
  config.syn_cookies = mode;
  return config;
}

ListenerHandle listen_on(TcpRig& rig, std::uint32_t syn_backlog = 8,
                         std::uint32_t accept_backlog = 8) {
  const auto listener = listen(rig.ctx(), {.address = {},
                                           .port = Port{80},
                                           .syn_backlog = syn_backlog,
                                           .accept_backlog = accept_backlog});
  REQUIRE(listener.has_value());
  return *listener;
}

std::uint64_t count_of(TcpRig& rig, Outcome outcome) {
  return rig.metrics().of(outcome);
}

}  // namespace

TEST_CASE("a cookie brings back every option that the SYN had", "[tcp][gate]") {
  SynCookies cookies(key_of(1), {});
  const Instant now = Instant::from_ns(50'000'000'000);
  const FlowKey flow = flow_from(40000);
  const SeqNum irs(0xfffffff0u);
  for (std::uint16_t mss : kExactMss) {
    for (unsigned scale = 0; scale <= 15; ++scale) {
      for (unsigned bits = 0; bits < 4; ++bits) {
        const CookieFacts facts{.peer_mss = mss,
                                .peer_wscale = static_cast<std::uint8_t>(scale == 15 ? 255 : scale),
                                .sack = (bits & 1) != 0,
                                .ecn = (bits & 2) != 0};
        const auto cookie = cookies.make(flow, irs, facts, now);
        CHECK(cookies.check(flow, irs, cookie.iss, std::nullopt, now) == facts);
      }
    }
  }
}

TEST_CASE("an MSS comes back rounded down, with timestamps to an eighth of a step", "[tcp][gate]") {
  SynCookies cookies(key_of(1), {});
  const Instant now = Instant::from_ns(50'000'000'000);
  const FlowKey flow = flow_from(40000);
  for (std::uint32_t mss = 64; mss <= 65535; mss += mss < 1600 ? 1 : 111) {
    const auto asked = static_cast<std::uint16_t>(mss);
    const auto cookie = cookies.make(flow, SeqNum(7), {.peer_mss = asked}, now);
    const std::uint32_t ts_val = cookie_timestamp(123'456, cookie.fine);
    const auto coarse = cookies.check(flow, SeqNum(7), cookie.iss, std::nullopt, now);
    const auto fine = cookies.check(flow, SeqNum(7), cookie.iss, ts_val, now);
    REQUIRE(coarse.has_value());
    REQUIRE(fine.has_value());
    CHECK(coarse->peer_mss == cookie_mss(asked, false));
    CHECK(fine->peer_mss == cookie_mss(asked, true));
    CHECK(coarse->peer_mss <= fine->peer_mss);
    CHECK(fine->peer_mss <= asked);
    if (asked < 1460 && asked >= 1220) CHECK(asked - fine->peer_mss < 18);
  }
  CHECK(cookie_mss(1400, true) == 1400);
  CHECK(cookie_mss(1380, true) == 1380);
}

TEST_CASE("a cookie's TSval is never ahead of the clock, and at most 15 ms behind", "[tcp][gate]") {
  for (std::uint32_t now : {0u, 1u, 7u, 8u, 100u, 0x7fffffffu, 0x80000003u, 0xfffffffeu}) {
    for (std::uint8_t fine = 0; fine < 8; ++fine) {
      const std::uint32_t ts_val = cookie_timestamp(now, fine);
      CHECK((ts_val & 7u) == fine);
      CHECK(now - ts_val <= 15u);
    }
  }
}

TEST_CASE("nothing else passes for a cookie", "[tcp][gate]") {
  SynCookies cookies(key_of(1), {});
  const Instant now = Instant::from_ns(50'000'000'000);
  const FlowKey flow = flow_from(40000);
  const CookieFacts facts{.peer_mss = 1460, .peer_wscale = 7, .sack = true, .ecn = false};
  const SeqNum iss = cookies.make(flow, SeqNum(1), facts, now).iss;
  const auto passes = [&](const FlowKey& of, SeqNum irs, SeqNum claimed) {
    return cookies.check(of, irs, claimed, std::nullopt, now).has_value();
  };
  REQUIRE(passes(flow, SeqNum(1), iss));
  SECTION("not with one bit changed, whichever it is") {
    for (unsigned bit = 0; bit < 32; ++bit)
      CHECK(!passes(flow, SeqNum(1), SeqNum(iss.value() ^ (1u << bit))));
  }
  SECTION("not from another port or address, to another port, or for another SYN") {
    FlowKey other = flow;
    other.remote_port = Port{40001};
    CHECK(!passes(other, SeqNum(1), iss));
    other = flow;
    other.remote = Ipv4Addr::from_octets(192, 0, 2, 8);
    CHECK(!passes(other, SeqNum(1), iss));
    other = flow;
    other.local_port = Port{81};
    CHECK(!passes(other, SeqNum(1), iss));
    CHECK(!passes(flow, SeqNum(2), iss));
  }
  SECTION("not under another key") {
    SynCookies others(key_of(2), {});
    CHECK(!others.check(flow, SeqNum(1), iss, std::nullopt, now));
  }
  SECTION("a guess fits once in 2^22") {
    unsigned passed = 0;
    for (std::uint32_t guess = 0; guess < 200'000; ++guess)
      passed += passes(flow, SeqNum(1), SeqNum(guess * 21'474u)) ? 1u : 0u;
    CHECK(passed <= 2);
  }
}

TEST_CASE("a cookie lives to the end of the slot behind its own", "[tcp][gate]") {
  const auto at = [](std::int64_t ms) { return Instant::from_ns(ms * 1'000'000); };
  const FlowKey flow = flow_from(40000);
  SECTION("of one server") {
    SynCookies cookies(key_of(1), {});
    const SeqNum iss = cookies.make(flow, SeqNum(1), {}, at(64'000)).iss;
    CHECK(cookies.check(flow, SeqNum(1), iss, std::nullopt, at(64'000)));
    CHECK(cookies.check(flow, SeqNum(1), iss, std::nullopt, at(127'999)));
    CHECK(!cookies.check(flow, SeqNum(1), iss, std::nullopt, at(128'000)));
    CHECK(!cookies.check(flow, SeqNum(1), iss, std::nullopt, at(159'999)));
    // Two slots on, the parity is the same and the key is not.
    CHECK(!cookies.check(flow, SeqNum(1), iss, std::nullopt, at(130'000)));
  }
  SECTION("of a fleet whose clocks lie as far apart as stated") {
    constexpr CookieClock kClock{.to_wall = Duration::from_s(1'000'000),
                                 .error = Duration::from_s(2)};
    SynCookies sender(key_of(1), kClock), taker(key_of(1), kClock);
    for (std::int64_t made = 64'000; made < 128'000; made += 500) {
      const SeqNum iss = sender.make(flow, SeqNum(1), {}, at(made)).iss;
      for (std::int64_t skew : {-2000, -1000, 0, 1000, 2000}) {
        CHECK(taker.check(flow, SeqNum(1), iss, std::nullopt, at(made + skew)));
        CHECK(taker.check(flow, SeqNum(1), iss, std::nullopt, at(made + skew + 27'999)));
        CHECK(!taker.check(flow, SeqNum(1), iss, std::nullopt, at(made + skew + 68'000)));
      }
    }
  }
}

TEST_CASE("a SYN that is answered by a cookie leaves nothing behind", "[tcp][gate]") {
  TcpRig rig(with_cookies(CookieMode::kAlways));
  listen_on(rig);
  const std::uint32_t free_mbufs = rte_mempool_avail_count(&rig.pools().control());
  for (std::uint16_t i = 0; i < 1000; ++i) {
    TcpPeer peer(rig, {.remote_port = Port{static_cast<std::uint16_t>(2000 + i)}});
    peer.send_syn();
  }
  CHECK(rig.take_sent().size() == 1000);
  CHECK(count_of(rig, Outcome::kSynCookieSent) == 1000);
  CHECK(rig.ctx().half_opens.used() == 0);
  CHECK(rig.ctx().listeners[0].half_open == 0);
  CHECK(rig.ctx().flows.size() == 0);
  CHECK(rte_mempool_avail_count(&rig.pools().control()) == free_mbufs);
  rig.run_for(Duration::from_s(100));
  CHECK(rig.take_sent().empty());  // nobody sends it again: the client's SYN does
  rig.require_clean();
}

TEST_CASE("a connection made by a cookie is like one made by an entry", "[tcp][gate]") {
  const bool timestamps = GENERATE(true, false), sack = GENERATE(true, false);
  const auto scale = GENERATE(std::optional<std::uint8_t>(7), std::optional<std::uint8_t>());
  const TcpPeer::Options options{
      .window = 5000, .mss = 1440, .timestamps = timestamps, .sack = sack, .window_scale = scale};
  std::array<Tcb, 2> made{};
  std::array<std::vector<std::byte>, 2> syn_ack_options;
  for (const bool is_by_cookie : {false, true}) {
    TcpRig rig(with_cookies(is_by_cookie ? CookieMode::kAlways : CookieMode::kOff));
    const ListenerHandle listener = listen_on(rig);
    TcpPeer peer(rig, options);
    peer.send_syn();
    const auto answer = peer.read();
    REQUIRE(answer.size() == 1);
    CHECK(answer[0].has(kSyn));
    syn_ack_options[is_by_cookie] = answer[0].options;
    peer.send(kAck, 100);  // octets in the completing ACK
    REQUIRE(rig.find(peer.flow()) != nullptr);
    CHECK(count_of(rig, Outcome::kCookieCompleted) == (is_by_cookie ? 1 : 0));
    CHECK(accept(rig.ctx(), listener).has_value());
    made[is_by_cookie] = *rig.find(peer.flow());
    CHECK(rig.ctx().totals[0].bytes_received == 100);
    rig.require_clean();
  }
  CHECK(syn_ack_options[0].size() == syn_ack_options[1].size());
  if (!timestamps) CHECK(syn_ack_options[0] == syn_ack_options[1]);
  const Tcb &queued = made[0], &cookie = made[1];
  CHECK(cookie.state == State::kEstablished);
  CHECK(cookie.flags == queued.flags);
  CHECK(cookie.window_scales == queued.window_scales);
  CHECK(cookie.snd_mss == queued.snd_mss);
  CHECK(cookie.cwnd == queued.cwnd);
  CHECK(cookie.ssthresh == queued.ssthresh);
  CHECK(cookie.snd.wnd == queued.snd.wnd);
  CHECK(cookie.rcv.nxt == queued.rcv.nxt);
  CHECK(cookie.rcv.adv == queued.rcv.adv);
  CHECK(cookie.ts_recent == queued.ts_recent);
  CHECK(cookie.ts_offset == queued.ts_offset);
  CHECK(cookie.congestion == queued.congestion);
  CHECK(cookie.quick_acks == queued.quick_acks);
}

TEST_CASE("an ACK that is no valid cookie is a stray", "[tcp][gate]") {
  TcpRig rig(with_cookies(CookieMode::kAlways));
  const ListenerHandle listener = listen_on(rig);
  TcpPeer peer(rig);
  const auto is_reset = [&] {
    const auto sent = rig.take_sent();
    return sent.size() == 1 && sent[0].has(kRst) && sent[0].header.seq == peer.una;
  };
  SECTION("none was sent: it is not even tried") {
    peer.acknowledge();
    CHECK(is_reset());
    CHECK(rig.metrics().of(Counter::kCookiesRejected) == 0);
  }
  SECTION("it acknowledges something else, and echoes no timestamp of ours") {
    peer.send_syn();
    peer.read();
    peer.una = peer.una + 1;
    PeerSegment forged = peer.segment(kAck);
    forged.options.ts_ecr -= 65'000;
    peer.give(forged);
    CHECK(is_reset());
    CHECK(rig.metrics().of(Counter::kCookiesRejected) == 1);
  }
  SECTION("it comes two slots too late") {
    peer.send_syn();
    peer.read();
    rig.run_for(SynCookies::kSlot * 2);
    peer.acknowledge();
    CHECK(is_reset());
    CHECK(rig.find(peer.flow()) == nullptr);
  }
  SECTION("a SYN-ACK is none") {
    peer.send_syn();
    peer.read();
    peer.give(peer.segment(kSyn | kAck));
    CHECK(is_reset());
  }
  CHECK(accept(rig.ctx(), listener).error() == Error::kWouldBlock);
  rig.require_clean();
}

TEST_CASE("a segment that overtakes the one with the cookie is no stray", "[tcp][gate]") {
  const bool timestamps = GENERATE(true, false);
  TcpRig rig(with_cookies(CookieMode::kAlways));
  const ListenerHandle listener = listen_on(rig);
  TcpPeer peer(rig, {.timestamps = timestamps});
  peer.send_syn();
  peer.read();
  const PeerSegment first = peer.segment(kAck, 100);
  peer.nxt = peer.nxt + 100;
  peer.give(peer.segment(kAck, 100));
  CHECK(rig.take_sent().empty());
  CHECK(count_of(rig, Outcome::kCookieDoubtful) == 1);
  SECTION("the first comes, too") {
    peer.give(first);
    CHECK(accept(rig.ctx(), listener).has_value());
    CHECK(count_of(rig, Outcome::kCookieCompleted) == 1);
  }
  SECTION("the first never comes: reset when no cookie can be valid any more") {
    for (int i = 0; i < 6; ++i) {
      rig.run_for(Duration::from_s(12));
      peer.give(peer.segment(kAck, 100));
    }
    const auto sent = rig.take_sent();
    REQUIRE(sent.size() == 1);
    CHECK(sent[0].has(kRst));
  }
  rig.require_clean();
}

TEST_CASE("the peer of a connection that ended is told so, though its listener sends cookies",
          "[tcp][gate]") {
  const bool timestamps = GENERATE(true, false);
  TcpRig rig(with_cookies(CookieMode::kAlways));
  const ListenerHandle listener = listen_on(rig);
  TcpPeer peer(rig, {.timestamps = timestamps});
  peer.connect();
  const auto connection = accept(rig.ctx(), listener);
  REQUIRE(connection.has_value());
  rig.run_for(Duration::from_s(3));
  REQUIRE(abort(rig.ctx(), *connection, CloseReason::kAborted).has_value());
  rig.settle();
  static_cast<void>(rig.take_sent());  // the RST is lost
  rig.run_for(Duration::from_s(1));
  peer.give(peer.segment(kAck, 100));
  const auto sent = rig.take_sent();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].has(kRst));
  CHECK(count_of(rig, Outcome::kCookieDoubtful) == 0);
  SECTION("and its next connection is a client as any") {
    rig.run_for(Duration::from_ms(timestamps ? 100 : 65'000));
    TcpPeer next(rig, {.iss = peer.nxt + 5000, .timestamps = timestamps});
    next.send_syn();
    next.read();
    const PeerSegment first = next.segment(kAck, 100);
    next.nxt = next.nxt + 100;
    next.give(next.segment(kAck, 100));  // overtakes it
    CHECK(rig.take_sent().empty());
    CHECK(count_of(rig, Outcome::kCookieDoubtful) == 1);
    next.give(first);
    CHECK(accept(rig.ctx(), listener).has_value());
  }
  rig.require_clean();
}

TEST_CASE("a cookie makes one connection: an old duplicate of its ACK makes none", "[tcp][gate]") {
  TcpRig rig(with_cookies(CookieMode::kAlways));
  const ListenerHandle listener = listen_on(rig);
  TcpPeer peer(rig);
  peer.send_syn();
  peer.read();
  const PeerSegment request = peer.segment(kAck, 100);
  peer.send(kAck, 100);
  CHECK(accept(rig.ctx(), listener).has_value());
  peer.send(kRst);
  REQUIRE(rig.find(peer.flow()) == nullptr);
  peer.give(request);
  CHECK(rig.find(peer.flow()) == nullptr);
  CHECK(accept(rig.ctx(), listener).error() == Error::kWouldBlock);
  rig.require_clean();
}

TEST_CASE("a full accept queue ignores a cookie's ACK, and the next one gets in", "[tcp][gate]") {
  TcpRig rig(with_cookies(CookieMode::kAlways));
  const ListenerHandle listener = listen_on(rig, 8, 1);
  TcpPeer first(rig), second(rig, {.remote_port = Port{40001}});
  first.connect();
  second.connect();
  CHECK(count_of(rig, Outcome::kAcceptQueueFull) == 1);
  CHECK(rig.find(second.flow()) == nullptr);
  CHECK(rig.take_sent().empty());  // no RST
  CHECK(accept(rig.ctx(), listener).has_value());
  second.send(kAck, 10);  // the client believes that it is connected
  CHECK(rig.find(second.flow()) != nullptr);
  rig.require_clean();
}

TEST_CASE("cookies begin at three quarters of the backlog and end at one", "[tcp][gate]") {
  TcpRig rig(with_cookies(CookieMode::kAuto));
  listen_on(rig, 8);
  std::vector<std::unique_ptr<TcpPeer>> peers;
  const auto syn = [&] {
    peers.push_back(std::make_unique<TcpPeer>(
        rig,
        TcpPeer::Options{.remote_port = Port{static_cast<std::uint16_t>(3000 + peers.size())}}));
    peers.back()->send_syn();
    peers.back()->read();
  };
  for (int i = 0; i < 6; ++i) syn();
  CHECK(rig.ctx().listeners[0].half_open == 6);
  CHECK(rig.ctx().listeners[0].is_sending_cookies == 0);
  syn();
  CHECK(rig.ctx().listeners[0].is_sending_cookies == 1);
  CHECK(rig.ctx().listeners[0].half_open == 6);
  CHECK(rig.metrics().of(Counter::kCookiesEngaged) == 1);
  // Entries that complete make room; the SYN that finds two left makes an entry again.
  for (std::size_t i = 0; i < 4; ++i) {
    syn();
    CHECK(rig.ctx().listeners[0].is_sending_cookies == 1);
    peers[i]->acknowledge();
    CHECK(rig.find(peers[i]->flow()) != nullptr);
  }
  syn();
  CHECK(rig.ctx().listeners[0].is_sending_cookies == 0);
  CHECK(rig.ctx().listeners[0].half_open == 3);
  CHECK(rig.metrics().of(Counter::kCookiesReleased) == 1);
  // Cookies that are out are still taken.
  peers[6]->acknowledge();
  CHECK(count_of(rig, Outcome::kCookieCompleted) == 1);
  rig.require_clean();
}

TEST_CASE("listeners that share the entries leave a quarter of them", "[tcp][gate]") {
  EngineConfig config = with_cookies(CookieMode::kAuto);
  config.max_half_open = 8;
  TcpRig rig(config);
  listen_on(rig, 8);
  REQUIRE(listen(rig.ctx(), {.address = {}, .port = Port{81}, .syn_backlog = 8}).has_value());
  for (std::uint16_t i = 0; i < 20; ++i) {
    TcpPeer peer(rig, {.local_port = Port{static_cast<std::uint16_t>(80 + i % 2)},
                       .remote_port = Port{static_cast<std::uint16_t>(2000 + i)}});
    peer.send_syn();
    CHECK(peer.read().size() == 1);
  }
  // Each has half of its backlog. What is left is for SYNs that a cookie cannot answer.
  CHECK(rig.ctx().half_opens.used() == 6);
  CHECK(count_of(rig, Outcome::kSynCookieSent) == 14);
  CHECK(count_of(rig, Outcome::kSynQueueFull) == 0);
  rig.require_clean();
}

TEST_CASE("cookies end with a flood, though no other SYN comes", "[tcp][gate]") {
  TcpRig rig(with_cookies(CookieMode::kAuto));
  listen_on(rig, 4);
  for (std::uint16_t i = 0; i < 100; ++i) {
    TcpPeer peer(rig, {.remote_port = Port{static_cast<std::uint16_t>(2000 + i)}});
    peer.send_syn();
  }
  REQUIRE(rig.ctx().listeners[0].is_sending_cookies == 1);
  rig.run_for(Duration::from_s(64));  // the entries expire
  CHECK(rig.ctx().listeners[0].half_open == 0);
  CHECK(rig.ctx().listeners[0].is_sending_cookies == 0);
  CHECK(rig.metrics().of(Counter::kCookiesReleased) == 1);
  static_cast<void>(rig.take_sent());
  rig.require_clean();
}

TEST_CASE("a SYN that was answered by a cookie and then by an entry may take either",
          "[tcp][gate]") {
  TcpRig rig(with_cookies(CookieMode::kAuto));
  const ListenerHandle listener = listen_on(rig, 4);
  TcpPeer first(rig, {.remote_port = Port{40001}}), second(rig, {.remote_port = Port{40002}}),
      third(rig, {.remote_port = Port{40003}}), peer(rig);
  for (TcpPeer* other : {&first, &second, &third}) {
    other->send_syn();
    other->read();
  }
  peer.send_syn();
  REQUIRE(peer.read().size() == 1);
  REQUIRE(count_of(rig, Outcome::kSynCookieSent) == 1);
  for (TcpPeer* other : {&first, &second, &third}) other->acknowledge();
  peer.send_syn();  // once more: there is room for an entry now
  REQUIRE(count_of(rig, Outcome::kSynQueued) == 4);
  const bool takes_cookie = GENERATE(true, false);
  if (!takes_cookie) peer.read();
  peer.acknowledge();
  CHECK(count_of(rig, Outcome::kCookieCompleted) == (takes_cookie ? 1 : 0));
  REQUIRE(rig.find(peer.flow()) != nullptr);
  CHECK(rig.ctx().half_opens.used() == 0);
  for (int i = 0; i < 4; ++i) CHECK(accept(rig.ctx(), listener).has_value());
  for (const auto& segment : rig.take_sent()) CHECK(!segment.has(kRst));
  rig.require_clean();
}

TEST_CASE("SYN-ACKs to one prefix are capped, and answered ones do not count", "[tcp][gate]") {
  EngineConfig config = with_cookies(GENERATE(CookieMode::kAlways, CookieMode::kOff));
  config.syn_ack_prefix_limit = {.rate_per_s = 10, .burst = 4};
  config.max_half_open = 64;
  TcpRig rig(config);
  const ListenerHandle listener = listen_on(rig, 64, 64);
  std::uint16_t port = 5000;
  const auto syn = [&](bool completes) {
    TcpPeer peer(rig, {.remote_port = Port{port++}});
    peer.send_syn();
    const bool is_answered = !peer.read().empty();
    if (is_answered && completes) peer.acknowledge();
    return is_answered;
  };
  for (int i = 0; i < 20; ++i) CHECK(syn(true));  // however many complete
  while (accept(rig.ctx(), listener)) {
  }
  for (int i = 0; i < 4; ++i) CHECK(syn(false));
  for (int i = 0; i < 10; ++i) CHECK(!syn(false));
  CHECK(count_of(rig, Outcome::kSynPrefixLimited) == 10);
  rig.run_for(Duration::from_ms(200));
  static_cast<void>(rig.take_sent());
  CHECK(syn(false));
  CHECK(syn(false));
  CHECK(!syn(false));
  rig.require_clean();
}

TEST_CASE("another prefix has an account of its own, and a full table caps nobody else",
          "[tcp][gate]") {
  PrefixLimit limit({.rate_per_s = 1, .burst = 100}, 64, 0x1234567);
  const IpAddr victim = Ipv4Addr::from_octets(192, 0, 2, 1);
  for (int i = 0; i < 100; ++i) CHECK(limit.take(victim, 1));
  CHECK(!limit.take(Ipv4Addr::from_octets(192, 0, 2, 77), 1));  // the same /24
  for (std::uint32_t other = 0; other < 1000; ++other)
    CHECK(limit.take(Ipv4Addr{0x0b000000u + (other << 8)}, 1));
  CHECK(!limit.take(victim, 1));  // nor do they push it out
  limit.give_back(victim);
  CHECK(limit.take(victim, 1));
}

TEST_CASE("the first RTT of a cookie comes from the echo", "[tcp][gate]") {
  TcpRig rig(with_cookies(CookieMode::kAlways));
  listen_on(rig);
  TcpPeer peer(rig);
  peer.send_syn();
  peer.read();
  rig.run_for(Duration::from_ms(100));
  peer.acknowledge();
  const Tcb* const block = rig.find(peer.flow());
  REQUIRE(block != nullptr);
  CHECK(block->srtt_us8 / 8 >= 100'000);
  CHECK(block->srtt_us8 / 8 <= 116'000);
  rig.require_clean();
}

TEST_CASE("a server of a fleet takes the cookie of another", "[tcp][gate]") {
  EngineConfig config = with_cookies(CookieMode::kAlways);
  config.is_fleet = true;
  config.cookie_to_wall = Duration::from_s(1'000'000);
  TcpRig sender(config);
  // Booted at another time, and its wall clock is 1.5 s behind the sender's.
  config.cookie_to_wall = config.cookie_to_wall - Duration::from_ms(1500);
  TcpRig taker(config);
  listen_on(sender);
  const ListenerHandle listener = listen_on(taker);
  TcpPeer peer(sender), moved(taker);
  peer.send_syn();
  const auto answer = peer.read();
  REQUIRE(answer.size() == 1);
  const PeerSegment ack = peer.segment(kAck, 10);
  taker.receive(peer.flow(), ack);
  CHECK(accept(taker.ctx(), listener).has_value());
  CHECK(count_of(taker, Outcome::kCookieCompleted) == 1);
  // What the taker sends is not older, by its timestamps, than the cookie.
  taker.run_for(Duration::from_ms(200));
  const auto sent = taker.take_sent();
  REQUIRE(!sent.empty());
  CHECK(static_cast<std::int32_t>(sent[0].header.options.ts_val -
                                  answer[0].header.options.ts_val) >= 0);
  sender.require_clean();
  taker.require_clean();
}

}  // namespace sluice::tcp
