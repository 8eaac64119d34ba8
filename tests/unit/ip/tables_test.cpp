#include <array>
#include <catch2/catch.hpp>
#include <vector>

#include "ip/address_table.hpp"
#include "ip/route_table.hpp"

namespace {

using namespace sluice;
using ip::AddressKind;
using ip::AddressTable;
using ip::NextHop;
using ip::RouteTable;

Prefix prefix(const char* text) {
  return *parse_prefix(text);
}
IpAddr address(const char* text) {
  return *parse_ip(text);
}

struct AddressFixture {
  std::array<ip::AddressRecord, 4> records{};
  AddressTable table{records};
  AddressKind kind(const char* text, std::uint8_t interface = 0) {
    return table.classify(interface, address(text).v4());
  }
};

TEST_CASE("an address is ours, another interface's, a broadcast, a martian or another host's",
          "[ip][address]") {
  AddressFixture fixture;
  REQUIRE(fixture.table.add(0, prefix("10.0.0.2/24")) == AddressTable::AddResult::kAdded);
  REQUIRE(fixture.table.add(0, prefix("10.1.0.9/30")) == AddressTable::AddResult::kAdded);
  REQUIRE(fixture.table.add(1, prefix("192.0.2.1/24")) == AddressTable::AddResult::kAdded);
  CHECK(fixture.kind("10.0.0.2") == AddressKind::kOurs);
  CHECK(fixture.kind("10.1.0.9") == AddressKind::kOurs);
  CHECK(fixture.kind("192.0.2.1") == AddressKind::kOtherInterface);
  CHECK(fixture.kind("10.0.0.255") == AddressKind::kSubnetBroadcast);
  CHECK(fixture.kind("10.0.0.0") == AddressKind::kSubnetBroadcast);
  CHECK(fixture.kind("10.1.0.11") == AddressKind::kSubnetBroadcast);
  CHECK(fixture.kind("10.0.0.255", 1) == AddressKind::kUnicast);
  CHECK(fixture.kind("255.255.255.255") == AddressKind::kLimitedBroadcast);
  CHECK(fixture.kind("224.0.0.1") == AddressKind::kMulticast);
  CHECK(fixture.kind("0.0.0.0") == AddressKind::kMartian);
  CHECK(fixture.kind("0.1.2.3") == AddressKind::kMartian);
  CHECK(fixture.kind("127.0.0.1") == AddressKind::kMartian);
  CHECK(fixture.kind("240.0.0.1") == AddressKind::kMartian);
  CHECK(fixture.kind("10.0.0.1") == AddressKind::kUnicast);
  CHECK(fixture.kind("8.8.8.8") == AddressKind::kUnicast);
}

TEST_CASE("subnets of 31 and 32 bits have no broadcast address", "[ip][address][rfc3021]") {
  AddressFixture fixture;
  REQUIRE(fixture.table.add(0, prefix("10.0.0.2/31")) == AddressTable::AddResult::kAdded);
  REQUIRE(fixture.table.add(0, prefix("10.0.0.9/32")) == AddressTable::AddResult::kAdded);
  CHECK(fixture.kind("10.0.0.3") == AddressKind::kUnicast);
  CHECK(fixture.kind("10.0.0.9") == AddressKind::kOurs);
}

TEST_CASE("the source address is one of the next hop's subnet, else the interface's first",
          "[ip][address]") {
  AddressFixture fixture;
  const auto source = [&](const char* next_hop, std::uint8_t interface = 0) {
    const auto* record = fixture.table.source_for(interface, address(next_hop));
    return record == nullptr ? std::string("none") : to_string(record->address);
  };
  CHECK(source("10.0.0.1") == "none");
  REQUIRE(fixture.table.add(0, prefix("10.0.0.2/8")) == AddressTable::AddResult::kAdded);
  REQUIRE(fixture.table.add(0, prefix("10.1.0.2/16")) == AddressTable::AddResult::kAdded);
  REQUIRE(fixture.table.add(0, prefix("10.1.2.2/24")) == AddressTable::AddResult::kAdded);
  CHECK(source("10.9.0.1") == "10.0.0.2");
  CHECK(source("10.1.9.1") == "10.1.0.2");
  CHECK(source("10.1.2.1") == "10.1.2.2");
  CHECK(source("192.0.2.1") == "10.0.0.2");
  CHECK(source("10.1.2.1", 1) == "none");
  CHECK(source("2001:db8::1") == "none");
}

TEST_CASE("an address is put back where it was", "[ip][address]") {
  AddressFixture fixture;
  for (const char* text : {"10.0.0.2/24", "10.0.0.3/24", "10.0.0.4/24"})
    REQUIRE(fixture.table.add(0, prefix(text)) == AddressTable::AddResult::kAdded);
  CHECK(fixture.table.place_of(0, address("10.0.0.3")) == 1);
  CHECK(fixture.table.place_of(1, address("10.0.0.3")) == AddressTable::kNone);
  REQUIRE(fixture.table.remove(0, address("10.0.0.3")));
  CHECK(fixture.table.place_of(0, address("10.0.0.3")) == AddressTable::kNone);
  REQUIRE(fixture.table.add(0, prefix("10.0.0.3/24"), 1) == AddressTable::AddResult::kAdded);
  for (std::size_t i = 0; i < 3; ++i)
    CHECK(fixture.records[i].address ==
          Ipv4Addr::from_octets(10, 0, 0, static_cast<std::uint8_t>(2 + i)));
  CHECK(fixture.table.find(address("10.0.0.4")) == &fixture.records[2]);
}

TEST_CASE("of many addresses each is found, and none that was taken away", "[ip][address]") {
  constexpr std::uint32_t kCount = 300;
  std::vector<ip::AddressRecord> records(kCount);
  AddressTable table(records);
  const auto nth = [](std::uint32_t n) { return Ipv4Addr{0x0a000000u + n * 65536u + n % 7u + 1u}; };
  const auto interface_of = [](std::uint32_t n) { return static_cast<std::uint8_t>(n % 3); };
  for (std::uint32_t n = 0; n < kCount; ++n)
    REQUIRE(table.add(interface_of(n), {nth(n), 24}) == AddressTable::AddResult::kAdded);
  for (std::uint32_t n = 0; n < kCount; n += 2) REQUIRE(table.remove(interface_of(n), nth(n)));
  for (std::uint32_t n = 0; n < kCount; ++n) {
    const bool is_there = n % 2 != 0;
    const ip::AddressRecord* const found = table.find(nth(n));
    REQUIRE((found != nullptr) == is_there);
    if (is_there) REQUIRE(found->address == IpAddr(nth(n)));
    REQUIRE(table.interface_of(nth(n)) == (is_there ? n % 3 : AddressTable::kNoInterface));
    REQUIRE(table.classify(interface_of(n), nth(n)) ==
            (is_there ? AddressKind::kOurs : AddressKind::kUnicast));
    const Ipv4Addr broadcast{nth(n).value | 0xffu};
    REQUIRE(table.classify(interface_of(n), broadcast) ==
            (is_there ? AddressKind::kSubnetBroadcast : AddressKind::kUnicast));
  }
}

TEST_CASE("the address table is bounded, refuses duplicates and counts changes", "[ip][address]") {
  AddressFixture fixture;
  REQUIRE(fixture.table.add(0, prefix("10.0.0.1/24")) == AddressTable::AddResult::kAdded);
  CHECK(fixture.table.add(1, prefix("10.0.0.1/16")) == AddressTable::AddResult::kDuplicate);
  CHECK(fixture.table.generation() == 1);
  REQUIRE(fixture.table.add(0, prefix("10.0.0.2/24")) == AddressTable::AddResult::kAdded);
  REQUIRE(fixture.table.add(0, prefix("10.0.0.3/24")) == AddressTable::AddResult::kAdded);
  REQUIRE(fixture.table.add(0, prefix("2001:db8::1/64")) == AddressTable::AddResult::kAdded);
  CHECK(fixture.table.add(0, prefix("10.0.0.5/24")) == AddressTable::AddResult::kFull);
  CHECK_FALSE(fixture.table.remove(1, address("10.0.0.2")));
  CHECK(fixture.table.remove(0, address("10.0.0.2")));
  CHECK(fixture.table.generation() == 5);
  CHECK_FALSE(fixture.table.is_ours(address("10.0.0.2")));
  CHECK(fixture.table.is_ours(address("10.0.0.3")));
  CHECK(fixture.table.is_ours(address("2001:db8::1")));
  CHECK(fixture.records[3].in_use == 0);
}

struct RouteFixture {
  std::array<ip::RouteRecord, 6> records{};
  RouteTable table{records};

