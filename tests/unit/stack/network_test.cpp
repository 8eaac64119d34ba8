#include "stack/network.hpp"

#include "tests/unit/stack/net_fixture.hpp"

namespace {

using namespace sluice;
using stack::InterfaceConfig;
using stack::NetFixture;
using telemetry::SectionKind;

/// Two interfaces: 10.0.0.2/24 and 10.1.0.2/16 with the default route, 192.0.2.2/24 beside them.
NetFixture::Options two_interfaces() {
  NetFixture::Options options;
  options.config.interfaces[0].addresses.push_back(*parse_prefix("10.1.0.2/16"));
  InterfaceConfig second;
  second.name = "if1";
  second.addresses = {*parse_prefix("192.0.2.2/24"), *parse_prefix("198.51.100.7/32")};
  second.routes = {{*parse_prefix("203.0.113.0/24"), *parse_ip("192.0.2.1")}};
  second.neighbors = {{*parse_ip("192.0.2.1"), MacAddr{{2, 0, 0, 0, 0, 0x77}}}};
  options.config.interfaces.push_back(second);
  return options;
}

TEST_CASE("the path to a peer says the source address and the MTU", "[stack][network]") {
  NetFixture fixture(two_interfaces());
  fixture.egress.attach({.mtu = 1400}, MacAddr{{2, 0, 0, 0, 0, 3}}, 1);
  fixture.egress.attach({.mtu = 1300}, MacAddr{{2, 0, 0, 0, 0, 3}}, 1);
  const auto source = [&](const char* destination, const char* preferred = "0.0.0.0") {
    const auto path = fixture.network.path_to(*parse_ip(destination), *parse_ip(preferred));
    REQUIRE(path);
    return to_string(path->source);
  };
  CHECK(source("10.0.0.9") == "10.0.0.2");
  CHECK(source("10.1.7.7") == "10.1.0.2");
  CHECK(source("8.8.8.8") == "10.0.0.2");  // The gateway's subnet.
  CHECK(source("192.0.2.9") == "192.0.2.2");
  CHECK(source("203.0.113.1") == "192.0.2.2");
  CHECK(source("10.0.0.9", "10.1.0.2") == "10.1.0.2");
  CHECK(fixture.network.path_to(*parse_ip("10.0.0.9"), {})->mtu == 1500);
  CHECK(fixture.network.path_to(*parse_ip("192.0.2.9"), {})->mtu == 1300);  // Of all its ports.
}

//= rfc9293#3.9.1.1 MUST-46 test
TEST_CASE("a path fails without a route, a port or the address asked for", "[stack][network]") {
  NetFixture fixture(two_interfaces());
  const auto error = [&](const char* destination, const char* preferred = "0.0.0.0") {
    const auto path = fixture.network.path_to(*parse_ip(destination), *parse_ip(preferred));
    REQUIRE_FALSE(path);
    return path.error();
  };
  CHECK(error("192.0.2.9") == tcp::PathError::kNoRoute);  // Its interface has no port.
  CHECK(error("10.0.0.2") == tcp::PathError::kNoRoute);
  CHECK(error("10.0.0.255") == tcp::PathError::kNoRoute);
  CHECK(error("224.0.0.1") == tcp::PathError::kNoRoute);
  CHECK(error("2001:db8::1") == tcp::PathError::kNoRoute);
  CHECK(error("10.0.0.9", "10.0.0.3") == tcp::PathError::kNoAddress);
}

TEST_CASE("addresses, routes and neighbours of the config lie in the region", "[stack][network]") {
  NetFixture fixture(two_interfaces());
  const auto addresses = fixture.region.section<ip::AddressRecord>(SectionKind::kAddresses, 0);
  CHECK(addresses.size() == 4 + 16);  // room for what the operator adds
  CHECK(addresses[3].address == *parse_ip("198.51.100.7"));
  CHECK(addresses[3].interface == 1);
  CHECK(addresses[4].in_use == 0);

  const auto routes = fixture.region.section<ip::RouteRecord>(SectionKind::kRoutes, 0);
  CHECK(routes.size() == fixture.config.max_routes);
  CHECK(fixture.network.routes().size() == 5);  // No connected route of a /32.
  CHECK(routes[4].prefix_length == 0);
  CHECK(routes[4].gateway == *parse_ip("10.0.0.254"));
  CHECK(routes[4].is_connected == 0);
  CHECK(routes[0].is_connected == 1);

  const link::NeighborRecord* pinned =
      fixture.network.neighbors().find({1, *parse_ip("192.0.2.1")});
  REQUIRE(pinned != nullptr);
  CHECK(pinned->state == link::NeighborState::kStatic);
  CHECK(fixture.region.section<link::NeighborRecord>(SectionKind::kNeighbors, 0).size() ==
        fixture.config.max_neighbors);
}

TEST_CASE("each interface is sent to by its own port and MAC", "[stack][network]") {
  NetFixture fixture(two_interfaces());
  const MacAddr second_mac{{2, 0, 0, 0, 0, 3}};
  const unsigned second = fixture.egress.attach({}, second_mac, 1);
  auto segment = fixture.make_segment(0, "203.0.113.5");
  segment.source = *parse_ip("192.0.2.2");
  fixture.egress.send(std::move(segment), fixture.now);
  CHECK(fixture.sent(0).empty());
  const auto sent = fixture.sent(second);
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].ethernet.source == second_mac);
  CHECK(sent[0].ethernet.destination == MacAddr{{2, 0, 0, 0, 0, 0x77}});
  fixture.require_clean();
}

}  // namespace
