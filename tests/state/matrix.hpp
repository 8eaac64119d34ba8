#pragma once

// The state matrix: for each row and event what the RFCs ask for. A cell says everything that may
// happen; whatever else happens is a fault, and so is a cell that is not there.

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/event.hpp"
#include "telemetry/metrics.hpp"
#include "tests/state/event.hpp"

namespace sluice::state {

using telemetry::Outcome;

/// A segment that must be sent, in numbers relative to SND.NXT and RCV.NXT before the event.
struct Wire {
  std::uint8_t flags = 0;               ///< Exactly these, PSH aside.
  std::optional<std::int32_t> seq = 0;  ///< Relative to SND.NXT; nullopt: any (a new ISN).
  std::int32_t ack = 0;  ///< Relative to RCV.NXT; without ACK the field must be zero.
  std::uint32_t payload = 0;
  std::optional<std::pair<std::int32_t, std::int32_t>> sack = {};  ///< Relative to RCV.NXT.
  std::optional<std::pair<std::int32_t, std::int32_t>> sack_right =
      {};                    ///< Relative to the right edge.
  bool is_seq_zero = false;  ///< SEQ is the number 0.
};

/// <SEQ=SND.NXT><ACK=RCV.NXT + ahead><CTL=ACK>
constexpr Wire ack(std::int32_t ahead = 0) {
  return {.flags = wire::kAck, .ack = ahead};
}
/// <SEQ=SND.NXT + seq><CTL=RST>
constexpr Wire rst(std::int32_t seq) {
  return {.flags = wire::kRst, .seq = seq};
}
/// <SEQ=0><ACK=RCV.NXT + ahead><CTL=RST,ACK>
constexpr Wire rst_from_nothing(std::int32_t ahead) {
  return {.flags = wire::kRst | wire::kAck, .ack = ahead, .is_seq_zero = true};
}
/// <SEQ=SND.NXT><ACK=RCV.NXT><CTL=RST,ACK>: a connection's own.
constexpr Wire rst_ack() {
  return {.flags = wire::kRst | wire::kAck};
}
/// <SEQ=SND.NXT><ACK=RCV.NXT + ahead><CTL=ACK> with a SACK block of [RCV.NXT + left, RCV.NXT +
/// right).
constexpr Wire sack(std::int32_t left, std::int32_t right, std::int32_t ahead = 0) {
  return {.flags = wire::kAck, .ack = ahead, .sack = std::pair{left, right}};
}
/// <SEQ=ISS><ACK=RCV.NXT + ahead><CTL=SYN,ACK>
constexpr Wire syn_ack(std::int32_t ahead) {
  return {.flags = wire::kSyn | wire::kAck, .seq = -1, .ack = ahead};
}

inline constexpr std::uint8_t kAcceptable =
    0x80;  ///< Beside app::Event: a connection waits for accept().

struct Cell {
  std::string_view impossible = {};     ///< Why this event cannot be in this state. Alone, if set.
  std::vector<Wire> send = {};          ///< In this order, and nothing else.
  std::optional<Row> next = {};         ///< None: the state stays.
  std::optional<Outcome> outcome = {};  ///< Of the segment; none for timers and calls.
  std::uint8_t told = 0;                ///< app::Event bits that the application gets.
  std::optional<CloseReason> reason = {};  ///< With app::kClosed.
  std::optional<Error> error = {};         ///< Of a user call.
  std::uint32_t value = 0;                 ///< Octets that a user call took or gave.
};

using Cells = std::vector<std::pair<Event, Cell>>;

/// One file each: row_<state>.cpp.
Cells closed_cells();
Cells listen_cells();
Cells syn_sent_cells();
Cells half_open_cells();
Cells syn_received_cells();
Cells established_cells();
Cells fin_wait_1_cells();
Cells fin_wait_2_cells();
Cells close_wait_cells();
Cells closing_cells();
Cells last_ack_cells();
Cells time_wait_cells();
Cells cells_of(Row row);

/// Events without a cell, or with two. Empty: the row is whole.
std::vector<std::string> holes(const Cells& cells);
/// Runs one cell at one pair of ISNs. What differs from the cell, one line each; empty: as it
/// should be.
std::vector<std::string> run_cell(Row row, Event event, const Cell& cell, const Isns& isns);

}  // namespace sluice::state
