#pragma once

// The little that is remembered about cookies, in tables of fixed size: an attacker can make them
// forget, never grow. What is forgotten costs no honest client anything.

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/timer_wheel.hpp"
#include "tcp/gate/syn_cookie.hpp"

namespace sluice::tcp {

/// Cookies that have made a connection. An old duplicate of the ACK, or a replay of it, would make
/// the connection anew once it has ended, and hand its octets to the application again.
class UsedCookies {
 public:
  explicit UsedCookies(std::uint32_t count)
      : buckets_(std::bit_ceil(std::max<std::uint32_t>(count / kSlots, 1))) {}

  bool holds(std::uint64_t hash, wire::SeqNum iss) const {
    const Bucket& bucket = buckets_[hash & (buckets_.size() - 1)];
    return std::find(bucket.begin(), bucket.end(), tag_of(hash, iss)) != bucket.end();
  }
  /// The oldest of four that share the hash's place is forgotten.
  void add(std::uint64_t hash, wire::SeqNum iss) {
    Bucket& bucket = buckets_[hash & (buckets_.size() - 1)];
    std::copy_backward(bucket.begin(), bucket.end() - 1, bucket.end());
    bucket.front() = tag_of(hash, iss);
  }

 private:
  static constexpr std::uint32_t kSlots = 4;
  using Bucket = std::array<std::uint32_t, kSlots>;

  static std::uint32_t tag_of(std::uint64_t hash, wire::SeqNum iss) {
    return static_cast<std::uint32_t>(hash >> 32) ^ iss.value();
  }
  std::vector<Bucket> buckets_;
};

/// Flows of listeners that send cookies whose connection has ended lately: what still comes for one
/// is no client's whose cookie is on its way, and is told so.
class EndedFlows {
 public:
  explicit EndedFlows(std::uint32_t count) : entries_(std::bit_ceil(count)) {}

  void add(std::uint64_t hash, Tick now) {
    entries_[hash & (entries_.size() - 1)] = {static_cast<std::uint32_t>(hash >> 32), now};
  }
  /// If the flow's connection has ended while cookies of then may still be valid: when.
  std::optional<Tick> ended_at(std::uint64_t hash, Tick now) const {
    const Entry& entry = entries_[hash & (entries_.size() - 1)];
    if (entry.tag != static_cast<std::uint32_t>(hash >> 32) ||
        now - entry.at > ticks_in(SynCookies::kSlot * 2))
      return std::nullopt;
    return entry.at;
  }

 private:
  struct Entry {
    std::uint32_t tag = 0;
    Tick at = 0;
  };
  std::vector<Entry> entries_;
};

/// Flows without timestamps that sent octets or FIN with an ACK that is no cookie: perhaps the
/// client's first segment was lost, or is behind this one, and a RST would end a good connection.
/// They are left alone as long as their cookie can be valid, and reset if they fit nothing then.
class CookieDoubts {
 public:
  explicit CookieDoubts(std::uint32_t count) : entries_(std::bit_ceil(count)) {}

  bool may_prove_itself(std::uint64_t hash, Tick now) {
    const Tick patience = ticks_in(SynCookies::kSlot * 2);
    Entry& entry = entries_[hash & (entries_.size() - 1)];
    const auto tag = static_cast<std::uint32_t>(hash >> 32);
    if (entry.tag != tag || now - entry.last > patience) entry = {tag, now, now};
    entry.last = now;
    return now - entry.first <= patience;
  }

 private:
  struct Entry {
    std::uint32_t tag = 0;
    Tick first = 0;
    Tick last = 0;
  };
  std::vector<Entry> entries_;
};

}  // namespace sluice::tcp
