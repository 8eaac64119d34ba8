#pragma once

// What a stream carries: a pseudo-random function of (key, offset), so that the checker needs no
// copy of what was sent, and an octet that is lost, doubled or moved does not go unseen.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

namespace sluice::sim {

/// The same three numbers give the same 64 bits on every machine (splitmix64's finisher).
constexpr std::uint64_t mix(std::uint64_t seed, std::uint64_t a, std::uint64_t b = 0) {
  std::uint64_t z = seed + a * 0x9e3779b97f4a7c15u + b * 0xd1342543de82ef95u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

/// The octets of one direction of one connection.
class Content {
 public:
  constexpr Content() = default;
  constexpr explicit Content(std::uint64_t key) : key_(key) {}

  /// Writes the octets from `offset` on.
  void fill(std::uint64_t offset, std::span<std::byte> out) const {
    for_each_run(offset, out.size(), [&](std::size_t at, const std::byte* octets, auto count) {
      std::memcpy(out.data() + at, octets, count);
      return true;
    });
  }

  /// True if `octets` are those from `offset` on.
  bool matches(std::uint64_t offset, std::span<const std::byte> octets) const {
    return for_each_run(offset, octets.size(),
                        [&](std::size_t at, const std::byte* is, auto count) {
                          return std::memcmp(octets.data() + at, is, count) == 0;
                        });
  }

 private:
  using WholeWord = std::integral_constant<std::size_t, 8>;

  /// Calls visit(place, octets, how many) for runs of at most a word, until it says false. Between
  /// the first and the last they are whole words, of a size known to the compiler: most of what a
  /// simulator does is this loop.
  template <class Visitor>
  bool for_each_run(std::uint64_t offset, std::size_t count, Visitor&& visit) const {
    std::size_t at = 0;
    const auto cut_word = [&] {
      const std::uint64_t word = mix(key_, (offset + at) / 8);
      std::byte octets[8];
      std::memcpy(octets, &word, sizeof octets);
      const std::size_t skip = (offset + at) % 8;
      const std::size_t n = std::min(count - at, 8 - skip);
      const bool goes_on = visit(at, octets + skip, n);
      at += n;
      return goes_on;
    };
    if (count > 0 && offset % 8 != 0 && !cut_word()) return false;
    for (; count - at >= 8; at += 8) {
      const std::uint64_t word = mix(key_, (offset + at) / 8);
      std::byte octets[8];
      std::memcpy(octets, &word, sizeof octets);
      if (!visit(at, octets, WholeWord{})) return false;
    }
    return at == count || cut_word();
  }

  std::uint64_t key_ = 0;
};

}  // namespace sluice::sim
