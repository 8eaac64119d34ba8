#include <array>
#include <catch2/catch.hpp>

#include "base/handle.hpp"
#include "base/keyed_hash.hpp"
#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/sip_hash.hpp"

using namespace sluice;

TEST_CASE("the keyed hash is SipHash-2-4 of its authors' test vector", "[base][keyed_hash]") {
  HashKey key;
  for (std::uint8_t i = 0; i < 16; ++i) key.octets[i] = i;
  std::array<std::byte, 15> message;
  for (std::size_t i = 0; i < message.size(); ++i) message[i] = static_cast<std::byte>(i);
  REQUIRE(keyed_hash(key, message) == 0xa129ca6149be45e5u);
  key.octets[0] ^= 1;
  REQUIRE(keyed_hash(key, message) != 0xa129ca6149be45e5u);
}

// As CPython 3.11 has it for bytes 0, 1, 2 ... under PYTHONHASHSEED=42.
TEST_CASE("the tables' hash is SipHash-1-3 as others have it", "[base][keyed_hash]") {
  const HashKey key{{0xaf, 0x90, 0xcd, 0x68, 0xd3, 0x4f, 0x50, 0xdc, 0xc1, 0xe9, 0x99, 0xfe, 0x9f,
                     0xbb, 0x20, 0xb9}};
  const auto word = [](std::uint64_t first, unsigned octets) {
    std::uint64_t value = 0;
    for (unsigned i = 0; i < octets; ++i) value |= (first + i) << 8 * i;
    return value;
  };
  const std::uint64_t words[] = {word(0, 8), word(8, 8), word(16, 8), word(24, 8)};
  REQUIRE(sip_hash_1_3(key, std::span(words).first(1), word(8, 4) | std::uint64_t{12} << 56) ==
          0x550fe6ca26ef7fddu);
  REQUIRE(sip_hash_1_3(key, words, word(32, 4) | std::uint64_t{36} << 56) == 0x325168a6b0dc469fu);
}

TEST_CASE("a seed repeats its numbers and another seed has others", "[base][rng]") {
  Rng a(1);
  Rng b(1);
  Rng c(2);
  bool has_differed = false;
  for (int i = 0; i < 100; ++i) {
    const std::uint64_t value = a.next();
    REQUIRE(value == b.next());
    has_differed |= value != c.next();
  }
  REQUIRE(has_differed);
}

TEST_CASE("bounded numbers stay below their bound and reach all of it", "[base][rng]") {
  Rng rng(3);
  std::array<int, 7> seen{};
  for (int i = 0; i < 7'000; ++i) ++seen.at(rng.below(7));
  for (const int count : seen) REQUIRE((count > 800 && count < 1'200));
  REQUIRE(rng.below(1) == 0);
}

TEST_CASE("a chance of nought never comes and a chance of one always", "[base][rng]") {
  Rng rng(4);
  for (int i = 0; i < 1'000; ++i) {
    REQUIRE_FALSE(rng.chance(0, 10));
    REQUIRE(rng.chance(10, 10));
  }
}

TEST_CASE("a handle made of nothing names nothing", "[base][handle]") {
  REQUIRE(ConnHandle{}.is_none());
  REQUIRE(ListenerHandle{}.is_none());
  REQUIRE_FALSE(ConnHandle{0, 0}.is_none());
  REQUIRE(ConnHandle{1, 1} != ConnHandle{1, 2});
}

TEST_CASE("a result is a value or an error", "[base][result]") {
  enum class Fault { kOne };
  const auto half = [](int value) -> Result<int, Fault> {
    if (value % 2 != 0) return fail(Fault::kOne);
    return value / 2;
  };
  REQUIRE(half(4) == 2);
  REQUIRE(half(3).error() == Fault::kOne);
}
