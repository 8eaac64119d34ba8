#pragma once

// Pools of mbufs for tests. AddressSanitizer sees nothing inside a mempool, so these pools tell it:
// a freed element is poisoned whole until it is allocated again (oldest first, so that it stays so
// for long), and make_packet() poisons the head- and tailroom of what it makes.

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "packet/packet.hpp"
#include "packet/pools.hpp"

namespace sluice::support {

struct MempoolDeleter {
  void operator()(rte_mempool* pool) const;
};
using MempoolPtr = std::unique_ptr<rte_mempool, MempoolDeleter>;

/// A pool of `count` mbufs with `data_room` octets each, headroom included; no per-lcore cache.
/// Throws std::runtime_error if EAL has no memory left.
MempoolPtr make_mbuf_pool(unsigned count, std::uint16_t data_room);

/// The three pools of a worker.
class TestPools {
 public:
  struct Sizes {
    unsigned receive = 512;
    unsigned control = 256;
    unsigned indirect = 256;
    std::uint16_t data_room = 2048 + RTE_PKTMBUF_HEADROOM;
  };
  TestPools() : TestPools(Sizes{}) {}
  explicit TestPools(const Sizes& sizes);

  const packet::Pools& pools() const { return pools_; }
  rte_mempool& receive() const { return *receive_; }
  rte_mempool& control() const { return *control_; }
  rte_mempool& indirect() const { return *indirect_; }
  /// How many mbufs are out of their pools: 0 when nothing has leaked.
  unsigned mbufs_out() const;

 private:
  MempoolPtr receive_;
  MempoolPtr control_;
  MempoolPtr indirect_;
  packet::Pools pools_;
};

/// One mbuf from `pool` that holds `octets` as a driver would have received them. Reading or
/// writing beyond them is an ASan error, unless through packet::prepend and packet::append.
/// Precondition: the pool is not empty and the octets fit an mbuf.
packet::PacketPtr make_packet(rte_mempool& pool, std::span<const std::byte> octets);

/// The same in several segments, one for each of `segments`, none of them empty.
packet::PacketPtr make_packet(rte_mempool& pool, std::span<const std::vector<std::byte>> segments);

/// All octets of a packet, segment after segment.
std::vector<std::byte> octets_of(const rte_mbuf& packet);
/// All octets of a chain.
std::vector<std::byte> octets_of(const packet::PacketChain& chain);

/// `count` octets that tell their place: offset + i, modulo 251.
std::vector<std::byte> pattern(std::size_t count, std::size_t offset = 0);

}  // namespace sluice::support
