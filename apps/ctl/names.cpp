#include "apps/ctl/names.hpp"

#include <fmt/format.h>
#include <time.h>

#include <array>
#include <cstddef>

#include "link/neighbor_record.hpp"
#include "sluice/errors.hpp"
#include "stack/port_record.hpp"
#include "tcp/state.hpp"
#include "telemetry/metrics.hpp"
#include "telemetry/recorder.hpp"
#include "wire/tcp.hpp"

namespace sluice::ctl {
namespace {

constexpr std::string_view kUnknown = "?";

template <std::size_t kSize>
std::string_view pick(const std::array<std::string_view, kSize>& names, std::size_t at) {
  return at < kSize ? names[at] : kUnknown;
}

constexpr std::array<std::string_view, static_cast<std::size_t>(telemetry::TimerKind::kCount)>
    kTimers = {"retransmit", "persist",    "delayed ACK", "keepalive", "user timeout",
               "FIN-WAIT-2", "SYN-ACK",    "2 MSL",       "connect",   "application",
               "tail probe", "reordering", "pacing"};
constexpr std::array<std::string_view, 7> kUserCalls = {
    "open()", "accept()", "send()", "read()", "shutdown()", "close()", "abort()"};
static_assert(static_cast<std::size_t>(telemetry::UserCall::kAbort) + 1 == kUserCalls.size());
constexpr std::array<std::string_view, 10> kCloseReasons = {
    "both sides closed", "reset by the peer",    "refused",      "unreachable",
    "timed out",         "keepalive unanswered", "aborted here", "drain deadline passed",
    "no resources",      "shed in overload"};
static_assert(static_cast<std::size_t>(CloseReason::kOverload) + 1 == kCloseReasons.size());

constexpr std::array<std::string_view, 4> kPortSteerings = {"one worker", "software",
                                                            "RSS, fixed key", "RSS, our key"};
static_assert(static_cast<std::size_t>(stack::PortSteering::kProgrammed) + 1 ==
              kPortSteerings.size());
constexpr std::array<std::string_view, 4> kPortVerdicts = {"-", "pending", "verified",
                                                           "not as predicted"};
static_assert(static_cast<std::size_t>(stack::PortVerdict::kNotAsPredicted) + 1 ==
              kPortVerdicts.size());

constexpr std::array<std::string_view, 7> kNeighborStates = {
    "FREE", "INCOMPLETE", "REACHABLE", "STALE", "PROBE", "FAILED", "STATIC"};
static_assert(static_cast<std::size_t>(link::NeighborState::kStatic) + 1 == kNeighborStates.size());

constexpr auto kOutcomes = static_cast<std::uint16_t>(telemetry::Outcome::kCount);

}  // namespace

std::string_view state_name(std::uint8_t state) {
  return state < tcp::kStateCount ? tcp::to_string(static_cast<tcp::State>(state)) : kUnknown;
}
std::string_view outcome_name(std::uint16_t outcome) {
  return outcome < kOutcomes ? telemetry::name_of(static_cast<telemetry::Outcome>(outcome))
                             : kUnknown;
}
std::string_view outcome_text(std::uint16_t outcome) {
  return outcome < kOutcomes ? telemetry::text_of(static_cast<telemetry::Outcome>(outcome))
                             : kUnknown;
}
std::string_view timer_name(std::uint8_t timer) {
  return pick(kTimers, timer);
}
std::string_view user_call_name(std::uint8_t call) {
  return pick(kUserCalls, call);
}
std::string_view close_reason_text(std::uint8_t reason) {
  return pick(kCloseReasons, reason);
}
std::string_view port_steering_name(std::uint8_t steering) {
  return pick(kPortSteerings, steering);
}

std::string_view port_verdict_name(std::uint8_t verdict) {
  return pick(kPortVerdicts, verdict);
}

std::string_view neighbor_state_name(std::uint8_t state) {
  return pick(kNeighborStates, state);
}

std::string flags_text(std::uint8_t flags) {
  struct Flag {
    std::uint8_t bit;
    std::string_view name;
  };
  static constexpr std::array<Flag, 8> kFlags = {{{wire::kSyn, "SYN"},
                                                  {wire::kFin, "FIN"},
                                                  {wire::kRst, "RST"},
                                                  {wire::kPsh, "PSH"},
                                                  {wire::kUrg, "URG"},
                                                  {wire::kEce, "ECE"},
                                                  {wire::kCwr, "CWR"},
                                                  {wire::kAck, "ACK"}}};
  std::string text;
  for (const Flag& flag : kFlags) {
    if ((flags & flag.bit) == 0) continue;
    if (!text.empty()) text += ',';
    text += flag.name;
  }
  return text.empty() ? "-" : text;
}

std::string remaining_text(Duration left) {
  if (left <= Duration::zero()) return "0ms";
  if (left < Duration::from_s(1)) return fmt::format("{}ms", left.ms());
  if (left < Duration::from_s(100))
    return fmt::format("{:.2f}s", static_cast<double>(left.ms()) / 1000.0);
  return fmt::format("{}s", left.s());
}

std::string seconds_text(Duration duration) {
  const std::int64_t us = duration.us() < 0 ? -duration.us() : duration.us();
  return fmt::format("{}{}.{:06}", duration.us() < 0 ? "-" : "", us / 1'000'000, us % 1'000'000);
}

std::string wall_text(std::int64_t realtime_ns) {
  const time_t seconds = realtime_ns / 1'000'000'000;
  tm parts{};
  if (realtime_ns <= 0 || ::gmtime_r(&seconds, &parts) == nullptr) return "-";
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:06} UTC", parts.tm_year + 1900,
                     parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                     realtime_ns % 1'000'000'000 / 1000);
}

}  // namespace sluice::ctl
