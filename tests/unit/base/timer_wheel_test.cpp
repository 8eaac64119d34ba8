#include "base/timer_wheel.hpp"

#include <catch2/catch.hpp>
#include <map>
#include <vector>

#include "base/rng.hpp"

using namespace sluice;

namespace {

constexpr std::uint32_t kUnlimited = 1'000'000;

struct NodesOf {
  std::vector<TimerNode>* nodes;
  TimerNode& operator()(std::uint32_t index) const { return (*nodes)[index]; }
};

struct Firing {
  std::uint32_t index;
  Tick at;
  bool operator==(const Firing&) const = default;
};

class WheelFixture {
 public:
  explicit WheelFixture(Tick now, std::size_t count = 64)
      : nodes(count), wheel(NodesOf{&nodes}, now) {}

  std::vector<Firing> advance(Tick target, std::uint32_t budget = kUnlimited) {
    std::vector<Firing> firings;
    wheel.advance(target, budget, [&](std::uint32_t index) {
      firings.push_back({index, wheel.now()});
    });
    return firings;
  }

  std::vector<TimerNode> nodes;
  TimerWheel<NodesOf> wheel;
};

/// Distances that fall on every level of the wheel, and next to each border between two.
Tick random_distance(Rng& rng) {
  switch (rng.below(6)) {
    case 0:
      return static_cast<Tick>(rng.below(4));
    case 1:
      return static_cast<Tick>(rng.below(256));
    case 2:
      return static_cast<Tick>(rng.below(1 << 16));
    case 3:
      return static_cast<Tick>(rng.below(1 << 24));
    case 4:
      return static_cast<Tick>(rng.below(kMaxTicksAhead));
    default: {
      const Tick border = Tick{1} << (8 * (1 + rng.below(3)));
      return border - 2 + static_cast<Tick>(rng.below(5));
    }
  }
}

/// Keys are ticks since the start of the run, in 64 bits: no wrap, so that a multimap can order.
class Model {
 public:
  explicit Model(Tick start) : start_(start) {}

  void arm(std::uint32_t index, std::uint64_t deadline) {
    const auto found = by_index_.find(index);
    if (found != by_index_.end() && found->second <= deadline) return;
    cancel(index);
    by_index_[index] = deadline;
    by_time_.emplace(deadline, index);
  }
  void cancel(std::uint32_t index) {
    const auto found = by_index_.find(index);
    if (found == by_index_.end()) return;
    for (auto [at, end] = by_time_.equal_range(found->second); at != end; ++at) {
      if (at->second != index) continue;
      by_time_.erase(at);
      break;
    }
    by_index_.erase(found);
  }
  bool is_due(std::uint32_t index, std::uint64_t time) const {
    const auto found = by_index_.find(index);
    return found != by_index_.end() && found->second <= time;
  }
  bool is_empty() const { return by_time_.empty(); }
  std::uint64_t earliest() const { return by_time_.begin()->first; }
  std::size_t count() const { return by_time_.size(); }
  Tick tick(std::uint64_t time) const { return static_cast<Tick>(start_ + time); }

