#include "runtime/exchange.hpp"

#include <rte_mbuf.h>

#include <utility>

#include "base/assert.hpp"

namespace sluice::runtime {

using stack::PortVerdict;
using telemetry::Counter;
using telemetry::Metrics;
using telemetry::Outcome;

Exchange::Exchange(Deps deps)
    : steering_(deps.steering),
      worker_(static_cast<std::uint16_t>(deps.worker)),
      metrics_(deps.metrics),
      copies_(deps.copies),
      peers_(std::move(deps.peers)),
      outgoing_(peers_.size()) {}

Exchange::~Exchange() {
  for (const Peer& peer : peers_)
    if (peer.in != nullptr)
      peer.in->consume_all([](HandedFrame handed) { rte_pktmbuf_free(handed.frame); });
}

void Exchange::add_device(SelfTest* test, stack::PortCounts& counts) {
  devices_.push_back({test, &counts});
}

bool Exchange::has_mail() const {
  for (const Peer& peer : peers_)
    if (peer.in != nullptr && peer.in->read_available() > 0) return true;
  return false;
}

std::size_t Exchange::keep_ours(std::span<rte_mbuf*> frames, unsigned number, Origin origin) {
  SLUICE_ASSERT(frames.size() <= kBurst);
  Device& device = devices_[number];
  const bool is_trusted = origin == Origin::kPort && device.test != nullptr &&
                          device.test->verdict() == PortVerdict::kVerified;
  std::size_t kept = 0;
  for (rte_mbuf* const frame : frames) {
    const std::uint16_t worker = destination(*frame, number, origin, is_trusted);
    if (worker == worker_) {
      frames[kept++] = frame;
      continue;
    }
    Outgoing& to = outgoing_[worker];
    to.frames[to.count++] = {frame, number};
  }
  if (kept == frames.size()) return kept;
  for (unsigned worker = 0; worker < outgoing_.size(); ++worker)
    if (outgoing_[worker].count > 0) hand_on(worker, device);
  return kept;
}

std::uint16_t Exchange::destination(rte_mbuf& frame, unsigned number, Origin origin,
                                    bool is_trusted) {
  if (is_trusted && is_plain_segment(frame)) {
    // Where the hash is at hand, it says more than the queue: that may change with the table.
    const bool has_hash = (frame.ol_flags & RTE_MBUF_F_RX_RSS_HASH) != 0;
    return has_hash ? steering_.owner_of_hash(frame.hash.rss) : worker_;
  }
  const Sight sight = steering_.look_at(frame);
  switch (sight.kind) {
    case Sight::Kind::kAnyone:
      return worker_;
    case Sight::Kind::kAll:
      copy_to_all(frame, number);
      return worker_;
    case Sight::Kind::kSegment:
      if (origin == Origin::kPort) test(devices_[number], frame, sight);
      return sight.worker;
    case Sight::Kind::kRelated:
      return sight.worker;
  }
  return worker_;
}

void Exchange::test(Device& device, const rte_mbuf& frame, const Sight& sight) {
  if (device.test == nullptr || !device.test->is_pending() || sight.hash == device.last_hash)
    return;
  device.last_hash = sight.hash;  // one flow proves no more by a thousand frames than by one
  const bool has_hash = (frame.ol_flags & RTE_MBUF_F_RX_RSS_HASH) != 0;
  if (sight.worker == worker_ && (!has_hash || frame.hash.rss == sight.hash)) {
    Metrics::bump(device.counts->as_predicted, 1);
    device.test->note_as_predicted();
  } else {
    Metrics::bump(device.counts->not_predicted, 1);
    device.test->note_not_predicted();
  }
}

/// Without an mbuf, or room in a mailbox, a worker does not hear it: ARP asks again.
void Exchange::copy_to_all(const rte_mbuf& frame, unsigned device) {
  for (const Peer& peer : peers_) {
    if (peer.out == nullptr) continue;
    packet::PacketPtr copy(rte_pktmbuf_copy(&frame, &copies_, 0, UINT32_MAX));
    if (!copy || !peer.out->push(HandedFrame{copy.get(), device})) continue;
    static_cast<void>(copy.release());
    if (peer.waker != nullptr) peer.waker->wake();
  }
}

void Exchange::hand_on(unsigned worker, Device& device) {
  Outgoing& to = outgoing_[worker];
  const Peer& peer = peers_[worker];
  const std::size_t taken = peer.out->push(to.frames.data(), to.count);
  if (taken > 0 && peer.waker != nullptr) peer.waker->wake();
  metrics_.count(Counter::kFramesHandedOn, taken);
  Metrics::bump(device.counts->handed_on, taken);
  // The owner counts what it gets as received; what is lost here ends here.
  for (std::size_t i = taken; i < to.count; ++i) {
    metrics_.count(Counter::kRxPackets);
    metrics_.count(Counter::kRxBytes, to.frames[i].frame->pkt_len);
    metrics_.count(Outcome::kMisdeliveredFull);
    rte_pktmbuf_free(to.frames[i].frame);
  }
  Metrics::bump(device.counts->lost, to.count - taken);
  to.count = 0;
}

}  // namespace sluice::runtime
