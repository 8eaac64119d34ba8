#include "tests/state/matrix.hpp"

#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <map>
#include <string>

namespace sluice::state {
namespace {

/// All cells of a row at all ISNs; every fault as one line, with the ISNs that it came at.
std::string run_row(Row row) {
  const Cells cells = cells_of(row);
  std::string faults;
  for (const std::string& hole : holes(cells)) faults += hole + '\n';
  for (const auto& [event, cell] : cells) {
    std::map<std::string, std::string> found;
    for (const Isns& isns : kIsns) {
      INFO(name_of(row) << " x " << name_of(event) << " at " << isns.name);
      for (const std::string& fault : run_cell(row, event, cell, isns))
        found[fault] += fmt::format(" [{}]", isns.name);
    }
    for (const auto& [fault, where] : found)
      faults += fmt::format("{} x {}: {}{}\n", name_of(row), name_of(event), fault, where);
  }
  return faults;
}

}  // namespace

TEST_CASE("CLOSED answers every event as RFC 9293 3.10.7.1 says", "[state][rfc9293]") {
  CHECK(run_row(Row::kClosed) == "");
}
TEST_CASE("LISTEN answers every event as RFC 9293 3.10.7.2 says", "[state][rfc9293]") {
  CHECK(run_row(Row::kListen) == "");
}
TEST_CASE("SYN-SENT answers every event as RFC 9293 3.10.7.3 says", "[state][rfc9293]") {
  CHECK(run_row(Row::kSynSent) == "");
}
TEST_CASE("SYN-RECEIVED as a half-open entry answers every event as RFC 9293 3.10.7.4 says",
          "[state][rfc9293]") {
  CHECK(run_row(Row::kHalfOpen) == "");
}
TEST_CASE("SYN-RECEIVED as a TCB answers every event as RFC 9293 3.10.7.4 says",
          "[state][rfc9293]") {
  CHECK(run_row(Row::kSynReceived) == "");
}
TEST_CASE("ESTABLISHED answers every event as RFC 9293 3.10.7.4 says", "[state][rfc9293]") {
  CHECK(run_row(Row::kEstablished) == "");
}
TEST_CASE("FIN-WAIT-1 answers every event as RFC 9293 3.10.7.4 says", "[state][rfc9293]") {
  CHECK(run_row(Row::kFinWait1) == "");
}
TEST_CASE("FIN-WAIT-2 answers every event as RFC 9293 3.10.7.4 says", "[state][rfc9293]") {
  CHECK(run_row(Row::kFinWait2) == "");
}
TEST_CASE("CLOSE-WAIT answers every event as RFC 9293 3.10.7.4 says", "[state][rfc9293]") {
  CHECK(run_row(Row::kCloseWait) == "");
}
TEST_CASE("CLOSING answers every event as RFC 9293 3.10.7.4 says", "[state][rfc9293]") {
  CHECK(run_row(Row::kClosing) == "");
}
TEST_CASE("LAST-ACK answers every event as RFC 9293 3.10.7.4 says", "[state][rfc9293]") {
  CHECK(run_row(Row::kLastAck) == "");
}
TEST_CASE("TIME-WAIT answers every event as RFC 9293 3.10.7.4, RFC 1337 and RFC 6191 say",
          "[state][rfc9293]") {
  CHECK(run_row(Row::kTimeWait) == "");
}

TEST_CASE("an empty cell makes the matrix fail, and so does a second one", "[state][selftest]") {
  Cells cells = established_cells();
  CHECK(holes(cells).empty());
  cells.push_back(cells.front());
  CHECK(holes(cells).size() == 1);
  cells.pop_back();
  cells.pop_back();
  CHECK(holes(cells) == std::vector<std::string>{"kCallAccept: the cell is empty"});
}

TEST_CASE("whatever is wrong in a cell makes the matrix fail", "[state][selftest]") {
  const auto faults = [](Event event, const Cell& cell) {
    return run_cell(Row::kFinWait1, event, cell, kIsns[0]).size();
  };
  const Cell right{.send = {ack(1)},
                   .next = Row::kClosing,
                   .outcome = Outcome::kSegmentProcessed,
                   .told = app::kReadable};
  CHECK(faults(Event::kFin, right) == 0);
  Cell wrong = right;
  wrong.next = Row::kLastAck;
  CHECK(faults(Event::kFin, wrong) == 1);
  wrong = right;
  wrong.send[0].ack = 0;
  CHECK(faults(Event::kFin, wrong) == 1);
  wrong = right;
  wrong.send.clear();
  CHECK(faults(Event::kFin, wrong) == 1);
  wrong = right;
  wrong.send.push_back(ack());
  CHECK(faults(Event::kFin, wrong) == 1);
  wrong = right;
  wrong.outcome = Outcome::kOldDuplicate;
  CHECK(faults(Event::kFin, wrong) == 1);
  wrong = right;
  wrong.told = 0;
  CHECK(faults(Event::kFin, wrong) == 1);
  CHECK(faults(Event::kCallReceive, {}) == 1);
  CHECK(faults(Event::kSynAckTimer, {}) >= 1);
}

}  // namespace sluice::state
