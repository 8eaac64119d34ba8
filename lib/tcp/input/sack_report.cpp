#include "tcp/input/sack_report.hpp"

#include <algorithm>

namespace sluice::tcp {
namespace {

wire::SackBlock* runs_of(ReceiveRecord& record) {
  return record.sack + record.duplicates;
}
wire::SackBlock* end_of(ReceiveRecord& record) {
  return record.sack + record.sack_count;
}

template <class Predicate>
void forget_if(ReceiveRecord& record, Predicate&& predicate) {
  const auto end = std::remove_if(runs_of(record), end_of(record), predicate);
  record.sack_count = static_cast<std::uint8_t>(end - record.sack);
}

}  // namespace

void report_run(ReceiveRecord& record, const wire::SackBlock& block) {
  forget_if(record, [&](const wire::SackBlock& old) {
    return wire::seq_geq(old.left, block.left) && wire::seq_leq(old.right, block.right);
  });
  //= rfc2018#4 MUST-2, SHLD-6  the block with the newest segment first
  const std::ptrdiff_t runs = end_of(record) - runs_of(record);
  if (runs < static_cast<std::ptrdiff_t>(wire::kMaxSackBlocks)) ++record.sack_count;
  std::move_backward(runs_of(record), end_of(record) - 1, end_of(record));
  *runs_of(record) = block;
}

void report_duplicate(ReceiveRecord& record, const wire::SackBlock& block) {
  if (record.duplicates == wire::kMaxSackBlocks) return;
  ++record.sack_count;
  std::move_backward(runs_of(record), end_of(record) - 1, end_of(record));
  *runs_of(record) = block;
  ++record.duplicates;
}

void forget_runs_below(ReceiveRecord& record, SeqNum rcv_nxt) {
  forget_if(record, [&](const wire::SackBlock& run) { return wire::seq_leq(run.left, rcv_nxt); });
}

void forget_runs(ReceiveRecord& record) {
  record.sack_count = record.duplicates;
}

void write_sack_report(ReceiveRecord& record, std::uint8_t most, wire::TcpOptions& options) {
  wire::SackBlock* out = options.sack;
  wire::SackBlock* const end = out + most;
  if (record.duplicates > 0) {
    //= rfc2883#4  first block, and each duplicate in one ACK only
    *out++ = record.sack[0];
    std::move(record.sack + 1, end_of(record), record.sack);
    --record.duplicates;
    --record.sack_count;
  }
  const wire::SackBlock* const runs = runs_of(record);
  const auto room = std::min(end - out, end_of(record) - runs);
  out = std::copy_n(runs, room, out);
  options.sack_count = static_cast<std::uint8_t>(out - options.sack);
}

}  // namespace sluice::tcp
