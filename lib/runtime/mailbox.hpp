#pragma once

#include <rte_lcore.h>
#include <rte_malloc.h>

#include <boost/lockfree/spsc_queue.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

struct rte_mbuf;

namespace sluice::runtime {

/// A frame on its way from one worker to another: who takes it out owns it.
struct HandedFrame {
  rte_mbuf* frame = nullptr;
  std::uint32_t device = 0;  ///< By which it came in.
};

inline constexpr std::size_t kMailboxFrames = 1024;

/// Received frames for the worker that owns their flow. Bounded, one sender and one receiver:
/// workers share nothing else.
using Mailbox = boost::lockfree::spsc_queue<HandedFrame, boost::lockfree::capacity<kMailboxFrames>>;
/// Finished frames for the worker that has the transmit queue.
using TxRing = boost::lockfree::spsc_queue<rte_mbuf*, boost::lockfree::capacity<kMailboxFrames>>;

template <class T>
struct SocketDeleter {
  void operator()(T* object) const {
    object->~T();
    rte_free(object);
  }
};
template <class T>
using SocketPtr = std::unique_ptr<T, SocketDeleter<T>>;

/// A `T` in memory near worker `worker`, whose lcore has that number; elsewhere if there is none.
/// Throws std::bad_alloc.
template <class T>
SocketPtr<T> make_near_worker(unsigned worker) {
  void* const memory = rte_malloc_socket(nullptr, sizeof(T), RTE_CACHE_LINE_SIZE,
                                         static_cast<int>(rte_lcore_to_socket_id(worker)));
  void* const at = memory != nullptr ? memory : rte_malloc(nullptr, sizeof(T), RTE_CACHE_LINE_SIZE);
  if (at == nullptr) throw std::bad_alloc();
  return SocketPtr<T>(new (at) T);
}

}  // namespace sluice::runtime
