#pragma once

// The little that is remembered about cookies, in tables of fixed size: an attacker can make them
// forget, never grow. What is forgotten costs no honest client anything.

#include <bit>
#include <cstdint>
#include <vector>

#include "base/timer_wheel.hpp"
#include "tcp/gate/syn_cookie.hpp"

namespace sluice::tcp {

/// Cookies that have made a connection. An old duplicate of the ACK, or a replay of it, would make
/// the connection anew once it has ended, and hand its octets to the application again.
class UsedCookies {
 public:
  explicit UsedCookies(std::uint32_t count) : tags_(std::bit_ceil(count)) {}

  bool holds(std::uint64_t hash, wire::SeqNum iss) const {
    return tags_[hash & (tags_.size() - 1)] == tag_of(hash, iss);
  }
  void add(std::uint64_t hash, wire::SeqNum iss) {
    tags_[hash & (tags_.size() - 1)] = tag_of(hash, iss);
  }

 private:
  static std::uint32_t tag_of(std::uint64_t hash, wire::SeqNum iss) {
    return static_cast<std::uint32_t>(hash >> 32) ^ iss.value();
  }
  std::vector<std::uint32_t> tags_;
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
