#pragma once

// Which sources may reach us: rules by prefix, the longest that holds an address decides.
//
//   rules          10.0.0.0/8 deny ······┌──────────── 10.1.0.0/16 allow ────────────┐···········
//   addresses   ──────────│──────────────│───────────────────────────────────────────│────────│──▶
//   flips              10.0.0.0       10.1.0.0                                   10.2.0.0 11.0.0.0
//   verdict       allow   │     deny     │                  allow                    │  deny  │
//   allow

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/address.hpp"

namespace sluice::ip {

enum class SourceAction : std::uint8_t { kAllow, kDeny };

/// Precondition: no bit of the address is set beyond the prefix's length.
struct PrefixRule {
  Prefix prefix;
  SourceAction action = SourceAction::kDeny;
  constexpr auto operator<=>(const PrefixRule&) const = default;
};

/// "203.0.113.0/24", "2001:db8::/32", or one address. Nullopt for anything else, and for bits set
/// beyond the length: 203.0.113.7/24 may mean the host or its network.
std::optional<Prefix> parse_source_prefix(std::string_view text);

/// The rules, compiled once. Never changed afterwards, so that threads share it without a lock. The
/// owner allocates it outside the data path; a look-up does not allocate.
class PrefixFilter {
 public:
  /// Of rules with the same prefix the last wins. `otherwise` is for what no rule holds.
  PrefixFilter(std::span<const PrefixRule> rules, SourceAction otherwise);

  bool is_denied(Ipv4Addr source) const { return v4_.is_denied(source.value); }
  bool is_denied(const IpAddr& source) const;
  /// No source at all is denied: such a filter need not be asked.
  bool allows_all() const { return v4_.allows_all() && v6_.allows_all(); }

 private:
  __extension__ using Word128 = unsigned __int128;

  /// One family: the addresses at which the verdict becomes the other one, ascending.
  template <class Word>
  class Line {
   public:
    Line() = default;
    Line(std::span<const PrefixRule> rules, SourceAction otherwise);
    bool is_denied(Word address) const;
    bool allows_all() const { return flips_.empty() && !is_first_denied_; }

   private:
    std::vector<Word> flips_;
    bool is_first_denied_ = false;  ///< Below the first flip.
  };

  static Word128 word_of(const IpAddr& address);

  Line<std::uint32_t> v4_;
  Line<Word128> v6_;
};

}  // namespace sluice::ip
