#pragma once

// How the control thread changes what a worker only reads: it makes a whole new object and offers
// it; the worker puts it in place between two rounds and gives the old one back. The worker neither
// waits, allocates nor frees.
//
//   control thread ── offer(next) ──▶ [ one place ] ──▶ take(): old = swap(next) ── worker
//   control thread ◀─ collect(old) ── [ one place ] ◀── old

#include <boost/lockfree/spsc_queue.hpp>

#include "base/assert.hpp"

namespace sluice::runtime {

/// One control thread, one worker, one object of `T` on its way at a time. Null is an object, too.
template <class T>
class Handover {
 public:
  /// Control thread. False: the worker has not yet given back what the last offer replaced.
  bool offer(const T* next) {
    if (is_on_its_way_) return false;
    is_on_its_way_ = offered_.push(next);
    return is_on_its_way_;
  }

  /// Control thread: true once after each offer, when the worker has it. `old` is what it replaced,
  /// which the worker does not use any more.
  bool collect(const T*& old) {
    if (!returned_.pop(old)) return false;
    is_on_its_way_ = false;
    return true;
  }

  /// Worker: calls swap(next), which gives the old object, if there is something new.
  template <class Swap>
  void take(Swap&& swap) {
    const T* next = nullptr;
    if (!offered_.pop(next)) return;
    const bool has_room = returned_.push(swap(next));
    SLUICE_ASSERT(has_room);  // only one is on its way
  }

 private:
  using Place = boost::lockfree::spsc_queue<const T*, boost::lockfree::capacity<1>>;
  Place offered_;
  Place returned_;
  bool is_on_its_way_ = false;
};

}  // namespace sluice::runtime
