#include <catch2/catch.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "drivers/dpdk/device.hpp"
#include "tests/support/mbuf_pool.hpp"

namespace sluice::drivers {
namespace {

using packet::RssState;

constexpr std::size_t kKeyOctets = 40;

/// A device with `queues` queue pairs over test pools, asked to hash by `key`.
struct Rig {
  Rig(const std::string& device, unsigned queues, std::vector<std::uint8_t> key = {}) {
    DeviceOptions options;
    options.device = device;
    options.receive_pools.assign(queues, &pools.receive());
    options.rx_descriptors = options.tx_descriptors = 64;
    options.rss_key = std::move(key);
    port = std::make_unique<DpdkDevice>(options);
  }

  support::TestPools pools;
  std::unique_ptr<DpdkDevice> port;
};

std::vector<std::uint8_t> key_of(std::size_t octets) {
  std::vector<std::uint8_t> key(octets);
  std::iota(key.begin(), key.end(), std::uint8_t{1});
  return key;
}

TEST_CASE("a port takes the first octets of the key and a RETA that names its queues in turn",
          "[drivers][dpdk][rss]") {
  const Rig rig("net_null_rss0", 3, key_of(64));
  const RssState& rss = rig.port->rss();
  CHECK(rss.kind == RssState::Kind::kProgrammed);
  CHECK(rss.key == key_of(kKeyOctets));
  REQUIRE_FALSE(rss.reta.empty());
  for (std::size_t entry = 0; entry < rss.reta.size(); ++entry)
    REQUIRE(rss.reta[entry] == entry % 3);
}

TEST_CASE("without a key, or with too short a one, a port's own key is learnt",
          "[drivers][dpdk][rss]") {
  for (const auto& [device, octets] :
       {std::pair("net_null_rss1", std::size_t{0}), std::pair("net_null_rss2", kKeyOctets - 1)}) {
    const Rig rig(device, 2, key_of(octets));
    CHECK(rig.port->rss().kind == RssState::Kind::kFixed);
    CHECK(rig.port->rss().key.size() == kKeyOctets);
    CHECK(rig.port->rss().key != key_of(kKeyOctets));
  }
}

TEST_CASE("a port of one queue, and one that cannot hash, say so", "[drivers][dpdk][rss]") {
  for (const auto& [device, queues] :
       {std::pair("net_null_rss3", 1u), std::pair("net_ring_rss0", 2u)}) {
    const Rig rig(device, queues, key_of(64));
    CHECK(rig.port->rss().kind == RssState::Kind::kNone);
    CHECK(rig.port->rss().key.empty());
    CHECK(rig.port->rss().reta.empty());
  }
}

TEST_CASE("TSO and the hash in mbufs are claimed only by ports that have them",
          "[drivers][dpdk][rss]") {
  const Rig rig("net_null_rss4", 2, key_of(64));
  CHECK_FALSE(rig.port->capabilities().tx_tso);
  CHECK_FALSE(rig.port->rss().sets_hash);
}

}  // namespace
}  // namespace sluice::drivers
