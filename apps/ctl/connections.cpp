#include "apps/ctl/connections.hpp"

#include <algorithm>

#include "apps/ctl/names.hpp"
#include "base/seqlock.hpp"

namespace sluice::ctl {
namespace {

using telemetry::SectionKind;

constexpr std::uint16_t kFreeHalfOpen = 0xffff;

Duration left_until(Tick deadline, Tick now) {
  return Duration::from_ms(static_cast<std::int32_t>(deadline - now));
}

/// Reads the records of one worker; the rows get its name and time.
class WorkerReader {
 public:
  WorkerReader(const Instance& instance, std::uint32_t worker)
      : instance_(instance), worker_(worker), tick_(tick_at(instance.now_of(worker))) {}

  std::vector<ConnectionRow> read() {
    read_listeners();
    read_half_open();
    read_tcbs();
    read_time_wait();
    return std::move(rows_);
  }

 private:
  template <class Record>
  std::span<const Record> section(SectionKind kind) const {
    return instance_.view.section<Record>(kind, worker_);
  }

  ConnectionRow& add(ReadOutcome outcome, std::string_view state) {
    ConnectionRow row;
    row.instance = instance_.name;
    row.worker = worker_;
    row.is_torn = outcome == ReadOutcome::kTorn;
    row.state = state;
    row.tick = tick_;
    rows_.push_back(std::move(row));
    return rows_.back();
  }

  void read_listeners() {
    for (const auto& record : section<tcp::ListenerRecord>(SectionKind::kListeners)) {
      tcp::ListenerRecord copy;
      const ReadOutcome outcome = read_record(record, copy);
      if (copy.is_open == 0) continue;
      ConnectionRow& row = add(outcome, "LISTEN");
      row.is_listener = true;
      row.local = {copy.address, {copy.port}};
      row.receive_queue = copy.accept_queued;
      row.send_queue = copy.accept_backlog;
      row.listener = copy;
    }
  }

  void read_half_open() {
    for (const auto& record : section<tcp::HalfOpen>(SectionKind::kHalfOpen)) {
      tcp::HalfOpen copy;
      const ReadOutcome outcome = read_record(record, copy);
      // A slot that was never used is all zero, a free one has no listener.
      if (copy.listener == kFreeHalfOpen || copy.remote_port == 0) continue;
      ConnectionRow& row = add(outcome, "SYN-RECV");
      row.local = {copy.local, {copy.local_port}};
      row.foreign = {copy.remote, {copy.remote_port}};
      if (copy.timer.is_linked())
        row.timers.push_back({"synack", left_until(copy.timer.deadline, tick_), copy.retransmits});
      row.half_open = copy;
    }
  }

  void read_tcbs() {
    const auto tcbs = section<tcp::Tcb>(SectionKind::kTcbs);
    const auto totals = section<tcp::TcbTotals>(SectionKind::kTcbTotals);
    const auto v6_keys = section<tcp::V6Key>(SectionKind::kV6Keys);
    for (std::uint32_t index = 0; index < tcbs.size(); ++index) {
      // A look at one octet first: most slots of a large table are free.
      const auto& state =
          reinterpret_cast<const std::uint8_t&>(const_cast<tcp::State&>(tcbs[index].state));
      if (state == 0) continue;
      tcp::Tcb copy;
      ReadOutcome outcome = read_record(tcbs[index], copy);
      // A detached record only keeps unread octets; its connection is CLOSED or a TIME-WAIT entry.
      if (copy.state == tcp::State::kClosed || copy.has(tcp::kDetached)) continue;
      tcp::TcbTotals total{};
      if (index < totals.size() && read_record(totals[index], total) == ReadOutcome::kTorn)
        outcome = ReadOutcome::kTorn;
      ConnectionRow& row = add(outcome, state_name(static_cast<std::uint8_t>(copy.state)));
      row.local.port = {copy.key.local_port};
      row.foreign.port = {copy.key.remote_port};
      if (!copy.has(tcp::kIsV6)) {
        row.local.address = Ipv4Addr{copy.key.local};
        row.foreign.address = Ipv4Addr{copy.key.remote};
      } else if (copy.key.local < v6_keys.size()) {
        tcp::V6Key key;
        if (read_record(v6_keys[copy.key.local], key) == ReadOutcome::kTorn) row.is_torn = true;
        row.local.address = key.local;
        row.foreign.address = key.remote;
      }
      row.index = index;
      row.receive_queue = copy.receive_charged;
      row.send_queue = total.send_queued;
      add_timers(copy, row);
      row.tcb = copy;
      row.totals = total;
    }
  }

  void add_timers(const tcp::Tcb& tcb, ConnectionRow& row) const {
    const auto add_if = [&](std::uint8_t bit, std::string_view name, Tick deadline,
                            std::uint32_t tries) {
      if ((tcb.timers_armed & bit) != 0)
        row.timers.push_back({name, left_until(deadline, tick_), tries});
    };
    add_if(tcp::kTimerRetransmit, tcb.has(tcp::kPersisting) ? "persist" : "retransmit",
           tcb.retransmit_at, tcb.backoff);
    add_if(tcp::kTimerDelayedAck, "delack", widen_tick(tick_, tcb.delayed_ack_at), 0);
    add_if(tcp::kTimerKeepalive, "keepalive", tcb.keepalive_at, tcb.keepalive_probes);
    add_if(tcp::kTimerLinger, tcb.state == tcp::State::kFinWait2 ? "finwait2" : "connect",
           tcb.linger_at, 0);
    add_if(tcp::kTimerApplication, "application", tcb.application_at, 0);
    std::sort(row.timers.begin(), row.timers.end(),
              [](const auto& a, const auto& b) { return a.left < b.left; });
  }

  void read_time_wait() {
    for (const auto& record : section<tcp::TimeWait4>(SectionKind::kTimeWait4)) {
      tcp::TimeWait4 copy;
      const ReadOutcome outcome = read_record(record, copy);
      if ((copy.flags & tcp::kTimeWaitInUse) == 0) continue;
      ConnectionRow& row = add(outcome, "TIME-WAIT");
      row.local = {Ipv4Addr{copy.key.local}, {copy.key.local_port}};
      row.foreign = {Ipv4Addr{copy.key.remote}, {copy.key.remote_port}};
      row.timers.push_back({"timewait", left_until(copy.deadline, tick_)});
    }
    for (const auto& record : section<tcp::TimeWait6>(SectionKind::kTimeWait6)) {
      tcp::TimeWait6 copy;
      const ReadOutcome outcome = read_record(record, copy);
      if ((copy.flags & tcp::kTimeWaitInUse) == 0) continue;
      ConnectionRow& row = add(outcome, "TIME-WAIT");
      row.local = {copy.local, {copy.local_port}};
      row.foreign = {copy.remote, {copy.remote_port}};
      row.timers.push_back({"timewait", left_until(copy.deadline, tick_)});
    }
  }

  const Instance& instance_;
  std::uint32_t worker_;
  Tick tick_;
  std::vector<ConnectionRow> rows_;
};

}  // namespace

std::vector<ConnectionRow> read_connections(const Instance& instance, std::uint32_t worker) {
  return WorkerReader(instance, worker).read();
}

}  // namespace sluice::ctl
