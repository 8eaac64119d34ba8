#include "link/neighbor_record.hpp"

namespace sluice::link {

std::string_view name_of(NeighborAlarm alarm) {
  switch (alarm) {
    case NeighborAlarm::kOurAddress:
      return "own-address";
    case NeighborAlarm::kPinned:
      return "pinned";
    case NeighborAlarm::kOtherMac:
      return "other-mac";
    case NeighborAlarm::kUnsolicited:
      return "unsolicited";
  }
  return "?";
}

}  // namespace sluice::link
