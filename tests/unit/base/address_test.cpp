#include "base/address.hpp"

#include <catch2/catch.hpp>

using namespace sluice;
using namespace std::string_view_literals;

TEST_CASE("addresses print as they parse", "[base][address]") {
  for (const char* text :
       {"0.0.0.0", "10.0.0.2", "255.255.255.255", "::", "::1", "2001:db8::1", "fe80::1:2:3:4"}) {
    INFO(text);
    const auto address = parse_ip(text);
    REQUIRE(address.has_value());
    REQUIRE(to_string(*address) == text);
  }
  REQUIRE(parse_ip("10.0.0.2")->v4().value == 0x0a000002);
  REQUIRE(to_string(Ipv4Addr{0x0a000002}) == "10.0.0.2");
}

TEST_CASE("a mapped address is the IPv4 address", "[base][address]") {
  const auto mapped = parse_ip("::ffff:10.0.0.2");
  REQUIRE(mapped.has_value());
  REQUIRE(mapped->is_v4());
  REQUIRE(*mapped == *parse_ip("10.0.0.2"));
  REQUIRE_FALSE(parse_ip("::10.0.0.2")->is_v4());
}

TEST_CASE("text that is not wholly an address is refused", "[base][address]") {
  for (const std::string_view text :
       {""sv, " 10.0.0.2"sv, "10.0.0.2 "sv, "10.0.0"sv, "10.0.0.256"sv, "10.0.0.02"sv,
        "0x0a.0.0.2"sv, "10.0.0.2\0"sv, "10.0.0.2\0x"sv, "::1%eth0"sv, "1::2::3"sv, "localhost"sv,
        "10.0.0.2/24"sv, "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc"sv}) {
    INFO(text);
    REQUIRE_FALSE(parse_ip(text).has_value());
  }
}

TEST_CASE("MAC addresses are six pairs of hexadecimal digits", "[base][address]") {
  const auto mac = parse_mac("02:00:5E:00:00:fF");
  REQUIRE(mac.has_value());
  REQUIRE(to_string(*mac) == "02:00:5e:00:00:ff");
  REQUIRE_FALSE(mac->is_multicast());
  REQUIRE(parse_mac("01:00:5e:00:00:01")->is_multicast());
  REQUIRE(MacAddr::broadcast().is_multicast());
  REQUIRE(MacAddr{}.is_zero());
  for (const char* text : {"", "02:00:00:00:00", "02:00:00:00:00:0", "02-00-00-00-00-01",
                           "02:00:00:00:00:0g", "02:00:00:00:00:-1", "02:00:00:00:00:+1",
                           "02:00:00:00:00:0x", "02:00:00:00:00:001", "0200000000010000a"}) {
    INFO(text);
    REQUIRE_FALSE(parse_mac(text).has_value());
  }
}

TEST_CASE("a prefix has an address and a length that its family allows", "[base][address]") {
  REQUIRE(to_string(*parse_prefix("10.0.0.2/24")) == "10.0.0.2/24");
  REQUIRE(to_string(*parse_prefix("2001:db8::1/128")) == "2001:db8::1/128");
  REQUIRE(parse_prefix("0.0.0.0/0").has_value());
  for (const char* text : {"10.0.0.2", "10.0.0.2/", "10.0.0.2/33", "10.0.0.2/-1", "10.0.0.2/024",
                           "10.0.0.2/24/24", "/24", "::1/129", "10.0.0.2/2 4"}) {
    INFO(text);
    REQUIRE_FALSE(parse_prefix(text).has_value());
  }
}

TEST_CASE("a prefix contains what shares its bits and its family", "[base][address]") {
  const auto contains = [](const char* prefix, const char* address) {
    return parse_prefix(prefix)->contains(*parse_ip(address));
  };
  REQUIRE(contains("10.1.2.3/24", "10.1.2.255"));
  REQUIRE_FALSE(contains("10.1.2.3/24", "10.1.3.3"));
  REQUIRE(contains("10.1.2.128/25", "10.1.2.129"));
  REQUIRE_FALSE(contains("10.1.2.128/25", "10.1.2.127"));
  REQUIRE(contains("10.1.2.3/32", "10.1.2.3"));
  REQUIRE_FALSE(contains("10.1.2.3/32", "10.1.2.2"));
  REQUIRE(contains("10.1.2.2/31", "10.1.2.3"));
  REQUIRE(contains("0.0.0.0/0", "255.255.255.255"));
  REQUIRE_FALSE(contains("0.0.0.0/0", "::1"));
  REQUIRE_FALSE(contains("::/0", "10.0.0.1"));
  REQUIRE(contains("2001:db8::/33", "2001:db8:7fff::1"));
  REQUIRE_FALSE(contains("2001:db8::/33", "2001:db8:8000::1"));
}

TEST_CASE("an endpoint is an address and a port, IPv6 in brackets", "[base][address]") {
  REQUIRE(to_string(*parse_endpoint("10.0.0.2:80")) == "10.0.0.2:80");
  REQUIRE(to_string(*parse_endpoint("[2001:db8::1]:65535")) == "[2001:db8::1]:65535");
  for (const char* text :
       {"10.0.0.2", "10.0.0.2:", "10.0.0.2:65536", "10.0.0.2:080", ":80", "2001:db8::1:80",
        "[10.0.0.2]:80", "[2001:db8::1]", "[2001:db8::1:80", "10.0.0.2:80x", "10.0.0.2:+80"}) {
    INFO(text);
    REQUIRE_FALSE(parse_endpoint(text).has_value());
  }
}

TEST_CASE("addresses know what kind they are", "[base][address]") {
  REQUIRE(Ipv4Addr::from_octets(224, 0, 0, 1).is_multicast());
  REQUIRE(Ipv4Addr::from_octets(239, 255, 255, 255).is_multicast());
  REQUIRE_FALSE(Ipv4Addr::from_octets(240, 0, 0, 1).is_multicast());
  REQUIRE(Ipv4Addr::from_octets(127, 1, 2, 3).is_loopback());
  REQUIRE(Ipv4Addr::from_octets(255, 255, 255, 255).is_broadcast());
  REQUIRE(IpAddr(Ipv4Addr{}).is_unspecified());
  REQUIRE(IpAddr().is_unspecified());
  REQUIRE_FALSE(IpAddr().is_v4());
}
