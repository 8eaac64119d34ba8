#include "ip/fragment_table.hpp"

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <optional>
#include <vector>

#include "drivers/sim/router.hpp"
#include "tests/support/mbuf_pool.hpp"
#include "tests/support/packet_builder.hpp"

namespace {

using namespace sluice;
using ip::FragmentTable;
using support::Octets;
using Verdict = FragmentTable::Verdict;

struct Fixture {
  support::TestPools pools;
  std::optional<FragmentTable> table;
  Instant now = Instant::from_ns(1'000'000'000);

  explicit Fixture(std::uint32_t most_mbufs = 1000) : table(most_mbufs) {}
  FragmentTable::Taken add(const Octets& frame) {
    const Octets packet = support::ip_packet_of(frame);
    const auto header = wire::parse_ipv4(packet, packet.size());
    REQUIRE(header);
    return table->add(support::make_packet(pools.receive(), packet), *header, now);
  }
};

Octets datagram(std::size_t octets, std::uint16_t identification = 7, unsigned ecn = 0) {
  support::Ipv4Frame frame;
  frame.ip.dont_fragment = false;
  frame.ip.identification = identification;
  frame.ip.traffic_class = static_cast<std::uint8_t>(ecn);
  return support::build_ipv4(frame, 17, support::pattern(octets));
}

}  // namespace

TEST_CASE("fragments in any order are the datagram", "[ip][fragments]") {
  const Octets whole = datagram(100);
  const std::vector<Octets> fragments = drivers::fragments_of(whole, 60);
  REQUIRE(fragments.size() == 3);
  std::array<std::size_t, 3> order{0, 1, 2};
  do {
    Fixture fixture;
    CHECK(fixture.add(fragments[order[0]]).verdict == Verdict::kKept);
    CHECK(fixture.add(fragments[order[1]]).verdict == Verdict::kKept);
    const auto last = fixture.add(fragments[order[2]]);
    REQUIRE(last.verdict == Verdict::kWhole);
    CHECK(support::octets_of(*last.datagram) == support::ip_packet_of(whole));
    CHECK(last.datagram->nb_segs == 3);
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE("what is not whole in time is freed", "[ip][fragments]") {
  Fixture fixture;
  const std::vector<Octets> fragments = drivers::fragments_of(datagram(100), 60);
  CHECK(fixture.table->expire(fixture.now) == 0);
  CHECK(fixture.add(fragments[0]).verdict == Verdict::kKept);
  CHECK(fixture.add(fragments[2]).verdict == Verdict::kKept);
  fixture.now = fixture.now + FragmentTable::kLifetime;
  CHECK(fixture.table->expire(fixture.now) == 0);
  CHECK(fixture.pools.mbufs_out() == 2);
  fixture.now = fixture.now + Duration::from_s(2);
  CHECK(fixture.table->expire(fixture.now) == 2);
  CHECK(fixture.pools.mbufs_out() == 0);
  CHECK(fixture.add(fragments[1]).verdict == Verdict::kKept);  // of nothing that is known any more
}

TEST_CASE("fragments without end take no more than the table's places", "[ip][fragments]") {
  Fixture fixture;
  unsigned kept = 0, refused = 0;
  for (std::uint16_t id = 0; id < 400; ++id) {
    const auto taken = fixture.add(drivers::fragments_of(datagram(64, id), 52)[0]);
    ++(taken.verdict == Verdict::kKept ? kept : refused);
  }
  CHECK(kept <= FragmentTable::kMostDatagrams);
  CHECK(kept >= FragmentTable::kMostDatagrams / 2);
  CHECK(refused > 0);
  CHECK(fixture.pools.mbufs_out() == kept);
  fixture.table.reset();
  CHECK(fixture.pools.mbufs_out() == 0);
}

TEST_CASE("fragments hold no more mbufs than they may", "[ip][fragments]") {
  Fixture fixture(4);
  const auto add = [&](const Octets& frame) { return fixture.add(frame).verdict; };
  const auto one = drivers::fragments_of(datagram(100, 1), 60);
  const auto other = drivers::fragments_of(datagram(100, 2), 60);
  CHECK(add(one[0]) == Verdict::kKept);
  CHECK(add(one[1]) == Verdict::kKept);
  CHECK(add(other[0]) == Verdict::kKept);
  CHECK(add(one[2]) == Verdict::kWhole);  // and freed, at once
  CHECK(fixture.table->mbufs() == 1);
  CHECK(add(other[2]) == Verdict::kKept);
  const auto third = drivers::fragments_of(datagram(200, 3), 60);
  CHECK(add(third[0]) == Verdict::kKept);
  CHECK(add(third[1]) == Verdict::kKept);
  CHECK(fixture.table->mbufs() == 4);
  CHECK(add(third[2]) == Verdict::kRefused);
  CHECK(fixture.pools.mbufs_out() == 4);
}

TEST_CASE("fragments that overlap, or that are too many, make no datagram", "[ip][fragments]") {
  Fixture fixture;
  const std::vector<Octets> by_40 = drivers::fragments_of(datagram(120), 60);
  const std::vector<Octets> by_48 = drivers::fragments_of(datagram(120), 68);
  CHECK(fixture.add(by_40[0]).verdict == Verdict::kKept);
  CHECK(fixture.add(by_48[1]).verdict == Verdict::kKept);  // leaves a gap of 8 octets
  CHECK(fixture.add(by_40[2]).verdict != Verdict::kWhole);
  CHECK(fixture.add(by_40[1]).verdict != Verdict::kWhole);

  const std::vector<Octets> many = drivers::fragments_of(datagram(9 * 8, 8), 28);
  REQUIRE(many.size() == 9);
  for (const Octets& fragment : many) CHECK(fixture.add(fragment).verdict != Verdict::kWhole);
}

TEST_CASE("a datagram beyond 65,535 octets is refused before it is whole", "[ip][fragments]") {
  Fixture fixture;
  support::Ipv4Frame frame;
  frame.ip.dont_fragment = false;
  frame.ip.fragment_offset = 65'528;
  CHECK(fixture.add(support::build_ipv4(frame, 17, Octets(8))).verdict == Verdict::kRefused);
  CHECK(fixture.pools.mbufs_out() == 0);
}

TEST_CASE("a congestion mark on any fragment is one on the datagram", "[ip][fragments]") {
  Fixture fixture;
  std::vector<Octets> fragments = drivers::fragments_of(datagram(100, 7, 2), 60);
  fragments[1] = drivers::fragments_of(datagram(100, 7, 3), 60)[1];
  fixture.add(fragments[0]);
  fixture.add(fragments[1]);
  const auto marked = fixture.add(fragments[2]);
  REQUIRE(marked.verdict == Verdict::kWhole);
  CHECK(support::octets_of(*marked.datagram) == support::ip_packet_of(datagram(100, 7, 3)));

  fragments = drivers::fragments_of(datagram(100, 9, 0), 60);
  fixture.add(fragments[0]);
  fixture.add(drivers::fragments_of(datagram(100, 9, 3), 60)[1]);
  CHECK(fixture.add(fragments[2]).verdict == Verdict::kRefused);
}
