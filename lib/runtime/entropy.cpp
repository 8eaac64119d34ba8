#include "runtime/entropy.hpp"

#include <sodium.h>

#include <cstring>

#include "base/keyed_hash.hpp"
#include "base/rng.hpp"
#include "sluice/runtime.hpp"

namespace sluice::runtime {

WorkerEntropy make_entropy(std::uint64_t replay_seed) {
  if (sodium_init() < 0) throw SetupError("libsodium did not start: no source of entropy", 1);
  WorkerEntropy entropy;
  Rng replayed(replay_seed);
  for (HashKey* key :
       {&entropy.secrets.flow_table, &entropy.secrets.isn, &entropy.secrets.timestamps,
        &entropy.secrets.ports, &entropy.secrets.cookies}) {
    if (replay_seed == 0) {
      randombytes_buf(key->octets.data(), key->octets.size());
      continue;
    }
    const std::uint64_t words[2] = {replayed.next(), replayed.next()};
    std::memcpy(key->octets.data(), words, sizeof words);
  }
  if (replay_seed == 0)
    randombytes_buf(&entropy.seed, sizeof entropy.seed);
  else
    entropy.seed = replayed.next();
  return entropy;
}

WorkerEntropy for_worker(const WorkerEntropy& runtime, unsigned worker) {
  return {runtime.secrets, runtime.seed + worker};
}

void use_fleet_key(const HashKey& fleet, WorkerEntropy& entropy) {
  entropy.secrets.cookies = derive_key(fleet, 1);
  entropy.secrets.timestamps = derive_key(fleet, 2);
}

}  // namespace sluice::runtime
