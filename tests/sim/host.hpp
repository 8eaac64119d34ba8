#pragma once

// One machine of a world: pools, region, stack and the loop that polls its port on virtual time.

#include <memory>
#include <vector>

#include "drivers/sim/clock.hpp"
#include "drivers/sim/sim_link.hpp"
#include "packet/packet.hpp"
#include "stack/stack.hpp"
#include "telemetry/region.hpp"
#include "tests/sim/ledger.hpp"
#include "tests/sim/parameters.hpp"
#include "tests/support/mbuf_pool.hpp"

namespace sluice::sim {

class Host final : public drivers::SimActor {
 public:
  /// `pools` are lent, full, and must be full again when the host has gone.
  Host(drivers::SimClock& clock, Ledger& ledger, const HostPlan& plan, unsigned index,
       std::uint64_t seed, support::TestPools& pools);
  ~Host() override;

  /// Joins the stack to its end of the link. `port` is what the stack polls: the sim port itself,
  /// or a port that wraps it.
  void attach(packet::PortQueue& port, drivers::SimPort& sim_port);

  stack::Stack& stack() { return *stack_; }
  Worker worker() { return stack_->worker(); }
  telemetry::StateRegion& region() { return *region_; }
  const telemetry::WorkerInfo& info();
  unsigned index() const { return index_; }

  /// Brings the stack to `now`, so that its API may be used from outside its callbacks. Call
  /// wake() afterwards.
  void enter(Instant now) { stack_->advance(now); }
  void wake() { wake_by(clock_.now()); }
  /// From now on the stack's deadlines do not wake it: a canary.
  void forget_deadlines() { has_deadlines_ = false; }
  /// Nothing is left in the stack's tables, in its pools, or on its way to the port.
  bool is_idle();
  /// Of an idle host: no table, free list or timer may still know of what is gone.
  void check_tables();
  /// Says what keeps is_idle() from being true.
  std::string what_is_left();

  void on_event(std::uint64_t token, Instant now) override;

 private:
  static constexpr std::uint64_t kArrival = ~std::uint64_t{0};

  void wake_by(Instant when);
  void pump(Instant now);
  bool transmit(Instant now);
  unsigned mbufs_out() const;

  drivers::SimClock& clock_;
  Ledger& ledger_;
  const HostPlan& plan_;
  unsigned index_;
  support::TestPools& pools_;
  std::vector<rte_mbuf*> withheld_;  ///< Makes the receive pool as small as the plan wants it.
  std::unique_ptr<telemetry::StateRegion> region_;
  std::unique_ptr<stack::Stack> stack_;
  packet::PortQueue* port_ = nullptr;
  drivers::SimPort* sim_port_ = nullptr;
  unsigned port_number_ = 0;
  std::vector<rte_mbuf*> refused_;  ///< Frames that the port has not taken yet: offered first.
  Instant wake_at_ = Instant::never();
  std::uint64_t generation_ = 0;
  bool has_deadlines_ = true;
};

}  // namespace sluice::sim
