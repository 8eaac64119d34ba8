#pragma once

// One whole stack on a virtual clock, with IP packets in and out: the wire side of the plug-in.

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "stack/stack.hpp"
#include "tcp/user_calls.hpp"
#include "telemetry/region.hpp"
#include "tests/packetdrill/settings.hpp"
#include "tests/support/mbuf_pool.hpp"

namespace sluice::packetdrill {

/// A packet that the stack sent, IP header first.
struct SentPacket {
  Instant at;
  std::vector<std::byte> octets;
};

class VirtualStack {
 public:
  /// EAL runs already.
  explicit VirtualStack(const Settings& settings);
  ~VirtualStack();
  VirtualStack(const VirtualStack&) = delete;
  VirtualStack& operator=(const VirtualStack&) = delete;

  Worker worker() { return stack_->worker(); }
  /// The engine's records, for what the public API does not tell.
  tcp::Context& context();

  /// Called after each step of the stack, once its events are told; true if it called the stack.
  void on_step(std::function<bool()> listener) { on_step_ = std::move(listener); }

  Instant now() const { return now_; }
  /// The time of the stack's last step.
  Instant stepped_at() const { return stepped_at_; }
  /// A glance at the clock costs a microsecond: packetdrill spins on it and waits for it to move.
  Instant glance();
  /// All that is due happens, each thing at its own time, and the clock stands at `target`.
  void run_until(Instant target);
  /// Brings the stack to the clock's time. Before every call on it.
  void catch_up() { run_until(now_); }
  /// What calls left to be sent and told.
  void settle() { step(now_); }
  /// On to the next deadline. False if there is none, or none up to `limit`.
  bool run_to_next_deadline(Instant limit);

  /// A packet from the peer.
  void receive(std::span<const std::byte> packet);
  /// Oldest first. Whoever reads them takes them off.
  std::deque<SentPacket> sent;
  /// A packet left with a wrong TCP checksum, which packetdrill would not notice.
  bool has_sent_wrong_checksum() const { return has_wrong_checksum_; }

 private:
  void step(Instant at);
  void collect();
  void take_frame(std::span<const std::byte> frame);

  const Settings settings_;
  support::TestPools pools_;
  std::unique_ptr<telemetry::StateRegion> region_;
  std::unique_ptr<stack::Stack> stack_;
  unsigned port_ = 0;
  std::function<bool()> on_step_;
  Instant now_;
  Instant stepped_at_;
  bool has_wrong_checksum_ = false;
};

}  // namespace sluice::packetdrill
