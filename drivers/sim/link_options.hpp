#pragma once

// What a path does to frames: every fault of a link, as integers.

#include <cstdint>

#include "base/address.hpp"
#include "base/time.hpp"

namespace sluice::drivers {

/// A probability as a ratio of integers.
struct Ratio {
  std::uint32_t numerator = 0;
  std::uint32_t denominator = 1;
};

/// Losses that come in bursts (Gilbert 1960, Elliott 1963): a path is good or bad, and each frame
/// may turn it. In the good state LinkOptions::loss alone holds.
struct BurstLoss {
  Ratio turns_bad = {};  ///< Per frame; nought: the path stays good.
  Ratio turns_good = {1, 1};
  Ratio loss_when_bad = {};
};

/// A token bucket that drops: what comes faster than the rate is lost at once, nothing waits.
struct Policer {
  std::uint64_t bits_per_second = 0;  ///< 0: no policer.
  std::uint32_t burst_bytes = 0;      ///< What passes at once after a silence.
};

/// A queue that speaks before it is full, by the octets that wait when a frame comes (the queue at
/// that instant, no average). Frames of ECN-capable transports are marked CE.
///
///   chance of a mark
///    1            |            ________
///    most_between |          /|           first == last is a step, as DCTCP asks for (RFC 8257
///    0   _________|________/  |           3.1); otherwise a ramp, as RED's (RFC 2309)
///               first       last  octets
struct QueueMarking {
  std::uint32_t first_bytes = 0;  ///< 0: the queue says nothing.
  std::uint32_t last_bytes = 0;   ///< At or above: every frame.
  Ratio most_between = {1, 1};    ///< Where the ramp ends.
  bool drops_others = false;      ///< Frames that cannot be marked are dropped (RFC 3168 5).
};

/// What one direction of a link does to frames. A direction knows nothing of the other: rates,
/// delays and faults of the two may be as unlike as one wants.
struct LinkOptions {
  Duration delay = {};                  ///< Of every frame, after its last bit has left.
  Duration jitter = {};                 ///< Up to so much more, uniform.
  std::uint64_t bits_per_second = 0;    ///< 0: frames take no time to leave, and none waits.
  std::uint32_t queue_bytes = 1 << 20;  ///< Octets waiting to leave; what is beyond is dropped.
  Ratio loss = {};
  Ratio duplicate = {};  ///< A second copy follows, by up to `reorder_delay` later.
  Ratio corrupt = {};    ///< One run of at most 15 bits is hit, anywhere in the frame.
  Ratio reorder = {};    ///< Held back, so that later frames overtake it.
  Duration reorder_delay = Duration::from_ms(5);  ///< How long a frame is held back at most.
  bool jitter_reorders = false;  ///< Jitter is each frame's own: the later may come first.
  BurstLoss burst_loss = {};
  Policer policer = {};
  QueueMarking marking = {};
  std::uint16_t mtu = 0;    ///< Of the path: IP packets longer than this perish. 0: the ports'.
  bool cuts = false;        ///< IPv4 packets longer than `mtu` go on in fragments, DF or not.
  Ipv4Addr router_ip = {};  ///< Answers those with "fragmentation needed" (RFC 1191), one path's
                            ///< delay later. Unspecified: nobody does, the path is a black hole.
};

}  // namespace sluice::drivers
