#pragma once

// Network byte order lives here and nowhere above wire/. Loads and stores take any alignment.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace sluice::wire {

static_assert(std::endian::native == std::endian::little, "loads swap unconditionally");

/// Preconditions of all: that many octets lie at `at`.
inline std::uint8_t load_u8(const std::byte* at) {
  return std::to_integer<std::uint8_t>(*at);
}
inline std::uint16_t load_be16(const std::byte* at) {
  std::uint16_t value;
  std::memcpy(&value, at, sizeof value);
  return __builtin_bswap16(value);
}
inline std::uint32_t load_be32(const std::byte* at) {
  std::uint32_t value;
  std::memcpy(&value, at, sizeof value);
  return __builtin_bswap32(value);
}

inline void store_u8(std::byte* at, std::uint8_t value) {
  *at = std::byte{value};
}
inline void store_be16(std::byte* at, std::uint16_t value) {
  value = __builtin_bswap16(value);
  std::memcpy(at, &value, sizeof value);
}
inline void store_be32(std::byte* at, std::uint32_t value) {
  value = __builtin_bswap32(value);
  std::memcpy(at, &value, sizeof value);
}

}  // namespace sluice::wire
