#include "tcp/gate/gate_record.hpp"

#include <initializer_list>

namespace sluice::tcp {
namespace {

/// "5,120"
std::string grouped(std::uint32_t number) {
  std::string text = std::to_string(number);
  for (std::size_t at = text.size(); at > 3;) text.insert(at -= 3, 1, ',');
  return text;
}

std::string joined(std::initializer_list<std::string_view> parts) {
  std::string text;
  for (const std::string_view part : parts) text.append(part);
  return text;
}

std::string share_text(const GateRecord& record) {
  return joined({"of ", grouped(record.syns), " SYNs/s ", std::to_string(record.complete_percent()),
                 " % complete, from ", grouped(record.prefixes),
                 record.prefixes == 1 ? " prefix" : " prefixes"});
}

std::string backlog_text(const GateRecord& record) {
  return joined({grouped(record.half_open), " of ", grouped(record.syn_backlog),
                 " entries of the SYN backlog are taken"});
}

}  // namespace

std::string_view text_of(GateState state) {
  static constexpr std::array<std::string_view, 3> kTexts = {"calm", "pressed", "attack"};
  const auto at = static_cast<std::size_t>(state);
  return at < kTexts.size() ? kTexts[at] : "?";
}

std::string_view name_of(GateReason reason) {
  static constexpr std::array<std::string_view, static_cast<std::size_t>(GateReason::kCount)>
      kNames = {"none",         "syns-refused", "accept-queue-full", "backlog-filling",
                "few-complete", "many-strays",  "flood-from-many",   "flood-from-few",
                "backlog-held"};
  const auto at = static_cast<std::size_t>(reason);
  return at < kNames.size() ? kNames[at] : "?";
}

std::string describe(const GateRecord& record) {
  switch (record.reason) {
    case GateReason::kNone:
    case GateReason::kCount:
      return {};
    case GateReason::kSynsRefused:
      return joined({grouped(record.refused), " of ", grouped(record.syns),
                     " SYNs/s ignored: backlog full without cookies, or a prefix above its cap"});
    case GateReason::kAcceptQueueFull:
      return joined({"accept queue or connection table full: ", grouped(record.unaccepted),
                     " handshakes/s wait"});
    case GateReason::kBacklogFilling:
      return backlog_text(record);
    case GateReason::kFewComplete:
    case GateReason::kFloodFromMany:
    case GateReason::kFloodFromFew:
      return share_text(record);
    case GateReason::kManyStrays:
      return joined({grouped(record.strays), " segments/s of no connection"});
    case GateReason::kBacklogHeld:
      return joined({share_text(record), "; ", backlog_text(record)});
  }
  return "?";
}

}  // namespace sluice::tcp
