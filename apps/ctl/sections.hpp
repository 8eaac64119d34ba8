#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "apps/ctl/instances.hpp"
#include "base/seqlock.hpp"

namespace sluice::ctl {

/// "shared", or the worker's number.
inline std::string owner_text(std::uint32_t worker) {
  return worker == telemetry::kSharedSection ? "shared" : std::to_string(worker);
}

/// Calls visit(worker, record, is_torn) with a copy of each record of each section of `kind`.
template <class Record, class Visit>
void for_each_record(const Instance& instance, telemetry::SectionKind kind, Visit&& visit) {
  for (const telemetry::SectionEntry& entry : instance.view.sections()) {
    if (entry.kind != kind || entry.stride != sizeof(Record)) continue;
    for (const Record& record : instance.view.section<Record>(kind, entry.worker)) {
      Record copy;
      const bool is_torn = read_record(record, copy) == ReadOutcome::kTorn;
      visit(entry.worker, std::as_const(copy), is_torn);
    }
  }
}

}  // namespace sluice::ctl
