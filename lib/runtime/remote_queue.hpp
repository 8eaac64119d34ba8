#pragma once

// Transmitting by a port on which a worker has no queue of its own: finished frames go by a ring to
// a worker that has one. A full queue fills the ring, and a full ring pushes back to the sender as
// a full queue does.
//
//   sender ── RemoteQueue::tx_burst ──▶ [ ring ] ── TxHandover::send ──▶ queue      (owner)

#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <string>

#include "packet/port.hpp"
#include "runtime/exchange.hpp"
#include "runtime/mailbox.hpp"
#include "runtime/waker.hpp"
#include "telemetry/metrics.hpp"

namespace sluice::runtime {

/// The sender's end: a port that nothing comes in by.
class RemoteQueue final : public packet::PortQueue {
 public:
  /// All borrowed. `queue` is the owner's, only asked what it can; `owner` may be null: never
  /// sleeps.
  RemoteQueue(const packet::PortQueue& queue, TxRing& ring, Waker* owner,
              telemetry::Metrics& sender)
      : queue_(queue), ring_(ring), owner_(owner), metrics_(sender) {}

  std::uint16_t rx_burst(std::span<rte_mbuf*>, Instant) override { return 0; }
  std::uint16_t tx_burst(std::span<rte_mbuf*> frames, Instant) override {
    const std::size_t taken = ring_.push(frames.data(), frames.size());
    if (taken > 0 && owner_ != nullptr) owner_->wake();
    metrics_.count(telemetry::Counter::kTxHandedOn, taken);
    return static_cast<std::uint16_t>(taken);
  }
  const packet::PortCapabilities& capabilities() const override { return queue_.capabilities(); }
  MacAddr mac() const override { return queue_.mac(); }
  std::string name() const override { return queue_.name(); }

 private:
  const packet::PortQueue& queue_;
  TxRing& ring_;
  Waker* owner_;
  telemetry::Metrics& metrics_;
};

/// The owner's end.
class TxHandover {
 public:
  /// Both borrowed.
  TxHandover(TxRing& ring, packet::PortQueue& queue) : ring_(ring), queue_(queue) {}
  ~TxHandover() {
    rte_pktmbuf_free_bulk(untaken_.data(), static_cast<unsigned>(untaken_count_));
    ring_.consume_all([](rte_mbuf* frame) { rte_pktmbuf_free(frame); });
  }
  TxHandover(const TxHandover&) = delete;
  TxHandover& operator=(const TxHandover&) = delete;

  /// Gives the queue what it takes, at most a burst. True if it took something.
  bool send(Instant now) {
    untaken_count_ += ring_.pop(untaken_.data() + untaken_count_, untaken_.size() - untaken_count_);
    if (untaken_count_ == 0) return false;
    const std::size_t taken = queue_.tx_burst(std::span(untaken_).first(untaken_count_), now);
    std::move(untaken_.begin() + static_cast<std::ptrdiff_t>(taken),
              untaken_.begin() + static_cast<std::ptrdiff_t>(untaken_count_), untaken_.begin());
    untaken_count_ -= taken;
    return taken > 0;
  }
  bool has_frames() const { return untaken_count_ > 0 || ring_.read_available() > 0; }

 private:
  TxRing& ring_;
  packet::PortQueue& queue_;
  std::array<rte_mbuf*, kBurst> untaken_{};
  std::size_t untaken_count_ = 0;
};

}  // namespace sluice::runtime
