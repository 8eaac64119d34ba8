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

}  // namespace

ReservedMemory::ReservedMemory(std::size_t octets)
    : octets_(octets), page_(octets >= kLarge ? kHugePage : kSmallPage) {
  // An aligned start is found inside a mapping that is larger by one page.
  mapped_ = round_up(std::max<std::size_t>(octets, 1), page_) + (page_ == kHugePage ? page_ : 0);
  mapping_ = ::mmap(nullptr, mapped_, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping_ == MAP_FAILED) throw std::bad_alloc();
  const std::uintptr_t at = reinterpret_cast<std::uintptr_t>(mapping_);
  base_ = static_cast<std::byte*>(mapping_) + (round_up(at, page_) - at);
  // Refused where the kernel has none: small pages do as well.
  if (page_ == kHugePage && ::madvise(base_, round_up(octets_, page_), MADV_HUGEPAGE) != 0)
    page_ = kSmallPage;
}

ReservedMemory::~ReservedMemory() {
  ::munmap(mapping_, mapped_);
}

std::size_t ReservedMemory::raise(std::size_t used, std::size_t octets) {
  used_.store(octets, std::memory_order_relaxed);
  const std::size_t present =
      round_up(std::max(used, populated_.load(std::memory_order_relaxed)), page_);
  return octets <= present ? 0 : (octets - present + page_ - 1) / page_;
}

bool ReservedMemory::populate_ahead() {
  const std::size_t from = populated_.load(std::memory_order_relaxed);
  const std::size_t wanted = std::min(
      round_up(used_.load(std::memory_order_relaxed) + kLead, page_), round_up(octets_, page_));
  if (wanted <= from) return true;
#ifdef MADV_POPULATE_WRITE
  if (::madvise(base_ + from, wanted - from, MADV_POPULATE_WRITE) == 0) {
    populated_.store(wanted, std::memory_order_relaxed);
    return true;
  }
#endif
  return false;
}

void ReservedMemory::prefer_node(unsigned node) {
  // glibc has no wrapper. A refusal (no NUMA, no such node) leaves the kernel's choice.
  const unsigned long mask[2] = {node < 64 ? 1ul << node : 0, 0};
  ::syscall(SYS_mbind, mapping_, mapped_, MPOL_PREFERRED, mask, 65ul, 0u);
}

}  // namespace sluice
