#pragma once

// Address space taken at start for an array that may become large, and memory under it that comes
// as the array grows: from a thread that may wait, ahead of the one that may not.

#include <atomic>
#include <cstddef>

namespace sluice {
namespace detail {

/// Address space of `octets`, from an aligned start.
class Mapping {
 public:
  explicit Mapping(std::size_t octets);
  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

 protected:
  std::byte* start_;
  std::size_t page_size_;

 private:
  std::size_t mapped_;
  void* mapping_;
};

}  // namespace detail

/// An array in a mapping, used from its start to a mark that only rises. The owner's thread moves
/// the mark by use(); any one other thread may call populate_ahead(), so that the owner finds its
/// pages there. Without such a thread (the simulator, tests) a page comes when it is touched first.
class GrowingMemory {
 public:
  /// How far ahead of the mark memory is made present.
  static constexpr std::size_t kLead = std::size_t{8} << 20;

  /// Borrows `octets` at `base`, which need not be aligned: part of a mapping that is its own to
  /// write, in small pages or hugetlbfs's.
  GrowingMemory(std::byte* base, std::size_t octets);
  GrowingMemory(const GrowingMemory&) = delete;
  GrowingMemory& operator=(const GrowingMemory&) = delete;

  std::byte* data() const { return base_; }
  std::size_t octets() const { return octets_; }

  // --- the owner's thread ---

  /// The first `octets` are in use from now on. How many pages of them the owner has to fault in
  /// itself, which costs a page's zeroing each: none while the other thread keeps up.
  std::size_t use(std::size_t octets) {
    const std::size_t used = used_.load(std::memory_order_relaxed);
    return octets <= used ? 0 : raise(used, octets);
  }
  /// Whether using `octets` would wait for nobody. True where nobody populates.
  bool is_ready(std::size_t octets) const {
    const std::size_t populated = populated_.load(std::memory_order_relaxed);
    return octets <= populated || populated == 0;
  }

  // --- one other thread, at any time ---

  /// Makes present what lies less than kLead beyond the mark. False if the kernel has no memory, or
  /// is older than 5.14: pages come by faults then.
  bool populate_ahead();
  /// Pages that come from now on lie on this NUMA node if it has any left.
  void prefer_node(unsigned node);

 protected:
  GrowingMemory(std::byte* base, std::size_t octets, std::size_t page)
      : base_(base), octets_(octets), page_(page) {}

 private:
  std::size_t raise(std::size_t used, std::size_t octets);

  std::byte* base_;
  std::size_t octets_;
  std::size_t page_;
  std::atomic<std::size_t> used_ = 0;
  std::atomic<std::size_t> populated_ = 0;
};

/// A zero-filled private mapping that grows so. Huge pages where the kernel gives them on request.
class ReservedMemory : private detail::Mapping, public GrowingMemory {
 public:
  /// Reserves and touches nothing. Throws std::bad_alloc: no address space.
  explicit ReservedMemory(std::size_t octets);
};

}  // namespace sluice
