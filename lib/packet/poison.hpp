#pragma once

// What AddressSanitizer may know of an mbuf. It sees a mempool as one block; pools that poison what
// is not data (those of the tests and fuzzers) make it see each buffer. Where the data grows into
// its room it must be unpoisoned: packet::prepend and packet::append do that. Without ASan all of
// this is empty.

#include <rte_mbuf.h>

#include <cstddef>
#include <cstdint>

#if defined(__SANITIZE_ADDRESS__)
#define SLUICE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLUICE_ASAN 1
#endif
#endif

#ifdef SLUICE_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace sluice::packet {

inline void poison([[maybe_unused]] const void* at, [[maybe_unused]] std::size_t count) {
#ifdef SLUICE_ASAN
  __asan_poison_memory_region(at, count);
#endif
}

inline void unpoison([[maybe_unused]] const void* at, [[maybe_unused]] std::size_t count) {
#ifdef SLUICE_ASAN
  __asan_unpoison_memory_region(at, count);
#endif
}

/// Poisons head- and tailroom of a direct mbuf of one segment. The last octets before the data stay
/// readable where the data does not begin on a multiple of 8, for that is ASan's grain.
inline void poison_room(const rte_mbuf& mbuf) {
  poison(mbuf.buf_addr, mbuf.data_off);
  poison(static_cast<const std::byte*>(mbuf.buf_addr) + mbuf.data_off + mbuf.data_len,
         static_cast<std::size_t>(mbuf.buf_len - mbuf.data_off - mbuf.data_len));
}

}  // namespace sluice::packet
