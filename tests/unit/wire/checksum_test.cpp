#include "wire/checksum.hpp"

#include <catch2/catch.hpp>
#include <vector>

#include "base/rng.hpp"
#include "tests/support/packet_builder.hpp"

using namespace sluice;
using support::octets;

namespace {

/// RFC 1071 4.1, word by word.
std::uint16_t naive_checksum(std::span<const std::byte> octets) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < octets.size(); ++i)
    sum += std::to_integer<std::uint64_t>(octets[i]) << (i % 2 == 0 ? 8 : 0);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

std::vector<std::byte> random_octets(Rng& rng, std::size_t count) {
  std::vector<std::byte> octets(count);
  for (auto& octet : octets) octet = static_cast<std::byte>(rng.next());
  return octets;
}

}  // namespace

TEST_CASE("the checksum of RFC 1071's example is its example", "[wire][checksum][rfc1071]") {
  REQUIRE(wire::checksum(octets({0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7})) ==
          static_cast<std::uint16_t>(~0xddf2));
}

TEST_CASE("the checksum of nothing is that of zero", "[wire][checksum]") {
  REQUIRE(wire::checksum({}) == 0xffff);
}

TEST_CASE("the checksum is the naive one at every alignment and length", "[wire][checksum]") {
  Rng rng(5);
  const auto block = random_octets(rng, 16 + 300);
  for (std::size_t offset = 0; offset < 16; ++offset) {
    for (std::size_t length = 0; length <= 300; ++length) {
      const auto part = std::span(block).subspan(offset, length);
      if (wire::checksum(part) != naive_checksum(part)) {
        CAPTURE(offset, length);
        REQUIRE(wire::checksum(part) == naive_checksum(part));
      }
    }
  }
}

TEST_CASE("the checksum of a whole packet of ones carries all the way", "[wire][checksum]") {
  for (const std::size_t length : {1u, 2u, 31u, 1'500u, 9'000u, 65'535u}) {
    const std::vector<std::byte> ones(length, std::byte{0xff});
    REQUIRE(wire::checksum(ones) == naive_checksum(ones));
  }
}

TEST_CASE("a sum made of even parts is the sum of the whole", "[wire][checksum]") {
  Rng rng(6);
  for (int round = 0; round < 200; ++round) {
    const auto block = random_octets(rng, 1 + rng.below(2'000));
    wire::Checksum sum;
    auto rest = std::span<const std::byte>(block);
    while (rest.size() > 2 && rng.chance(9, 10)) {
      const std::size_t part = 2 * rng.below(rest.size() / 2);
      sum.add(rest.first(part));
      rest = rest.subspan(part);
    }
    sum.add(rest);
    REQUIRE(sum.finish() == naive_checksum(block));
  }
}

TEST_CASE("numbers are summed as the octets that they are sent as", "[wire][checksum]") {
  wire::Checksum sum;
  sum.add_u16(0x1234);
  sum.add_u32(0x56789abc);
  REQUIRE(sum.finish() == naive_checksum(octets({0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc})));
}

TEST_CASE("the pseudo header is the one of RFC 9293 for IPv4 and of RFC 8200 for IPv6",
          "[wire][checksum][rfc9293]") {
  wire::Checksum v4;
  v4.add_pseudo_header(*parse_ip("10.0.0.1"), *parse_ip("192.168.1.2"), 6, 0x1234);
  REQUIRE(v4.finish() == naive_checksum(octets({10, 0, 0, 1, 192, 168, 1, 2, 0, 6, 0x12, 0x34})));

  wire::Checksum v6;
  v6.add_pseudo_header(*parse_ip("2001:db8::1"), *parse_ip("fe80::2"), 6, 0x00051234);
  REQUIRE(v6.finish() ==
          naive_checksum(octets({0x20, 0x01, 0x0d, 0xb8, 0, 0, 0,    0,    0, 0, 0, 0, 0, 0,
                                 0,    1,    0xfe, 0x80, 0, 0, 0,    0,    0, 0, 0, 0, 0, 0,
                                 0,    0,    0,    2,    0, 5, 0x12, 0x34, 0, 0, 0, 6})));
}

TEST_CASE("octets with their own checksum among them sum to zero", "[wire][checksum]") {
  Rng rng(8);
  auto block = random_octets(rng, 60);
  block[10] = block[11] = std::byte{0};
  const std::uint16_t sum = wire::checksum(block);
  block[10] = static_cast<std::byte>(sum >> 8);
  block[11] = static_cast<std::byte>(sum);
  REQUIRE(wire::checksum(block) == 0);
}
