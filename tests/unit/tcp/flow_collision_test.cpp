// Tuples that an attacker chooses so that they collide: under linear hashes, and under our own with
// another key. To the keyed flow table they are like any others.

#include <rte_hash_crc.h>
#include <rte_thash.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>
#include <vector>

#include "base/rng.hpp"
#include "tcp/demux/flow_hash.hpp"
#include "tcp/demux/flow_table.hpp"

namespace sluice::tcp {
namespace {

constexpr std::uint32_t kTuples = 100'000;
constexpr std::uint32_t kHomeBits = 14;  // the table has about 2^14 buckets for 100,000 entries
constexpr std::uint32_t kHomeMask = (1u << kHomeBits) - 1;

HashKey key_of(std::uint8_t value) {
  HashKey key;
  key.octets.fill(value);
  return key;
}

struct Tuple {
  std::uint32_t address;
  std::uint16_t port;
};

FlowKey flow_of(Tuple tuple) {
  return {Ipv4Addr::from_octets(10, 0, 0, 2), Ipv4Addr{tuple.address}, Port{80}, Port{tuple.port}};
}

using WeakHash = std::function<std::uint32_t(Tuple)>;

std::uint32_t crc(Tuple tuple) {
  return rte_hash_crc_4byte(tuple.port, rte_hash_crc_4byte(tuple.address, 0));
}
std::uint32_t toeplitz(Tuple tuple) {
  static const std::uint8_t kKey[40] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
                                        0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
                                        0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
                                        0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};
  std::uint32_t words[3] = {tuple.address, 0x0a000002, std::uint32_t{tuple.port} << 16 | 80};
  return rte_softrss(words, 3, kKey);
}
std::uint32_t exclusive_or(Tuple tuple) {
  return tuple.address ^ tuple.address >> 16 ^ tuple.port;
}

/// Linear hashes: what a port changes is the same for every address, so that for each address the
/// ports are known that bring the hash where it is wanted.
std::vector<Tuple> collide(const WeakHash& hash) {
  std::vector<std::vector<std::uint16_t>> ports(kHomeMask + 1);
  const std::uint32_t none = hash({0, 0});
  for (std::uint32_t port = 1024; port < 65536; ++port) {
    const auto at = static_cast<std::uint16_t>(port);
    ports[(hash({0, at}) ^ none) & kHomeMask].push_back(at);
  }
  std::vector<Tuple> found;
  for (std::uint32_t address = 0x0b000001; found.size() < kTuples; address += 7)
    for (const std::uint16_t port : ports[hash({address, 0}) & kHomeMask])
      found.push_back({address, port});
  found.resize(kTuples);
  return found;
}

std::vector<Tuple> any_tuples() {
  Rng rng(5);
  std::vector<Tuple> tuples;
  while (tuples.size() < kTuples)
    tuples.push_back({static_cast<std::uint32_t>(rng.next()),
                      static_cast<std::uint16_t>(1024 + rng.below(64'000))});
  return tuples;
}

/// Six of the fourteen bits of our own hash under a key that the attacker knows, but not ours.
std::vector<Tuple> collide_under_another_key() {
  std::vector<Tuple> found;
  const HashKey known = key_of(2);
  for (std::uint32_t address = 0x0b000001; found.size() < kTuples; ++address)
    for (std::uint16_t port = 1024; port < 1152 && found.size() < kTuples; ++port)
      if ((flow_id(known, flow_of({address, port})) & 63) == 0) found.push_back({address, port});
  return found;
}

struct Cost {
  double mean;  ///< Lines that a miss beside a flow reads.
  double far;   ///< The share of flows for which it reads more than four.
};

struct Hashes {
  const std::vector<std::uint64_t>& by_index;
  std::uint64_t operator()(FlowRef ref) const { return by_index[ref.index()]; }
  void prefetch(FlowRef) const {}
};

Cost cost_of(const std::vector<Tuple>& tuples) {
  FlowTable table(kTuples);
  const HashKey secret = key_of(1);
  std::vector<std::uint64_t> hashes;
  for (std::uint32_t i = 0; i < tuples.size(); ++i) {
    hashes.push_back(flow_id(secret, flow_of(tuples[i])));
    REQUIRE(table.insert(hashes.back(), FlowRef(FlowRef::kConnection, i), Hashes{hashes}));
  }
  std::uint64_t lines = 0, far = 0;
  for (const std::uint64_t hash : hashes) {
    lines += table.lines_of(hash);
    if (table.lines_of(hash) > 4) ++far;
  }
  return {static_cast<double>(lines) / kTuples, static_cast<double>(far) / kTuples};
}

}  // namespace

TEST_CASE("a hundred thousand tuples that collide under weaker hashes cost what any others cost",
          "[tcp][demux][gate]") {
  const Cost any = cost_of(any_tuples());
  CHECK(any.mean < 1.5);
  const auto check = [&](const std::vector<Tuple>& tuples) {
    const Cost chosen = cost_of(tuples);
    CHECK(chosen.mean < any.mean * 1.03);
    CHECK(chosen.far < any.far * 1.5 + 0.002);
  };
  const auto check_linear = [&](const WeakHash& hash) {
    const std::vector<Tuple> tuples = collide(hash);
    const std::uint32_t home = hash(tuples[0]) & kHomeMask;
    CHECK(std::all_of(tuples.begin(), tuples.end(),
                      [&](Tuple tuple) { return (hash(tuple) & kHomeMask) == home; }));
    check(tuples);
  };
  SECTION("CRC-32C") {
    check_linear(crc);
  }
  SECTION("Toeplitz") {
    check_linear(toeplitz);
  }
  SECTION("exclusive or") {
    check_linear(exclusive_or);
  }
  SECTION("our own, with another key") {
    check(collide_under_another_key());
  }
}

}  // namespace sluice::tcp
