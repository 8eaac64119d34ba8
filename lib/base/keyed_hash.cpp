#include "base/keyed_hash.hpp"

#include <sodium/crypto_shorthash.h>

#include <bit>
#include <cstring>

namespace sluice {

static_assert(crypto_shorthash_BYTES == sizeof(std::uint64_t));
static_assert(crypto_shorthash_KEYBYTES == sizeof(HashKey));

std::uint64_t keyed_hash(const HashKey& key, std::span<const std::byte> bytes) {
  unsigned char out[crypto_shorthash_BYTES];
  crypto_shorthash(out, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
                   key.octets.data());
  std::uint64_t value;
  std::memcpy(&value, out, sizeof value);
  static_assert(std::endian::native == std::endian::little);
  return value;
}

HashKey derive_key(const HashKey& master, std::uint64_t label) {
  std::uint64_t halves[2];
  for (std::uint64_t half = 0; half < 2; ++half) {
    const std::uint64_t message[2] = {label, half};
    halves[half] = keyed_hash(master, std::as_bytes(std::span(message)));
  }
  HashKey key;
  static_assert(sizeof halves == sizeof key);
  std::memcpy(key.octets.data(), halves, sizeof halves);
  return key;
}

}  // namespace sluice
