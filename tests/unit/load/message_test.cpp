#include "apps/load/message.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>

namespace load {
namespace {

/// All octets of `count` messages, as a sender takes them that sends at most `piece` at once.
std::string sent(const Message& message, std::uint64_t count, std::size_t piece) {
  std::string octets;
  std::uint64_t position = 0;
  while (count > 0) {
    const auto run = message.run(position, count);
    REQUIRE_FALSE(run.empty());
    const auto taken = run.first(std::min(run.size(), piece));
    octets.append(reinterpret_cast<const char*>(taken.data()), taken.size());
    for (position += taken.size(); position >= message.size(); --count) {
      REQUIRE(count > 0);
      position -= message.size();
    }
  }
  REQUIRE(position == 0);
  return octets;
}

std::string repeated(const std::string& text, unsigned count) {
  std::string all;
  for (unsigned i = 0; i < count; ++i) all += text;
  return all;
}

TEST_CASE("messages leave whole and in order, in whatever pieces", "[load]") {
  const std::string text = "GET / HTTP/1.1\r\n\r\n";
  for (const std::size_t piece : {1u, 5u, 18u, 19u, 100u, 100'000u}) {
    for (const unsigned pipeline : {1u, 3u, 64u, 1024u}) {
      const Message message(text, 0, pipeline);
      CHECK(message.size() == text.size());
      CHECK(sent(message, 7, piece) == repeated(text, 7));
    }
  }
}

TEST_CASE("several small messages leave in one run, never more than asked for", "[load]") {
  const Message message("0123456789", 0, 8);
  CHECK(message.run(0, 8).size() == 80);
  CHECK(message.run(0, 3).size() == 30);
  CHECK(message.run(4, 1).size() == 6);
  CHECK(message.run(4, 100).size() == 76);
}

TEST_CASE("a body is the pattern, from its start in each message", "[load]") {
  const std::uint64_t body = 2 * kPatternLength + 100;
  const Message message("PUT\r\n\r\n", body, 1);
  const std::string octets = sent(message, 2, 70'000);
  REQUIRE(octets.size() == 2 * (7 + body));
  for (std::uint64_t k = 0; k < 2 * (7 + body); ++k) {
    const std::uint64_t at = k % (7 + body);
    const std::uint64_t of_pattern = (at - 7) % kPatternLength;
    const char expected = at < 7 ? "PUT\r\n\r\n"[at]
                                 : static_cast<char>((197 * of_pattern + of_pattern / 256) & 0xff);
    if (octets[k] != expected) FAIL("octet " << k);
  }
}

}  // namespace
}  // namespace load
