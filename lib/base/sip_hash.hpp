#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/keyed_hash.hpp"

namespace sluice {

/// SipHash-1-3 (Aumasson and Bernstein 2012), as the hash tables of Linux, Rust and Python use it:
/// for tables of ours, of whose hashes nobody outside sees more than that they differ. Half the
/// rounds of keyed_hash(), which is for what leaves the machine, and inlined, since every segment
/// is hashed. `words` are the message's whole words, `last` the octets behind them, `length` (all
/// octets) in the topmost. About 80 instructions for two words in all.
[[gnu::always_inline]] inline std::uint64_t sip_hash_1_3(const HashKey& key,
                                                         std::span<const std::uint64_t> words,
                                                         std::uint64_t last) {
  std::uint64_t k0, k1;
  std::memcpy(&k0, key.octets.data(), sizeof k0);
  std::memcpy(&k1, key.octets.data() + sizeof k0, sizeof k1);
  std::uint64_t v0 = 0x736f6d6570736575u ^ k0, v1 = 0x646f72616e646f6du ^ k1;
  std::uint64_t v2 = 0x6c7967656e657261u ^ k0, v3 = 0x7465646279746573u ^ k1;
  const auto round = [&] {
    v0 += v1;
    v2 += v3;
    v1 = std::rotl(v1, 13) ^ v0;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 = std::rotl(v0, 32);
    v2 += v1;
    v0 += v3;
    v1 = std::rotl(v1, 17) ^ v2;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 = std::rotl(v2, 32);
  };
  const auto take = [&](std::uint64_t word) {
    v3 ^= word;
    round();
    v0 ^= word;
  };
  for (const std::uint64_t word : words) take(word);
  take(last);
  v2 ^= 0xff;
  round();
  round();
  round();
  return v0 ^ v1 ^ v2 ^ v3;
}

}  // namespace sluice
