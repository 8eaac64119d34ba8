#include "runtime/port_log.hpp"

#include <fmt/format.h>

namespace sluice::runtime {

using stack::PortSteering;
using stack::PortVerdict;

std::string describe(const stack::PortRecord& record) {
  std::string text = fmt::format("{}: {} queue{}", record.device.data(), record.rx_queues,
                                 record.rx_queues == 1 ? "" : "s");
  if (record.tx_queues != record.rx_queues)
    text += fmt::format(" (and {} more to transmit)", record.tx_queues - record.rx_queues);
  const auto hardware = [&](const char* whose) {
    switch (record.verdict) {
      case PortVerdict::kPending:
        return fmt::format("RSS by {} and a table of {}, which the first frames are to prove",
                           whose, record.reta_entries);
      case PortVerdict::kVerified:
        return fmt::format("RSS by {} verified: the queues are trusted", whose);
      case PortVerdict::kNone:
      case PortVerdict::kNotAsPredicted:
        break;
    }
    return fmt::format("RSS by {} not as predicted: software steering is used", whose);
  };
  switch (record.steering) {
    case PortSteering::kOneWorker:
      return text;
    case PortSteering::kSoftware:
      return text + ", software steering (how the port spreads flows is not known)";
    case PortSteering::kFixed:
      return text + ", " + hardware("the port's own key");
    case PortSteering::kProgrammed:
      return text + ", " + hardware("our key");
  }
  return text;
}

PortLog::PortLog(telemetry::StateRegion& region)
    : view_(telemetry::RegionView::over(region)), known_(read()) {}

std::vector<stack::PortRecord> PortLog::read() const {
  std::vector<stack::PortRecord> records;
  for (const stack::PortRecord& record :
       view_.section<stack::PortRecord>(telemetry::SectionKind::kPorts, telemetry::kSharedSection))
    static_cast<void>(read_record(record, records.emplace_back()));
  return records;
}

std::vector<std::string> PortLog::all() const {
  std::vector<std::string> lines;
  for (const stack::PortRecord& record : known_)
    if (record.steering != PortSteering::kOneWorker) lines.push_back(describe(record));
  return lines;
}

std::vector<std::string> PortLog::changes() {
  std::vector<std::string> lines;
  std::vector<stack::PortRecord> now = read();
  for (std::size_t port = 0; port < now.size(); ++port)
    if (now[port].verdict != known_[port].verdict) lines.push_back(describe(now[port]));
  known_ = std::move(now);
  return lines;
}

}  // namespace sluice::runtime
