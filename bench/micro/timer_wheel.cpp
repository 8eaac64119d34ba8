// The timer wheel with a node in each of up to ten million records.

#include "base/timer_wheel.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "base/reserved_memory.hpp"
#include "base/rng.hpp"
#include "bench/micro/cpu_clock.hpp"

namespace sluice::bench {
namespace {

constexpr std::uint32_t kChanged = 1024;  ///< Between two looks at the clock.
constexpr Tick kHorizon = 60'000;         ///< Deadlines lie so many milliseconds ahead at most.

struct alignas(64) Record {
  TimerNode node;
};
struct Nodes {
  Record* base;
  TimerNode& operator()(std::uint32_t index) const { return base[index].node; }
};

class Clockwork {
 public:
  explicit Clockwork(std::uint32_t count)
      : memory_(sizeof(Record) * count),
        count_(count),
        wheel_(Nodes{reinterpret_cast<Record*>(memory_.data())}, 0) {
    Rng rng(1);
    for (std::uint32_t index = 0; index < count; ++index) {
      node(index) = TimerNode{};
      wheel_.arm(index, deadline(rng));
    }
  }

  std::uint32_t size() const { return count_; }
  TimerNode& node(std::uint32_t index) {
    return reinterpret_cast<Record*>(memory_.data())[index].node;
  }
  TimerWheel<Nodes>& wheel() { return wheel_; }
  Tick deadline(Rng& rng) const {
    return wheel_.now() + 1000 + static_cast<Tick>(rng.below(kHorizon));
  }

 private:
  ReservedMemory memory_;
  std::uint32_t count_;
  TimerWheel<Nodes> wheel_;
};

Clockwork& clockwork_of(std::int64_t count) {
  static std::unique_ptr<Clockwork> clockwork;
  if (!clockwork || clockwork->size() != count) {
    clockwork.reset();
    clockwork = std::make_unique<Clockwork>(static_cast<std::uint32_t>(count));
  }
  return *clockwork;
}

template <class Act>
double timed(const std::vector<std::uint32_t>& chosen, Act&& act) {
  const double begin = cpu_seconds();
  for (const std::uint32_t index : chosen) act(index);
  return cpu_seconds() - begin;
}

enum class Action { kArm, kCancel, kLater, kEarlier };

/// Random nodes are cancelled, armed, moved later (which the wheel need not notice) and earlier;
/// one of the four is timed.
void act(benchmark::State& state, Action action) {
  Clockwork& clockwork = clockwork_of(state.range(0));
  TimerWheel<Nodes>& wheel = clockwork.wheel();
  Rng rng(3);
  std::vector<std::uint32_t> chosen(std::min(kChanged, clockwork.size() / 4));
  const std::uint32_t stride = clockwork.size() / static_cast<std::uint32_t>(chosen.size());
  for (auto step : state) {
    static_cast<void>(step);
    // One of each part of all records, so that none comes twice.
    for (std::uint32_t i = 0; i < chosen.size(); ++i)
      chosen[i] = i * stride + static_cast<std::uint32_t>(rng.below(stride));
    std::shuffle(chosen.begin(), chosen.end(), std::minstd_rand(7));
    double seconds[4];
    const Tick far = wheel.now() + 2 * kHorizon;
    seconds[static_cast<int>(Action::kCancel)] =
        timed(chosen, [&](std::uint32_t index) { wheel.cancel(index); });
    seconds[static_cast<int>(Action::kArm)] = timed(chosen, [&](std::uint32_t index) {
      wheel.arm(index, wheel.now() + kHorizon + index % 8192);
    });
    seconds[static_cast<int>(Action::kLater)] =
        timed(chosen, [&](std::uint32_t index) { wheel.arm(index, far); });
    seconds[static_cast<int>(Action::kEarlier)] = timed(
        chosen, [&](std::uint32_t index) { wheel.arm(index, wheel.now() + 1000 + index % 8192); });
    state.SetIterationTime(seconds[static_cast<int>(action)]);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(chosen.size()));
}

void arm(benchmark::State& state) {
  act(state, Action::kArm);
}
void cancel(benchmark::State& state) {
  act(state, Action::kCancel);
}
void rearm_later(benchmark::State& state) {
  act(state, Action::kLater);
}
void rearm_earlier(benchmark::State& state) {
  act(state, Action::kEarlier);
}

/// A node's whole way: down the levels, its firing, and its being armed again.
void expire(benchmark::State& state) {
  Clockwork& clockwork = clockwork_of(state.range(0));
  TimerWheel<Nodes>& wheel = clockwork.wheel();
  Rng rng(4);
  std::int64_t fired = 0;
  for (auto step : state) {
    static_cast<void>(step);
    // As many milliseconds as let about a thousand fire.
    const Tick target = wheel.now() + std::max<Tick>(1, kHorizon * 1000 / clockwork.size());
    std::int64_t now_fired = 0;
    const double begin = cpu_seconds();
    wheel.advance(target, 0xffffffffu, [&](std::uint32_t index) {
      ++now_fired;
      wheel.arm(index, clockwork.deadline(rng));
    });
    state.SetIterationTime(cpu_seconds() - begin);
    fired += now_fired;
  }
  state.SetItemsProcessed(fired);
}

/// A turn of the poll loop in which nothing is due, however many wait.
void idle(benchmark::State& state) {
  Clockwork& clockwork = clockwork_of(state.range(0));
  TimerWheel<Nodes>& wheel = clockwork.wheel();
  for (auto step : state) {
    static_cast<void>(step);
    Tick when = 0;
    benchmark::DoNotOptimize(wheel.next_event(when));
    wheel.advance(wheel.now(), 1024, [](std::uint32_t) { std::abort(); });
  }
  state.SetItemsProcessed(state.iterations());
}

const int kRegistered = [] {
  for (const std::int64_t count : {1'000, 10'000'000}) {
    benchmark::RegisterBenchmark("timer.arm", arm)->Arg(count)->UseManualTime();
    benchmark::RegisterBenchmark("timer.rearm_later", rearm_later)->Arg(count)->UseManualTime();
    benchmark::RegisterBenchmark("timer.rearm_earlier", rearm_earlier)->Arg(count)->UseManualTime();
    benchmark::RegisterBenchmark("timer.cancel", cancel)->Arg(count)->UseManualTime();
    benchmark::RegisterBenchmark("timer.expire", expire)->Arg(count)->UseManualTime();
    benchmark::RegisterBenchmark("timer.idle_turn", idle)->Arg(count);
  }
  return 0;
}();

}  // namespace
}  // namespace sluice::bench
