#include "base/slab.hpp"

#include <array>
#include <catch2/catch.hpp>
#include <set>
#include <vector>

#include "base/rng.hpp"

using namespace sluice;

namespace {

struct Record {
  std::uint32_t generation = 0;
  std::uint32_t value = 0;
  std::uint32_t last = 0;  // a free slot's link lies here
};

struct Counted {
  static inline int alive = 0;
  std::uint32_t value;
  explicit Counted(std::uint32_t v) : value(v) { ++alive; }
  Counted(const Counted&) = delete;
  ~Counted() { --alive; }
};

}  // namespace

TEST_CASE("a slab gives each index once and kNone when it is full", "[base][slab]") {
  std::array<Record, 4> slots{};
  Slab<Record> slab(slots);
  std::set<std::uint32_t> given;
  for (int i = 0; i < 4; ++i) given.insert(slab.allocate());
  REQUIRE(given == std::set<std::uint32_t>{0, 1, 2, 3});
  REQUIRE(slab.is_full());
  REQUIRE(slab.allocate() == Slab<Record>::kNone);
  REQUIRE(slab.take() == Slab<Record>::kNone);
  REQUIRE(slab.used() == 4);
}

TEST_CASE("a slab of no slots is full from the start", "[base][slab]") {
  Slab<Record> slab;
  REQUIRE(slab.is_full());
  REQUIRE(slab.take() == Slab<Record>::kNone);
}

TEST_CASE("a slab does not touch a slot that was never used", "[base][slab]") {
  std::array<Record, 3> slots;
  slots.fill({1, 2, 3});
  Slab<Record> slab(slots);
  const std::uint32_t index = slab.allocate();
  slab.release(index);
  for (const auto& slot : slots) {
    if (&slot == &slots[index]) continue;
    REQUIRE(slot.generation == 1);
    REQUIRE(slot.last == 3);
  }
}

TEST_CASE("a generation at the head of a record survives release and take", "[base][slab]") {
  std::array<Record, 2> slots{};
  Slab<Record> slab(slots);
  const std::uint32_t index = slab.take();
  slab[index].generation = 42;
  slab.release(index);
  REQUIRE(slab.take() == index);
  REQUIRE(slab[index].generation == 42);
}

TEST_CASE("a slab constructs and destroys what it holds", "[base][slab]") {
  std::vector<std::byte> memory(8 * sizeof(Counted));
  Slab<Counted> slab(std::span(reinterpret_cast<Counted*>(memory.data()), 8));
  const std::uint32_t a = slab.allocate(7u);
  const std::uint32_t b = slab.allocate(8u);
  REQUIRE(slab[a].value == 7);
  REQUIRE(slab[b].value == 8);
  REQUIRE(Counted::alive == 2);
  slab.release(a);
  slab.release(b);
  REQUIRE(Counted::alive == 0);
}

TEST_CASE("random allocation and release never give a slot twice", "[base][slab]") {
  std::vector<Record> slots(50);
  Slab<Record> slab(slots);
  Rng rng(9);
  std::vector<std::uint32_t> held;
  for (int step = 0; step < 20'000; ++step) {
    if (rng.chance(1, 2)) {
      const std::uint32_t index = slab.allocate();
      REQUIRE((index == Slab<Record>::kNone) == (held.size() == slots.size()));
      if (index == Slab<Record>::kNone) continue;
      slab[index] = {index, index, index};
      held.push_back(index);
    } else if (!held.empty()) {
      std::swap(held[rng.below(held.size())], held.back());
      const std::uint32_t index = held.back();
      REQUIRE((slab[index].generation == index && slab[index].last == index));
      slab.release(index);
      held.pop_back();
    }
    REQUIRE(slab.used() == held.size());
  }
}
