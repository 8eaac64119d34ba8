#include "figures.hpp"

#include <algorithm>
#include <numeric>

namespace load {

std::string_view name_of(Failure failure) {
  switch (failure) {
    case Failure::kRefused:
      return "refused";
    case Failure::kTimeout:
      return "timeout";
    case Failure::kReset:
      return "reset";
    case Failure::kUnreachable:
      return "unreachable";
    case Failure::kNoPort:
      return "no_port";
    case Failure::kNoRoom:
      return "no_room";
    case Failure::kBadStatus:
      return "bad_status";
    case Failure::kShort:
      return "short_body";
    case Failure::kBadReply:
      return "bad_reply";
  }
  return "unknown";
}

std::string_view mend_of(Failure failure) {
  switch (failure) {
    case Failure::kRefused:
      return "nobody listens there: is the server running, on that port?";
    case Failure::kTimeout:
      return "no answer within --timeout: overload, loss, or a filter that drops";
    case Failure::kReset:
      return "the server gave connections up: look at its log and limits";
    case Failure::kUnreachable:
      return "no way there: check --address, --gateway and the target's address";
    case Failure::kNoPort:
      return "local ports are used up: more addresses (--address 10.0.0.1-10.0.0.64/24), "
             "--set tcp.ephemeral_first=1024, or a shorter --time-wait";
    case Failure::kNoRoom:
      return "tables or buffers here are full: raise --set tcp.max_connections, pools.receive_pkts";
    case Failure::kBadStatus:
      return "the server answered with an error: check --path";
    case Failure::kShort:
      return "the server closed within an answer";
    case Failure::kBadReply:
      return "the server does not speak what --mode says";
  }
  return {};
}

void Tally::add(const Tally& other) {
  issued += other.issued;
  answered += other.answered;
  late += other.late;
  unsent += other.unsent;
  connects += other.connects;
  connected += other.connected;
  octets_sent += other.octets_sent;
  octets_received += other.octets_received;
  for (std::size_t i = 0; i < kFailures; ++i) failures[i] += other.failures[i];
}

std::uint64_t Tally::failed() const {
  return std::accumulate(failures.begin(), failures.end(), std::uint64_t{0});
}

void PhaseFigures::merge(const PhaseFigures& other) {
  tally.add(other.tally);
  latency.merge(other.latency);
  connect.merge(other.connect);
}

void Glimpse::merge(const Glimpse& other) {
  tally.add(other.tally);
  latency.merge(other.latency);
  open += other.open;
  held += other.held;
  outstanding += other.outstanding;
  phase = std::max(phase, other.phase);
  is_running |= other.is_running;
  since_start = std::max(since_start, other.since_start);
}

void Glimpse::clear() {
  tally = {};
  latency.clear();
  open = held = outstanding = 0;
  phase = 0;
  is_running = false;
  since_start = sluice::Duration::zero();
}

}  // namespace load
