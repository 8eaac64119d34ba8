#include "wire/checksum.hpp"

#include <bit>
#include <cstring>

namespace sluice::wire {
namespace {

static_assert(std::endian::native == std::endian::little);

/// The next sizeof(Word) octets; `at` goes on behind them.
template <class Word>
Word take(const std::byte*& at) {
  Word word;
  std::memcpy(&word, at, sizeof word);
  at += sizeof word;
  return word;
}

using Pair [[gnu::vector_size(16)]] = std::uint64_t;  // gcc's and clang's, of any machine

/// The sum of little-endian words of 32 bits, what is left at the end as words of 16, in 64 bits:
/// it cannot overflow below 16 GiB. The lower and the upper halves of each 64 bits have a sum of
/// their own, so that no carry is waited for. The rest by halves, each from a register: octets that
/// are gathered in memory cannot be read as a word before they are stored.
std::uint64_t sum_words(const std::byte* at, std::size_t count) {
  Pair low{}, high{};
  const auto add = [&](Pair words) {
    low += words & 0xffffffff;
    high += words >> 32;
  };
  for (; count >= 32; count -= 32) {
    const Pair first = take<Pair>(at), second = take<Pair>(at);
    add(first);
    add(second);
  }
  if (count & 16) add(take<Pair>(at));
  low += high;
  std::uint64_t sum = low[0] + low[1];
  if (count & 8) {
    const auto word = take<std::uint64_t>(at);
    sum += (word & 0xffffffff) + (word >> 32);
  }
  if (count & 4) sum += take<std::uint32_t>(at);
  if (count & 2) sum += take<std::uint16_t>(at);
  if (count & 1) sum += take<std::uint8_t>(at);
  return sum;
}

}  // namespace

// One's complement sums do not care about byte order (RFC 1071 2 B): the octets are summed as they
// lie, and the folded sum is swapped once.
void Checksum::add(std::span<const std::byte> octets) {
  if (octets.empty()) return;
  sum_ += __builtin_bswap16(fold(sum_words(octets.data(), octets.size())));
}

void Checksum::add_pseudo_header(const IpAddr& source, const IpAddr& destination,
                                 std::uint8_t protocol, std::uint32_t length) {
  if (source.is_v4()) return add_pseudo_header(source.v4(), destination.v4(), protocol, length);
  add(std::as_bytes(std::span(source.octets())));
  add(std::as_bytes(std::span(destination.octets())));
  add_u16(protocol);
  add_u32(length);
}

std::uint16_t checksum(std::span<const std::byte> octets) {
  Checksum sum;
  sum.add(octets);
  return sum.finish();
}

}  // namespace sluice::wire
