#include "base/reserved_memory.hpp"

#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <new>

namespace sluice {
namespace {

constexpr std::size_t kSmallPage = 4096;
constexpr std::size_t kHugePage = std::size_t{2} << 20;
/// Less is left in small pages, of which a small array touches less.
constexpr std::size_t kLarge = 8 * kHugePage;

std::size_t round_up(std::size_t value, std::size_t unit) {
  return (value + unit - 1) / unit * unit;
}

/// Calls with the pages that hold octets [from, to) of `base`, and how many octets they have.
template <class Call>
int with_pages(std::byte* base, std::size_t from, std::size_t to, const Call& call) {
  std::byte* const first = base + from;
  const std::size_t into_page = reinterpret_cast<std::uintptr_t>(first) % kSmallPage;
  return call(first - into_page, round_up(into_page + (to - from), kSmallPage));
}

}  // namespace

namespace detail {

Mapping::Mapping(std::size_t octets) : page_size_(octets >= kLarge ? kHugePage : kSmallPage) {
  // An aligned start is found inside a mapping that is larger by one page.
  mapped_ = round_up(std::max<std::size_t>(octets, 1), page_size_) +
            (page_size_ == kHugePage ? page_size_ : 0);
  mapping_ = ::mmap(nullptr, mapped_, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping_ == MAP_FAILED) throw std::bad_alloc();
  const auto at = reinterpret_cast<std::uintptr_t>(mapping_);
  start_ = static_cast<std::byte*>(mapping_) + (round_up(at, page_size_) - at);
  // Refused where the kernel has none: small pages do as well.
  if (page_size_ == kHugePage &&
      ::madvise(start_, round_up(octets, page_size_), MADV_HUGEPAGE) != 0)
    page_size_ = kSmallPage;
}

Mapping::~Mapping() {
  ::munmap(mapping_, mapped_);
}

}  // namespace detail

ReservedMemory::ReservedMemory(std::size_t octets)
    : Mapping(octets), GrowingMemory(start_, octets, page_size_) {}

GrowingMemory::GrowingMemory(std::byte* base, std::size_t octets)
    : GrowingMemory(base, octets, kSmallPage) {}

std::size_t GrowingMemory::raise(std::size_t used, std::size_t octets) {
  used_.store(octets, std::memory_order_relaxed);
  const std::size_t present =
      round_up(std::max(used, populated_.load(std::memory_order_relaxed)), page_);
  return octets <= present ? 0 : (octets - present + page_ - 1) / page_;
}

bool GrowingMemory::populate_ahead() {
  const std::size_t from = populated_.load(std::memory_order_relaxed);
  const std::size_t wanted = std::min(
      round_up(used_.load(std::memory_order_relaxed) + kLead, page_), round_up(octets_, page_));
  if (wanted <= from) return true;
#ifdef MADV_POPULATE_WRITE
  const auto populate = [](void* pages, std::size_t octets) {
    return ::madvise(pages, octets, MADV_POPULATE_WRITE);
  };
  if (with_pages(base_, from, std::min(wanted, octets_), populate) == 0) {
    populated_.store(wanted, std::memory_order_relaxed);
    return true;
  }
#endif
  return false;
}

void GrowingMemory::prefer_node(unsigned node) {
  // glibc has no wrapper. A refusal (no NUMA, no such node) leaves the kernel's choice.
  const unsigned long mask[2] = {node < 64 ? 1ul << node : 0, 0};
  with_pages(base_, 0, octets_, [&](void* pages, std::size_t octets) {
    return static_cast<int>(::syscall(SYS_mbind, pages, octets, MPOL_PREFERRED, mask, 65ul, 0u));
  });
}

}  // namespace sluice
