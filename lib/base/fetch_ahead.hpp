#pragma once

namespace sluice {

/// Has the cache line of `at` fetched, which need not be mapped, while the core goes on.
/// Not __builtin_prefetch alone: gcc 12 finds a function that does nothing else to be without
/// effect, and drops every call of it.
inline void fetch_ahead(const void* at) {
  __builtin_prefetch(at);
  asm volatile("");
}

}  // namespace sluice
