#include "drivers/dpdk/pool.hpp"

#include <fmt/format.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <algorithm>

#include "drivers/dpdk/device_error.hpp"

namespace sluice::drivers {
namespace {

constexpr unsigned kCachePkts = 256;

/// Room for the largest frame behind DPDK's headroom, and for a full payload behind kHeaderRoom.
std::uint16_t data_room(std::uint16_t mtu) {
  const unsigned room = std::max<unsigned>(RTE_MBUF_DEFAULT_DATAROOM, mtu + 64u);
  return static_cast<std::uint16_t>(
      std::min(RTE_ALIGN_CEIL(room, 64u) + RTE_PKTMBUF_HEADROOM, 65472u));
}

rte_mempool* make(const PoolOptions& options, const char* kind, std::uint32_t count,
                  std::uint16_t room) {
  const std::string name = fmt::format("{}-{}", options.name, kind);
  // A cache holds up to 1.5 times its size: a small pool must not vanish in those of all lcores.
  const unsigned cache = std::min(kCachePkts, count / 8 / options.lcores);
  const auto create = [&](int socket) {
    return rte_pktmbuf_pool_create(name.c_str(), count, cache, packet::kPrivateSize, room, socket);
  };
  rte_mempool* pool = create(options.socket);
  if (pool == nullptr && options.socket != SOCKET_ID_ANY) pool = create(SOCKET_ID_ANY);
  if (pool == nullptr)
    throw DeviceError(
        fmt::format("no memory for {} mbufs of pool '{}' ({}): lower pools.{}_pkts, or raise "
                    "dpdk.memory_mb or the number of hugepages",
                    count, name, rte_strerror(rte_errno), kind));
  return pool;
}

}  // namespace

WorkerPools::WorkerPools(const PoolOptions& options) {
  const std::uint16_t room = data_room(options.mtu);
  try {
    pools_.receive = make(options, "receive", options.receive_pkts, room);
    pools_.control = make(options, "control", options.control_pkts, room);
    pools_.indirect = make(options, "indirect", options.indirect_pkts, 0);
  } catch (...) {
    rte_mempool_free(pools_.receive);
    rte_mempool_free(pools_.control);
    throw;
  }
}

WorkerPools::~WorkerPools() {
  rte_mempool_free(pools_.receive);
  rte_mempool_free(pools_.control);
  rte_mempool_free(pools_.indirect);
}

std::uint64_t WorkerPools::memory_needed(const PoolOptions& options) {
  // On ordinary pages an element never crosses one: a full-sized mbuf takes a page for itself.
  constexpr std::uint64_t kPage = 4096;
  constexpr std::uint64_t kOverhead = sizeof(rte_mbuf) + packet::kPrivateSize + 128;  // + ring slot
  const std::uint64_t element = data_room(options.mtu) + kOverhead;
  const std::uint64_t full = element > kPage / 2 ? RTE_ALIGN_CEIL(element, kPage) : element;
  return (std::uint64_t{options.receive_pkts} + options.control_pkts) * full +
         std::uint64_t{options.indirect_pkts} * kOverhead;
}

}  // namespace sluice::drivers
