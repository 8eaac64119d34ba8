#pragma once

// Who sends SYNs in another's name makes us send SYN-ACKs there. A cap for each source prefix
// bounds what a victim gets from us; handshakes that complete are taken off the account, so that
// honest clients, however many, never meet it.

#include <bit>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/address.hpp"
#include "base/timer_wheel.hpp"
#include "base/token_bucket.hpp"

namespace sluice::tcp {

/// A fixed table of accounts, one a prefix: /24 of IPv4, /64 of IPv6. A prefix whose place is taken
/// by one that owes goes free: there can be many of those only when no single one is flooded.
class PrefixLimit {
 public:
  /// `limits.rate_per_s` 0: no cap. `secret`: where a prefix lies must not be guessed.
  PrefixLimit(TokenBucket::Limits limits, std::uint32_t prefixes, std::uint64_t secret)
      : limits_(limits),
        multiplier_(secret | 1),
        accounts_(limits.rate_per_s == 0 ? 1u : std::bit_ceil(prefixes)) {}

  /// One unanswered SYN-ACK more; false if that is too many. A few cycles.
  bool take(const IpAddr& source, Tick now) {
    if (limits_.rate_per_s == 0) return true;
    const Place place = place_of(source);
    Account& account = accounts_[place.index];
    settle(account, now);
    if (account.tag != place.tag) {
      if (account.owed > 0) return true;
      account.tag = place.tag;
    }
    if (account.owed >= limits_.burst) return false;
    ++account.owed;
    return true;
  }
  /// The SYN-ACK was answered.
  void give_back(const IpAddr& source) {
    if (limits_.rate_per_s == 0) return;
    const Place place = place_of(source);
    Account& account = accounts_[place.index];
    if (account.tag == place.tag && account.owed > 0) --account.owed;
  }

 private:
  struct Account {
    std::uint32_t tag = 0;
    std::uint32_t owed = 0;
    Tick settled_at = 0;
  };
  struct Place {
    std::size_t index;
    std::uint32_t tag;
  };

  Place place_of(const IpAddr& source) const {
    std::uint64_t prefix;
    if (source.is_v4()) {
      prefix = source.v4().value >> 8;
    } else {
      std::memcpy(&prefix, source.octets().data(), sizeof prefix);
    }
    const std::uint64_t mixed = (prefix ^ prefix >> 32) * multiplier_;
    return {static_cast<std::size_t>(mixed >> 40) & (accounts_.size() - 1),
            static_cast<std::uint32_t>(prefix ^ prefix >> 29)};
  }
  /// Debts shrink by the rate.
  void settle(Account& account, Tick now) const {
    const std::uint64_t paid = std::uint64_t{now - account.settled_at} * limits_.rate_per_s / 1'000;
    if (paid == 0) return;
    account.owed = paid >= account.owed ? 0 : account.owed - static_cast<std::uint32_t>(paid);
    account.settled_at = now;
  }

  TokenBucket::Limits limits_;
  std::uint64_t multiplier_;
  std::vector<Account> accounts_;
};

}  // namespace sluice::tcp
