#include "telemetry/metrics.hpp"

namespace sluice::telemetry {
namespace {

struct Text {
  std::string_view name;
  std::string_view text;
};

constexpr Text kOutcomes[] = {
#define SLUICE_OUTCOME(name, kind, text) {#name, text},
#include "telemetry/outcome.def"
#undef SLUICE_OUTCOME
};
constexpr OutcomeKind kKinds[] = {
#define SLUICE_OUTCOME(name, kind, text) OutcomeKind::kind,
#include "telemetry/outcome.def"
#undef SLUICE_OUTCOME
};
constexpr Text kCounters[] = {
#define SLUICE_COUNTER(name, text) {#name, text},
#include "telemetry/counter.def"
#undef SLUICE_COUNTER
};
constexpr std::string_view kTimers[] = {
    "Retransmit", "Persist", "DelayedAck",  "Keepalive", "UserTimeout", "FinWait2", "SynAck",
    "TimeWait",   "Connect", "Application", "TailProbe", "Reorder",     "Pacing"};
static_assert(std::size(kTimers) == static_cast<std::size_t>(TimerKind::kCount));

}  // namespace

std::string_view name_of(Outcome outcome) {
  return kOutcomes[static_cast<std::size_t>(outcome)].name.substr(1);
}
std::string_view text_of(Outcome outcome) {
  return kOutcomes[static_cast<std::size_t>(outcome)].text;
}
OutcomeKind kind_of(Outcome outcome) {
  return kKinds[static_cast<std::size_t>(outcome)];
}
std::string_view name_of(Counter counter) {
  return kCounters[static_cast<std::size_t>(counter)].name.substr(1);
}
std::string_view text_of(Counter counter) {
  return kCounters[static_cast<std::size_t>(counter)].text;
}
std::string_view name_of(TimerKind timer) {
  return kTimers[static_cast<std::size_t>(timer)];
}

}  // namespace sluice::telemetry
