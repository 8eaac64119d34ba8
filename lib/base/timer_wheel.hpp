#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "assert.hpp"
#include "fetch_ahead.hpp"
#include "time.hpp"

namespace sluice {

/// A point in time in milliseconds, modulo 2^32 (49.7 days). Deadlines are at most 2^31 - 1 ahead
/// (kMaxTicksAhead).
using Tick = std::uint32_t;

inline constexpr Duration kTickLength = Duration::from_ms(1);
inline constexpr Tick kMaxTicksAhead = 0x7fffffff;

/// The tick that has begun at `now`.
constexpr Tick tick_at(Instant now) {
  return static_cast<Tick>(now.ns() / kTickLength.ns());
}
/// Ticks in `d`, rounded up; at most kMaxTicksAhead.
constexpr Tick ticks_in(Duration d) {
  if (d >= kTickLength * kMaxTicksAhead) return kMaxTicksAhead;
  return d <= Duration::zero()
             ? 0
             : static_cast<Tick>((d.ns() + kTickLength.ns() - 1) / kTickLength.ns());
}
/// The first tick that begins no earlier than `d` after the moment that lies `into_tick` behind the
/// beginning of `tick`: what a timer is armed for, so that it never fires early.
constexpr Tick tick_after(Tick tick, Duration into_tick, Duration d) {
  return tick + (d.is_infinite() ? kMaxTicksAhead : ticks_in(d + into_tick));
}
constexpr Tick tick_after(Instant now, Duration d) {
  return tick_after(tick_at(now), Duration::from_ns(now.ns() % kTickLength.ns()), d);
}
constexpr bool tick_before(Tick a, Tick b) {
  return static_cast<std::int32_t>(a - b) < 0;
}

/// The tick with the low half `low` that is nearest to `now`: within 32 s.
constexpr Tick widen_tick(Tick now, std::uint16_t low) {
  return now + static_cast<Tick>(static_cast<std::int16_t>(low - static_cast<std::uint16_t>(now)));
}

/// When `tick` begins, seen from `now`; `now` itself if it has begun already.
constexpr Instant start_of_tick(Instant now, Tick tick) {
  const auto ahead = static_cast<std::int32_t>(tick - tick_at(now));
  if (ahead <= 0) return now;
  return Instant::from_ns((now.ns() / kTickLength.ns() + ahead) * kTickLength.ns());
}

/// The wheel's part of a timed record: 12 octets, links are indices.
struct TimerNode {
  static constexpr std::uint32_t kUnlinked = 0xffffffffu;

  std::uint32_t next = kUnlinked;
  std::uint32_t prev = kUnlinked;  ///< Index of the node before, or kHeadFlag | slot for the first.
  Tick deadline = 0;               ///< When the wheel will look at the record.

  bool is_linked() const { return prev != kUnlinked; }
};

/// A hierarchical timing wheel (Varghese and Lauck 1987) of 4 levels of 256 slots, 4 KiB in all.
///
///    level 0: 1 ms a slot     [now ........ +256 ms)
///    level 1: 256 ms a slot   [ ........... +65 s)      a node sits at the level of the highest
///    level 2: 65 s a slot     [ ........... +4.6 h)     octet in which its deadline differs from
///    level 3: 4.6 h a slot    [ ........... +49.7 d)    `now`, and cascades down as now comes near
///
/// One node per record holds its earliest deadline. Moving a deadline later does not touch the
/// wheel: the record keeps the true deadline, and when the wheel comes by, the owner arms it again.
/// Arm and cancel are O(1); an idle wheel costs nothing, however many nodes hang on it.
///
/// `Nodes` is a callable: TimerNode& operator()(uint32_t index).
template <class Nodes>
class TimerWheel {
 public:
  TimerWheel(Nodes nodes, Tick now) : nodes_(nodes), now_(now) {
    for (auto& level : heads_) level.fill(TimerNode::kUnlinked);
  }

  /// Makes sure that the wheel looks at `index` no later than `deadline`. A no-op if it is linked
  /// for that time or an earlier one.
  void arm(std::uint32_t index, Tick deadline) {
    TimerNode& node = nodes_(index);
    if (node.is_linked()) {
      if (!tick_before(deadline, node.deadline)) return;
      unlink(node);
    }
    node.deadline = deadline;
    link(index, node);
  }

  void cancel(std::uint32_t index) {
    TimerNode& node = nodes_(index);
    if (node.is_linked()) unlink(node);
  }

