#include "stack/network_change.hpp"

#include <cstring>

#include "tests/unit/stack/net_fixture.hpp"

namespace {

using namespace sluice;
using stack::ChangeError;
using stack::ChangeUndo;
using stack::NetFixture;
using stack::NetworkChange;
using telemetry::Counter;
using telemetry::Outcome;
using telemetry::SectionKind;
using Kind = NetworkChange::Kind;

const MacAddr kGatewayMac{{2, 0, 0, 0, 0, 0xfe}};
const MacAddr kOtherMac{{2, 0, 0, 0, 0, 0x99}};

NetworkChange make(Kind kind, const char* prefix) {
  NetworkChange change;
  change.kind = kind;
  change.prefix = *parse_prefix(prefix);
  return change;
}

struct ChangeFixture : NetFixture {
  using NetFixture::NetFixture;
  ChangeUndo undo;

  Result<void, ChangeError> change(const NetworkChange& wanted) {
    return egress.change(wanted, undo, now);
  }
  Result<void, ChangeError> address(Kind kind, const char* prefix) {
    return change(make(kind, prefix));
  }
  Result<void, ChangeError> route(Kind kind, const char* prefix, const char* gateway = "0.0.0.0") {
    NetworkChange wanted = make(kind, prefix);
    wanted.gateway = *parse_ip(gateway);
    return change(wanted);
  }
  Result<void, ChangeError> neighbor(Kind kind, const char* address, const MacAddr& mac = {}) {
    NetworkChange wanted = make(kind, (std::string(address) + "/32").c_str());
    wanted.mac = mac;
    return change(wanted);
  }
  /// What a reader of the region sees of addresses and routes, versions apart.
  std::string tables() {
    std::string text;
    for (const auto& record : region.section<ip::AddressRecord>(SectionKind::kAddresses, 0))
      if (record.in_use != 0) text += to_string(Prefix{record.address, record.prefix_length}) + " ";
    for (const auto& record : region.section<ip::RouteRecord>(SectionKind::kRoutes, 0))
      if (record.in_use != 0)
        text += to_string(Prefix{record.destination, record.prefix_length}) + ">" +
                to_string(record.gateway) + (record.is_connected != 0 ? "c " : " ");
    return text;
  }
  /// The MAC address that a segment to `destination` goes to; broadcast: it is asked for.
  MacAddr mac_to(const char* destination, tcp::PathHint* hint = nullptr,
                 const char* source = "10.0.0.2") {
    auto segment = make_segment(0, destination);
    segment.source = *parse_ip(source);
    segment.hint = hint;
    egress.send(std::move(segment), now);
    const auto frames = sent();
    return frames.empty() ? MacAddr{} : frames.front().ethernet.destination;
  }
};

TEST_CASE("an address that is added is ours at once, and brings the route to its subnet along",
          "[stack][network][operator]") {
  ChangeFixture fixture;
  const std::string before = fixture.tables();
  REQUIRE(fixture.address(Kind::kAddAddress, "10.5.0.9/16"));
  CHECK(fixture.network.path_to(*parse_ip("10.5.7.7"), {})->source == *parse_ip("10.5.0.9"));
  support::ArpFrame request;
  request.ethernet = {.destination = MacAddr::broadcast(), .source = kOtherMac};
  request.arp = {wire::ArpOperation::kRequest,
                 kOtherMac,
                 parse_ip("10.5.0.1")->v4(),
                 {},
                 parse_ip("10.5.0.9")->v4()};
  CHECK(fixture.receive(support::build(request)) == Outcome::kArpRequestAnswered);
  CHECK(fixture.network.addresses().classify(0, parse_ip("10.5.255.255")->v4()) ==
        ip::AddressKind::kSubnetBroadcast);

  // A second one of the same subnet needs no route, and the subnet keeps it to the last of them.
  REQUIRE(fixture.address(Kind::kAddAddress, "10.5.0.10/16"));
  REQUIRE(fixture.address(Kind::kRemoveAddress, "10.5.0.9/16"));
  CHECK(fixture.network.path_to(*parse_ip("10.5.7.7"), {})->source == *parse_ip("10.5.0.10"));
  REQUIRE(fixture.address(Kind::kRemoveAddress, "10.5.0.10/16"));
  CHECK(fixture.tables() == before);
  CHECK(fixture.network.path_to(*parse_ip("10.5.7.7"), {})->source == *parse_ip("10.0.0.2"));
  CHECK(fixture.receive(support::build(request)) != Outcome::kArpRequestAnswered);
  fixture.require_clean();
}

TEST_CASE("a change that is taken back leaves every table as it was, in its order",
          "[stack][network][operator]") {
  NetFixture::Options options;
  options.config.interfaces[0].addresses = {
      *parse_prefix("10.0.0.2/24"), *parse_prefix("10.7.0.2/24"), *parse_prefix("10.8.0.2/24")};
  options.config.interfaces[0].routes.push_back(
      {*parse_prefix("192.0.2.0/24"), *parse_ip("10.7.0.1"), tcp::Algorithm::kBbr});
  options.config.interfaces[0].routes.push_back(
      {*parse_prefix("198.51.100.0/24"), *parse_ip("10.8.0.1"), {}});
  ChangeFixture fixture(options);
  const std::string before = fixture.tables();
  const auto expect_undone = [&](const Result<void, ChangeError>& done) {
    REQUIRE(done);
    CHECK(fixture.tables() != before);
    fixture.egress.revert(fixture.undo, fixture.now);
    CHECK(fixture.tables() == before);
  };
  expect_undone(fixture.address(Kind::kAddAddress, "10.9.0.2/24"));
  expect_undone(fixture.address(Kind::kAddAddress, "10.7.0.3/24"));
  expect_undone(fixture.address(Kind::kRemoveAddress, "10.7.0.2/24"));
  expect_undone(fixture.address(Kind::kRemoveAddress, "10.0.0.2/24"));
  expect_undone(fixture.route(Kind::kAddRoute, "203.0.113.0/24", "10.7.0.1"));
  expect_undone(fixture.route(Kind::kRemoveRoute, "192.0.2.0/24"));
  CHECK(fixture.network.path_to(*parse_ip("192.0.2.1"), {})->congestion == tcp::Algorithm::kBbr);
  CHECK(fixture.network.interface(0).prefixes ==
        std::vector<Prefix>(options.config.interfaces[0].addresses));

  REQUIRE(fixture.neighbor(Kind::kPinNeighbor, "10.0.0.7", kOtherMac));
  fixture.egress.revert(fixture.undo, fixture.now);
  CHECK(fixture.network.neighbors().find({0, *parse_ip("10.0.0.7")}) == nullptr);
  REQUIRE(fixture.neighbor(Kind::kPinNeighbor, "10.0.0.7", kOtherMac));
  REQUIRE(fixture.neighbor(Kind::kForgetNeighbor, "10.0.0.7"));
  fixture.egress.revert(fixture.undo, fixture.now);
  REQUIRE(fixture.network.neighbors().find({0, *parse_ip("10.0.0.7")}) != nullptr);
  CHECK(fixture.mac_to("10.0.0.7") == kOtherMac);
  fixture.require_clean();
}

//= rfc1122#3.2.1.3 MUST test
TEST_CASE("from an address that was taken away nothing leaves until it is back",
          "[stack][network][operator]") {
  ChangeFixture fixture;
  REQUIRE(fixture.address(Kind::kAddAddress, "10.0.0.9/24"));
  REQUIRE(fixture.neighbor(Kind::kPinNeighbor, "10.0.0.254", kGatewayMac));
  tcp::PathHint near, far;
  fixture.know_peer();
  CHECK(fixture.mac_to("10.0.0.1", &near, "10.0.0.9") == fixture.ends.source_mac);
  CHECK(fixture.mac_to("8.8.8.8", &far, "10.0.0.9") == kGatewayMac);
  REQUIRE(fixture.address(Kind::kRemoveAddress, "10.0.0.9/24"));
  for (tcp::PathHint* hint : {&near, &far, static_cast<tcp::PathHint*>(nullptr)}) {
    CHECK(fixture.mac_to("10.0.0.1", hint, "10.0.0.9").is_zero());
    CHECK(fixture.mac_to("8.8.8.8", hint, "10.0.0.9").is_zero());
  }
  CHECK(fixture.count(Counter::kTxNoRoute) == 6);
  CHECK(fixture.egress.reports().size() == 6);
  CHECK(fixture.network.path_to(*parse_ip("8.8.8.8"), *parse_ip("10.0.0.9")).error() ==
        tcp::PathError::kNoAddress);
  CHECK(fixture.mac_to("8.8.8.8") == kGatewayMac);  // of another address of ours
  REQUIRE(fixture.address(Kind::kAddAddress, "10.0.0.9/24"));
  CHECK(fixture.mac_to("8.8.8.8", &far, "10.0.0.9") == kGatewayMac);
  fixture.require_clean();
}

TEST_CASE("the next segment goes by a new route, whatever its connection remembers of the old one",
          "[stack][network][operator]") {
  ChangeFixture fixture;
  REQUIRE(fixture.neighbor(Kind::kPinNeighbor, "10.0.0.254", kGatewayMac));
  REQUIRE(fixture.neighbor(Kind::kPinNeighbor, "10.0.0.253", kOtherMac));
  tcp::PathHint hint;
  const auto go = [&] { return fixture.mac_to("192.0.2.5", &hint); };
  for (int i = 0; i < 2; ++i) CHECK(go() == kGatewayMac);
  REQUIRE(fixture.route(Kind::kAddRoute, "192.0.2.0/24", "10.0.0.253"));
  for (int i = 0; i < 2; ++i) CHECK(go() == kOtherMac);
  // Without a hint, by the memory of the gateway's route.
  CHECK(fixture.mac_to("192.0.2.5") == kOtherMac);
  REQUIRE(fixture.route(Kind::kAddRoute, "192.0.2.5/32"));
  CHECK(go() == MacAddr::broadcast());  // on-link now: asked for
  REQUIRE(fixture.route(Kind::kRemoveRoute, "192.0.2.5/32"));
  CHECK(go() == kOtherMac);
  REQUIRE(fixture.route(Kind::kRemoveRoute, "192.0.2.0/24", "10.0.0.253"));
  CHECK(go() == kGatewayMac);
  REQUIRE(fixture.route(Kind::kRemoveRoute, "0.0.0.0/0"));
  CHECK(go().is_zero());
  CHECK(fixture.count(Counter::kTxNoRoute) == 1);
  fixture.require_clean();
}

TEST_CASE("path_to forgets what it said before a route or an address changed",
          "[stack][network][operator]") {
  ChangeFixture fixture;
  const IpAddr peer = *parse_ip("192.0.2.5"), source = *parse_ip("10.0.0.2");
  const auto congestion = [&] { return fixture.network.path_to(peer, source)->congestion; };
  for (int i = 0; i < 2; ++i) CHECK(congestion() == std::nullopt);
  NetworkChange marked = make(Kind::kAddRoute, "192.0.2.0/24");
  marked.gateway = *parse_ip("10.0.0.254");
  marked.transport_hint = static_cast<std::uint8_t>(tcp::Algorithm::kDctcp);
  REQUIRE(fixture.change(marked));
  for (int i = 0; i < 2; ++i) CHECK(congestion() == tcp::Algorithm::kDctcp);
  REQUIRE(fixture.route(Kind::kRemoveRoute, "192.0.2.0/24"));
  CHECK(congestion() == std::nullopt);
  REQUIRE(fixture.address(Kind::kRemoveAddress, "10.0.0.2/24"));
  CHECK(fixture.network.path_to(peer, source).error() == tcp::PathError::kNoAddress);
}

TEST_CASE("a pinned neighbour's MAC is used at once, a forgotten one is asked for again",
          "[stack][network][operator]") {
  ChangeFixture fixture;
  fixture.know_peer();
  tcp::PathHint hint;
  const auto go = [&] { return fixture.mac_to("10.0.0.1", &hint); };
  for (int i = 0; i < 2; ++i) CHECK(go() == fixture.ends.source_mac);
  REQUIRE(fixture.neighbor(Kind::kPinNeighbor, "10.0.0.1", kOtherMac));
  for (int i = 0; i < 2; ++i) CHECK(go() == kOtherMac);
  CHECK(fixture.receive(fixture.arp_reply(fixture.ends.source_ip, fixture.ends.source_mac)) !=
        Outcome::kArpReplyLearnt);
  CHECK(go() == kOtherMac);
  REQUIRE(fixture.neighbor(Kind::kForgetNeighbor, "10.0.0.1"));
  CHECK(go() == MacAddr::broadcast());
  CHECK(fixture.receive(fixture.arp_reply(fixture.ends.source_ip, fixture.ends.source_mac)) ==
        Outcome::kArpReplyLearnt);
  CHECK(fixture.sent().front().ethernet.destination == fixture.ends.source_mac);  // had waited
  CHECK(go() == fixture.ends.source_mac);
  fixture.require_clean();
}

TEST_CASE("packets that wait for a neighbour are sent when it is pinned, reported when forgotten",
          "[stack][network][operator]") {
  ChangeFixture fixture;
  CHECK(fixture.mac_to("10.0.0.7") == MacAddr::broadcast());
  REQUIRE(fixture.neighbor(Kind::kPinNeighbor, "10.0.0.7", kOtherMac));
  const auto sent = fixture.sent();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].ethernet.destination == kOtherMac);

  CHECK(fixture.mac_to("10.0.0.8") == MacAddr::broadcast());
  REQUIRE(fixture.neighbor(Kind::kForgetNeighbor, "10.0.0.8"));
  CHECK(fixture.egress.reports().size() == 1);
  CHECK(fixture.count(Counter::kNeighborFailed) == 1);
  fixture.require_clean();
}

