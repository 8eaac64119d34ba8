#include "runtime/source_filter.hpp"

#include <algorithm>
#include <utility>

#include "base/assert.hpp"

namespace sluice::runtime {

SourceFilter::SourceFilter(std::span<const ip::PrefixRule> rules, ip::SourceAction otherwise,
                           std::size_t workers)
    : otherwise_(otherwise) {
  for (const ip::PrefixRule& rule : rules) rules_[rule.prefix] = rule.action;
  SLUICE_ASSERT(rules_.size() <= kMaxRules);
  newest_ = compile();
  first_ = newest_.get();
  for (std::size_t worker = 0; worker < workers; ++worker) {
    shares_.push_back(std::make_unique<Share>());
    shares_.back()->held = newest_;
  }
}

SourceFilter::Compiled SourceFilter::compile() const {
  std::vector<ip::PrefixRule> rules;
  rules.reserve(rules_.size());
  for (const auto& [prefix, action] : rules_) rules.push_back({prefix, action});
  auto filter = std::make_shared<const ip::PrefixFilter>(rules, otherwise_);
  return filter->allows_all() ? nullptr : filter;
}

Result<void, SourceFilter::Error> SourceFilter::set(std::span<const Prefix> prefixes,
                                                    ip::SourceAction action) {
  auto changed = rules_;
  for (const Prefix& prefix : prefixes) changed[prefix] = action;
  if (changed.size() > kMaxRules) return fail(Error::kFull);
  rules_ = std::move(changed);
  newest_ = compile();
  return {};
}

std::size_t SourceFilter::forget(std::span<const Prefix> prefixes) {
  std::size_t count = 0;
  for (const Prefix& prefix : prefixes) count += rules_.erase(prefix);
  if (count > 0) newest_ = compile();
  return count;
}

std::size_t SourceFilter::hand_out() {
  std::size_t behind = 0;
  for (const auto& share : shares_) {
    const ip::PrefixFilter* old = nullptr;
    if (share->handover.collect(old)) {
      SLUICE_ASSERT(old == share->held.get());
      share->held = std::exchange(share->offered, nullptr);
    }
    if (share->held == newest_) continue;
    ++behind;
    if (share->handover.offer(newest_.get())) share->offered = newest_;
  }
  return behind;
}

}  // namespace sluice::runtime
