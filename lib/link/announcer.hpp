#pragma once

// When our addresses are announced by gratuitous ARP (RFC 5227 2.3), so that neighbours who know
// another MAC for one do not wait until they forget it.

#include <algorithm>
#include <cstddef>

#include "base/time.hpp"

namespace sluice::link {

/// All addresses, so often; not all at once, for there may be many.
class Announcer {
 public:
  /// One more than RFC 5227's two: a NIC's link may need as long to come up.
  static constexpr unsigned kTimes = 3;
  static constexpr Duration kInterval = Duration::from_s(2);  ///< Between an address's own.
  static constexpr std::size_t kBatch = 32;                   ///< Addresses at a time.
  static constexpr Duration kPause = Duration::from_ms(10);   ///< Between batches.

  /// From the first address on, from now on.
  void begin(Instant now) {
    times_left_ = kTimes;
    next_ = 0;
    began_ = due_ = now;
  }

  /// Calls announce(index) for each of `count` addresses whose turn it is.
  template <class Announce>
  void advance(Instant now, std::size_t count, Announce&& announce) {
    if (now < due_) return;
    const std::size_t end = std::min(count, next_ + kBatch);
    while (next_ < end) announce(next_++);
    due_ = now + kPause;
    if (next_ < count) return;
    next_ = 0;
    due_ = --times_left_ == 0 ? Instant::never() : std::max(due_, began_ + kInterval);
    began_ = due_;
  }
  /// When advance() has something to do.
  Instant next_deadline() const { return due_; }

 private:
  Instant began_;  ///< The round that goes through all of them.
  Instant due_ = Instant::never();
  std::size_t next_ = 0;
  unsigned times_left_ = 0;
};

}  // namespace sluice::link
