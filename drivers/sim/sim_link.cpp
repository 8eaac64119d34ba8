#include "drivers/sim/sim_link.hpp"

#include <rte_mbuf.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/assert.hpp"
#include "drivers/sim/offload.hpp"

namespace sluice::drivers {
namespace {

constexpr std::size_t kEthernetHeader = 14;
// Every single run of fewer than 16 flipped bits changes the Internet checksum (RFC 1071 sums are
// taken modulo 2^16 - 1): payload that comes out wrong is then the stack's fault, never chance.
constexpr std::uint64_t kLongestHit = 15;

constexpr std::uint64_t token_of(unsigned side, std::uint32_t slot) {
  return std::uint64_t{side} << 32 | slot;
}

}  // namespace

SimLink::SimLink(SimClock& clock, Options options)
    : clock_(clock), rng_(options.seed), observer_(options.observer) {
  for (unsigned side = 0; side < 2; ++side) {
    directions_[side].options = options.directions[side];
    directions_[side].free_at = directions_[side].last_arrival = clock.now();
    ports_[side] = std::make_unique<SimPort>(*this, side, std::move(options.ports[side]));
  }
}

SimLink::~SimLink() = default;

void SimLink::set_options(unsigned direction, const LinkOptions& options) {
  directions_[direction].options = options;
}

void SimLink::inject(unsigned side, std::span<const std::byte> frame, Instant when) {
  const std::uint32_t slot = take_slot();
  slots_[slot].assign(frame.begin(), frame.end());
  ++in_flight_;
  note(FrameFate::kInjected, 1 - side, slots_[slot], clock_.now());
  clock_.schedule(when, *this, token_of(side, slot));
}

std::uint32_t SimLink::take_slot() {
  if (free_slots_.empty()) {
    slots_.emplace_back();
    return static_cast<std::uint32_t>(slots_.size() - 1);
  }
  const std::uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  return slot;
}

void SimLink::free_slot(std::uint32_t slot) {
  free_slots_.push_back(slot);
}

void SimLink::note(FrameFate fate, unsigned direction, const Octets& octets, Instant now) {
  ++counts_[static_cast<std::size_t>(fate)];
  if (observer_ != nullptr) observer_->on_frame(fate, direction, octets, now);
}

Duration SimLink::up_to(Duration limit) {
  if (limit <= Duration::zero()) return Duration::zero();
  return Duration::from_ns(
      static_cast<std::int64_t>(rng_.below(static_cast<std::uint64_t>(limit.ns()) + 1)));
}

void SimLink::corrupt(Octets& octets) {
  const std::uint64_t bits = octets.size() * 8;
  const std::uint64_t length = std::min<std::uint64_t>(bits, 1 + rng_.below(kLongestHit));
  const std::uint64_t first = rng_.below(bits - length + 1);
  const auto flip = [&octets](std::uint64_t bit) {
    octets[bit / 8] ^= static_cast<std::byte>(0x80u >> (bit % 8));
  };
  flip(first);  // The ends of the run are flipped for certain, those between by chance.
  for (std::uint64_t bit = first + 1; bit + 1 < first + length; ++bit)
    if (rng_.chance(1, 2)) flip(bit);
  if (length > 1) flip(first + length - 1);
}

/// Takes the frame in `slot` and gives the time at which its last bit leaves the sender.
Instant SimLink::send(unsigned direction, std::uint32_t slot, Instant now) {
  Direction& way = directions_[direction];
  const Octets& octets = slots_[slot];
  ++in_flight_;
  note(FrameFate::kSent, direction, octets, now);
  const auto drop = [&](FrameFate fate) {
    note(fate, direction, slots_[slot], now);
    --in_flight_;
    free_slot(slot);
    return now;
  };
  const std::size_t longest =
      kEthernetHeader + std::min(ports_[0]->capabilities().mtu, ports_[1]->capabilities().mtu);
  if (octets.size() > longest) return drop(FrameFate::kTooLong);

  Instant departed = now;
  if (way.options.bits_per_second != 0) {
    __extension__ using Wide = unsigned __int128;
    const Wide rate = way.options.bits_per_second;
    const std::int64_t waiting_ns = std::max<std::int64_t>(0, (way.free_at - now).ns());
    const Wide waiting_bits = static_cast<Wide>(waiting_ns) * rate / 1'000'000'000u;
    if (waiting_bits / 8 + octets.size() > way.options.queue_bytes)
      return drop(FrameFate::kQueueFull);
    const Wide takes_ns = (static_cast<Wide>(octets.size()) * 8 * 1'000'000'000u + rate - 1) / rate;
    departed = std::max(now, way.free_at) + Duration::from_ns(static_cast<std::int64_t>(takes_ns));
    way.free_at = departed;
  }
  propagate(direction, slot, departed);
  return departed;
}

// The chances are always drawn in the same order and number, so that switching one fault off
// leaves the others where they were.
void SimLink::propagate(unsigned direction, std::uint32_t slot, Instant departed) {
  Direction& way = directions_[direction];
  const LinkOptions& options = way.options;
  const auto drawn = [this](Ratio ratio) {
    return rng_.chance(ratio.numerator, ratio.denominator);
  };
  const bool is_lost = drawn(options.loss);
  const bool is_duplicated = drawn(options.duplicate);
  const bool is_corrupted = drawn(options.corrupt);
  const bool is_reordered = drawn(options.reorder);
  const Duration jitter = up_to(options.jitter);
  const Duration held = up_to(options.reorder_delay);

  Instant arrival = std::max(departed + options.delay + jitter, way.last_arrival);
  if (is_duplicated) {
    const std::uint32_t copy = take_slot();
    slots_[copy] = slots_[slot];
    ++in_flight_;
    note(FrameFate::kDuplicated, direction, slots_[copy], clock_.now());
    clock_.schedule(arrival + held, *this, token_of(1 - direction, copy));
  }
  if (is_lost) {
    note(FrameFate::kLost, direction, slots_[slot], clock_.now());
    --in_flight_;
    free_slot(slot);
    return;
  }
  if (is_corrupted && !slots_[slot].empty()) {
    note(FrameFate::kCorrupted, direction, slots_[slot], clock_.now());
    corrupt(slots_[slot]);
  }
  if (is_reordered) {
    note(FrameFate::kReordered, direction, slots_[slot], clock_.now());
    arrival = arrival + held;
  } else {
    way.last_arrival = arrival;
  }
  clock_.schedule(arrival, *this, token_of(1 - direction, slot));
}

void SimLink::on_event(std::uint64_t token, Instant now) {
  const auto side = static_cast<unsigned>(token >> 32);
  const auto slot = static_cast<std::uint32_t>(token);
  SimPort& port = *ports_[side];
  --in_flight_;
  if (port.rx_ring_.size() >= port.options_.rx_ring_frames) {
    note(FrameFate::kRingFull, 1 - side, slots_[slot], now);
    free_slot(slot);
    return;
  }
  note(FrameFate::kArrived, 1 - side, slots_[slot], now);
  port.arrive(slot);
}

SimPort::SimPort(SimLink& link, unsigned side, SimPortOptions options)
    : link_(link), side_(side), options_(std::move(options)) {}

SimPort::~SimPort() = default;

void SimPort::arrive(std::uint32_t frame) {
  rx_ring_.push_back(frame);
  if (owner_ != nullptr && rx_ring_.size() == 1)
    link_.clock_.schedule(link_.clock_.now(), *owner_, token_);
}

std::uint16_t SimPort::rx_burst(std::span<rte_mbuf*> out, Instant now) {
  std::uint16_t count = 0;
  while (count < out.size() && !rx_ring_.empty()) {
    const std::uint32_t frame = rx_ring_.front();
    rx_ring_.pop_front();
    const auto& octets = link_.slots_[frame];
    rte_mbuf* const mbuf = rte_pktmbuf_alloc(options_.receive_pool);
    // Frames of more than a buffer's room do not happen: the wire's MTU is checked on sending.
    if (mbuf == nullptr || rte_pktmbuf_tailroom(mbuf) < octets.size()) {
      link_.note(FrameFate::kNoBuffer, 1 - side_, octets, now);
      rte_pktmbuf_free(mbuf);
    } else {
      mbuf->data_len = static_cast<std::uint16_t>(octets.size());
      mbuf->pkt_len = mbuf->data_len;
      if (!octets.empty())
        std::memcpy(rte_pktmbuf_mtod(mbuf, std::byte*), octets.data(), octets.size());
      if (options_.capabilities.rx_checksum) mbuf->ol_flags |= received_checksum_flags(octets);
      out[count++] = mbuf;
    }
    link_.free_slot(frame);
  }
  return count;
}

std::uint16_t SimPort::tx_burst(std::span<rte_mbuf*> frames, Instant now) {
  while (!tx_ring_.empty() && tx_ring_.front() <= now) tx_ring_.pop_front();
  std::uint16_t count = 0;
  for (rte_mbuf* const mbuf : frames) {
    if (tx_ring_.size() >= options_.tx_ring_frames) break;
    // What a port cannot send is the stack's to avoid: a frame that breaks the capabilities is a
    // bug.
    SLUICE_ASSERT(mbuf->nb_segs == 1 || options_.capabilities.tx_multi_segment);
    const std::uint32_t slot = link_.take_slot();
    auto& octets = link_.slots_[slot];
    octets.clear();
    for (const rte_mbuf* at = mbuf; at != nullptr; at = at->next) {
      SLUICE_ASSERT(RTE_MBUF_DIRECT(at) || options_.capabilities.tx_indirect);
      const auto* const data = rte_pktmbuf_mtod(at, const std::byte*);
      octets.insert(octets.end(), data, data + at->data_len);
    }
    SLUICE_ASSERT(octets.size() == mbuf->pkt_len);
    fill_checksums(*mbuf, options_.capabilities, octets);
    rte_pktmbuf_free(mbuf);
    const Instant departs = link_.send(side_, slot, now);
    if (departs > now) tx_ring_.push_back(departs);
    ++count;
  }
  return count;
}

Instant SimPort::tx_ready_at(Instant now) const {
  const std::size_t waiting = static_cast<std::size_t>(
      tx_ring_.end() - std::upper_bound(tx_ring_.begin(), tx_ring_.end(), now));
  if (waiting < options_.tx_ring_frames) return now;
  return tx_ring_[tx_ring_.size() - options_.tx_ring_frames];
}

}  // namespace sluice::drivers
