#include "wire/seq_num.hpp"

#include <catch2/catch.hpp>

using namespace sluice::wire;

TEST_CASE("sequence numbers are ordered by the shorter way round the circle",
          "[wire][seq_num][rfc9293]") {
  const auto base =
      SeqNum(GENERATE(0u, 1u, 0x7ffffffeu, 0x7fffffffu, 0x80000000u, 0xfffffffeu, 0xffffffffu));
  const std::uint32_t ahead = GENERATE(1u, 2u, 1'460u, 0x3fffffffu, 0x7fffffffu);
  const SeqNum later = base + ahead;
  CAPTURE(base.value(), ahead);
  REQUIRE(seq_lt(base, later));
  REQUIRE(seq_leq(base, later));
  REQUIRE_FALSE(seq_gt(base, later));
  REQUIRE_FALSE(seq_geq(base, later));
  REQUIRE(seq_gt(later, base));
  REQUIRE(seq_geq(later, base));
  REQUIRE_FALSE(seq_lt(later, base));
  REQUIRE(seq_max(base, later) == later);
  REQUIRE(seq_max(later, base) == later);
  REQUIRE(seq_min(base, later) == base);
  REQUIRE(seq_min(later, base) == base);
  REQUIRE(seq_distance(base, later) == ahead);
  REQUIRE(seq_offset(base, later) == static_cast<std::int32_t>(ahead));
  REQUIRE(seq_offset(later, base) == -static_cast<std::int32_t>(ahead));
  REQUIRE(later - ahead == base);
}

TEST_CASE("a sequence number is neither before nor after itself", "[wire][seq_num]") {
  const auto x = SeqNum(GENERATE(0u, 0x80000000u, 0xffffffffu));
  REQUIRE(seq_leq(x, x));
  REQUIRE(seq_geq(x, x));
  REQUIRE_FALSE(seq_lt(x, x));
  REQUIRE_FALSE(seq_gt(x, x));
}

TEST_CASE("a window holds its first number and not the one behind its last",
          "[wire][seq_num][rfc9293]") {
  const auto low = SeqNum(GENERATE(0u, 0x7fffff00u, 0xffffff00u));
  const std::uint32_t size = GENERATE(1u, 0x200u, 0x3fffc000u, 0x80000001u);
  CAPTURE(low.value(), size);
  REQUIRE(seq_in_window(low, low, size));
  REQUIRE(seq_in_window(low + (size - 1), low, size));
  REQUIRE_FALSE(seq_in_window(low + size, low, size));
  REQUIRE_FALSE(seq_in_window(low - 1, low, size));
  REQUIRE_FALSE(seq_in_window(low, low, 0));
}

TEST_CASE("adding goes round the circle", "[wire][seq_num]") {
  SeqNum x(0xffffffff);
  x += 2;
  REQUIRE(x == SeqNum(1));
  REQUIRE(SeqNum(1) - 2 == SeqNum(0xffffffff));
}
