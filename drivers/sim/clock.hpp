#pragma once

// Virtual time: one ordered queue of events, and a clock that jumps from each to the next. Nothing
// here reads a real clock, so a run is a function of what was put in.

#include <cstddef>
#include <cstdint>
#include <queue>
#include <vector>

#include "base/time.hpp"

namespace sluice::drivers {

/// Something that acts at points of virtual time. It must outlive every run of the clock that
/// still holds an event of it.
class SimActor {
 public:
  virtual ~SimActor() = default;
  /// The event that was scheduled with `token` is due.
  virtual void on_event(std::uint64_t token, Instant now) = 0;
};

/// The virtual clock. Events of one instant run in the order in which they were scheduled.
class SimClock {
 public:
  explicit SimClock(Instant start) : now_(start) {}
  SimClock(const SimClock&) = delete;
  SimClock& operator=(const SimClock&) = delete;

  Instant now() const { return now_; }

  /// Calls actor.on_event(token) at `when`; a time that has passed means now. Never() is ignored.
  void schedule(Instant when, SimActor& actor, std::uint64_t token = 0) {
    if (when.is_never()) return;
    events_.push({when < now_ ? now_ : when, scheduled_++, &actor, token});
  }

  /// When the next event is due; never() if none waits.
  Instant next_event() const { return events_.empty() ? Instant::never() : events_.top().when; }

  /// Jumps to the next event and runs it. False if none waits.
  bool step() {
    if (events_.empty()) return false;
    const Event event = events_.top();
    events_.pop();
    now_ = event.when;
    ++run_;
    event.actor->on_event(event.token, now_);
    return true;
  }

  /// Runs every event up to and including `until`, and leaves the clock there.
  void run_until(Instant until) {
    while (next_event() <= until && step()) {
    }
    if (now_ < until && !until.is_never()) now_ = until;
  }

  std::uint64_t events_run() const { return run_; }
  std::size_t events_waiting() const { return events_.size(); }

 private:
  struct Event {
    Instant when;
    std::uint64_t order;
    SimActor* actor;
    std::uint64_t token;
  };
  struct Later {
    bool operator()(const Event& a, const Event& b) const {
      return a.when != b.when ? a.when > b.when : a.order > b.order;
    }
  };

  Instant now_;
  std::uint64_t scheduled_ = 0;
  std::uint64_t run_ = 0;
  std::priority_queue<Event, std::vector<Event>, Later> events_;
};

}  // namespace sluice::drivers