  /// Advances to `target` and calls on_expired(index) for each node whose deadline has come, in
  /// order of time; the node is unlinked before the call, which may arm or cancel any node. Stops
  /// after `budget` steps (a firing or a cascaded node); call again for the rest.
  template <class OnExpired>
  void advance(Tick target, std::uint32_t budget, OnExpired&& on_expired) {
    while (budget > 0) {
      const auto slot = earliest_slot();
      if (!slot.found || tick_before(target, slot.time)) {
        if (tick_before(now_, target)) now_ = target;
        return;
      }
      if (tick_before(now_, slot.time)) now_ = slot.time;
      while (budget > 0 && heads_[slot.level][slot.index] != TimerNode::kUnlinked) {
        const std::uint32_t index = heads_[slot.level][slot.index];
        TimerNode& node = nodes_(index);
        if (node.next != TimerNode::kUnlinked) fetch_ahead(&nodes_(node.next));
        unlink(node);
        --budget;
        if (tick_before(now_, node.deadline)) {
          link(index, node);
        } else {
          on_expired(index);
        }
      }
    }
  }

  /// When advance() has something to do next: no later than the earliest deadline. False if idle.
  bool next_event(Tick& when) const {
    const auto slot = earliest_slot();
    when = slot.time;
    return slot.found;
  }

  Tick now() const { return now_; }
  std::uint32_t linked() const { return linked_; }

 private:
  static constexpr std::uint32_t kHeadFlag = 0x80000000u;
  static constexpr unsigned kLevels = 4;
  static constexpr unsigned kSlots = 256;

  struct Slot {
    bool found = false;
    unsigned level = 0;
    unsigned index = 0;
    Tick time = 0;
  };

  void link(std::uint32_t index, TimerNode& node) {
    const Tick when = tick_before(node.deadline, now_) ? now_ : node.deadline;
    const Tick differing = when ^ now_;
    const unsigned level =
        differing == 0 ? 0 : (31u - static_cast<unsigned>(std::countl_zero(differing))) / 8;
    const unsigned slot = (when >> (8 * level)) & 0xff;
    node.next = heads_[level][slot];
    node.prev = kHeadFlag | level << 8 | slot;
    if (node.next != TimerNode::kUnlinked) nodes_(node.next).prev = index;
    heads_[level][slot] = index;
    occupied_[level][slot / 64] |= std::uint64_t{1} << (slot % 64);
    ++linked_;
  }

  void unlink(TimerNode& node) {
    if (node.prev & kHeadFlag) {
      const unsigned level = (node.prev >> 8) & 0xff, slot = node.prev & 0xff;
      heads_[level][slot] = node.next;
      if (node.next == TimerNode::kUnlinked)
        occupied_[level][slot / 64] &= ~(std::uint64_t{1} << (slot % 64));
    } else {
      nodes_(node.prev).next = node.next;
    }
    if (node.next != TimerNode::kUnlinked) nodes_(node.next).prev = node.prev;
    node.prev = node.next = TimerNode::kUnlinked;
    SLUICE_ASSERT(linked_ > 0);
    --linked_;
  }

  /// First occupied slot of `level` at or after `from`; 256 if none.
  unsigned first_occupied(unsigned level, unsigned from) const {
    for (unsigned word = from / 64; word < kSlots / 64; ++word) {
      std::uint64_t bits = occupied_[level][word];
      if (word == from / 64) bits &= ~std::uint64_t{0} << (from % 64);
      if (bits != 0) return word * 64 + static_cast<unsigned>(std::countr_zero(bits));
    }
    return kSlots;
  }

  // A lower level's slots all lie before the next slot of the level above: the first hit wins,
  // except that a slot being cascaded (its time has come) goes first.
  Slot earliest_slot() const {
    if (linked_ == 0) return {};
    Slot best;
    for (unsigned level = 0; level < kLevels; ++level) {
      const unsigned shift = 8 * level;
      const unsigned current = (now_ >> shift) & 0xff;
      unsigned index = first_occupied(level, current);
      const bool wraps = index == kSlots && level == kLevels - 1;
      if (wraps) index = first_occupied(level, 0);
      if (index == kSlots) continue;
      // Time of the slot's start: this level's octet replaced, lower octets zero, upper ones kept.
      Tick upper = level == kLevels - 1 ? 0 : (now_ >> (shift + 8)) << (shift + 8);
      Tick time = upper | static_cast<Tick>(index) << shift;
      if (index == current) time = now_;
      if (!best.found || tick_before(time, best.time)) best = {true, level, index, time};
    }
    return best;
  }

  [[no_unique_address]] Nodes nodes_;
  Tick now_;
  std::uint32_t linked_ = 0;
  std::array<std::array<std::uint32_t, kSlots>, kLevels> heads_{};
  std::array<std::array<std::uint64_t, kSlots / 64>, kLevels> occupied_{};
};

}  // namespace sluice
