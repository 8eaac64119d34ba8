#include <algorithm>
#include <catch2/catch.hpp>
#include <deque>

#include "base/rng.hpp"
#include "packet/packet.hpp"
#include "tests/support/mbuf_pool.hpp"
#include "tests/support/require_pools_full.hpp"

using namespace sluice;
using namespace sluice::packet;
using support::make_packet;
using support::octets_of;
using support::pattern;
using support::require_pools_full;
using support::TestPools;

namespace {

using Octets = std::vector<std::byte>;

Octets joined(std::initializer_list<Octets> parts) {
  Octets all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

/// A chain of mbufs with so many octets each, one pattern through all of them.
PacketChain make_chain(TestPools& pools, std::initializer_list<std::size_t> lengths) {
  PacketChain chain;
  std::size_t offset = 0;
  for (const std::size_t length : lengths) {
    chain.append(make_packet(pools.receive(), pattern(length, offset)));
    offset += length;
  }
  return chain;
}

void require_sound(const PacketChain& chain) {
  std::uint32_t bytes = 0;
  std::uint32_t segments = 0;
  const rte_mbuf* last = nullptr;
  for (const rte_mbuf* at = chain.head(); at != nullptr; last = at, at = at->next) {
    REQUIRE(at->data_len > 0);
    REQUIRE(at->nb_segs == 1);
    REQUIRE(at->pkt_len == at->data_len);
    bytes += at->data_len;
    ++segments;
  }
  REQUIRE(chain.tail() == last);
  REQUIRE(chain.bytes() == bytes);
  REQUIRE(chain.segments() == segments);
  REQUIRE(chain.is_empty() == (segments == 0));
}

void require_holds(const PacketChain& chain, const Octets& expected) {
  require_sound(chain);
  REQUIRE(octets_of(chain) == expected);
}

}  // namespace

TEST_CASE("a packet of many segments becomes a chain of single ones, empty ones freed",
          "[packet][chain]") {
  TestPools pools;
  {
    const std::vector<Octets> segments{pattern(10), {}, pattern(20, 10), {}};
    const PacketChain chain(make_packet(pools.receive(), segments));
    require_holds(chain, pattern(30));
    REQUIRE(chain.segments() == 2);
    REQUIRE(pools.mbufs_out() == 2);
  }
  require_pools_full(pools);
}

TEST_CASE("appending nothing leaves a chain as it was", "[packet][chain]") {
  TestPools pools;
  {
    PacketChain chain = make_chain(pools, {5});
    chain.append(PacketPtr());
    chain.append(PacketChain());
    chain.append(make_packet(pools.receive(), Octets{}));
    require_holds(chain, pattern(5));
  }
  require_pools_full(pools);
}

TEST_CASE("a chain appended to another leaves an empty one behind", "[packet][chain]") {
  TestPools pools;
  {
    PacketChain front = make_chain(pools, {5, 6});
    PacketChain back = make_chain(pools, {7});
    front.append(std::move(back));
    require_sound(back);  // NOLINT(bugprone-use-after-move)
    REQUIRE(back.is_empty());
    require_holds(front, joined({pattern(11), pattern(7)}));
    PacketChain empty;
    empty.append(std::move(front));
    require_holds(empty, joined({pattern(11), pattern(7)}));
    front = make_chain(pools, {3});  // assignment frees nothing it should not
    empty = std::move(front);        // and frees what it replaces
    require_holds(empty, pattern(3));
    REQUIRE(pools.mbufs_out() == 1);
  }
  require_pools_full(pools);
}

TEST_CASE("dropping from the front frees what is used up, at every boundary", "[packet][chain]") {
  TestPools pools;
  for (std::uint32_t count = 0; count <= 12; ++count) {
    PacketChain chain = make_chain(pools, {4, 1, 7});
    chain.drop_front(count);
    require_holds(chain, pattern(12 - count, count));
    REQUIRE(pools.mbufs_out() == chain.segments());
  }
  require_pools_full(pools);
}

TEST_CASE("popping gives the first mbuf alone", "[packet][chain]") {
  TestPools pools;
  {
    PacketChain chain = make_chain(pools, {4, 5});
    const PacketPtr first = chain.pop_front();
    REQUIRE(first->next == nullptr);
    REQUIRE(octets_of(*first) == pattern(4));
    require_holds(chain, pattern(5, 4));
    const PacketPtr second = chain.pop_front();
    require_holds(chain, {});
  }
  require_pools_full(pools);
}

TEST_CASE("splitting shares an mbuf that is cut in two, at every offset", "[packet][chain]") {
  TestPools pools;
  for (std::uint32_t count = 0; count <= 12; ++count) {
    PacketChain chain = make_chain(pools, {4, 1, 7});
    PacketChain front;
    REQUIRE(chain.split_front(count, pools.indirect(), front));
    require_holds(front, pattern(count));
    require_holds(chain, pattern(12 - count, count));
    const bool is_cut = count != 0 && count != 4 && count != 5 && count != 12;
    REQUIRE(rte_mempool_in_use_count(&pools.indirect()) == (is_cut ? 1 : 0));
    if (count % 2 == 0) chain.clear();  // whichever holder goes first
    front.clear();
  }
  require_pools_full(pools);
}

TEST_CASE("a split goes behind what the front holds already", "[packet][chain]") {
  TestPools pools;
  {
    PacketChain chain = make_chain(pools, {10});
    PacketChain front;
    REQUIRE(chain.split_front(3, pools.indirect(), front));
    REQUIRE(chain.split_front(4, pools.indirect(), front));
    require_holds(front, pattern(7));
    require_holds(chain, pattern(3, 7));
  }
  require_pools_full(pools);
}

TEST_CASE("a view may be split again and keeps the data alive", "[packet][chain]") {
  TestPools pools;
  {
    PacketChain chain = make_chain(pools, {100});
    PacketChain front;
    REQUIRE(chain.split_front(60, pools.indirect(), front));
    chain.clear();
    PacketChain first;
    REQUIRE(front.split_front(25, pools.indirect(), first));
    front.clear();
    require_holds(first, pattern(25));
    REQUIRE(rte_mempool_in_use_count(&pools.receive()) == 1);
  }
  require_pools_full(pools);
}

TEST_CASE("a split that finds no indirect mbuf changes nothing", "[packet][chain]") {
  TestPools pools({.indirect = 1});
  {
    const PacketPtr last(rte_pktmbuf_alloc(&pools.indirect()));
    PacketChain chain = make_chain(pools, {4, 5});
    PacketChain front;
    REQUIRE_FALSE(chain.split_front(6, pools.indirect(), front));
    require_holds(front, {});
    require_holds(chain, pattern(9));
    REQUIRE(chain.split_front(4, pools.indirect(), front));  // no cut, no need
  }
  require_pools_full(pools);
}

TEST_CASE("copy-break fills the tail of the last mbuf, and only one of its own",
          "[packet][chain]") {
  TestPools pools({.data_room = 256 + RTE_PKTMBUF_HEADROOM});
  {
    PacketChain chain;
    REQUIRE_FALSE(chain.absorb(pattern(1)));
    chain = make_chain(pools, {100, 100});
    REQUIRE(chain.absorb(pattern(155, 200)));
    require_holds(chain, pattern(355));
    REQUIRE_FALSE(chain.absorb(pattern(2)));  // all or nothing
    REQUIRE(chain.absorb(pattern(1, 355)));
    REQUIRE(chain.absorb({}));
    REQUIRE(chain.segments() == 2);

    rte_mbuf_refcnt_update(chain.tail(), 1);
    chain.drop_front(150);
    REQUIRE_FALSE(chain.absorb(pattern(1)));
    rte_mbuf_refcnt_update(chain.tail(), -1);
    require_holds(chain, pattern(206, 150));
  }
  require_pools_full(pools);
}

TEST_CASE("neither half of a cut mbuf absorbs octets", "[packet][chain]") {
  TestPools pools;
  {
    PacketChain chain = make_chain(pools, {10});
    PacketChain front;
    REQUIRE(chain.split_front(4, pools.indirect(), front));
    REQUIRE_FALSE(front.absorb(pattern(1)));  // would write over what the other half holds
    REQUIRE_FALSE(chain.absorb(pattern(1)));
    front.clear();
    REQUIRE(chain.absorb(pattern(1, 10)));
    require_holds(chain, pattern(7, 4));
  }
  require_pools_full(pools);
}

TEST_CASE("a random life of chains keeps every octet in order and leaks nothing",
          "[packet][chain]") {
  TestPools pools;
  Rng rng(11);
  {
    PacketChain chain;
    std::deque<std::byte> model;
    std::size_t written = 0;
    for (int step = 0; step < 5'000; ++step) {
      const std::size_t length = rng.below(64);
      if (chain.bytes() < 4'000 && rng.chance(1, 2)) {
        const Octets octets = pattern(length, written);
        if (!chain.absorb(octets)) chain.append(make_packet(pools.receive(), octets));
        model.insert(model.end(), octets.begin(), octets.end());
        written += length;
      } else {
        const auto count = static_cast<std::uint32_t>(rng.below(chain.bytes() + 1));
        PacketChain front;
        if (rng.chance(1, 2)) {
          REQUIRE(chain.split_front(count, pools.indirect(), front));
          const Octets expected(model.begin(), model.begin() + count);
          REQUIRE(octets_of(front) == expected);
        } else {
          chain.drop_front(count);
        }
        model.erase(model.begin(), model.begin() + count);
      }
      require_sound(chain);
      REQUIRE(chain.bytes() == model.size());
    }
    REQUIRE(octets_of(chain) == Octets(model.begin(), model.end()));
  }
  require_pools_full(pools);
}
