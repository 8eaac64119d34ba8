#include "runtime/neighbor_log.hpp"

#include <fmt/format.h>

#include "base/seqlock.hpp"

namespace sluice::runtime {
namespace {

using link::NeighborAlarm;
using link::NeighborAlarmRecord;

/// What happened, and what the operator should look at.
std::string text_of(NeighborAlarm alarm, const NeighborAlarmRecord& record) {
  const std::string claimed = to_string(record.claimed), known = to_string(record.known);
  const std::string address = to_string(record.address);
  switch (alarm) {
    case NeighborAlarm::kOurAddress:
      return fmt::format(
          "ARP conflict: {} claims {}, which is ours ({}): look for a second host with that "
          "address",
          claimed, address, known);
    case NeighborAlarm::kPinned:
      return fmt::format(
          "ARP conflict: {} claims {}, which interface.neighbors pins to {}: correct the pin if "
          "that "
          "host was changed, else find the port of {} on the switch",
          claimed, address, known, claimed);
    case NeighborAlarm::kOtherMac:
      return fmt::format(
          "ARP conflict: {} claims {}, known as {}: a failover if {} is silent now, else two hosts "
          "with one address or an attack: find the port of {} on the switch, pin {} in "
          "interface.neighbors",
          claimed, address, known, known, claimed, address);
    case NeighborAlarm::kUnsolicited:
      return fmt::format(
          "unsolicited ARP: {} says that it is {}, which nobody had asked: if it is no "
          "announcement "
          "of a new host, find the port of {} on the switch",
          claimed, address, claimed);
  }
  return {};
}

}  // namespace

NeighborAlarmRecord NeighborLog::read(NeighborAlarm alarm) const {
  NeighborAlarmRecord all{};
  for (std::uint32_t worker = 0; worker < view_.workers(); ++worker) {
    const auto records =
        view_.section<NeighborAlarmRecord>(telemetry::SectionKind::kNeighborAlarms, worker);
    NeighborAlarmRecord own;
    // What is torn is read at the next call.
    if (records.size() != link::kNeighborAlarms ||
        read_record(records[static_cast<std::size_t>(alarm)], own) == ReadOutcome::kTorn)
      continue;
    const std::uint64_t count = all.count + own.count;
    if (own.at >= all.at) all = own;
    all.count = count;
  }
  return all;
}

std::vector<std::string> NeighborLog::due(Instant now) {
  std::vector<std::string> lines;
  for (std::uint32_t kind = 0; kind < link::kNeighborAlarms; ++kind) {
    const auto alarm = static_cast<NeighborAlarm>(kind);
    // Each worker gets a copy of every reply: to those that did not ask it is unsolicited.
    if (alarm == NeighborAlarm::kUnsolicited && view_.workers() > 1) continue;
    Said& said = said_[kind];
    const NeighborAlarmRecord record = read(alarm);
    const bool is_first = said.count == 0;
    if (record.count <= said.count || (!is_first && now - said.at < kInterval)) continue;
    const std::uint64_t news = record.count - said.count;
    lines.push_back(text_of(alarm, record) + "; nothing was learnt from it" +
                    (is_first ? "" : fmt::format(" ({} since the last such line)", news)));
    said = {record.count, now};
  }
  return lines;
}

}  // namespace sluice::runtime