 private:
  Tick start_;
  std::multimap<std::uint64_t, std::uint32_t> by_time_;
  std::map<std::uint32_t, std::uint64_t> by_index_;
};

/// Random arming, cancelling and advancing, step by step compared with the model.
void compare_with_model(Tick start, std::uint64_t seed, std::uint32_t max_budget) {
  INFO("start " << start << ", seed " << seed << ", budget up to " << max_budget);
  constexpr std::uint32_t kNodes = 48;
  Rng rng(seed);
  WheelFixture fixture(start, kNodes);
  Model model(start);
  std::uint64_t now = 0;  // ticks since start; the wheel's own now follows
  for (int step = 0; step < 3'000; ++step) {
    const auto index = static_cast<std::uint32_t>(rng.below(kNodes));
    const std::uint64_t choice = rng.below(10);
    if (choice < 4) {
      const std::uint64_t deadline = now + random_distance(rng);
      fixture.wheel.arm(index, model.tick(deadline));
      model.arm(index, deadline);
    } else if (choice < 5) {
      fixture.wheel.cancel(index);
      model.cancel(index);
    } else {
      const std::uint64_t ahead =
          rng.chance(1, 2) || model.is_empty() ? random_distance(rng) : model.earliest() - now;
      const std::uint64_t target = now + ahead;
      std::uint64_t last = now;
      const std::uint32_t budget = max_budget == kUnlimited
                                       ? kUnlimited
                                       : 1 + static_cast<std::uint32_t>(rng.below(max_budget));
      fixture.wheel.advance(model.tick(target), budget, [&](std::uint32_t fired) {
        const std::uint64_t at = now + (fixture.wheel.now() - model.tick(now));
        REQUIRE(at >= last);               // in order of time
        REQUIRE(model.earliest() == at);   // nothing earlier was left behind, and nothing is late
        REQUIRE(model.is_due(fired, at));  // nothing fires early
        model.cancel(fired);
        last = at;
        if (rng.chance(1, 4)) {  // what a callback may do: arm another, or the same, later
          const auto other = static_cast<std::uint32_t>(rng.below(kNodes));
          const std::uint64_t deadline = at + 1 + random_distance(rng) / 2;
          fixture.wheel.arm(other, model.tick(deadline));
          model.arm(other, deadline);
        }
      });
      now += fixture.wheel.now() - model.tick(now);
      REQUIRE(now <= target);
      if (budget == kUnlimited) {
        REQUIRE(now == target);
        REQUIRE((model.is_empty() || model.earliest() > now));
      }
    }
    REQUIRE(fixture.wheel.linked() == model.count());
    Tick when = 0;
    REQUIRE(fixture.wheel.next_event(when) == !model.is_empty());
    if (!model.is_empty()) {
      const std::uint64_t bound = now + (when - model.tick(now));
      REQUIRE(bound >= now);
      REQUIRE(bound <= model.earliest());
    }
  }
}

}  // namespace

TEST_CASE("a random run of the timer wheel fires what an ordered map would, in its order",
          "[base][timer_wheel]") {
  const auto start = GENERATE(Tick{0}, Tick{255}, Tick{0xffff}, Tick{0x7fffffff}, Tick{0xffffff00},
                              Tick{0xffffffff});
  for (std::uint64_t seed = 1; seed <= 6; ++seed) compare_with_model(start, seed, kUnlimited);
}

TEST_CASE("a timer wheel advanced in small budgets loses, reorders and hastens nothing",
          "[base][timer_wheel]") {
  const auto start = GENERATE(Tick{0}, Tick{0xfffffff0});
  for (std::uint64_t seed = 100; seed <= 105; ++seed) compare_with_model(start, seed, 5);
}

TEST_CASE("a deadline fires at its very tick, on every level and across the wrap",
          "[base][timer_wheel]") {
  const auto start =
      GENERATE(Tick{0}, Tick{1}, Tick{0x00ffffff}, Tick{0x7fffff80}, Tick{0xffffffff});
  const auto distance = GENERATE(Tick{0}, Tick{1}, Tick{255}, Tick{256}, Tick{257}, Tick{65535},
                                 Tick{65536}, Tick{1u << 24}, Tick{kMaxTicksAhead});
  WheelFixture fixture(start);
  fixture.wheel.arm(7, start + distance);
  if (distance > 0) REQUIRE(fixture.advance(start + distance - 1).empty());
  REQUIRE(fixture.advance(start + distance) == std::vector<Firing>{{7, start + distance}});
  REQUIRE(fixture.wheel.linked() == 0);
}

TEST_CASE("a deadline already past fires at the next advance", "[base][timer_wheel]") {
  WheelFixture fixture(1000);
  fixture.wheel.arm(3, 900);
  REQUIRE(fixture.advance(1000) == std::vector<Firing>{{3, 1000}});
}

