#include "tests/state/matrix.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "tcp/invariants.hpp"

namespace sluice::state {
namespace {

using Faults = std::vector<std::string>;

std::string flag_names(std::uint8_t flags) {
  std::string names;
  constexpr std::pair<std::uint8_t, char> kLetters[] = {
      {wire::kSyn, 'S'}, {wire::kFin, 'F'}, {wire::kRst, 'R'}, {wire::kAck, 'A'},
      {wire::kUrg, 'U'}, {wire::kEce, 'E'}, {wire::kCwr, 'C'}};
  for (const auto& [flag, letter] : kLetters)
    if (flags & flag) names += letter;
  return names;
}

std::string describe(const support::SentSegment& segment, const Fixture& fixture) {
  std::string text =
      fmt::format("<{} SEQ=SND.NXT{:+} ACK=RCV.NXT{:+} {} octets", flag_names(segment.header.flags),
                  wire::seq_offset(fixture.snd_nxt, segment.header.seq),
                  wire::seq_offset(fixture.rcv_nxt, segment.header.ack), segment.payload.size());
  for (std::uint8_t i = 0; i < segment.header.options.sack_count; ++i)
    text += fmt::format(" SACK [{:+}, {:+})",
                        wire::seq_offset(fixture.rcv_nxt, segment.header.options.sack[i].left),
                        wire::seq_offset(fixture.rcv_nxt, segment.header.options.sack[i].right));
  return text + ">";
}

wire::SeqNum moved(wire::SeqNum from, std::int32_t by) {
  return from + static_cast<std::uint32_t>(by);
}

bool has_sack(const support::SentSegment& segment, const Wire& wanted, const Fixture& fixture) {
  const auto& options = segment.header.options;
  if (!wanted.sack && !wanted.sack_right) return options.sack_count == 0;
  const wire::SeqNum base = wanted.sack ? fixture.rcv_nxt : fixture.right;
  const auto [left, right] = wanted.sack ? *wanted.sack : *wanted.sack_right;
  return options.sack_count == 1 && options.sack[0].left == moved(base, left) &&
         options.sack[0].right == moved(base, right);
}

bool is_as_wanted(const support::SentSegment& segment, const Wire& wanted, const Fixture& fixture) {
  const wire::TcpHeader& header = segment.header;
  if ((header.flags & ~wire::kPsh) != wanted.flags || segment.payload.size() != wanted.payload)
    return false;
  if (wanted.is_seq_zero ? header.seq.value() != 0
                         : wanted.seq && header.seq != moved(fixture.snd_nxt, *wanted.seq))
    return false;
  const wire::SeqNum ack =
      (wanted.flags & wire::kAck) ? moved(fixture.rcv_nxt, wanted.ack) : wire::SeqNum{};
  return header.ack == ack && has_sack(segment, wanted, fixture);
}

void judge_sent(const Cell& cell, const Fixture& fixture,
                const std::vector<support::SentSegment>& sent, Faults& faults) {
  for (std::size_t i = 0; i < std::max(sent.size(), cell.send.size()); ++i) {
    if (i >= sent.size()) {
      faults.push_back(fmt::format("a segment <{}> is missing", flag_names(cell.send[i].flags)));
    } else if (i >= cell.send.size()) {
      faults.push_back("sent, and should not be: " + describe(sent[i], fixture));
    } else if (!is_as_wanted(sent[i], cell.send[i], fixture)) {
      faults.push_back(fmt::format("sent {}, not the <{}> of the cell", describe(sent[i], fixture),
                                   flag_names(cell.send[i].flags)));
    }
  }
}

/// Each segment ends in one outcome; this is the one that the last segment added.
struct OutcomeWatch {
  explicit OutcomeWatch(const telemetry::Metrics& metrics)
      : live(metrics), before(metrics.outcomes) {}
  std::vector<Outcome> added() const {
    std::vector<Outcome> result;
    for (std::size_t i = 0; i < before.size(); ++i)
      result.insert(result.end(), live.outcomes[i] - before[i], static_cast<Outcome>(i));
    return result;
  }
  const telemetry::Metrics& live;
  decltype(telemetry::Metrics::outcomes) before;
};

void judge_outcome(const Cell& cell, bool is_by_segment, const OutcomeWatch& watch,
                   Faults& faults) {
  if (!is_by_segment) return;
  const std::vector<Outcome> added = watch.added();
  if (added.size() != 1) {
    faults.push_back(fmt::format("{} outcomes of one segment", added.size()));
  } else if (!cell.outcome || added[0] != *cell.outcome) {
    faults.push_back(fmt::format("outcome {}, not {}", telemetry::name_of(added[0]),
                                 cell.outcome ? telemetry::name_of(*cell.outcome) : "none"));
  }
}

void judge_told(const Cell& cell, Fixture& fixture, Faults& faults) {
  std::uint8_t told = 0;
  std::optional<CloseReason> reason;
  for (const support::ToldEvent& event : fixture.rig.take_told()) {
    told = static_cast<std::uint8_t>(told | event.mask);
    if (event.mask & app::kClosed) reason = event.reason;
  }
  if (fixture.rig.ctx().acceptable_listeners != 0) told |= kAcceptable;
  if (told != cell.told)
    faults.push_back(fmt::format("events {:#04x}, not {:#04x}", told, cell.told));
  if (reason != cell.reason)
    faults.push_back(fmt::format("close reason {}, not {}", reason ? to_string(*reason) : "none",
                                 cell.reason ? to_string(*cell.reason) : "none"));
}

void judge_call(const Cell& cell, const CallResult& call, Faults& faults) {
  if (call.error != cell.error)
    faults.push_back(fmt::format("call gave error {}, not {}",
                                 call.error ? to_string(*call.error) : "none",
                                 cell.error ? to_string(*cell.error) : "none"));
  if (call.value != cell.value)
    faults.push_back(fmt::format("call gave {}, not {}", call.value, cell.value));
}

/// Timestamps in every segment but a RST once they were agreed; the right edge never moves left.
void judge_manners(const Fixture& fixture, bool had_timestamps,
                   const std::vector<support::SentSegment>& sent, Faults& faults) {
  for (const support::SentSegment& segment : sent) {
    if (segment.has(wire::kRst | wire::kSyn)) continue;
    if (had_timestamps && !segment.header.options.has_timestamps)
      faults.push_back("no timestamp in " + describe(segment, fixture));
    const std::uint32_t scaled = static_cast<std::uint32_t>(segment.header.window) << 2;
    if (had_timestamps && wire::seq_lt(segment.header.ack + scaled, fixture.right))
      faults.push_back("the right edge moved left in " + describe(segment, fixture));
  }
}

}  // namespace

Cells cells_of(Row row) {
  switch (row) {
    case Row::kClosed:
      return closed_cells();
    case Row::kListen:
      return listen_cells();
    case Row::kSynSent:
      return syn_sent_cells();
    case Row::kHalfOpen:
      return half_open_cells();
    case Row::kSynReceived:
      return syn_received_cells();
    case Row::kEstablished:
      return established_cells();
    case Row::kFinWait1:
      return fin_wait_1_cells();
    case Row::kFinWait2:
      return fin_wait_2_cells();
    case Row::kCloseWait:
      return close_wait_cells();
    case Row::kClosing:
      return closing_cells();
    case Row::kLastAck:
      return last_ack_cells();
    case Row::kTimeWait:
      return time_wait_cells();
  }
  return {};
}

std::vector<std::string> holes(const Cells& cells) {
  std::vector<std::string> found;
  for (const Event event : all_events()) {
    const auto count = std::count_if(cells.begin(), cells.end(),
                                     [&](const auto& cell) { return cell.first == event; });
    if (count == 0) found.push_back(fmt::format("{}: the cell is empty", name_of(event)));
    if (count > 1) found.push_back(fmt::format("{}: {} cells", name_of(event), count));
  }
  return found;
}

std::vector<std::string> run_cell(Row row, Event event, const Cell& cell, const Isns& isns) {
  Faults faults;
  if (!cell.impossible.empty()) return faults;
  {
    Fixture fixture(row, isns, way_of(event), config_of(event));
    const bool had_timestamps = row >= Row::kEstablished && row < Row::kTimeWait;
    const OutcomeWatch watch(fixture.rig.metrics());
    CallResult call;
    if (!perform(event, fixture, call)) faults.push_back("the timer did not fire");
    const auto sent = fixture.rig.take_sent();
    judge_sent(cell, fixture, sent, faults);
    judge_manners(fixture, had_timestamps, sent, faults);
    judge_outcome(cell, is_segment(event) || event == Event::kDataAfterClose, watch, faults);
    judge_told(cell, fixture, faults);
    judge_call(cell, call, faults);
    const Row now = fixture.row_now(row);
    if (now != cell.next.value_or(row))
      faults.push_back(
          fmt::format("now in {}, not {}", name_of(now), name_of(cell.next.value_or(row))));
    for (std::uint32_t index = 0; index < fixture.rig.ctx().tcbs.high_water(); ++index)
      tcp::check_tcb(fixture.rig.ctx(), index);
    fixture.rig.require_clean();
  }
  if (const unsigned out = support::shared_pools().mbufs_out(); out != 0)
    faults.push_back(fmt::format("{} mbufs leaked", out));
  return faults;
}

}  // namespace sluice::state
