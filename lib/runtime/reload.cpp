#include "runtime/reload.hpp"

#include <fmt/format.h>
#include <signal.h>

#include <atomic>
#include <nlohmann/json.hpp>
#include <utility>

#include "sluice/runtime.hpp"

namespace sluice::runtime {
namespace {

/// Has each worker go by other values, or go back.
class ReconfigureOrder final : public Order {
 public:
  struct Values {
    stack::StackConfig stack;
    LoopOptions loop;
  };
  ReconfigureOrder(Values last, Values next) : last_(std::move(last)), next_(std::move(next)) {}

  bool carry_out(const OrderSite& site) override {
    apply(next_, site);
    return true;
  }
  void undo(const OrderSite& site) override { apply(last_, site); }

 private:
  static void apply(const Values& values, const OrderSite& site) {
    site.stack.reconfigure(values.stack);
    site.options = values.loop;
  }

  const Values last_;
  const Values next_;
};

void copy_value(const Key& key, const Config& from, Config& to) {
  Config copy = from;  // the accessors of flags and durations want a mutable one
  if (const auto* flag = std::get_if<FlagField>(&key.field)) flag->at(to) = flag->at(copy);
  if (const auto* count = std::get_if<CountField>(&key.field)) count->set(to, count->get(from));
  if (const auto* time = std::get_if<DurationField>(&key.field)) time->at(to) = time->at(copy);
  if (const auto* text = std::get_if<TextField>(&key.field)) text->set(to, text->get(from));
  if (const auto* list = std::get_if<ListField>(&key.field)) {
    list->clear(to);
    for (const std::string& item : list->get(from)) list->add(to, item);
  }
}

}  // namespace

ReloadPlan plan_reload(const Config& current, const Config& next) {
  ReloadPlan plan{current, {}, {}};
  for (const Key& key : keys()) {
    if (render(key, current) == render(key, next)) continue;
    if (key.reload == Reload::kRestart) {
      plan.needs_restart.emplace_back(key.name);
      continue;
    }
    copy_value(key, next, plan.config);
    plan.changed.emplace_back(key.name);
  }
  return plan;
}

Json Reloader::run() {
  if (deps_.file.empty())
    throw CommandError("nothing to reload: the program was started without --config FILE");
  ReloadPlan plan;
  try {
    plan = plan_reload(deps_.config, deps_.read());
  } catch (const SetupError& error) {
    throw CommandError(fmt::format("{}: nothing has changed", error.what()));
  }
  if (const auto problem = contradiction(plan.config))
    throw CommandError(
        fmt::format("{}, with keys that need a restart as they are: nothing has "
                    "changed",
                    *problem));
  stack::StackConfig stack = stack_config(plan.config);
  stack.tcp.is_fleet = deps_.stack.tcp.is_fleet;
  stack.tcp.cookie_to_wall = deps_.stack.tcp.cookie_to_wall;
  LoopOptions loop = deps_.loop;
  loop.drain_timeout = plan.config.drain_timeout;
  loop.idle.spin_rounds = plan.config.idle_spin_rounds;
  loop.idle.yield_rounds = plan.config.idle_yield_rounds;
  // Zero: the devices, or runtime.idle, had it that workers never sleep.
  if (loop.idle.max_sleep != Duration::zero()) loop.idle.max_sleep = plan.config.idle_max_sleep;
  if (!plan.changed.empty()) {
    const auto order = std::make_shared<ReconfigureOrder>(
        ReconfigureOrder::Values{deps_.stack, deps_.loop}, ReconfigureOrder::Values{stack, loop});
    const std::vector<OrderFate> fates = deps_.orders.give(order);
    if (!is_done(fates)) throw CommandError(explain(fates));
  }
  deps_.config = std::move(plan.config);
  deps_.stack = std::move(stack);
  deps_.loop = loop;
  return {{"file", deps_.file}, {"changed", plan.changed}, {"needs_restart", plan.needs_restart}};
}

// --- SIGHUP ---

namespace {

std::atomic<bool> is_wanted{false};

void on_signal(int) {
  is_wanted.store(true, std::memory_order_release);
}

}  // namespace

struct ReloadSignal::Old {
  struct sigaction action {};
};

ReloadSignal::ReloadSignal() : old_(std::make_unique<Old>()) {
  is_wanted.store(false, std::memory_order_release);
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGHUP, &action, &old_->action);
}

ReloadSignal::~ReloadSignal() {
  ::sigaction(SIGHUP, &old_->action, nullptr);
}

bool ReloadSignal::take() {
  return is_wanted.exchange(false, std::memory_order_acq_rel);
}

}  // namespace sluice::runtime
