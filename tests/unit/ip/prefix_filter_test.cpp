#include "ip/prefix_filter.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

#include "base/rng.hpp"

namespace sluice::ip {
namespace {

constexpr auto kAllow = SourceAction::kAllow;
constexpr auto kDeny = SourceAction::kDeny;
using Rules = std::vector<PrefixRule>;

PrefixRule rule(std::string_view prefix, SourceAction action) {
  const auto parsed = parse_source_prefix(prefix);
  REQUIRE(parsed);
  return {*parsed, action};
}

bool is_denied(const PrefixFilter& filter, std::string_view address) {
  return filter.is_denied(*parse_ip(address));
}

/// What the rules mean: the longest prefix that holds the address, of equal ones the last.
bool is_denied_by_scan(const Rules& rules, SourceAction otherwise, const IpAddr& address) {
  SourceAction action = otherwise;
  int longest = -1;
  for (const PrefixRule& each : rules) {
    if (!each.prefix.contains(address) || each.prefix.length < longest) continue;
    longest = each.prefix.length;
    action = each.action;
  }
  return action == kDeny;
}

using Octets = std::array<std::uint8_t, 16>;

Prefix masked(IpAddr address, unsigned length) {
  const unsigned skipped = address.is_v4() ? 96 : 0;
  Octets octets = address.octets();
  for (unsigned bit = skipped + length; bit < 128; ++bit)
    octets[bit / 8] = static_cast<std::uint8_t>(octets[bit / 8] & ~(0x80u >> bit % 8));
  return {IpAddr::from_v6_octets(octets), static_cast<std::uint8_t>(length)};
}

/// Octets of few values, so that prefixes nest and addresses meet them.
IpAddr draw_address(Rng& rng, bool is_v4) {
  constexpr std::uint8_t kValues[] = {0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff};
  Octets octets{};
  for (std::uint8_t& octet : octets) octet = kValues[rng.below(std::size(kValues))];
  if (!is_v4) return IpAddr::from_v6_octets(octets);
  return Ipv4Addr::from_octets(octets[0], octets[1], octets[2], octets[3]);
}

/// The address beside, or the lowest from the highest and the other way round.
IpAddr step(const IpAddr& address, bool is_up) {
  Octets octets = address.octets();
  for (std::size_t i = 16, least = address.is_v4() ? 12 : 0; i-- > least;) {
    octets[i] = static_cast<std::uint8_t>(octets[i] + (is_up ? 1 : -1));
    if (octets[i] != (is_up ? 0x00 : 0xff)) break;
  }
  return IpAddr::from_v6_octets(octets);
}

IpAddr last_of(const Prefix& prefix) {
  Octets octets = prefix.address.octets();
  for (unsigned bit = prefix.length + (prefix.address.is_v4() ? 96u : 0u); bit < 128; ++bit)
    octets[bit / 8] = static_cast<std::uint8_t>(octets[bit / 8] | 0x80u >> bit % 8);
  return IpAddr::from_v6_octets(octets);
}

}  // namespace

TEST_CASE("the longest prefix that holds a source decides", "[ip][gate]") {
  const Rules rules = {rule("10.0.0.0/8", kDeny),    rule("10.1.0.0/16", kAllow),
                       rule("10.1.2.0/24", kDeny),   rule("10.1.2.3", kAllow),
                       rule("2001:db8::/32", kDeny), rule("2001:db8:1::/48", kAllow)};
  Rules reversed = rules;
  std::reverse(reversed.begin(), reversed.end());
  for (const auto& each : {rules, reversed}) {
    const PrefixFilter filter(each, kAllow);
    CHECK_FALSE(filter.allows_all());
    CHECK_FALSE(is_denied(filter, "9.255.255.255"));
    CHECK(is_denied(filter, "10.0.0.0"));
    CHECK(is_denied(filter, "10.0.255.255"));
    CHECK_FALSE(is_denied(filter, "10.1.0.0"));
    CHECK(is_denied(filter, "10.1.2.2"));
    CHECK_FALSE(is_denied(filter, "10.1.2.3"));
    CHECK(is_denied(filter, "10.1.2.4"));
    CHECK_FALSE(is_denied(filter, "10.1.255.255"));
    CHECK(is_denied(filter, "10.255.255.255"));
    CHECK_FALSE(is_denied(filter, "11.0.0.0"));
    CHECK(is_denied(filter, "2001:db8::1"));
    CHECK_FALSE(is_denied(filter, "2001:db8:1::1"));
    CHECK(is_denied(filter, "2001:db8:2::"));
    CHECK_FALSE(is_denied(filter, "2001:db9::"));
  }
}

TEST_CASE("a filter without rules says of every source what its default says", "[ip][gate]") {
  const PrefixFilter open({}, kAllow), closed({}, kDeny);
  CHECK(open.allows_all());
  CHECK_FALSE(closed.allows_all());
  for (const char* address : {"0.0.0.0", "128.0.0.0", "255.255.255.255", "::", "ffff::"}) {
    CHECK_FALSE(is_denied(open, address));
    CHECK(is_denied(closed, address));
  }
}

TEST_CASE("rules that deny nothing make a filter that need not be asked", "[ip][gate]") {
  CHECK(PrefixFilter(Rules{rule("10.0.0.0/8", kAllow), rule("::/0", kAllow)}, kAllow).allows_all());
  CHECK(PrefixFilter(Rules{rule("0.0.0.0/0", kAllow), rule("::/0", kAllow)}, kDeny).allows_all());
  CHECK_FALSE(PrefixFilter(Rules{rule("0.0.0.0/0", kAllow)}, kDeny).allows_all());
}

TEST_CASE("whole families and single addresses at their ends are prefixes like others",
          "[ip][gate]") {
  const PrefixFilter filter(
      Rules{rule("0.0.0.0/0", kDeny), rule("0.0.0.0/32", kAllow), rule("255.255.255.255", kAllow),
            rule("::/128", kDeny), rule("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", kDeny)},
      kAllow);
  CHECK_FALSE(is_denied(filter, "0.0.0.0"));
  CHECK(is_denied(filter, "0.0.0.1"));
  CHECK(is_denied(filter, "255.255.255.254"));
  CHECK_FALSE(is_denied(filter, "255.255.255.255"));
  CHECK(is_denied(filter, "::"));
  CHECK_FALSE(is_denied(filter, "::1"));
  CHECK_FALSE(is_denied(filter, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"));
  CHECK(is_denied(filter, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
  // An IPv4 address is no IPv6 address, though it is held as one.
  const PrefixFilter v6_only(Rules{rule("::/0", kDeny)}, kAllow);
  CHECK_FALSE(is_denied(v6_only, "10.0.0.1"));
  CHECK(is_denied(v6_only, "2001:db8::1"));
}

TEST_CASE("of rules with the same prefix the last wins", "[ip][gate]") {
  const Rules rules = {rule("10.0.0.0/8", kAllow), rule("10.0.0.0/16", kAllow),
                       rule("10.0.0.0/8", kDeny), rule("10.0.0.0/16", kDeny),
                       rule("10.0.0.0/16", kAllow)};
  const PrefixFilter filter(rules, kAllow);
  CHECK_FALSE(is_denied(filter, "10.0.1.1"));
  CHECK(is_denied(filter, "10.1.0.0"));
  CHECK_FALSE(is_denied(filter, "11.0.0.0"));
}

TEST_CASE("the filter agrees with a scan of its rules, at every edge of them", "[ip][gate]") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    INFO("seed " << seed);
    Rng rng(seed);
    Rules rules;
    const auto otherwise = rng.chance(1, 2) ? kAllow : kDeny;
    for (std::uint64_t left = rng.below(60); left > 0; --left) {
      const bool is_v4 = rng.chance(1, 2);
      const unsigned length = static_cast<unsigned>(rng.below(is_v4 ? 33 : 129));
      rules.push_back(
          {masked(draw_address(rng, is_v4), length), rng.chance(1, 2) ? kAllow : kDeny});
    }
    const PrefixFilter filter(rules, otherwise);
    std::vector<IpAddr> addresses;
    for (const PrefixRule& each : rules) {
      const IpAddr last = last_of(each.prefix);
      addresses.insert(addresses.end(), {each.prefix.address, last, step(last, true),
                                         step(each.prefix.address, false)});
    }
    for (int i = 0; i < 200; ++i) addresses.push_back(draw_address(rng, rng.chance(1, 2)));
    for (const IpAddr& address : addresses) {
      INFO(to_string(address));
      REQUIRE(filter.is_denied(address) == is_denied_by_scan(rules, otherwise, address));
    }
  }
}

TEST_CASE("a source prefix is a prefix or an address, with no bit beyond its length",
          "[ip][gate]") {
  const auto text_of = [](std::string_view text) {
    const auto prefix = parse_source_prefix(text);
    return prefix ? to_string(*prefix) : "none";
  };
  CHECK(text_of("203.0.113.0/24") == "203.0.113.0/24");
  CHECK(text_of("203.0.113.7") == "203.0.113.7/32");
  CHECK(text_of("0.0.0.0/0") == "0.0.0.0/0");
  CHECK(text_of("2001:DB8::/32") == "2001:db8::/32");
  CHECK(text_of("2001:db8::1") == "2001:db8::1/128");
  CHECK(text_of("::/0") == "::/0");
  for (const char* text : {"", "/", "/24", "203.0.113.7/24", "203.0.113.0/33", "203.0.113.0/-1",
                           "203.0.113.0/", "203.0.113/24", "203.0.113.0/24 ", "2001:db8::1/64",
                           "2001:db8::/129", "128.0.0.0/0", "example.org", "any"}) {
    INFO(text);
    CHECK(text_of(text) == "none");
  }
}

}  // namespace sluice::ip
