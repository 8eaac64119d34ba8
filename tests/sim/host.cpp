#include "tests/sim/host.hpp"

#include <rte_mbuf.h>

#include <algorithm>
#include <array>

#include "base/assert.hpp"
#include "stack/impl.hpp"
#include "tcp/invariants.hpp"
#include "tests/sim/content.hpp"

namespace sluice::sim {
namespace {

// A poll loop that finds work but gets nothing done (no mbuf, no room in the port) tries again
// after so long; a real one would spin.
constexpr Duration kRetry = Duration::from_ms(1);
constexpr int kMaxRounds = 10'000;

HashKey key_from(std::uint64_t seed, std::uint64_t purpose) {
  HashKey key;
  const std::uint64_t words[2] = {mix(seed, purpose, 1), mix(seed, purpose, 2)};
  std::memcpy(key.octets.data(), words, sizeof words);
  return key;
}

}  // namespace

Host::Host(drivers::SimClock& clock, Ledger& ledger, const HostPlan& plan, unsigned index,
           std::uint64_t seed, support::TestPools& pools)
    : clock_(clock), ledger_(ledger), plan_(plan), index_(index), pools_(pools) {
  const unsigned all = rte_mempool_avail_count(&pools.receive());
  if (plan.receive_pkts != 0 && plan.receive_pkts < all) {
    withheld_.resize(all - plan.receive_pkts);
    for (rte_mbuf*& mbuf : withheld_) mbuf = rte_pktmbuf_alloc(&pools.receive());
  }
  std::vector<telemetry::SectionPlan> sections;
  stack::Stack::plan_state(plan.stack, 0, sections);
  region_ = std::make_unique<telemetry::StateRegion>(telemetry::StateRegion::anonymous(sections));
  stack_ = std::make_unique<stack::Stack>(
      plan.stack,
      stack::StackDeps{
          .region = *region_,
          .pools = pools.pools(),
          .secrets = {key_from(seed, 1), key_from(seed, 2), key_from(seed, 4), key_from(seed, 5)},
          .seed = mix(seed, 5),
          .worker = 0},
      clock.now());
}

Host::~Host() {
  stack_.reset();
  for (rte_mbuf* const frame : refused_) rte_pktmbuf_free(frame);
  for (rte_mbuf* const mbuf : withheld_) rte_pktmbuf_free(mbuf);
}

void Host::attach(packet::PortQueue& port, drivers::SimPort& sim_port) {
  port_ = &port;
  sim_port_ = &sim_port;
  sim_port.wake_on_arrival(*this, kArrival);
  port_number_ = stack_->attach(port.capabilities(), port.mac(), 0);
  wake();
}

const telemetry::WorkerInfo& Host::info() {
  stack_->publish(clock_.now());
  return region_->section<telemetry::WorkerInfo>(telemetry::SectionKind::kWorkerInfo, 0)[0];
}

unsigned Host::mbufs_out() const {
  return pools_.mbufs_out() - static_cast<unsigned>(withheld_.size());
}

bool Host::is_idle() {
  const telemetry::WorkerInfo& now = info();
  return now.tcbs_in_use == 0 && now.half_open_in_use == 0 && now.time_wait_in_use == 0 &&
         mbufs_out() == 0 && refused_.empty();
}

void Host::check_tables() {
  tcp::Context& context = stack_->impl().engine.context();
  SLUICE_ASSERT(tcp::check_empty(context));
  if (context.flows.size() != 0)
    ledger_.fail("host {}: {} flows in the table of an idle stack", index_, context.flows.size());
}

std::string Host::what_is_left() {
  const telemetry::WorkerInfo& now = info();
  return fmt::format(
      "{} TCBs, {} half-open, {} in TIME-WAIT, {} frames refused by the port, mbufs out: {} "
      "receive, {} control, {} indirect",
      now.tcbs_in_use, now.half_open_in_use, now.time_wait_in_use, refused_.size(),
      rte_mempool_in_use_count(&pools_.receive()) - withheld_.size(),
      rte_mempool_in_use_count(&pools_.control()), rte_mempool_in_use_count(&pools_.indirect()));
}

// An event that a nearer one has replaced is known by its old generation, and ignored.
void Host::wake_by(Instant when) {
  when = std::max(when, clock_.now());
  if (when >= wake_at_) return;
  wake_at_ = when;
  clock_.schedule(when, *this, ++generation_);
}

void Host::on_event(std::uint64_t token, Instant now) {
  if (token == kArrival) {
    const std::int64_t step = std::max<std::int64_t>(1, plan_.poll_interval.ns());
    wake_by(Instant::from_ns((now.ns() + step - 1) / step * step));
    return;
  }
  if (token != generation_) return;
  wake_at_ = Instant::never();
  pump(now);
}

/// Gives the port what it takes. False if it has taken all there was.
bool Host::transmit(Instant now) {
  std::array<rte_mbuf*, 64> frames;
  for (;;) {
    if (refused_.empty()) {
      const std::size_t count =
          stack_->transmit(port_number_, std::span(frames).first(plan_.burst), now);
      if (count == 0) return false;
      refused_.assign(frames.begin(), frames.begin() + static_cast<std::ptrdiff_t>(count));
    }
    const std::uint16_t taken = port_->tx_burst(refused_, now);
    refused_.erase(refused_.begin(), refused_.begin() + taken);
    if (!refused_.empty()) return true;
  }
}

void Host::pump(Instant now) {
  std::array<rte_mbuf*, 64> frames;
  bool is_port_full = false;
  int round = 0;
  for (;; ++round) {
    const std::uint16_t count = port_->rx_burst(std::span(frames).first(plan_.burst), now);
    if (count > 0) stack_->receive(port_number_, std::span(frames).first(count), now);
    stack_->advance(now);
    is_port_full = transmit(now);
    if (count == 0 && (is_port_full || !stack_->has_work())) break;
    if (count == 0 && round > 16) break;
    if (round > kMaxRounds) {
      ledger_.fail("host {}: the poll loop never comes to rest", index_);
      break;
    }
  }
  stack_->publish(now);
  if (is_port_full) {
    wake_by(std::max(sim_port_->tx_ready_at(now), now + Duration::from_ns(1)));
  } else if (stack_->has_work()) {
    wake_by(now + kRetry);
  }
  if (!has_deadlines_) return;
  const Instant deadline = stack_->next_deadline();
  wake_by(deadline <= now ? now + kRetry : deadline);
}

}  // namespace sluice::sim
