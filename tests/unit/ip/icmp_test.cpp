#include "ip/icmp.hpp"

#include <array>
#include <catch2/catch.hpp>

#include "tests/support/packet_builder.hpp"
#include "tests/support/require_pools_full.hpp"
#include "wire/checksum.hpp"

namespace {

using namespace sluice;
using ip::ErrorKind;
using ip::IcmpResponder;
using support::Octets;
using telemetry::Counter;
using telemetry::Outcome;

const Instant kNow = Instant::from_ns(1'000'000'000);

struct IcmpFixture {
  support::TestPools pools;
  std::array<ip::AddressRecord, 4> records{};
  ip::AddressTable addresses{records};
  telemetry::Metrics metrics;
  IcmpResponder responder{{.error = {10, 2}, .echo = {10, 2}}};

  IcmpFixture() {
    REQUIRE(addresses.add(0, *parse_prefix("10.0.0.2/24")) == ip::AddressTable::AddResult::kAdded);
  }
  static ip::Arrival arrival_of(const Octets& ip_packet) {
    return {*wire::parse_ipv4(ip_packet), ip::AddressKind::kOurs, false};
  }
  /// The message of `frame` as ICMP gets it; `packet` stays to be looked at.
  packet::PacketPtr packet;
  std::size_t most = 1480;  ///< Octets of a reply.
  IcmpResponder::Verdict hear(const Octets& frame, ip::AddressKind to = ip::AddressKind::kOurs,
                              bool is_link_broadcast = false) {
    const Octets ip_packet = support::ip_packet_of(frame);
    ip::Arrival arrival = arrival_of(ip_packet);
    arrival.destination = to;
    arrival.is_link_broadcast = is_link_broadcast;
    packet = support::make_packet(pools.receive(),
                                  std::span(ip_packet).subspan(arrival.header.header_length));
    return responder.on_message(*packet, arrival, addresses, most, kNow);
  }
};

support::IcmpFrame echo_request() {
  support::IcmpFrame frame;
  frame.icmp = {wire::icmp_type::kEchoRequest, 0, 0, 0x12340001};
  frame.data = support::pattern(57);
  return frame;
}

/// An error about a segment from us (10.0.0.2:80) to 10.9.9.9:40000.
support::IcmpFrame error_about_us(std::uint8_t type, std::uint8_t code, std::uint32_t rest = 0) {
  support::TcpFrame sent;
  sent.ip.source = Ipv4Addr::from_octets(10, 0, 0, 2);
  sent.ip.destination = Ipv4Addr::from_octets(10, 9, 9, 9);
  sent.tcp.source = Port{80};
  sent.tcp.destination = Port{40000};
  sent.tcp.seq = wire::SeqNum(0xfffffff0);
  support::IcmpFrame frame;
  frame.icmp = {type, code, 0, rest};
  frame.data = support::ip_packet_of(support::build(sent));
  frame.data.resize(28);
  return frame;
}

TEST_CASE("an echo request becomes its reply with the same data", "[ip][icmp][rfc792]") {
  IcmpFixture fixture;
  const auto verdict = fixture.hear(support::build(echo_request()));
  CHECK(verdict.outcome == Outcome::kIcmpEchoAnswered);
  CHECK(verdict.action == IcmpResponder::Action::kReply);
  const Octets reply = support::octets_of(*fixture.packet);
  CHECK(wire::checksum(reply) == 0);
  const auto header = wire::parse_icmp(reply);
  CHECK(header->type == wire::icmp_type::kEchoReply);
  CHECK(header->rest == 0x12340001);
  CHECK(Octets(reply.begin() + 8, reply.end()) == echo_request().data);
}

TEST_CASE("a reply is cut to what leaves in one packet", "[ip][icmp][rfc1122]") {
  IcmpFixture fixture;
  fixture.most = 20;
  CHECK(fixture.hear(support::build(echo_request())).action == IcmpResponder::Action::kReply);
  const Octets reply = support::octets_of(*fixture.packet);
  CHECK(reply.size() == 20);
  CHECK(wire::checksum(reply) == 0);
}

TEST_CASE("echo replies are limited in rate", "[ip][icmp]") {
  IcmpFixture fixture;
  const Octets frame = support::build(echo_request());
  CHECK(fixture.hear(frame).outcome == Outcome::kIcmpEchoAnswered);
  CHECK(fixture.hear(frame).outcome == Outcome::kIcmpEchoAnswered);
  const auto third = fixture.hear(frame);
  CHECK(third.outcome == Outcome::kIcmpEchoLimited);
  CHECK(third.action == IcmpResponder::Action::kNone);
}

TEST_CASE("an echo request by broadcast of either layer is ignored", "[ip][icmp][rfc1122]") {
  IcmpFixture fixture;
  const Octets frame = support::build(echo_request());
  CHECK(fixture.hear(frame, ip::AddressKind::kSubnetBroadcast).outcome == Outcome::kIcmpIgnored);
  CHECK(fixture.hear(frame, ip::AddressKind::kLimitedBroadcast, true).outcome ==
        Outcome::kIcmpIgnored);
}

TEST_CASE("a short message and a wrong checksum are refused", "[ip][icmp]") {
  IcmpFixture fixture;
  auto wrong = echo_request();
  wrong.icmp_checksum = support::ChecksumField::kWrong;
  CHECK(fixture.hear(support::build(wrong)).outcome == Outcome::kIcmpChecksum);
  for (std::size_t length = 0; length < 8; ++length)
    CHECK(fixture.hear(support::build_ipv4({}, 1, Octets(length))).outcome ==
          Outcome::kIcmpTruncated);
}

TEST_CASE("an error about a segment of ours is reported with its flow and sequence number",
          "[ip][icmp]") {
  IcmpFixture fixture;
  using namespace wire::icmp_type;
  const struct {
    std::uint8_t type;
    std::uint8_t code;
    ErrorKind kind;
  } cases[] = {
      {kUnreachable, 0, ErrorKind::kNetUnreachable},
      {kUnreachable, 1, ErrorKind::kHostUnreachable},
      {kUnreachable, 2, ErrorKind::kProtocolUnreachable},
      {kUnreachable, 3, ErrorKind::kPortUnreachable},
      {kUnreachable, 4, ErrorKind::kFragmentationNeeded},
      {kUnreachable, 5, ErrorKind::kHostUnreachable},
      {kUnreachable, 6, ErrorKind::kNetUnreachable},
      {kUnreachable, 7, ErrorKind::kHostUnreachable},
      {kUnreachable, 9, ErrorKind::kProhibited},
      {kUnreachable, 10, ErrorKind::kProhibited},
      {kUnreachable, 13, ErrorKind::kProhibited},
      {kTimeExceeded, 0, ErrorKind::kTimeExceeded},
      {kParameterProblem, 0, ErrorKind::kParameterProblem},
  };
  for (const auto& [type, code, kind] : cases) {
    INFO("type " << int{type} << " code " << int{code});
    const auto verdict = fixture.hear(support::build(error_about_us(type, code, 1400)));
    CHECK(verdict.outcome == Outcome::kIcmpErrorDelivered);
    CHECK(verdict.action == IcmpResponder::Action::kReport);
    CHECK(verdict.report.kind == kind);
    CHECK(verdict.report.mtu == (kind == ErrorKind::kFragmentationNeeded ? 1400 : 0));
    CHECK(verdict.report.quoted.source_port == Port{80});
    CHECK(verdict.report.quoted.destination_port == Port{40000});
    CHECK(verdict.report.quoted.seq == wire::SeqNum(0xfffffff0));
  }
}

//= rfc9293#3.9.2.2 MUST-55 test
TEST_CASE("types and codes that a host does not act on are ignored", "[ip][icmp]") {
  IcmpFixture fixture;
  using namespace wire::icmp_type;
  const std::pair<std::uint8_t, std::uint8_t> ignored[] = {
      {kEchoReply, 0}, {kSourceQuench, 0}, {kRedirect, 1}, {kUnreachable, 77}, {13, 0},
      {17, 0},         {kEchoRequest, 1},  {200, 0}};
  for (const auto& [type, code] : ignored)
    CHECK(fixture.hear(support::build(error_about_us(type, code))).outcome ==
          Outcome::kIcmpIgnored);
  CHECK(
      fixture
          .hear(support::build(error_about_us(kUnreachable, 3)), ip::AddressKind::kSubnetBroadcast)
          .outcome == Outcome::kIcmpIgnored);
}

TEST_CASE("an error about what we did not send is not believed", "[ip][icmp]") {
  IcmpFixture fixture;
  const auto with = [&](std::size_t offset, unsigned value) {
    auto frame = error_about_us(wire::icmp_type::kUnreachable, 3);
    frame.data[offset] = static_cast<std::byte>(value);
    return fixture.hear(support::build(frame)).outcome;
  };
  CHECK(with(15, 3) == Outcome::kIcmpErrorUnmatched);  // Source 10.0.0.3.
  CHECK(with(9, 17) == Outcome::kIcmpErrorUnmatched);  // UDP: we send none.
  CHECK(with(7, 1) == Outcome::kIcmpErrorUnmatched);   // A later fragment has no ports.
  CHECK(with(0, 0x44) == Outcome::kIcmpTruncated);     // No header that could be ours.
  for (std::size_t length = 0; length < 28; ++length) {
    auto frame = error_about_us(wire::icmp_type::kUnreachable, 3);
    frame.data.resize(length);
    CHECK(fixture.hear(support::build(frame)).outcome == Outcome::kIcmpTruncated);
  }
}

TEST_CASE("unreachable quotes the header and eight octets, within its rate",
          "[ip][icmp][rfc1122]") {
  IcmpFixture fixture;
  support::Ipv4Frame frame;
  frame.ip_options = support::octets({1, 1, 1, 0});
  const Octets offender =
      support::ip_packet_of(support::build_ipv4(frame, 17, support::pattern(64)));
  const auto arrival = IcmpFixture::arrival_of(offender);
  const auto packet = support::make_packet(fixture.pools.receive(), offender);
  const auto build = [&](const ip::Arrival& about) {
    return fixture.responder.unreachable(3, *packet, about, fixture.pools.control(),
                                         fixture.metrics, kNow);
  };
  const auto answer = build(arrival);
  REQUIRE(answer);
  const Octets message = support::octets_of(*answer);
  CHECK(wire::checksum(message) == 0);
  CHECK(wire::parse_icmp(message)->type == wire::icmp_type::kUnreachable);
  CHECK(wire::parse_icmp(message)->code == 3);
  CHECK(Octets(message.begin() + 8, message.end()) ==
        Octets(offender.begin(), offender.begin() + 32));

  SECTION("and is silent about broadcasts, ICMP and fragments") {
    auto silent = arrival;
    silent.destination = ip::AddressKind::kSubnetBroadcast;
    CHECK_FALSE(build(silent));
    silent = arrival;
    silent.is_link_broadcast = true;
    CHECK_FALSE(build(silent));
    silent = arrival;
    silent.header.protocol = wire::ip_protocol::kIcmp;
    CHECK_FALSE(build(silent));
    silent = arrival;
    silent.header.fragment_offset = 8;
    CHECK_FALSE(build(silent));
    CHECK(fixture.metrics.of(Counter::kIcmpSent) == 1);
    CHECK(fixture.metrics.of(Counter::kIcmpLimited) == 0);
  }
  SECTION("and counts those above the limit") {
    CHECK(build(arrival));
    CHECK_FALSE(build(arrival));
    CHECK(fixture.metrics.of(Counter::kIcmpSent) == 2);
    CHECK(fixture.metrics.of(Counter::kIcmpLimited) == 1);
  }
}

}  // namespace
