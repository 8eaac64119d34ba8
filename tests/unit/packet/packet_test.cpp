#include "packet/packet.hpp"

#include <catch2/catch.hpp>

#include "tests/support/mbuf_pool.hpp"
#include "tests/support/require_pools_full.hpp"

using namespace sluice;
using namespace sluice::packet;
using support::make_packet;
using support::octets_of;
using support::pattern;
using support::require_pools_full;
using support::TestPools;

TEST_CASE("a packet goes back to its pool when its owner ends", "[packet]") {
  TestPools pools;
  {
    PacketPtr packet = make_packet(pools.receive(), pattern(100));
    REQUIRE(pools.mbufs_out() == 1);
    PacketPtr other = std::move(packet);
    REQUIRE_FALSE(packet);  // NOLINT(bugprone-use-after-move)
    other = make_packet(pools.receive(), pattern(10));
    REQUIRE(pools.mbufs_out() == 1);
    rte_mbuf* const released = other.release();
    REQUIRE_FALSE(other);
    other.reset(released);
  }
  require_pools_full(pools);
}

TEST_CASE("a packet of several segments is freed whole", "[packet]") {
  TestPools pools;
  {
    const std::vector<std::vector<std::byte>> segments{pattern(10), pattern(20), pattern(30)};
    const PacketPtr packet = make_packet(pools.receive(), segments);
    REQUIRE(packet->nb_segs == 3);
    REQUIRE(packet->pkt_len == 60);
    REQUIRE(pools.mbufs_out() == 3);
  }
  require_pools_full(pools);
}

TEST_CASE("data grows into the room of its mbuf and no further", "[packet]") {
  TestPools pools;
  {
    const PacketPtr packet = make_packet(pools.receive(), pattern(100));
    std::byte* const front = prepend(*packet, 54);
    REQUIRE(front == first_segment(*packet).data());
    front[0] = std::byte{1};
    front[53] = std::byte{2};
    std::byte* const back = append(*packet, 7);
    REQUIRE(back == first_segment(*packet).data() + 154);
    back[6] = std::byte{3};
    REQUIRE(packet->pkt_len == 161);
    REQUIRE(prepend(*packet, RTE_PKTMBUF_HEADROOM) == nullptr);
    REQUIRE(append(*packet, 2048) == nullptr);
    REQUIRE(packet->pkt_len == 161);
  }
  require_pools_full(pools);
}

TEST_CASE("an mbuf is exclusive until somebody else holds it or its data", "[packet]") {
  TestPools pools;
  {
    const PacketPtr packet = make_packet(pools.receive(), pattern(100));
    REQUIRE(is_exclusive(*packet));
    rte_mbuf_refcnt_update(packet.get(), 1);
    REQUIRE_FALSE(is_exclusive(*packet));
    rte_mbuf_refcnt_update(packet.get(), -1);
    {
      const PacketPtr view(rte_pktmbuf_alloc(&pools.indirect()));
      rte_pktmbuf_attach(view.get(), packet.get());
      REQUIRE_FALSE(is_exclusive(*packet));
      REQUIRE_FALSE(is_exclusive(*view));
    }
    REQUIRE(is_exclusive(*packet));
  }
  require_pools_full(pools);
}

TEST_CASE("every mbuf of a pool offers its private area and an empty pool says so", "[packet]") {
  TestPools pools({.receive = 2, .control = 1, .indirect = 1});
  {
    const PacketPtr a = make_packet(pools.receive(), pattern(1));
    const PacketPtr b = make_packet(pools.receive(), pattern(1));
    REQUIRE(rte_pktmbuf_priv_size(a->pool) == kPrivateSize);
    REQUIRE(rte_pktmbuf_alloc(&pools.receive()) == nullptr);
  }
  require_pools_full(pools);
}

#ifdef SLUICE_ASAN
TEST_CASE("AddressSanitizer sees the ends of a received packet, and its end", "[packet][support]") {
  TestPools pools;
  const std::byte* data = nullptr;
  {
    const PacketPtr packet = make_packet(pools.receive(), pattern(101));
    data = first_segment(*packet).data();
    REQUIRE(__asan_region_is_poisoned(const_cast<std::byte*>(data), 101) == nullptr);
    REQUIRE(__asan_address_is_poisoned(data - 1));
    REQUIRE(__asan_address_is_poisoned(data + 101));
    prepend(*packet, 1);
    append(*packet, 1);
    REQUIRE_FALSE(__asan_address_is_poisoned(data - 1));
    REQUIRE_FALSE(__asan_address_is_poisoned(data + 101));
    REQUIRE(__asan_address_is_poisoned(data + 102));
  }
  REQUIRE(__asan_address_is_poisoned(data));
}
#endif