TEST_CASE("a change that cannot be is refused with its reason, and nothing is changed",
          "[stack][network][operator]") {
  ChangeFixture fixture;
  REQUIRE(fixture.neighbor(Kind::kPinNeighbor, "10.0.0.7", kOtherMac));
  const std::string before = fixture.tables();
  const std::uint32_t generation = fixture.network.path_generation();
  const auto refusal = [&](const Result<void, ChangeError>& result) {
    REQUIRE_FALSE(result);
    CHECK(fixture.tables() == before);
    return result.error();
  };
  CHECK(refusal(fixture.address(Kind::kAddAddress, "10.0.0.2/16")) == ChangeError::kExists);
  CHECK(refusal(fixture.address(Kind::kRemoveAddress, "10.0.0.3/24")) == ChangeError::kNoSuch);
  CHECK(refusal(fixture.address(Kind::kRemoveAddress, "10.0.0.2/25")) == ChangeError::kNoSuch);
  NetworkChange elsewhere = make(Kind::kAddAddress, "10.5.0.9/16");
  elsewhere.interface = 1;
  CHECK(refusal(fixture.change(elsewhere)) == ChangeError::kNoInterface);
  CHECK(refusal(fixture.route(Kind::kAddRoute, "0.0.0.0/0", "10.0.0.253")) == ChangeError::kExists);
  CHECK(refusal(fixture.route(Kind::kAddRoute, "192.0.2.9/24", "172.16.0.1")) ==
        ChangeError::kBadGateway);
  CHECK(refusal(fixture.route(Kind::kAddRoute, "192.0.2.9/24", "10.0.0.2")) ==
        ChangeError::kBadGateway);
  CHECK(refusal(fixture.route(Kind::kAddRoute, "192.0.2.9/24", "10.0.0.255")) ==
        ChangeError::kBadGateway);
  CHECK(refusal(fixture.route(Kind::kRemoveRoute, "192.0.2.0/24")) == ChangeError::kNoSuch);
  CHECK(refusal(fixture.route(Kind::kRemoveRoute, "0.0.0.0/0", "10.0.0.253")) ==
        ChangeError::kNoSuch);
  CHECK(refusal(fixture.neighbor(Kind::kPinNeighbor, "10.0.0.7", kGatewayMac)) ==
        ChangeError::kExists);
  CHECK(refusal(fixture.neighbor(Kind::kPinNeighbor, "10.0.0.2", kOtherMac)) ==
        ChangeError::kBadNeighbor);
  CHECK(refusal(fixture.neighbor(Kind::kPinNeighbor, "224.0.0.1", kOtherMac)) ==
        ChangeError::kBadNeighbor);
  CHECK(refusal(fixture.neighbor(Kind::kForgetNeighbor, "10.0.0.8")) == ChangeError::kNoSuch);
  CHECK(fixture.network.path_generation() == generation);
}

