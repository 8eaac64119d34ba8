#pragma once

// What a stream carries: a pseudo-random function of (key, offset), so that the checker needs no
// copy of what was sent, and an octet that is lost, doubled or moved does not go unseen.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

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
    for_each_word(offset, out.size(), [&](std::size_t at, const std::byte* word, std::size_t n) {
      std::memcpy(out.data() + at, word, n);
      return true;
    });
  }

  /// True if `octets` are those from `offset` on.
  bool matches(std::uint64_t offset, std::span<const std::byte> octets) const {
    bool is_same = true;
    for_each_word(offset, octets.size(), [&](std::size_t at, const std::byte* word, std::size_t n) {
      is_same = std::memcmp(octets.data() + at, word, n) == 0;
      return is_same;
    });
    return is_same;
  }

 private:
  template <class Visitor>
  void for_each_word(std::uint64_t offset, std::size_t count, Visitor&& visit) const {
    for (std::size_t at = 0; at < count;) {
      const std::uint64_t word = mix(key_, (offset + at) / 8);
      std::byte octets[8];
      std::memcpy(octets, &word, sizeof octets);
      const std::size_t skip = (offset + at) % 8;
      const std::size_t n = count - at < 8 - skip ? count - at : 8 - skip;
      if (!visit(at, octets + skip, n)) return;
      at += n;
    }
  }

  std::uint64_t key_ = 0;
};

}  // namespace sluice::sim
