#include "tests/support/mbuf_pool.hpp"

#include <rte_errno.h>

#include <atomic>
#include <cstring>
#include <deque>
#include <mutex>
#include <stdexcept>
#include <string>

#include "packet/poison.hpp"

namespace sluice::support {
namespace {

// A mempool handler that keeps its elements in a queue and poisons what lies there, once DPDK has
// laid the elements out. Locked, and so that ThreadSanitizer sees it: it cannot see into DPDK's own
// rings, and would take every mbuf that came from another thread for a race.
struct FreeElements {
  std::mutex mutex;
  std::deque<void*> queue;
  bool is_poisoned = false;
};

FreeElements& free_elements_of(const rte_mempool& pool) {
  return *static_cast<FreeElements*>(pool.pool_data);
}

void start_poisoning(const rte_mempool& pool) {
  FreeElements& free = free_elements_of(pool);
  free.is_poisoned = true;
  for (const void* const element : free.queue) packet::poison(element, pool.elt_size);
}

int on_alloc(rte_mempool* pool) {
  pool->pool_data = new FreeElements;
  return 0;
}

void on_free(rte_mempool* pool) {
  FreeElements& free = free_elements_of(*pool);
  for (const void* const element : free.queue) packet::unpoison(element, pool->elt_size);
  delete &free;
}

int on_enqueue(rte_mempool* pool, void* const* elements, unsigned count) {
  FreeElements& free = free_elements_of(*pool);
  const std::lock_guard lock(free.mutex);
  for (unsigned i = 0; i < count; ++i) {
    if (free.is_poisoned) packet::poison(elements[i], pool->elt_size);
    free.queue.push_back(elements[i]);
  }
  return 0;
}

int on_dequeue(rte_mempool* pool, void** elements, unsigned count) {
  FreeElements& free = free_elements_of(*pool);
  const std::lock_guard lock(free.mutex);
  if (free.queue.size() < count) return -ENOBUFS;
  for (unsigned i = 0; i < count; ++i) {
    elements[i] = free.queue.front();
    free.queue.pop_front();
    packet::unpoison(elements[i], pool->elt_size);
  }
  return 0;
}

unsigned on_get_count(const rte_mempool* pool) {
  FreeElements& free = free_elements_of(*pool);
  const std::lock_guard lock(free.mutex);
  return static_cast<unsigned>(free.queue.size());
}

constexpr char kHandlerName[] = "sluice_test";

void register_handler_once() {
  static const int index = [] {
    rte_mempool_ops handler{};
    std::memcpy(handler.name, kHandlerName, sizeof kHandlerName);
    handler.alloc = on_alloc;
    handler.free = on_free;
    handler.enqueue = on_enqueue;
    handler.dequeue = on_dequeue;
    handler.get_count = on_get_count;
    return rte_mempool_register_ops(&handler);
  }();
  if (index < 0) throw std::runtime_error("cannot register the tests' mempool handler");
}

packet::PacketPtr make_segment(rte_mempool& pool, std::span<const std::byte> octets) {
  rte_mbuf* const mbuf = rte_pktmbuf_alloc(&pool);
  SLUICE_ASSERT(mbuf != nullptr);
  char* const at = rte_pktmbuf_append(mbuf, static_cast<std::uint16_t>(octets.size()));
  SLUICE_ASSERT(at != nullptr);
  if (!octets.empty()) std::memcpy(at, octets.data(), octets.size());
  packet::poison_room(*mbuf);
  return packet::PacketPtr(mbuf);
}

}  // namespace

void MempoolDeleter::operator()(rte_mempool* pool) const {
  rte_mempool_free(pool);
}

MempoolPtr make_mbuf_pool(unsigned count, std::uint16_t data_room) {
  static std::atomic<unsigned> serial = 0;
  register_handler_once();
  const std::string name = "test_pool_" + std::to_string(serial++);
  MempoolPtr pool(rte_pktmbuf_pool_create_by_ops(name.c_str(), count, 0, packet::kPrivateSize,
                                                 data_room, SOCKET_ID_ANY, kHandlerName));
  if (pool == nullptr)
    throw std::runtime_error("cannot make a pool of mbufs: " +
                             std::string(rte_strerror(rte_errno)));
  start_poisoning(*pool);
  return pool;
}

TestPools::TestPools(const Sizes& sizes)
    : receive_(make_mbuf_pool(sizes.receive, sizes.data_room)),
      control_(make_mbuf_pool(sizes.control, 256 + RTE_PKTMBUF_HEADROOM)),
      indirect_(make_mbuf_pool(sizes.indirect, 0)),
      pools_{.receive = receive_.get(), .control = control_.get(), .indirect = indirect_.get()} {}

unsigned TestPools::mbufs_out() const {
  return rte_mempool_in_use_count(receive_.get()) + rte_mempool_in_use_count(control_.get()) +
         rte_mempool_in_use_count(indirect_.get());
}

packet::PacketPtr make_packet(rte_mempool& pool, std::span<const std::byte> octets) {
  return make_segment(pool, octets);
}

packet::PacketPtr make_packet(rte_mempool& pool, std::span<const std::vector<std::byte>> segments) {
  packet::PacketPtr head;
  for (const auto& octets : segments) {
    packet::PacketPtr segment = make_segment(pool, octets);
    if (!head) {
      head = std::move(segment);
    } else {
      const int chained = rte_pktmbuf_chain(head.get(), segment.release());
      SLUICE_ASSERT(chained == 0);
    }
  }
  return head;
}

std::vector<std::byte> octets_of(const rte_mbuf& packet) {
  std::vector<std::byte> octets;
  for (const rte_mbuf* segment = &packet; segment != nullptr; segment = segment->next) {
    const auto part = packet::first_segment(*segment);
    octets.insert(octets.end(), part.begin(), part.end());
  }
  return octets;
}

std::vector<std::byte> octets_of(const packet::PacketChain& chain) {
  return chain.is_empty() ? std::vector<std::byte>{} : octets_of(*chain.head());
}

std::vector<std::byte> pattern(std::size_t count, std::size_t offset) {
  std::vector<std::byte> octets(count);
  for (std::size_t i = 0; i < count; ++i) octets[i] = static_cast<std::byte>((offset + i) % 251);
  return octets;
}

}  // namespace sluice::support
