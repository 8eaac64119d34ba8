#include "runtime/gate_log.hpp"

#include <fmt/format.h>

#include <utility>

#include "base/seqlock.hpp"

namespace sluice::runtime {
namespace {

using telemetry::SectionKind;

std::string name_of_listener(const tcp::ListenerRecord& listener, std::uint32_t worker) {
  const Port port{listener.port};
  return fmt::format("{}, worker {}",
                     listener.address.is_unspecified()
                         ? fmt::format("port {}", port.value)
                         : to_string(Endpoint{listener.address, port}),
                     worker);
}

}  // namespace

std::vector<std::string> GateLog::changes() {
  std::vector<std::string> lines;
  for (std::uint32_t worker = 0; worker < workers_.size(); ++worker) {
    const auto listeners = view_.section<tcp::ListenerRecord>(SectionKind::kListeners, worker);
    const auto gates = view_.section<tcp::GateRecord>(SectionKind::kGate, worker);
    workers_[worker].resize(std::min(listeners.size(), gates.size()));
    for (std::size_t index = 0; index < workers_[worker].size(); ++index) {
      tcp::ListenerRecord listener;
      tcp::GateRecord gate;
      // What is torn is read at the next call.
      if (read_record(listeners[index], listener) == ReadOutcome::kConsistent &&
          read_record(gates[index], gate) == ReadOutcome::kConsistent)
        compare(worker, index, listener, gate, lines);
    }
  }
  return lines;
}

void GateLog::compare(std::uint32_t worker, std::size_t index, const tcp::ListenerRecord& listener,
                      const tcp::GateRecord& gate, std::vector<std::string>& lines) {
  Known& known = workers_[worker][index];
  if (known.generation != listener.generation) known = {listener.generation};
  if (listener.is_open == 0) return;
  const bool is_sending_cookies = listener.is_sending_cookies != 0;
  if (known.is_sending_cookies != is_sending_cookies) {
    known.is_sending_cookies = is_sending_cookies;
    lines.push_back(
        is_sending_cookies
            ? fmt::format("{}: cookies begin: {} half-open entries",
                          name_of_listener(listener, worker), listener.half_open)
            : fmt::format("{}: cookies end: {} half-open entries; since the start {} cookies were "
                          "sent, {} accepted, {} ACKs rejected",
                          name_of_listener(listener, worker), listener.half_open,
                          listener.cookies_sent_total, listener.cookies_accepted_total,
                          listener.cookies_rejected_total));
  }
  if (gate.generation != listener.generation || known.state == gate.state) return;
  known.state = gate.state;
  std::string line =
      fmt::format("{}: {}", name_of_listener(listener, worker), tcp::text_of(gate.state));
  if (const std::string reason = tcp::describe(gate); !reason.empty()) line += ": " + reason;
  if (gate.state == tcp::GateState::kAttack) line += largest_sender(worker);
  lines.push_back(std::move(line));
}

std::string GateLog::largest_sender(std::uint32_t worker) const {
  const auto section = view_.section<tcp::TopPrefixesRecord>(SectionKind::kTopPrefixes, worker);
  tcp::TopPrefixesRecord top;
  if (section.empty() || read_record(section[0], top) == ReadOutcome::kTorn) return {};
  const auto& first = top.syns.entries[0];
  // A tenth is worth a name; of forged sources none has that.
  if (first.count == 0 || std::uint64_t{first.count} * 10 < top.syns.total) return {};
  return fmt::format("; at least {} % from {}", std::uint64_t{first.count} * 100 / top.syns.total,
                     to_string(tcp::readable_prefix(first.prefix)));
}

}  // namespace sluice::runtime
