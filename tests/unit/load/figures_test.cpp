#include "apps/load/figures.hpp"

#include <atomic>
#include <catch2/catch.hpp>
#include <set>
#include <string>
#include <thread>

namespace load {
namespace {

using sluice::Duration;

TEST_CASE("a glimpse is handed over when asked for, once", "[load]") {
  GlimpseExchange exchange;
  Glimpse sum;
  exchange.current().tally.issued = 3;
  exchange.hand_over();  // nobody asked
  CHECK_FALSE(exchange.take(sum));
  exchange.ask();
  CHECK(exchange.is_wanted());
  exchange.current().open = 7;
  exchange.hand_over();
  CHECK_FALSE(exchange.is_wanted());
  exchange.current().tally.issued = 40;
  CHECK(exchange.take(sum));
  CHECK_FALSE(exchange.take(sum));
  CHECK(sum.tally.issued == 3);
  CHECK(sum.open == 7);

  Glimpse next;
  exchange.ask();
  exchange.ask();  // what was asked for is still to come
  exchange.hand_over();
  exchange.hand_over();
  CHECK(exchange.take(next));
  CHECK(next.tally.issued == 40);
  CHECK(next.open == 0);
}

TEST_CASE("at the end nothing is left behind", "[load]") {
  GlimpseExchange exchange;
  Glimpse sum;
  exchange.current().tally.issued = 1;
  exchange.ask();
  exchange.hand_over();
  exchange.current().tally.issued = 20;
  exchange.take_rest(sum);
  CHECK(sum.tally.issued == 21);
  exchange.take_rest(sum);
  CHECK(sum.tally.issued == 21);
}

TEST_CASE("two threads: each event is in exactly one glimpse, and its figures agree",
          "[load][threads]") {
  constexpr std::uint64_t kEvents = 200'000;
  GlimpseExchange exchange;
  std::atomic<bool> is_over = false;
  std::thread worker([&] {
    for (std::uint64_t i = 0; i < kEvents; ++i) {
      Glimpse& glimpse = exchange.current();
      ++glimpse.tally.issued;
      ++glimpse.tally.answered;
      glimpse.latency.record(Duration::from_ns(static_cast<std::int64_t>(i)));
      if (exchange.is_wanted()) exchange.hand_over();
    }
    is_over.store(true, std::memory_order_release);
  });
  Glimpse sum;
  std::uint64_t glimpses = 0;
  while (!is_over.load(std::memory_order_acquire)) {
    Glimpse one;
    exchange.ask();
    if (!exchange.take(one)) continue;
    ++glimpses;
    REQUIRE(one.tally.issued == one.tally.answered);
    REQUIRE(one.latency.count() == one.tally.issued);
    sum.merge(one);
  }
  worker.join();
  exchange.take_rest(sum);
  INFO(glimpses << " glimpses");
  CHECK(sum.tally.issued == kEvents);
  CHECK(sum.latency.count() == kEvents);
}

TEST_CASE("every failure has a name of its own and a mend", "[load]") {
  std::set<std::string> names;
  for (std::size_t i = 0; i < kFailures; ++i) {
    const auto failure = static_cast<Failure>(i);
    CHECK(names.insert(std::string(name_of(failure))).second);
    CHECK(name_of(failure) != "unknown");
    CHECK_FALSE(mend_of(failure).empty());
  }
  CHECK(name_of(static_cast<Failure>(kFailures)) == "unknown");
}

}  // namespace
}  // namespace load
