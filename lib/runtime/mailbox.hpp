#pragma once

#include <boost/lockfree/spsc_queue.hpp>
#include <cstdint>

struct rte_mbuf;

namespace sluice::runtime {

/// A frame on its way from one worker to another: who takes it out owns it.
struct HandedFrame {
  rte_mbuf* frame = nullptr;
  std::uint32_t port = 0;  ///< Number of the (port, queue) pair that it came in by, of the device.
};

/// Bounded, one sender and one receiver: workers share nothing else.
using Mailbox = boost::lockfree::spsc_queue<HandedFrame, boost::lockfree::capacity<1024>>;

}  // namespace sluice::runtime
