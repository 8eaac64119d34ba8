#include <array>
#include <catch2/catch.hpp>

#include "ip/ipv4_input.hpp"
#include "ip/ipv4_output.hpp"
#include "tests/support/packet_builder.hpp"
#include "tests/support/require_pools_full.hpp"

namespace {

using namespace sluice;
using support::Ipv4Frame;
using support::Octets;
using telemetry::Outcome;

struct InputFixture {
  std::array<ip::AddressRecord, 4> records{};
  ip::AddressTable addresses{records};
  InputFixture() {
    REQUIRE(addresses.add(0, *parse_prefix("10.0.0.2/24")) == ip::AddressTable::AddResult::kAdded);
    REQUIRE(addresses.add(0, *parse_prefix("10.7.0.2/16")) == ip::AddressTable::AddResult::kAdded);
    REQUIRE(addresses.add(1, *parse_prefix("192.0.2.2/24")) == ip::AddressTable::AddResult::kAdded);
  }
  Result<ip::Arrival, Outcome> accept(const Octets& frame, ip::InputContext context = {}) {
    const std::span packet = std::span(frame).subspan(wire::kEthernetHeader);
    if (context.packet_length == 0) context.packet_length = packet.size();
    return ip::accept_ipv4(packet, context, addresses);
  }
  Outcome refusal(const Ipv4Frame& frame, ip::InputContext context = {}) {
    const auto arrival = accept(support::build_ipv4(frame, 6, Octets(20)), context);
    REQUIRE_FALSE(arrival);
    return arrival.error();
  }
};

//= rfc9293#3.9.2 MUST-50 test
TEST_CASE("a packet for any address of the interface arrives", "[ip][input]") {
  InputFixture fixture;
  Ipv4Frame frame;
  frame.padding = 6;
  for (const char* destination : {"10.0.0.2", "10.7.0.2"}) {
    frame.ip.destination = parse_ip(destination)->v4();
    const auto arrival = fixture.accept(support::build_ipv4(frame, 6, Octets(20)));
    REQUIRE(arrival);
    CHECK(arrival->destination == ip::AddressKind::kOurs);
    CHECK(arrival->header.total_length == 40);
  }
  // Padding, record route, and an option that nobody has defined.
  for (const Octets& ip_options : {support::octets({1, 1, 1, 0}), support::octets({7, 3, 4, 0}),
                                   support::octets({30, 4, 9, 9})}) {
    frame.ip_options = ip_options;
    const auto arrival = fixture.accept(support::build_ipv4(frame, 6, Octets(20)));
    REQUIRE(arrival);
    CHECK(arrival->header.header_length == 24);
  }
}

TEST_CASE("wrong version, lengths and checksum are refused in that order", "[ip][input][rfc1122]") {
  InputFixture fixture;
  const Ipv4Frame right;
  const Octets whole = support::build_ipv4(right, 6, Octets(20));
  const auto refused_with = [&](std::size_t offset, unsigned value) {
    Octets wrong = whole;
    wrong[wire::kEthernetHeader + offset] = static_cast<std::byte>(value);
    const auto arrival = fixture.accept(wrong);
    return arrival ? Outcome::kCount : arrival.error();
  };
  CHECK(refused_with(0, 0x65) == Outcome::kIpVersion);
  CHECK(refused_with(0, 0x44) == Outcome::kIpHeaderLength);
  CHECK(refused_with(0, 0x4f) == Outcome::kIpHeaderLength);
  CHECK(refused_with(2, 0x05) == Outcome::kIpTruncated);
  CHECK(refused_with(10, 0) == Outcome::kIpChecksum);
  CHECK(refused_with(8, 63) == Outcome::kIpChecksum);
  for (std::size_t length = 0; length < 40; ++length) {
    const Octets cut(whole.begin(), whole.begin() + 14 + static_cast<std::ptrdiff_t>(length));
    ip::InputContext context;
    context.packet_length = length;
    const auto arrival = ip::accept_ipv4(std::span(cut).subspan(14), context, fixture.addresses);
    REQUIRE_FALSE(arrival);
    CHECK(arrival.error() == Outcome::kIpTruncated);
  }
}

TEST_CASE("a checksum that the port has verified is not computed again", "[ip][input]") {
  InputFixture fixture;
  Ipv4Frame frame;
  frame.ip_checksum = support::ChecksumField::kWrong;
  const Octets wrong = support::build_ipv4(frame, 6, Octets(20));
  CHECK(fixture.accept(wrong).error() == Outcome::kIpChecksum);
  CHECK(fixture.accept(wrong, {.checksum = ip::HardwareChecksum::kGood}));
}

TEST_CASE("a source that no other host can have is a martian", "[ip][input][rfc1122]") {
  InputFixture fixture;
  for (const char* source :
       {"0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
        "10.0.0.255", "10.7.255.255", "10.0.0.0", "10.0.0.2", "10.7.0.2", "192.0.2.2"}) {
    Ipv4Frame frame;
    frame.ip.source = parse_ip(source)->v4();
    INFO(source);
    CHECK(fixture.refusal(frame) == Outcome::kIpMartianSource);
  }
}

TEST_CASE("a destination that is not ours is refused", "[ip][input][rfc1122]") {
  InputFixture fixture;
  const auto refusal = [&](const char* destination, bool is_link_broadcast = false) {
    Ipv4Frame frame;
    frame.ip.destination = parse_ip(destination)->v4();
    ip::InputContext context;
    context.is_link_broadcast = is_link_broadcast;
    return fixture.refusal(frame, context);
  };
  CHECK(refusal("10.0.0.3") == Outcome::kIpNotForUs);
  CHECK(refusal("192.0.2.2") == Outcome::kIpNotForUs);  // Strong model: the other interface's.
  CHECK(refusal("224.0.0.1") == Outcome::kIpNotForUs);
  CHECK(refusal("0.0.0.0") == Outcome::kIpMartianDestination);
  CHECK(refusal("127.0.0.1") == Outcome::kIpMartianDestination);
  CHECK(refusal("250.0.0.1") == Outcome::kIpMartianDestination);
  CHECK(refusal("10.0.0.2", true) == Outcome::kIpMartianDestination);
}

TEST_CASE("broadcasts arrive as such", "[ip][input]") {
  InputFixture fixture;
  Ipv4Frame frame;
  frame.ip.destination = Ipv4Addr::from_octets(10, 0, 0, 255);
  CHECK(fixture.accept(support::build_ipv4(frame, 17, Octets(8)))->destination ==
        ip::AddressKind::kSubnetBroadcast);
  frame.ip.destination = Ipv4Addr{0xffffffff};
  CHECK(fixture.accept(support::build_ipv4(frame, 17, Octets(8)), {.is_link_broadcast = true})
            ->destination == ip::AddressKind::kLimitedBroadcast);
}

TEST_CASE("source routes and malformed options are refused", "[ip][input]") {
  InputFixture fixture;
  Ipv4Frame frame;
  frame.ip_options = support::octets({131, 7, 4, 10, 0, 0, 9, 0});
  CHECK(fixture.refusal(frame) == Outcome::kIpSourceRouted);
  frame.ip_options = support::octets({1, 137, 3, 4});
  CHECK(fixture.refusal(frame) == Outcome::kIpSourceRouted);
  frame.ip_options = support::octets({7, 0, 0, 0});
  CHECK(fixture.refusal(frame) == Outcome::kIpOptionMalformed);
  frame.ip_options = support::octets({7, 9, 4, 0});
  CHECK(fixture.refusal(frame) == Outcome::kIpOptionMalformed);
}

TEST_CASE("the sum over segments of any lengths is that over the whole", "[ip][output]") {
  support::TestPools pools;
  const Octets whole = support::pattern(61);
  for (std::size_t first = 1; first < 20; ++first) {
    for (std::size_t second = 1; second < 20; ++second) {
      const auto at = [&](std::size_t n) { return whole.begin() + static_cast<std::ptrdiff_t>(n); };
      const std::vector<Octets> parts = {Octets(at(0), at(first)),
                                         Octets(at(first), at(first + second)),
                                         Octets(at(first + second), whole.end())};
      const auto packet = support::make_packet(pools.receive(), parts);
      for (std::uint32_t offset : {0u, 1u, 5u, 22u, 40u, 61u}) {
        wire::Checksum sum;
        ip::add_packet(sum, *packet, offset);
        CHECK(sum.finish() == wire::checksum(std::span(whole).subspan(offset)));
      }
    }
  }
  support::require_pools_full(pools);
}

}  // namespace