TEST_CASE("arming a linked node for a later time does not touch the wheel", "[base][timer_wheel]") {
  WheelFixture fixture(0);
  fixture.wheel.arm(1, 100);
  fixture.wheel.arm(1, 5'000);
  REQUIRE(fixture.nodes[1].deadline == 100);
  fixture.wheel.arm(1, 50);
  REQUIRE(fixture.nodes[1].deadline == 50);
  REQUIRE(fixture.wheel.linked() == 1);
}

TEST_CASE("a cancelled node neither fires nor is linked", "[base][timer_wheel]") {
  WheelFixture fixture(0);
  for (std::uint32_t index = 0; index < 3; ++index) fixture.wheel.arm(index, 10);
  fixture.wheel.cancel(1);  // the middle of a slot's list
  fixture.wheel.cancel(1);
  REQUIRE_FALSE(fixture.nodes[1].is_linked());
  const auto firings = fixture.advance(20);
  REQUIRE(firings.size() == 2);
  for (const auto& firing : firings) REQUIRE(firing.index != 1);
}

TEST_CASE("a callback may cancel a node that is due at the same tick", "[base][timer_wheel]") {
  WheelFixture fixture(0);
  for (std::uint32_t index = 0; index < 4; ++index) fixture.wheel.arm(index, 10);
  std::uint32_t fired = 0;
  fixture.wheel.advance(10, 100, [&](std::uint32_t) {
    ++fired;
    for (std::uint32_t index = 0; index < 4; ++index) fixture.wheel.cancel(index);
  });
  REQUIRE(fired == 1);
}

TEST_CASE("an advance stops at its budget and the rest fires at the next call",
          "[base][timer_wheel]") {
  WheelFixture fixture(0);
  for (std::uint32_t index = 0; index < 10; ++index) fixture.wheel.arm(index, 5);
  REQUIRE(fixture.advance(1'000, 4).size() == 4);
  REQUIRE(fixture.wheel.now() == 5);  // time does not pass over what is due
  REQUIRE(fixture.advance(1'000, 100).size() == 6);
  REQUIRE(fixture.wheel.now() == 1'000);
}

TEST_CASE("an idle wheel has no next event", "[base][timer_wheel]") {
  WheelFixture fixture(77);
  Tick when = 0;
  REQUIRE_FALSE(fixture.wheel.next_event(when));
  REQUIRE(fixture.advance(1u << 30).empty());
  REQUIRE(fixture.wheel.now() == 1u << 30);
}

TEST_CASE("ticks are rounded up, never negative and bounded", "[base][timer_wheel]") {
  REQUIRE(ticks_in(Duration::zero()) == 0);
  REQUIRE(ticks_in(Duration::from_ns(1)) == 1);
  REQUIRE(ticks_in(Duration::from_ms(1)) == 1);
  REQUIRE(ticks_in(Duration::from_us(1'001)) == 2);
  REQUIRE(ticks_in(Duration::from_ms(-5)) == 0);
  REQUIRE(ticks_in(Duration::infinite()) == kMaxTicksAhead);
  REQUIRE(tick_at(Instant::from_ns(999'999)) == 0);
  REQUIRE(tick_at(Instant::from_ns(1'000'000)) == 1);
  REQUIRE(tick_at(Instant::from_ns((1LL << 32) * 1'000'000 + 3'000'000)) == 3);
}

TEST_CASE("a deadline is no earlier than asked for, wherever in a tick it is asked for",
          "[base][timer_wheel]") {
  const Duration two = Duration::from_ms(2);
  REQUIRE(tick_after(Instant::from_ns(5'000'000), two) == 7);
  REQUIRE(tick_after(Instant::from_ns(5'000'001), two) == 8);
  REQUIRE(tick_after(Instant::from_ns(5'999'999), two) == 8);
  REQUIRE(tick_after(Instant::from_ns(5'400'000), Duration::from_us(600)) == 6);
  REQUIRE(tick_after(Instant::from_ns(5'400'000), Duration::from_us(601)) == 7);
  REQUIRE(tick_after(Instant::from_ns(5'400'000), Duration::zero()) == 6);
  REQUIRE(tick_after(Instant::from_ns(5'400'000), Duration::infinite()) == 5 + kMaxTicksAhead);
}
