#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "apps/ctl/command.hpp"
#include "base/time.hpp"
#include "telemetry/region.hpp"

namespace sluice::ctl {

/// A region that is open, and the time that its ticks and Instants are to be compared with.
struct Instance {
  std::string name;
  telemetry::RegionView view;
  bool is_alive;
  Instant now;  ///< Of the same clock as the owner's; means nothing once the owner is dead.

  /// Now while the owner lives; the worker's last round once it is dead: its timers stand still.
  Instant now_of(std::uint32_t worker) const;
  telemetry::WorkerInfo info(std::uint32_t worker) const;  ///< Zeros if the region has none.
  /// An Instant of the owner as nanoseconds of CLOCK_REALTIME.
  std::int64_t wall_ns(Instant instant) const;
};

/// The named instance, or all. Says on `err` which owners are dead. Throws if there is none.
std::vector<Instance> open_instances(const std::string& name, Streams streams);

}  // namespace sluice::ctl
