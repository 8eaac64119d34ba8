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

/// The sum of little-endian words of 32 bits, what is left at the end as words of 16, in 64 bits:
/// it cannot overflow below 16 GiB. Two accumulators, so that no carry is waited for; the compiler
/// makes vector code of the loop.
std::uint64_t sum_words(const std::byte* at, std::size_t count) {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  for (; count >= 32; at += 32, count -= 32) {
    std::uint64_t words[4];
    std::memcpy(words, at, sizeof words);
    for (const std::uint64_t word : words) {
      low += word & 0xffffffff;
      high += word >> 32;
    }
  }
  // The rest by halves, each from a register: octets gathered in memory would have to be stored
  // before they can be read as a word.
  if (count & 16) {
    const std::uint64_t first = take<std::uint64_t>(at), second = take<std::uint64_t>(at);
    low += (first & 0xffffffff) + (second & 0xffffffff);
    high += (first >> 32) + (second >> 32);
  }
  if (count & 8) {
    const std::uint64_t word = take<std::uint64_t>(at);
    low += word & 0xffffffff;
    high += word >> 32;
  }
  if (count & 4) low += take<std::uint32_t>(at);
  if (count & 2) high += take<std::uint16_t>(at);
  if (count & 1) low += take<std::uint8_t>(at);
  return low + high;
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
