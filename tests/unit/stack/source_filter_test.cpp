#include <numeric>

#include "ip/prefix_filter.hpp"
#include "tests/unit/tcp/stack_rig.hpp"

namespace sluice::testing {
namespace {

using telemetry::Outcome;

ip::PrefixFilter denying(std::string_view prefix) {
  return ip::PrefixFilter(
      std::vector<ip::PrefixRule>{{*ip::parse_source_prefix(prefix), ip::SourceAction::kDeny}},
      ip::SourceAction::kAllow);
}

std::uint64_t outcomes(const StackRig& rig) {
  const auto& all = rig.stack->metrics().outcomes;
  return std::accumulate(all.begin(), all.end(), std::uint64_t{0});
}

}  // namespace

TEST_CASE("a denied source gets no answer: not to SYN, stray, ping or datagram", "[stack][gate]") {
  StackRig rig;
  Accepting accepting;
  REQUIRE(rig.worker().listen({.port = Port{80}}, accepting));
  const ip::PrefixFilter filter = denying("10.0.0.0/28");
  CHECK(rig.stack->set_prefix_filter(&filter) == nullptr);
  const auto& metrics = rig.stack->metrics();

  rig.client(wire::kSyn);
  rig.client(wire::kAck);
  support::IcmpFrame ping;
  ping.icmp.type = wire::icmp_type::kEchoRequest;
  rig.give(support::build(ping));
  rig.give(support::build(support::UdpFrame()));
  rig.give(support::build_ipv4({}, 132, support::Octets(20)));
  rig.wait(Duration::from_s(3));
  CHECK(rig.sent.empty());
  CHECK(metrics.of(Outcome::kSourceDenied) == 5);
  CHECK(outcomes(rig) == 5);
  CHECK(metrics.of(telemetry::Counter::kRxPackets) == 5);

  CHECK(rig.stack->set_prefix_filter(nullptr) == &filter);
  rig.client(wire::kSyn);
  CHECK(rig.has_sent(wire::kSyn));
  CHECK(metrics.of(Outcome::kSourceDenied) == 5);
  CHECK(outcomes(rig) == 6);
}

TEST_CASE("a source outside the denied prefix is served as ever", "[stack][gate]") {
  StackRig rig;
  Accepting accepting;
  REQUIRE(rig.worker().listen({.port = Port{80}}, accepting));
  const ip::PrefixFilter filter = denying("10.0.0.2/31");
  rig.stack->set_prefix_filter(&filter);
  rig.connect();
  CHECK(rig.stack->metrics().of(Outcome::kHandshakeCompleted) == 1);
  CHECK(rig.stack->metrics().of(Outcome::kSourceDenied) == 0);
}

TEST_CASE("a connection of a source that is denied waits for its timers, and goes on if allowed",
          "[stack][gate]") {
  StackRig rig;
  Scripted handler;
  handler.data = [](Stream stream, RxData& octets) { static_cast<void>(stream.send(octets)); };
  Accepting accepting;
  accepting.handler = &handler;
  REQUIRE(rig.worker().listen({.port = Port{80}}, accepting));
  rig.connect();
  rig.client(wire::kAck | wire::kPsh, 10);
  rig.sent.clear();

  const ip::PrefixFilter filter = denying("10.0.0.1");
  rig.stack->set_prefix_filter(&filter);
  rig.client(wire::kAck);
  rig.client(wire::kAck | wire::kRst);
  rig.wait(Duration::from_s(4));
  CHECK(rig.stack->metrics().of(Outcome::kSourceDenied) == 2);
  REQUIRE(rig.sent.size() > 1);  // the echo, again and again
  for (const auto& frame : rig.sent) CHECK(frame.payload.size() == 10);
  CHECK(handler.calls == Calls{"open", "data"});

  rig.stack->set_prefix_filter(nullptr);
  rig.client(wire::kAck);
  rig.client(wire::kAck | wire::kFin);
  CHECK(handler.calls == Calls{"open", "data", "peer closed"});
  CHECK(rig.has_sent(wire::kFin));
  rig.client(wire::kAck);
  CHECK(handler.calls == Calls{"open", "data", "peer closed", "closed"});
}

TEST_CASE("a denied connection ends by its own timeout", "[stack][gate]") {
  StackRig rig;
  Scripted handler;
  CloseReason why{};
  handler.closed = [&](Stream, CloseReason reason) { why = reason; };
  handler.data = [](Stream stream, RxData& octets) { static_cast<void>(stream.send(octets)); };
  Accepting accepting;
  accepting.handler = &handler;
  REQUIRE(rig.worker().listen({.port = Port{80}}, accepting));
  rig.connect();
  rig.client(wire::kAck | wire::kPsh, 10);
  const ip::PrefixFilter filter = denying("10.0.0.1");
  rig.stack->set_prefix_filter(&filter);
  rig.wait(rig.config.tcp.user_timeout + Duration::from_s(30));
  CHECK(why == CloseReason::kTimedOut);
}

}  // namespace sluice::testing
