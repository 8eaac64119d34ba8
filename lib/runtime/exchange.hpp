#pragma once

// A worker's way to the others: received frames go to the worker that owns their flow, before any
// table is touched.
//
//   port ── rx_burst ──▶ keep_ours() ──▶ stack           mailbox ── take() ──▶ stack
//                            └──▶ mailbox of the owner

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "packet/packet.hpp"
#include "runtime/mailbox.hpp"
#include "runtime/self_test.hpp"
#include "runtime/steering.hpp"
#include "runtime/waker.hpp"
#include "stack/port_record.hpp"
#include "telemetry/metrics.hpp"

struct rte_mempool;

namespace sluice::runtime {

/// Frames moved in one call of a port, and handed over in one.
inline constexpr std::size_t kBurst = 32;

/// Of a burst of frames.
enum class Origin : std::uint8_t {
  kPort,
  kHere,  ///< Made here: no port has chosen its queue or hashed it.
};

class Exchange {
 public:
  /// Another worker: its mailbox to us, ours to it, and what wakes it. All null for ourselves.
  struct Peer {
    Mailbox* in = nullptr;
    Mailbox* out = nullptr;
    Waker* waker = nullptr;  ///< Null: it never sleeps.
  };
  /// All that is referred to outlives the Exchange. `copies` has mbufs for ARP replies.
  struct Deps {
    const Steering& steering;
    unsigned worker;
    telemetry::Metrics& metrics;
    rte_mempool& copies;
    std::vector<Peer> peers;  ///< By worker.
  };
  explicit Exchange(Deps deps);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  /// The next device, in order of their numbers. `test` is null where no queue is to be trusted.
  void add_device(SelfTest* test, stack::PortCounts& counts);

  /// Sorts a burst of `device`: frames that concern this worker come to the front, in order; the
  /// others go to theirs. One whose mailbox is full is lost, and counted. Gives how many are left.
  /// Precondition: at most kBurst frames.
  std::size_t keep_ours(std::span<rte_mbuf*> frames, unsigned device,
                        Origin origin = Origin::kPort);

  /// Takes what others handed to us, at most a burst of each: receive(device, frames) gets every
  /// run of frames of one device, and owns them. True if there was something.
  template <class Receive>
  bool take(Receive&& receive) {
    bool worked = false;
    for (const Peer& peer : peers_) {
      if (peer.in == nullptr) continue;
      std::array<HandedFrame, kBurst> handed;
      const std::size_t count = peer.in->pop(handed.data(), handed.size());
      if (count == 0) continue;
      worked = true;
      std::array<rte_mbuf*, kBurst> frames;
      for (std::size_t begin = 0, end = 0; begin < count; begin = end) {
        const std::uint32_t device = handed[begin].device;
        std::size_t run = 0;
        for (; end < count && handed[end].device == device; ++end)
          frames[run++] = handed[end].frame;
        receive(device, std::span<rte_mbuf* const>(frames.data(), run));
      }
      metrics_.count(telemetry::Counter::kFramesHandedIn, count);
    }
    return worked;
  }
  /// A mailbox holds something.
  bool has_mail() const;

 private:
  struct Device {
    SelfTest* test;
    stack::PortCounts* counts;
    std::uint32_t last_hash = 0;  ///< Of the flow that the test has heard of last.
  };
  struct Outgoing {
    std::array<HandedFrame, kBurst> frames;
    std::size_t count = 0;
  };

  /// The worker that `frame` goes to.
  std::uint16_t destination(rte_mbuf& frame, unsigned number, Origin origin, bool is_trusted);
  void test(Device& device, const rte_mbuf& frame, const Sight& sight);
  void copy_to_all(const rte_mbuf& frame, unsigned device);
  void hand_on(unsigned worker, Device& device);

  const Steering& steering_;
  const std::uint16_t worker_;
  telemetry::Metrics& metrics_;
  rte_mempool& copies_;
  std::vector<Peer> peers_;
  std::vector<Device> devices_;
  std::vector<Outgoing> outgoing_;  ///< By worker; empty between two calls.
};

}  // namespace sluice::runtime
