#include "runtime/entropy.hpp"

#include <sodium.h>

#include <cstring>

#include "base/keyed_hash.hpp"
#include "base/rng.hpp"
#include "sluice/runtime.hpp"

namespace sluice::runtime {
namespace {

/// Label by which the steering's key comes from the flow table's: of this process only, too.
constexpr std::uint64_t kSteering = 1;

}  // namespace

WorkerEntropy make_entropy(std::uint64_t replay_seed) {
  if (sodium_init() < 0) throw SetupError("libsodium did not start: no source of entropy", 1);
  WorkerEntropy entropy;
  Rng replayed(replay_seed);
  for (HashKey* key : {&entropy.secrets.flow_table, &entropy.secrets.first_numbers,
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
  entropy.steering = derive_key(entropy.secrets.flow_table, kSteering);
  return entropy;
}

std::vector<std::uint8_t> rss_key(const WorkerEntropy& entropy) {
  constexpr std::size_t kOctets = 52;
  std::vector<std::uint8_t> key;
  for (std::uint64_t part = 0; key.size() < kOctets; ++part) {
    const HashKey octets = derive_key(entropy.steering, part);
    key.insert(key.end(), octets.octets.begin(), octets.octets.end());
  }
  key.resize(kOctets);
  return key;
}

WorkerEntropy for_worker(const WorkerEntropy& runtime, unsigned worker) {
  return {runtime.secrets, runtime.steering, runtime.seed + worker};
}

void use_fleet_key(const HashKey& fleet, WorkerEntropy& entropy) {
  entropy.secrets.cookies = derive_key(fleet, 1);
  entropy.secrets.first_numbers = derive_key(fleet, 2);
}

}  // namespace sluice::runtime
