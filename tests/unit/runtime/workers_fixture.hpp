#pragma once

// Two workers as the runtime makes them, without ports: stacks, places for orders, boxes for
// messages. A test takes their turns for them, or gives each a WorkerLoop and a thread.

#include <catch2/catch.hpp>
#include <memory>
#include <vector>

#include "runtime/orders.hpp"
#include "runtime/post.hpp"
#include "runtime/worker_loop.hpp"
#include "tests/unit/tcp/stack_rig.hpp"

namespace sluice::runtime::testing {

struct Workers {
  static constexpr unsigned kCount = 2;

  /// `wait` of Orders; by default each try is a round of all workers that do not hang.
  explicit Workers(Orders::Wait wait = {})
      : orders(
            kCount, wait ? std::move(wait) : [this](unsigned tries) {
              round();
              return tries < 4;
            }) {
    for (unsigned worker = 0; worker < kCount; ++worker) {
      stacks.push_back(
          std::make_unique<stack::Stack>(config,
                                         stack::StackDeps{.region = region,
                                                          .pools = support::shared_pools().pools(),
                                                          .secrets = {},
                                                          .seed = worker,
                                                          .worker = worker},
                                         now));
      stacks.back()->attach({.tx_multi_segment = true}, support::Endpoints{}.destination_mac, 0);
      boxes.push_back(std::make_unique<PostBox>(post, worker, metrics(worker)));
      stacks.back()->set_post_office(boxes.back().get());
    }
  }

  static telemetry::StateRegion make_region(const stack::StackConfig& config) {
    std::vector<telemetry::SectionPlan> plan;
    for (unsigned worker = 0; worker < kCount; ++worker)
      stack::Stack::plan_state(config, worker, plan);
    return telemetry::StateRegion::anonymous(plan);
  }
  telemetry::Metrics& metrics(unsigned worker) {
    return region.section<telemetry::Metrics>(telemetry::SectionKind::kMetrics, worker)[0];
  }
  std::uint64_t count(telemetry::Counter counter, unsigned worker) {
    return metrics(worker).of(counter);
  }
  Worker worker(unsigned number) { return stacks[number]->worker(); }

  /// A loop that takes a worker's turns on a thread of its own, and yields its CPU between them.
  std::unique_ptr<WorkerLoop> make_loop(unsigned number) {
    LoopOptions yielding{
        Duration::zero(), Duration::zero(), {0, 1'000'000'000, Duration::from_us(10)}};
    auto loop = std::make_unique<WorkerLoop>(*stacks[number], metrics(number),
                                             Clock(Clock::Kind::kMonotonic), yielding);
    loop->join(group, nullptr);
    loop->set_mail(orders.place(number), *boxes[number]);
    return loop;
  }

  /// One round, as WorkerLoop has it. True if it did something for orders or messages.
  bool turn(unsigned number) {
    bool worked = false;
    if (orders.place(number).is_offered())
      worked |= orders.place(number).take({number, *stacks[number], options[number], now});
    stacks[number]->advance(now);
    worked |= boxes[number]->deliver(*stacks[number]);
    rte_mbuf* out[32];
    while (const std::size_t count = stacks[number]->transmit(0, out, now))
      rte_pktmbuf_free_bulk(out, static_cast<unsigned>(count));
    return worked;
  }
  void round() {
    for (unsigned number = 0; number < kCount; ++number)
      if (!hangs[number]) turn(number);
  }

  stack::StackConfig config = sluice::testing::small_stack();
  telemetry::StateRegion region = make_region(config);
  Instant now = Instant::from_ns(1'000'000'000);
  WorkerGroup group{kCount};
  Post post{kCount};
  Orders orders;
  LoopOptions options[kCount] = {};
  bool hangs[kCount] = {};
  std::vector<std::unique_ptr<stack::Stack>> stacks;
  std::vector<std::unique_ptr<PostBox>> boxes;
};

}  // namespace sluice::runtime::testing
