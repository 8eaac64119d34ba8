#include "tcp/gate/source_sketch.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <vector>

#include "base/rng.hpp"

namespace {

using namespace sluice;
using namespace sluice::tcp;

HashKey key_of(std::uint8_t fill) {
  HashKey key;
  key.octets.fill(fill);
  key.octets[3] = 0x5a;
  return key;
}

std::string prefix_text(const char* address) {
  return to_string(readable_prefix(source_prefix(*parse_ip(address))));
}

/// A stream of prefixes, and what is true of it.
struct Stream {
  PrefixHash hash{key_of(7)};
  TopPrefixes top;
  std::map<std::uint64_t, std::uint32_t> truth;

  void add(std::uint64_t prefix) {
    top.add(prefix, hash(prefix));
    ++truth[prefix];
  }
  /// The promise of Misra and Gries, for every prefix.
  void check() const {
    std::array<TopPrefixes::Entry, TopPrefixes::kEntries> entries;
    top.copy_to(entries);
    CHECK(top.error() <= top.total() / 33);
    std::map<std::uint64_t, std::uint32_t> told;
    std::uint32_t before = 0xffffffffu;
    for (const auto& entry : entries) {
      CHECK(entry.count <= before);
      before = entry.count;
      if (entry.count > 0) told[entry.prefix] = entry.count;
    }
    bool is_within_bound = true;
    for (const auto& [prefix, count] : truth) {
      const auto found = told.find(prefix);
      const std::uint32_t said = found == told.end() ? 0 : found->second;
      is_within_bound = is_within_bound && said <= count && count - said <= top.error();
    }
    CHECK(is_within_bound);
  }
};

}  // namespace

TEST_CASE("a source is known by its /24 or its /64", "[tcp][gate]") {
  CHECK(prefix_text("192.0.2.200") == "192.0.2.0/24");
  CHECK(prefix_text("255.255.255.1") == "255.255.255.0/24");
  CHECK(prefix_text("2001:db8:1:2:3:4:5:6") == "2001:db8:1:2::/64");
  CHECK(source_prefix(*parse_ip("10.1.2.3")) == source_prefix(*parse_ip("10.1.2.99")));
  CHECK(source_prefix(*parse_ip("10.1.2.3")) != source_prefix(*parse_ip("10.1.3.3")));
  CHECK(source_prefix(*parse_ip("2001:db8::1")) != source_prefix(*parse_ip("2001:db8:0:1::1")));
  // No IPv6 source passes for one of IPv4, in whatever form it is written.
  CHECK(prefix_text("::a01:2") == "::/64");
  CHECK(prefix_text("0:0:0:a01::1") == "0:0:0:a01::/64");
}

TEST_CASE("distinct prefixes are told from one to millions", "[tcp][gate]") {
  for (const unsigned fill : {1u, 2u, 3u}) {
    const PrefixHash hash(key_of(static_cast<std::uint8_t>(fill)));
    DistinctPrefixes sketch;
    const DistinctPrefixes empty;
    CHECK(DistinctPrefixes::estimate(sketch, empty) == 0);
    std::uint64_t added = 0;
    for (const std::uint64_t count : {1u, 10u, 100u, 1000u, 2600u, 5000u, 20000u, 300000u}) {
      // Neighbours, as a flood that counts its sources up has them.
      for (; added < count; ++added) sketch.add(hash(kV4Prefix | added));
      for (std::uint64_t again = 0; again < count; again += 3) sketch.add(hash(kV4Prefix | again));
      const double estimate = DistinctPrefixes::estimate(sketch, empty);
      CAPTURE(count, estimate);
      const double error = std::abs(estimate - static_cast<double>(count));
      CHECK(error <= std::max(1.0, 4 * 0.033 * static_cast<double>(count)));
    }
    sketch.clear();
    CHECK(DistinctPrefixes::estimate(sketch, empty) == 0);
  }
}

TEST_CASE("what two sketches have in common counts once", "[tcp][gate]") {
  const PrefixHash hash(key_of(4));
  DistinctPrefixes a, b;
  for (std::uint64_t i = 0; i < 4'000; ++i) {
    a.add(hash(i));
    b.add(hash(i + 2'000));
  }
  const double both = DistinctPrefixes::estimate(a, b);
  CHECK(std::abs(both - 6'000) < 800);
  CHECK(DistinctPrefixes::estimate(a, b) == DistinctPrefixes::estimate(b, a));
}

TEST_CASE("the largest senders are found within the sketch's bound", "[tcp][gate]") {
  Rng rng(11);
  Stream skewed;  // half from one prefix, a fifth from another, the rest from everywhere
  for (int i = 0; i < 50'000; ++i) {
    const auto dice = rng.below(10);
    skewed.add(dice < 5 ? 1 : dice < 7 ? 2 : 1000 + rng.below(1u << 24));
  }
  skewed.check();
  std::array<TopPrefixes::Entry, TopPrefixes::kEntries> entries;
  skewed.top.copy_to(entries);
  CHECK(entries[0].prefix == 1);
  CHECK(entries[1].prefix == 2);

  Stream even;  // nobody stands out
  for (std::uint64_t i = 0; i < 10'000; ++i) even.add(i % 5'000);
  even.check();

  Stream hidden;  // one that is just above a thirty-third, between as many others as it takes
  for (std::uint64_t i = 0; i < 33'000; ++i) hidden.add(i % 30 == 0 ? 7 : 100 + i);
  hidden.check();
  hidden.top.copy_to(entries);
  CHECK(entries[0].prefix == 7);
}

TEST_CASE("few senders are counted exactly", "[tcp][gate]") {
  Stream few;
  for (std::uint64_t i = 0; i < 3'200; ++i) few.add(i % 32);
  few.check();
  CHECK(few.top.error() == 0);
  CHECK(few.top.total() == 3'200);
  std::array<TopPrefixes::Entry, TopPrefixes::kEntries> entries;
  few.top.copy_to(entries);
  for (const auto& entry : entries) CHECK(entry.count == 100);
  few.top.clear();
  few.top.copy_to(entries);
  CHECK(entries[0].count == 0);
  CHECK(few.top.total() == 0);
}
