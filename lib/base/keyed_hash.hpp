#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace sluice {

/// A 128-bit secret. Made by runtime/ from the operating system's entropy, by tests from a seed.
/// Never lies in the state region.
struct HashKey {
  std::array<std::uint8_t, 16> octets{};
};

/// SipHash-2-4 of `bytes` under `key` (libsodium). About 25 cycles for a 4-tuple.
std::uint64_t keyed_hash(const HashKey& key, std::span<const std::byte> bytes);

/// The key for one purpose or time that a master key gives: who learns it learns no other.
HashKey derive_key(const HashKey& master, std::uint64_t label);

}  // namespace sluice
