#pragma once

// The gate's list of allowed and denied prefixes: what the operator wants, as rules, and what the
// workers go by, as a compiled filter that all of them read.

#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "ip/prefix_filter.hpp"
#include "runtime/handover.hpp"

namespace sluice::runtime {

/// Lives on the control thread, but for first() and handover().
class SourceFilter {
 public:
  static constexpr std::size_t kMaxRules = 65'536;

  using Handover = runtime::Handover<ip::PrefixFilter>;

  /// Precondition: at most kMaxRules.
  SourceFilter(std::span<const ip::PrefixRule> rules, ip::SourceAction otherwise,
               std::size_t workers);

  /// What every worker starts with. Null: nothing is denied. Lives as long as a worker may use it.
  const ip::PrefixFilter* first() const { return first_; }
  /// By which a worker gets what comes after it.
  Handover& handover(std::size_t worker) { return shares_[worker]->handover; }

  enum class Error { kFull };
  /// Gives every one of `prefixes` this rule, in place of the one that it may have. kFull: none.
  Result<void, Error> set(std::span<const Prefix> prefixes, ip::SourceAction action);
  /// Gives how many of `prefixes` had a rule.
  std::size_t forget(std::span<const Prefix> prefixes);
  /// Offers the newest filter to workers that lack it, and frees what no worker uses any more.
  /// Gives how many have yet to take it.
  std::size_t hand_out();

  const std::map<Prefix, ip::SourceAction>& rules() const { return rules_; }
  ip::SourceAction otherwise() const { return otherwise_; }
  std::size_t workers() const { return shares_.size(); }

 private:
  using Compiled = std::shared_ptr<const ip::PrefixFilter>;
  struct Share {
    Handover handover;
    Compiled held;     ///< What the worker goes by.
    Compiled offered;  ///< On its way to it.
  };
  Compiled compile() const;

  std::map<Prefix, ip::SourceAction> rules_;
  ip::SourceAction otherwise_;
  Compiled newest_;
  const ip::PrefixFilter* first_;
  std::vector<std::unique_ptr<Share>> shares_;
};

}  // namespace sluice::runtime
