#include "drivers/sim/sim_link.hpp"

#include <rte_mbuf.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/assert.hpp"
#include "drivers/sim/offload.hpp"
#include "drivers/sim/router.hpp"

namespace sluice::drivers {
namespace {

constexpr std::size_t kEthernetHeader = 14;
// Every single run of fewer than 16 flipped bits changes the Internet checksum (RFC 1071 sums are
// taken modulo 2^16 - 1): payload that comes out wrong is then the stack's fault, never chance.
constexpr std::uint64_t kLongestHit = 15;

// An event is an arrival (side and slot), or, with this bit, a change of path (its index).
constexpr std::uint64_t kChange = std::uint64_t{1} << 63;
constexpr std::uint64_t kSeedOfPath = 0x9e3779b97f4a7c15u;

constexpr std::uint64_t token_of(unsigned side, std::uint32_t slot) {
  return std::uint64_t{side} << 32 | slot;
}

/// How long `octets` take at `bits_per_second`, rounded up.
Duration time_of(std::uint64_t octets, std::uint64_t bits_per_second) {
  __extension__ using Wide = unsigned __int128;
  const Wide ns = (static_cast<Wide>(octets) * 8 * 1'000'000'000u + bits_per_second - 1) /
                  static_cast<Wide>(bits_per_second);
  return Duration::from_ns(static_cast<std::int64_t>(ns));
}

}  // namespace

SimLink::SimLink(SimClock& clock, Options options)
    : clock_(clock),
      rng_(options.seed),
      path_rng_(options.seed ^ kSeedOfPath),
      observer_(options.observer),
      filter_(options.filter) {
  for (unsigned side = 0; side < 2; ++side) {
    directions_[side].options = options.directions[side];
    directions_[side].free_at = directions_[side].last_arrival = clock.now();
    directions_[side].policed_until = clock.now();
    ports_[side] = std::make_unique<SimPort>(*this, side, std::move(options.ports[side]));
  }
}

SimLink::~SimLink() = default;

void SimLink::set_options(unsigned direction, const LinkOptions& options) {
  Direction& way = directions_[direction];
  way.options = options;
  way.free_at = way.last_arrival = way.policed_until = clock_.now();
  way.is_bad = false;
}

void SimLink::change_path(Instant when, unsigned direction, const LinkOptions& options) {
  clock_.schedule(when, *this, kChange | changes_.size());
  changes_.push_back({direction, options});
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

/// Takes the frame in `slot` from a port, through the filter. Gives when its last bit leaves.
Instant SimLink::take(unsigned direction, std::uint32_t slot, Instant now) {
  if (filter_ == nullptr) return send(direction, slot, now);
  filtered_.clear();
  filtered_.push_back(std::move(slots_[slot]));
  free_slot(slot);
  filter_->on_sent(direction, filtered_, now);
  Instant departed = now;
  for (Octets& frame : filtered_) {
    const std::uint32_t passed = take_slot();
    slots_[passed] = std::move(frame);
    departed = send(direction, passed, now);
  }
  return departed;
}

/// The end of a frame's way.
Instant SimLink::lose(FrameFate fate, unsigned direction, std::uint32_t slot, Instant now) {
  note(fate, direction, slots_[slot], now);
  --in_flight_;
  free_slot(slot);
  return now;
}

Instant SimLink::send(unsigned direction, std::uint32_t slot, Instant now) {
  Direction& way = directions_[direction];
  const std::size_t size = slots_[slot].size();
  ++in_flight_;
  note(FrameFate::kSent, direction, slots_[slot], now);
  const std::size_t longest =
      std::min(ports_[0]->capabilities().mtu, ports_[1]->capabilities().mtu);
  if (size > kEthernetHeader + longest) return lose(FrameFate::kTooLong, direction, slot, now);
  if (way.options.mtu != 0 && size > kEthernetHeader + std::size_t{way.options.mtu})
    return exceed(direction, slot, now);
  return forward(direction, slot, now);
}

/// What the path does with a frame that is too long for it.
Instant SimLink::exceed(unsigned direction, std::uint32_t slot, Instant now) {
  Direction& way = directions_[direction];
  const LinkOptions& options = way.options;
  if (options.cuts) {
    const auto fragments = fragments_of(slots_[slot], options.mtu, ++way.identification);
    if (fragments.empty()) return lose(FrameFate::kTooLong, direction, slot, now);
    lose(FrameFate::kFragmented, direction, slot, now);
    Instant departed = now;
    for (const Octets& fragment : fragments) {
      const std::uint32_t part = take_slot();
      slots_[part] = fragment;
      ++in_flight_;
      departed = forward(direction, part, now);
    }
    return departed;
  }
  if (!options.router_ip.is_unspecified() && !is_cut_) {
    const Octets answer = fragmentation_needed(slots_[slot], options.router_ip, options.mtu);
    if (!answer.empty()) inject(direction, answer, now + directions_[1 - direction].options.delay);
  }
  return lose(FrameFate::kTooLong, direction, slot, now);
}

/// A frame, or a fragment, that fits.
Instant SimLink::forward(unsigned direction, std::uint32_t slot, Instant now) {
  Direction& way = directions_[direction];
  const LinkOptions& options = way.options;
  const std::size_t size = slots_[slot].size();
  if (!is_within_police(way, size, now)) return lose(FrameFate::kPoliced, direction, slot, now);

  Instant departed = now;
  if (options.bits_per_second != 0) {
    __extension__ using Wide = unsigned __int128;
    const std::int64_t waiting_ns = std::max<std::int64_t>(0, (way.free_at - now).ns());
    const auto waiting = static_cast<std::uint64_t>(static_cast<Wide>(waiting_ns) *
                                                    options.bits_per_second / 8'000'000'000u);
    if (waiting + size > options.queue_bytes)
      return lose(FrameFate::kQueueFull, direction, slot, now);
    if (!passes_marking(direction, slots_[slot], waiting, now))
      return lose(FrameFate::kEarlyDrop, direction, slot, now);
    departed = std::max(now, way.free_at) + time_of(size, options.bits_per_second);
    way.free_at = departed;
  }
  propagate(direction, slot, departed);
  return departed;
}

/// The generic cell rate algorithm: a bucket of `burst_bytes`, told by when it will be full again.
bool SimLink::is_within_police(Direction& way, std::size_t octets, Instant now) {
  const Policer& policer = way.options.policer;
  if (policer.bits_per_second == 0) return true;
  const Instant until = std::max(way.policed_until, now) + time_of(octets, policer.bits_per_second);
  if (until - now > time_of(policer.burst_bytes, policer.bits_per_second)) return false;
  way.policed_until = until;
  return true;
}

/// Marks the frame if the queue is long. False if it is to be dropped, since it cannot be marked.
bool SimLink::passes_marking(unsigned direction, Octets& octets, std::uint64_t waiting,
                             Instant now) {
  const QueueMarking& marking = directions_[direction].options.marking;
  if (marking.first_bytes == 0 || waiting < marking.first_bytes) return true;
  if (waiting < marking.last_bytes) {
    const std::uint64_t span = marking.last_bytes - marking.first_bytes;
    const std::uint64_t above = waiting - marking.first_bytes;
    const Ratio most = marking.most_between;
    if (!path_rng_.chance(above * most.numerator, span * most.denominator)) return true;
  }
  if (ecn_of(octets) == Ecn::kNotEct) return !marking.drops_others;
  mark_congestion(octets);
  note(FrameFate::kMarked, direction, octets, now);
  return true;
}

/// One step of the Gilbert-Elliott chain, and whether this frame falls to it. Both chances are
/// drawn for every frame.
bool SimLink::is_lost_in_burst(Direction& way) {
  const BurstLoss& burst = way.options.burst_loss;
  if (burst.turns_bad.numerator == 0) return false;
  if (drawn(path_rng_, way.is_bad ? burst.turns_good : burst.turns_bad)) way.is_bad = !way.is_bad;
  return drawn(path_rng_, burst.loss_when_bad) && way.is_bad;
}

// The chances are always drawn in the same order and number, so that switching one fault off
// leaves the others where they were.
void SimLink::propagate(unsigned direction, std::uint32_t slot, Instant departed) {
  Direction& way = directions_[direction];
  const LinkOptions& options = way.options;
  const bool is_lost_alone = drawn(rng_, options.loss);
  const bool is_duplicated = drawn(rng_, options.duplicate) && !is_cut_;
  const bool is_corrupted = drawn(rng_, options.corrupt);
  const bool is_reordered = drawn(rng_, options.reorder);
  const bool is_lost = is_lost_in_burst(way) || is_lost_alone || is_cut_;
  const Duration jitter = up_to(options.jitter);
  const Duration held = up_to(options.reorder_delay);

  Instant arrival = departed + options.delay + jitter;
  if (!options.jitter_reorders) arrival = std::max(arrival, way.last_arrival);
  if (is_duplicated) {
    const std::uint32_t copy = take_slot();
    slots_[copy] = slots_[slot];
    ++in_flight_;
    note(FrameFate::kDuplicated, direction, slots_[copy], clock_.now());
    clock_.schedule(arrival + held, *this, token_of(1 - direction, copy));
  }
  if (is_lost) {
    lose(FrameFate::kLost, direction, slot, clock_.now());
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
    way.last_arrival = std::max(arrival, way.last_arrival);
  }
  clock_.schedule(arrival, *this, token_of(1 - direction, slot));
}

void SimLink::on_event(std::uint64_t token, Instant now) {
  if ((token & kChange) != 0) {
    const PathChange& change = changes_[token & ~kChange];
    set_options(change.direction, change.options);
    return;
  }
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
    if ((mbuf->ol_flags & RTE_MBUF_F_TX_TCP_SEG) == 0) {
      fill_checksums(*mbuf, options_.capabilities, octets);
      transmit(slot, now);
    } else {
      auto frames_of_it = cut_train(*mbuf, options_.capabilities, octets);
      link_.free_slot(slot);
      for (auto& frame : frames_of_it) {
        const std::uint32_t own = link_.take_slot();
        link_.slots_[own] = std::move(frame);
        transmit(own, now);
      }
    }
    rte_pktmbuf_free(mbuf);
    ++count;
  }
  return count;
}

/// The frame in `slot` enters the link.
void SimPort::transmit(std::uint32_t slot, Instant now) {
  const Instant departs = link_.take(side_, slot, now);
  // A path that has changed may take a frame before those that wait for the old one's rate: the
  // ring still empties in order.
  if (departs > now)
    tx_ring_.push_back(tx_ring_.empty() ? departs : std::max(departs, tx_ring_.back()));
}

Instant SimPort::tx_ready_at(Instant now) const {
  const std::size_t waiting = static_cast<std::size_t>(
      tx_ring_.end() - std::upper_bound(tx_ring_.begin(), tx_ring_.end(), now));
  if (waiting < options_.tx_ring_frames) return now;
  return tx_ring_[tx_ring_.size() - options_.tx_ring_frames];
}

}  // namespace sluice::drivers
