#pragma once

// Two shards and a link between them, on virtual time: a driver of load against a server of ours.

#include <array>
#include <deque>
#include <memory>
#include <vector>

#include "stack/stack.hpp"
#include "tests/support/mbuf_pool.hpp"

namespace load::test {

class TwoStacks {
 public:
  static constexpr sluice::Duration kStep = sluice::Duration::from_us(10);  ///< Between rounds.
  static constexpr sluice::Duration kOneWay = sluice::Duration::from_us(100);

  TwoStacks();
  ~TwoStacks();

  sluice::Worker client() { return hosts_[0].stack->worker(); }
  sluice::Worker server() { return hosts_[1].stack->worker(); }
  static sluice::IpAddr address(unsigned host, unsigned number = 0);
  sluice::Instant now() const { return now_; }

  /// Rounds of both, and frames delivered, for so long.
  void run_for(sluice::Duration span);
  /// The server takes nothing until then: frames wait for it.
  void pause_server_until(sluice::Instant until) { paused_until_ = until; }
  /// No connections more; all that are left end.
  void end_client();
  unsigned mbufs_out() const { return pools_[0].mbufs_out() + pools_[1].mbufs_out(); }

 private:
  struct Frame {
    sluice::Instant arrival;
    std::vector<std::byte> octets;
  };
  struct Host {
    std::unique_ptr<sluice::telemetry::StateRegion> region;
    std::unique_ptr<sluice::stack::Stack> stack;
    unsigned port = 0;
    std::deque<Frame> coming;
  };

  void make(unsigned host);
  void round(unsigned host);

  sluice::Instant now_ = sluice::Instant::from_ns(1'000'000'000);
  sluice::Instant paused_until_;
  std::array<sluice::support::TestPools, 2> pools_;
  std::array<Host, 2> hosts_;
};

}  // namespace load::test
