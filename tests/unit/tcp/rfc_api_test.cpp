// RFC 9293's requirements on what an application can say and learn, through the public API.

#include <catch2/catch.hpp>

#include "tests/unit/tcp/stack_rig.hpp"

namespace sluice {
namespace {

using namespace testing;
using wire::kAck;
using wire::kFin;
using wire::kUrg;

/// A stream of port 80, and nothing in `rig.sent`.
struct OpenStream {
  StackRig rig;
  Scripted handler;
  Accepting accepting;
  Stream stream;

  OpenStream() {
    accepting.handler = &handler;
    REQUIRE(rig.worker().listen({.port = Port{80}}, accepting).has_value());
    rig.connect();
    stream = accepting.last;
    rig.sent.clear();
  }
  std::uint32_t urgent_bytes() const {
    const auto info = stream.info();
    REQUIRE(info.has_value());
    return info->urgent_bytes;
  }
  void send(std::string_view text) {
    REQUIRE(stream.send(text).has_value());
    rig.round();
  }
};

support::IcmpFrame error_about(const support::ParsedFrame& ours, std::uint8_t type,
                               std::uint8_t code) {
  support::TcpFrame quoted;
  std::swap(quoted.ip.source, quoted.ip.destination);
  quoted.tcp.source = Port{80};
  quoted.tcp.destination = Port{40000};
  quoted.tcp.seq = ours.tcp->seq;
  support::IcmpFrame frame;
  frame.icmp = {type, code, 0, 0};
  frame.data = support::ip_packet_of(support::build(quoted));
  return frame;
}

}  // namespace

//= rfc9293#3.8.5 MUST-33 test
TEST_CASE("a stream says how much urgent data is left to be read", "[stack][api][rfc9293]") {
  OpenStream open;
  std::size_t taken = 0;
  open.handler.data = [&](Stream, RxData& data) {
    data.consume(taken);
    taken = 0;
  };
  CHECK(open.urgent_bytes() == 0);
  open.rig.client(kAck, 100);
  CHECK(open.urgent_bytes() == 0);
  open.rig.client(kAck | kUrg, 50, 80);  // 50 have come, 30 have not; 100 before them are unread
  CHECK(open.urgent_bytes() == 180);

  SECTION("octet by octet, whether they have come or not") {
    REQUIRE(open.stream.pause_reading().has_value());
    taken = 120;
    REQUIRE(open.stream.resume_reading().has_value());
    open.rig.round();
    CHECK(open.urgent_bytes() == 60);
    taken = 60;
    open.rig.client(kAck, 40);  // 30 urgent ones, and 10 more; 10 and the rest stay unread
    CHECK(open.urgent_bytes() == 0);
    open.rig.client(kAck | kUrg, 5, 1);  // the pointer may move again
    CHECK(open.urgent_bytes() == 11);
  }
  SECTION("nothing is left beyond a FIN") {
    open.rig.client(kFin | kAck);
    CHECK(open.urgent_bytes() == 150);
  }
}

//= rfc9293#3.9.1.8 MUST-47, SHLD-20, SHLD-25 test
TEST_CASE("a stream says which soft error was reported last, and calls nobody for it",
          "[stack][api][rfc9293]") {
  using namespace wire::icmp_type;
  struct Case {
    std::uint8_t type, code;
    SoftError error;
  };
  const Case reported = GENERATE(Case{kUnreachable, 0, SoftError::kNetUnreachable},
                                 Case{kUnreachable, 1, SoftError::kHostUnreachable},
                                 Case{kUnreachable, 13, SoftError::kProhibited},
                                 Case{kTimeExceeded, 0, SoftError::kTimeExceeded},
                                 Case{kParameterProblem, 0, SoftError::kParameterProblem});
  OpenStream open;
  open.send("x");
  REQUIRE(open.rig.sent.size() == 1);
  CHECK(open.stream.info()->soft_error == SoftError::kNone);
  const Calls before = open.handler.calls;
  open.rig.give(support::build(error_about(open.rig.sent[0], reported.type, reported.code)));
  REQUIRE(open.stream.info().has_value());
  CHECK(open.stream.info()->soft_error == reported.error);
  CHECK(open.handler.calls == before);
  open.rig.client(kAck, 10);  // and the connection goes on
  CHECK(open.handler.calls.back() == "data");
}

//= rfc9293#3.9.1.9 MUST-48, SHLD-21, SHLD-22 test
TEST_CASE("a stream sets the Differentiated Services field, and changes it",
          "[stack][api][rfc9293]") {
  OpenStream open;
  CHECK(open.stream.set_dscp(64).error() == Error::kInvalidArgument);
  open.send("a");
  REQUIRE(open.stream.set_dscp(46).has_value());
  open.rig.client(kAck);
  open.send("b");
  REQUIRE(open.stream.set_dscp(8).has_value());
  open.rig.wait(Duration::from_s(2));  // nobody answers: sent again, with what holds now
  REQUIRE(open.rig.sent.size() >= 3);
  CHECK(open.rig.sent[0].ip->traffic_class == 0);
  CHECK(open.rig.sent[1].ip->traffic_class == 46 << 2);
  CHECK(open.rig.sent[2].ip->traffic_class == 8 << 2);
  open.rig.client(kFin | kAck);
  open.rig.wait(Duration::from_s(1));
  CHECK(open.rig.sent.back().ip->traffic_class == 8 << 2);  // and in ACKs and FINs
}

}  // namespace sluice
