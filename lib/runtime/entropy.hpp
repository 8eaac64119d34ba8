#pragma once

#include <cstdint>
#include <vector>

#include "stack/stack.hpp"

namespace sluice::runtime {

/// Keys and seed of one worker. The flow table's key is the same for all workers of a runtime, so
/// that a flow has one owner whatever port it enters by; so are the others, for a successor.
struct WorkerEntropy {
  stack::Secrets secrets;
  HashKey steering;
  std::uint64_t seed = 0;
};

/// From the operating system (libsodium); from `replay_seed` if that is not 0.
WorkerEntropy make_entropy(std::uint64_t replay_seed);
/// The next worker's: same keys, another seed.
WorkerEntropy for_worker(const WorkerEntropy& runtime, unsigned worker);

/// A Toeplitz key for ports, 52 octets: as long as any port's.
std::vector<std::uint8_t> rss_key(const WorkerEntropy& entropy);

/// Replaces the keys that servers of a fleet must share by ones that come from its secret.
void use_fleet_key(const HashKey& fleet, WorkerEntropy& entropy);

}  // namespace sluice::runtime