  RouteTable::AddResult add(const char* destination, const char* gateway = nullptr,
                            std::uint8_t interface = 0) {
    return table.add({.destination = prefix(destination),
                      .gateway = gateway == nullptr ? IpAddr{} : address(gateway),
                      .interface = interface});
  }
  std::string next_hop(const char* destination) {
    NextHop hop;
    return table.lookup(address(destination), hop) ? to_string(hop.address) : "none";
  }
};

TEST_CASE("the longest prefix decides, in whatever order routes were added", "[ip][route]") {
  RouteFixture fixture;
  CHECK(fixture.next_hop("10.0.0.1") == "none");
  REQUIRE(fixture.add("10.0.0.0/8", "10.0.0.8") == RouteTable::AddResult::kAdded);
  REQUIRE(fixture.add("0.0.0.0/0", "10.0.0.254") == RouteTable::AddResult::kAdded);
  REQUIRE(fixture.add("10.1.2.3/32", "10.0.0.32") == RouteTable::AddResult::kAdded);
  REQUIRE(fixture.add("10.1.0.0/16", "10.0.0.16") == RouteTable::AddResult::kAdded);
  REQUIRE(fixture.add("10.0.0.7/24") == RouteTable::AddResult::kAdded);
  CHECK(fixture.next_hop("10.0.0.99") == "10.0.0.99");  // Connected.
  CHECK(fixture.next_hop("10.1.2.3") == "10.0.0.32");
  CHECK(fixture.next_hop("10.1.2.4") == "10.0.0.16");
  CHECK(fixture.next_hop("10.2.2.4") == "10.0.0.8");
  CHECK(fixture.next_hop("8.8.8.8") == "10.0.0.254");
  CHECK(fixture.next_hop("2001:db8::1") == "none");
  for (std::size_t i = 1; i < fixture.table.size(); ++i)
    CHECK(fixture.records[i - 1].prefix_length >= fixture.records[i].prefix_length);
}

TEST_CASE("routes of both families live side by side", "[ip][route]") {
  RouteFixture fixture;
  REQUIRE(fixture.add("::/0", "fe80::1") == RouteTable::AddResult::kAdded);
  REQUIRE(fixture.add("2001:db8::/32", "fe80::2") == RouteTable::AddResult::kAdded);
  REQUIRE(fixture.add("0.0.0.0/0", "10.0.0.254") == RouteTable::AddResult::kAdded);
  CHECK(fixture.next_hop("2001:db8::5") == "fe80::2");
  CHECK(fixture.next_hop("2001:db9::5") == "fe80::1");
  CHECK(fixture.next_hop("8.8.8.8") == "10.0.0.254");
}

TEST_CASE("among equal prefixes the source's interface goes first, then the oldest route",
          "[ip][route][rfc1122]") {
  RouteFixture fixture;
  REQUIRE(fixture.add("0.0.0.0/0", "10.0.0.254", 0) == RouteTable::AddResult::kAdded);
  REQUIRE(fixture.add("0.0.0.0/0", "10.1.0.254", 1) == RouteTable::AddResult::kAdded);
  REQUIRE(fixture.add("192.0.2.0/24", "10.0.0.1", 0) == RouteTable::AddResult::kAdded);
  NextHop hop;
  REQUIRE(fixture.table.lookup(address("8.8.8.8"), 1, hop));
  CHECK(hop.interface == 1);
  CHECK(to_string(hop.address) == "10.1.0.254");
  REQUIRE(fixture.table.lookup(address("8.8.8.8"), 7, hop));
  CHECK(hop.interface == 0);
  REQUIRE(fixture.table.lookup(address("192.0.2.1"), 1, hop));  // Longer wins over interface.
  CHECK(hop.interface == 0);
}

TEST_CASE("a route is put back where it was", "[ip][route]") {
  std::array<ip::RouteRecord, 4> records{};
  RouteTable table{records};
  for (const char* gateway : {"10.0.0.1", "10.0.0.2", "10.0.0.3"})
    REQUIRE(table.add({.destination = prefix("192.0.2.0/24"), .gateway = address(gateway)}) ==
            RouteTable::AddResult::kAdded);
  const ip::RouteRecord middle = records[1];
  const std::uint32_t generation = table.generation();
  table.remove_at(1);
  CHECK(records[1].gateway == address("10.0.0.3"));
  table.put_back(1, middle);
  CHECK(table.generation() == generation + 2);
  REQUIRE(table.size() == 3);
  CHECK(records[0].gateway == address("10.0.0.1"));
  CHECK(records[1].gateway == address("10.0.0.2"));
  CHECK(records[2].gateway == address("10.0.0.3"));
  CHECK(records[1].version.value % 2 == 0);  // no writer left
}

TEST_CASE("the route table is bounded, refuses duplicates and counts changes", "[ip][route]") {
  RouteFixture fixture;
  CHECK(fixture.add("10.0.0.0/24") == RouteTable::AddResult::kAdded);
  CHECK(fixture.add("10.0.0.99/24") == RouteTable::AddResult::kDuplicate);
  CHECK(fixture.add("10.0.0.0/24", "10.9.9.9") == RouteTable::AddResult::kAdded);
  for (const char* destination : {"10.0.1.0/24", "10.0.2.0/24", "10.0.3.0/24", "10.0.4.0/24"})
    CHECK(fixture.add(destination) == RouteTable::AddResult::kAdded);
  CHECK(fixture.add("10.0.5.0/24") == RouteTable::AddResult::kFull);
  CHECK(fixture.table.generation() == 6);
  CHECK(fixture.table.remove({.destination = prefix("10.0.0.7/24"), .gateway = {}}));
  CHECK_FALSE(fixture.table.remove({.destination = prefix("10.0.0.7/24"), .gateway = {}}));
  CHECK(fixture.table.generation() == 7);
  CHECK(fixture.next_hop("10.0.0.5") == "10.9.9.9");
  CHECK(fixture.next_hop("10.0.4.5") == "10.0.4.5");
  CHECK(fixture.records[5].in_use == 0);
  for (const auto& record : fixture.records) CHECK_FALSE(record.version.is_being_written());
}

}  // namespace
