#pragma once

#include <cstdint>
#include <string>

#include "packet/pools.hpp"

namespace sluice::drivers {

struct PoolOptions {
  std::string name;
  std::uint32_t receive_pkts = 32768;
  std::uint32_t control_pkts = 4096;
  std::uint32_t indirect_pkts = 16384;
  std::uint16_t mtu = 1500;  ///< Octets; a received frame of this MTU fits one mbuf.
  int socket = -1;           ///< NUMA node, if that has the memory; -1: any.
  unsigned lcores = 1;       ///< That take from the pools or give back: each has a cache.
};

/// The three mempools of one worker. Frees them at its end, when every mbuf must be back.
class WorkerPools {
 public:
  /// Throws DeviceError if the memory is not there.
  explicit WorkerPools(const PoolOptions& options);
  ~WorkerPools();
  WorkerPools(const WorkerPools&) = delete;
  WorkerPools& operator=(const WorkerPools&) = delete;

  const packet::Pools& get() const { return pools_; }
  /// Octets of memory that pools of these sizes take, for EAL's -m.
  static std::uint64_t memory_needed(const PoolOptions& options);

 private:
  packet::Pools pools_;
};

}  // namespace sluice::drivers