TEST_CASE("full tables refuse an address, also for want of room for its route",
          "[stack][network][operator]") {
  NetFixture::Options options;
  options.config.max_routes = 3;
  ChangeFixture fixture(options);
  REQUIRE(fixture.address(Kind::kAddAddress, "10.5.0.9/16"));
  const std::string before = fixture.tables();
  CHECK(fixture.address(Kind::kAddAddress, "10.6.0.9/16").error() == ChangeError::kFull);
  CHECK(fixture.route(Kind::kAddRoute, "192.0.2.0/24").error() == ChangeError::kFull);
  CHECK(fixture.tables() == before);
  CHECK(fixture.network.interface(0).prefixes.size() == 2);
  for (int i = 0; i < 15; ++i)  // Addresses of their own subnet need no route.
    REQUIRE(fixture.address(Kind::kAddAddress, ("10.5.1." + std::to_string(i) + "/16").c_str()));
  CHECK(fixture.address(Kind::kAddAddress, "10.5.2.1/16").error() == ChangeError::kFull);
}

TEST_CASE("of several interfaces the one is meant whose subnet holds gateway or neighbour",
          "[stack][network][operator]") {
  NetFixture::Options options;
  stack::InterfaceConfig second;
  second.name = "if1";
  second.addresses = {*parse_prefix("192.0.2.2/24")};
  options.config.interfaces.push_back(second);
  ChangeFixture fixture(options);
  const unsigned port = fixture.egress.attach({}, MacAddr{{2, 0, 0, 0, 0, 3}}, 1);
  REQUIRE(fixture.route(Kind::kAddRoute, "203.0.113.0/24", "192.0.2.1"));
  REQUIRE(fixture.neighbor(Kind::kPinNeighbor, "192.0.2.1", kOtherMac));
  auto segment = fixture.make_segment(0, "203.0.113.5");
  segment.source = *parse_ip("192.0.2.2");
  fixture.egress.send(std::move(segment), fixture.now);
  CHECK(fixture.sent(port).front().ethernet.destination == kOtherMac);
  CHECK(fixture.address(Kind::kAddAddress, "10.5.0.9/16").error() == ChangeError::kNoInterface);
  CHECK(fixture.route(Kind::kAddRoute, "198.51.100.0/24").error() == ChangeError::kNoInterface);
  REQUIRE(fixture.address(Kind::kRemoveAddress, "192.0.2.2/24"));  // it is on one alone
  CHECK(fixture.network.interface(1).prefixes.empty());
  fixture.require_clean();
}

}  // namespace
