// The public API on a whole stack::Stack: what misuse gives, and what handlers may do to
// themselves.

#include <catch2/catch.hpp>

#include "tests/unit/tcp/stack_rig.hpp"

namespace sluice {
namespace {

using namespace testing;
using support::octets_of;
using support::shared_pools;
using wire::kAck;
using wire::kFin;
using wire::kRst;
using wire::kSyn;

std::string text_of(const support::Octets& octets) {
  std::string text(octets.size(), '\0');
  std::transform(octets.begin(), octets.end(), text.begin(),
                 [](std::byte octet) { return static_cast<char>(octet); });
  return text;
}

}  // namespace

TEST_CASE("a stale or default handle gives an error from every call", "[stack][api]") {
  Stream none;
  CHECK(none.is_stale());
  CHECK(none.read().error() == Error::kStaleHandle);
  CHECK(none.send("x").error() == Error::kStaleHandle);
  CHECK(none.shutdown().error() == Error::kStaleHandle);
  CHECK(none.close().error() == Error::kStaleHandle);
  CHECK(none.abort().error() == Error::kStaleHandle);
  CHECK(none.info().error() == Error::kStaleHandle);
  CHECK(none.set_timer(Duration::from_s(1)).error() == Error::kStaleHandle);
  CHECK(Listener{}.accept(nullptr).error() == Error::kStaleHandle);
  CHECK(Listener{}.close().error() == Error::kStaleHandle);

  StackRig rig;
  Scripted handler;
  Accepting accepting;
  accepting.handler = &handler;
  const auto listener = rig.worker().listen({.port = Port{80}}, accepting);
  REQUIRE(listener.has_value());
  rig.connect();
  Stream stream = accepting.last;
  CHECK(!stream.is_stale());
  rig.client(kRst);
  CHECK(handler.calls == Calls{"open", "closed"});
  CHECK(stream.is_stale());
  CHECK(stream.send("x").error() == Error::kStaleHandle);
  // The slot is taken by another connection: the old handle does not reach it.
  rig.nxt = wire::SeqNum{90'000};
  rig.connect();
  CHECK(accepting.last.handle().index == stream.handle().index);
  CHECK(stream.close().error() == Error::kStaleHandle);
  CHECK(!accepting.last.is_stale());
}

TEST_CASE("send() after shutdown() or close() is an error, and a second close() too",
          "[stack][api]") {
  StackRig rig;
  Scripted handler;
  Accepting accepting;
  accepting.handler = &handler;
  REQUIRE(rig.worker().listen({.port = Port{80}}, accepting).has_value());
  rig.connect();
  Stream stream = accepting.last;
  REQUIRE(stream.shutdown().has_value());
  CHECK(stream.send("late").error() == Error::kClosing);
  CHECK(stream.shutdown().error() == Error::kClosing);
  REQUIRE(stream.close().has_value());
  const auto is_closing = [&] {
    CHECK(stream.send("late").error() == Error::kClosing);
    CHECK(stream.shutdown().error() == Error::kClosing);
    CHECK(stream.read().error() == Error::kClosing);
    CHECK(stream.close().error() == Error::kClosing);
    CHECK(stream.set_timer(Duration::from_s(1)).error() == Error::kClosing);
    CHECK(!stream.is_stale());
    CHECK(stream.info().has_value());
  };
  is_closing();
  rig.round();
  REQUIRE(stream.abort().has_value());  // the peer's FIN is not waited for
  is_closing();
  rig.round();
  CHECK(handler.calls == Calls{"open", "closed"});
  CHECK(stream.close().error() == Error::kStaleHandle);
  CHECK(stream.abort().error() == Error::kStaleHandle);
  CHECK(stream.set_handler(nullptr).error() == Error::kStaleHandle);
}

TEST_CASE("a listener too many is refused by a name of its own, and each of many accepts",
          "[stack][api]") {
  stack::StackConfig config = small_stack();
  config.tcp.max_listeners = 70;
  StackRig rig(config);
  std::vector<Scripted> handlers(70);
  std::vector<Accepting> accepting(70);
  for (std::size_t i = 0; i < handlers.size(); ++i) {
    accepting[i].handler = &handlers[i];
    const Port port{static_cast<std::uint16_t>(11 + i)};
    REQUIRE(rig.worker().listen({.port = port}, accepting[i]).has_value());
  }
  const auto refused = rig.worker().listen({.port = Port{443}}, accepting[0]);
  REQUIRE(!refused);
  CHECK(refused.error() == Error::kTooManyListeners);
  CHECK(to_string(refused.error()).find("tcp.max_listeners") != std::string_view::npos);
  rig.connect();  // to port 80, the last of them
  CHECK(handlers.back().calls == Calls{"open"});
}

TEST_CASE("a handler may close, abort or replace its stream in any callback", "[stack][api]") {
  StackRig rig;
  Scripted handler, other;
  Accepting accepting;
  accepting.handler = &handler;
  REQUIRE(rig.worker().listen({.port = Port{80}}, accepting).has_value());
  SECTION("close() in on_open") {
    handler.opened = [](Stream stream) { static_cast<void>(stream.close()); };
    rig.connect();
    CHECK(rig.has_sent(kFin));
  }
  SECTION("close() in on_data, with octets left, is a RST") {
    handler.data = [](Stream stream, RxData&) { static_cast<void>(stream.close()); };
    rig.connect();
    rig.client(kAck, 100);
  }
  SECTION("abort() in on_data") {
    handler.data = [](Stream stream, RxData&) { static_cast<void>(stream.abort()); };
    rig.connect();
    rig.client(kAck, 100);
    CHECK(rig.has_sent(kRst));
    CHECK(accepting.last.is_stale());
  }
  SECTION("another handler in on_data") {
    handler.data = [&](Stream stream, RxData& data) {
      data.consume(data.size());
      CHECK(stream.set_handler(&other).has_value());
    };
    rig.connect();
    rig.client(kAck, 100);
    rig.client(kAck, 100);
    CHECK(handler.calls == Calls{"open", "data"});
    CHECK(other.calls == Calls{"data"});
  }
  SECTION("everything at once in on_closed") {
    handler.closed = [](Stream stream, CloseReason) {
      static_cast<void>(stream.send("x"));
      static_cast<void>(stream.close());
      static_cast<void>(stream.abort());
      static_cast<void>(stream.set_handler(nullptr));
    };
    rig.connect();
    rig.client(kRst);
    CHECK(accepting.last.is_stale());
  }
}

TEST_CASE("an application may delete a handler's state in its own callback", "[stack][api]") {
  StackRig rig;
  auto handler = std::make_unique<Scripted>();
  Accepting accepting;
  accepting.handler = handler.get();
  REQUIRE(rig.worker().listen({.port = Port{80}}, accepting).has_value());
  bool was_called = false;
  SECTION("after abort() in on_data, once the stream has no handler") {
    handler->data = [&](Stream stream, RxData& data) {
      was_called = true;
      data.consume(data.size());
      CHECK(stream.set_handler(nullptr).has_value());
      CHECK(stream.abort().has_value());
      const auto keep_alive = std::move(handler->data);  // the call itself still runs
      handler.reset();
    };
    rig.connect();
    rig.client(kAck, 100);
  }
  SECTION("after close() in on_data, which leaves on_closed to nobody") {
    handler->data = [&](Stream stream, RxData& data) {
      was_called = true;
      data.consume(data.size());
      CHECK(stream.close().has_value());
      CHECK(stream.set_handler(nullptr).has_value());
      const auto keep_alive = std::move(handler->data);
      handler.reset();
    };
    rig.connect();
    rig.client(kAck, 100);
    rig.client(kFin | kAck);
    CHECK(accepting.last.is_stale());
  }
  SECTION("after abort() in on_open, taken off only then") {
    handler->opened = [&](Stream stream) {
      was_called = true;
      CHECK(stream.abort().has_value());
      CHECK(stream.set_handler(nullptr).has_value());
      const auto keep_alive = std::move(handler->opened);
      handler.reset();
    };
    rig.connect();
    CHECK(accepting.last.is_stale());
  }
  SECTION("in on_closed") {
    handler->closed = [&](Stream, CloseReason) {
      was_called = true;
      const auto keep_alive = std::move(handler->closed);
      handler.reset();
    };
    rig.connect();
    rig.client(kRst);
  }
  CHECK(was_called);
  CHECK(handler == nullptr);
  rig.wait(Duration::from_s(1));
}

TEST_CASE("a handler that can never take what is left of an ended stream does not keep it",
          "[stack][api]") {
  // An echo after its own FIN: send() takes nothing, so the octets stay in `data`. Found by a
  // simulated world in which a drain had sent the FIN.
  StackRig rig;
  Scripted handler;
  Accepting accepting;
  accepting.handler = &handler;
  std::size_t read = 0;
  REQUIRE(rig.worker().listen({.port = Port{80}}, accepting).has_value());
  rig.connect();
  Stream stream = accepting.last;
  const auto end_by_both = [&] {
    REQUIRE(stream.shutdown().has_value());
    rig.round();
    rig.client(kAck, 100);
    rig.client(kFin | kAck);
  };
  SECTION("it takes nothing: the rest is discarded, and no end of stream is told") {
    handler.data = [](Stream at, RxData& data) { CHECK(!at.send(data)); };
    handler.closed = [](Stream at, CloseReason reason) {
      CHECK(reason == CloseReason::kAborted);
      CHECK(at.read().error() == Error::kReset);
    };
    end_by_both();
    CHECK(handler.calls.back() == "closed");
    CHECK(std::count(handler.calls.begin(), handler.calls.end(), "peer closed") == 0);
    CHECK(stream.is_stale());
  }
  SECTION("it takes some each time: it is called again until it has all") {
    handler.data = [&](Stream, RxData& data) {
      read += 30 < data.size() ? 30 : data.size();
      data.consume(30 < data.size() ? 30 : data.size());
    };
    end_by_both();
    CHECK(read == 100);
    CHECK(handler.calls.back() == "closed");
    CHECK(std::count(handler.calls.begin(), handler.calls.end(), "peer closed") == 1);
  }
  SECTION("it pauses reading: the octets wait for it, and what it refuses then is discarded") {
    handler.data = [](Stream at, RxData&) { CHECK(at.pause_reading().has_value()); };
    end_by_both();
    rig.wait(Duration::from_s(5));
    CHECK(handler.calls == Calls{"open", "data"});
    handler.data = [](Stream, RxData&) {};
    REQUIRE(stream.resume_reading().has_value());
    rig.round();
    CHECK(handler.calls == Calls{"open", "data", "data", "closed"});
  }
  SECTION("LAST-ACK ends the connection while octets are refused") {
    handler.data = [](Stream, RxData&) {};
    rig.client(kAck, 100);
    rig.client(kFin | kAck);  // CLOSE-WAIT, and the handler has not heard of it yet
    REQUIRE(stream.shutdown().has_value());
    rig.round();
    rig.client(kAck);
    CHECK(handler.calls.back() == "closed");
    CHECK(stream.is_stale());
  }
  SECTION("it has gone: the worker rests, and read() gives what it left") {
    handler.data = [](Stream, RxData&) {};
    rig.client(kAck, 100);
    REQUIRE(stream.set_handler(nullptr).has_value());
    end_by_both();
    CHECK(!rig.stack->has_work());
    const auto data = stream.read();
    REQUIRE(data.has_value());
    CHECK(data->size() == 200);
  }
}

TEST_CASE("close() with unread octets is a RST", "[stack][api][rfc1122]") {
  StackRig rig;
  Accepting accepting;  // no handler: nobody reads
  REQUIRE(rig.worker().listen({.port = Port{80}}, accepting).has_value());
  rig.connect();
  rig.client(kAck, 100);
  REQUIRE(accepting.last.close().has_value());
  rig.round();
  CHECK(rig.has_sent(kRst));
  CHECK(!rig.has_sent(kFin));
}

TEST_CASE("received octets that the application keeps are charged to the window", "[stack][api]") {
  StackRig rig;
  Scripted handler;
  Accepting accepting;
  accepting.handler = &handler;
  std::vector<RxData> kept;
  handler.data = [&](Stream, RxData& data) { kept.push_back(std::move(data)); };
  REQUIRE(rig.worker().listen({.port = Port{80}}, accepting).has_value());
  rig.connect();
  // The client offers no window scale: 64 KiB of the buffer of 128 KiB can be shown.
  for (int i = 0; i < 90; ++i) rig.client(kAck, 1400);
  rig.wait(Duration::from_ms(100));
  const std::uint16_t narrow = rig.sent.back().tcp->window;
  CHECK(narrow < 16'000);
  std::size_t octets = 0;
  for (const RxData& data : kept) octets += data.size();
  CHECK(octets == 90 * 1400);
  kept.clear();
  rig.round();
  CHECK(rig.sent.back().tcp->window > 60'000);  // an update, unasked
}

TEST_CASE("octets of another connection left in on_data are kept and offered there",
          "[stack][api]") {
  StackRig rig;
  Scripted giver, taker;
  Accepting accepting;
  accepting.handler = &giver;
  RxData parked;
  giver.data = [&](Stream, RxData& data) { parked = std::move(data); };
  std::vector<std::string> offered;
  taker.data = [&](Stream, RxData& data) {
    offered.push_back(data.to_string());
    if (offered.size() > 1) return data.consume(data.size());
    std::swap(data, parked);
  };
  REQUIRE(rig.worker().listen({.port = Port{80}}, accepting).has_value());
  rig.connect();
  const Stream first = accepting.last;
  rig.client(kAck, 300);
  rig.wait(Duration::from_ms(100));  // it is acknowledged, and stays away from here on
  const std::uint32_t narrow = first.info()->receive_window_bytes;
  accepting.handler = &taker;
  rig.port = Port{40001};
  rig.nxt = wire::SeqNum{90'000};
  rig.connect();
  rig.client(kAck, 100);
  CHECK(parked.size() == 100);
  CHECK(first.info()->receive_window_bytes >= narrow);
  rig.client(kAck, 50);
  REQUIRE(offered.size() == 2);
  CHECK(offered[1].size() == 350);
  CHECK(offered[1].substr(0, 300) == text_of(support::pattern(300)));
  CHECK(offered[1].substr(300) == text_of(support::pattern(50)));
  parked = RxData{};
  rig.wait(Duration::from_s(1));
  CHECK(!accepting.last.is_stale());
  CHECK(accepting.last.info()->receive_queued_bytes == 0);
}

TEST_CASE("octets kept beyond the connection's end, and beyond the next one's, stay valid",
          "[stack][api]") {
  StackRig rig;
  Scripted handler;
  Accepting accepting;
  accepting.handler = &handler;
  RxData kept;
  handler.data = [&](Stream, RxData& data) { kept = std::move(data); };
  REQUIRE(rig.worker().listen({.port = Port{80}}, accepting).has_value());
  rig.connect();
  rig.client(kAck, 300);
  rig.client(kRst);
  handler.data = nullptr;
  rig.nxt = wire::SeqNum{90'000};
  rig.connect();
  const std::string text = kept.to_string();
  CHECK(text.size() == 300);
  CHECK(static_cast<unsigned char>(text[299]) == 299 % 251);
  kept = RxData{};  // credited to nobody: the slot belongs to another
  CHECK(accepting.last.info()->receive_window_bytes > 0);
}

//= rfc9293#3.7.4 MUST-17 test
//= rfc9293#3.8.3 MUST-21 test
//= rfc9293#3.8.4 MUST-24 test
TEST_CASE("a stream sets its own Nagle algorithm, user timeout and keep-alives", "[stack][api]") {
  StackRig rig;
  Scripted handler;
  std::optional<CloseReason> reason;
  handler.closed = [&](Stream, CloseReason why) { reason = why; };
  Accepting accepting;
  accepting.handler = &handler;
  REQUIRE(rig.worker().listen({.port = Port{80}}, accepting).has_value());
  rig.connect();
  Stream stream = accepting.last;
  rig.sent.clear();
  const auto sent_after_two_sends = [&] {
    REQUIRE(stream.send("a").has_value());
    rig.round();
    REQUIRE(stream.send("b").has_value());
    rig.round();
    return rig.sent.size();
  };
  SECTION("Nagle on") {
    CHECK(sent_after_two_sends() == 1);
  }
  SECTION("Nagle off") {
    REQUIRE(stream.set_nodelay(true).has_value());
    CHECK(sent_after_two_sends() == 2);
  }
  SECTION("a user timeout") {
    REQUIRE(stream.set_user_timeout(Duration::from_s(5)).has_value());
    REQUIRE(stream.send("a").has_value());
    rig.round();
    rig.wait(Duration::from_ms(4900));
    CHECK(!reason);
    rig.wait(Duration::from_ms(200));
    CHECK(reason == CloseReason::kTimedOut);
  }
  SECTION("a user timeout for what is in flight already, its RTO backed off to a minute") {
    REQUIRE(stream.send("a").has_value());
    rig.wait(Duration::from_s(60));
    CHECK(!reason);
    REQUIRE(stream.set_user_timeout(Duration::from_s(70)).has_value());
    rig.wait(Duration::from_ms(9900));
    CHECK(!reason);
    rig.wait(Duration::from_ms(200));
    CHECK(reason == CloseReason::kTimedOut);
  }
  SECTION("a user timeout that is over already for what is in flight") {
    REQUIRE(stream.send("a").has_value());
    rig.wait(Duration::from_s(60));
    REQUIRE(stream.set_user_timeout(Duration::from_s(5)).has_value());
    rig.wait(Duration::from_ms(10));
    CHECK(reason == CloseReason::kTimedOut);
  }
  SECTION("keep-alives on, and off again") {
    REQUIRE(stream.set_keepalive(true).has_value());
    rig.wait(Duration::from_s(7201));
    CHECK(rig.sent.size() == 1);
    rig.client(kAck);
    rig.sent.clear();
    REQUIRE(stream.set_keepalive(false).has_value());
    rig.wait(Duration::from_s(7300));
    CHECK(rig.sent.empty());
  }
}

}  // namespace sluice
