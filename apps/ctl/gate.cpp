// sluicectl gate: what knocks at the listeners, and whether it is honest.

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <ostream>
#include <thread>

#include "apps/ctl/gate_prefixes.hpp"
#include "apps/ctl/names.hpp"
#include "apps/ctl/options.hpp"
#include "apps/ctl/sections.hpp"
#include "apps/ctl/table.hpp"
#include "tcp/config.hpp"
#include "tcp/gate/gate_record.hpp"
#include "tcp/tcb.hpp"

namespace sluice::ctl {
namespace {

using Json = nlohmann::ordered_json;
using telemetry::SectionKind;

struct GateRow {
  std::uint32_t worker;
  tcp::ListenerRecord listener;
  tcp::GateRecord gate;  ///< All zero if it is about another listener, or there is none.
  bool is_torn;
};

std::vector<GateRow> read_rows(const Instance& instance) {
  std::vector<GateRow> rows;
  for (std::uint32_t worker = 0; worker < instance.view.workers(); ++worker) {
    const auto listeners =
        instance.view.section<tcp::ListenerRecord>(SectionKind::kListeners, worker);
    const auto gates = instance.view.section<tcp::GateRecord>(SectionKind::kGate, worker);
    for (std::size_t index = 0; index < listeners.size(); ++index) {
      GateRow row{};
      row.worker = worker;
      row.is_torn = read_record(listeners[index], row.listener) == ReadOutcome::kTorn;
      if (row.listener.is_open == 0) continue;
      if (index < gates.size())
        row.is_torn |= read_record(gates[index], row.gate) == ReadOutcome::kTorn;
      if (row.gate.generation != row.listener.generation) row.gate = {};
      rows.push_back(row);
    }
  }
  return rows;
}

std::string_view cookie_mode_name(std::uint8_t mode) {
  static constexpr std::array<std::string_view, 3> kNames = {"off", "auto", "always"};
  return mode < kNames.size() ? kNames[mode] : "?";
}

bool are_cookies_on(const tcp::ListenerRecord& listener) {
  const auto mode = static_cast<tcp::CookieMode>(listener.cookie_mode);
  return mode == tcp::CookieMode::kAlways ||
         (mode == tcp::CookieMode::kAuto && listener.is_sending_cookies != 0);
}

std::string cookies_text(const tcp::ListenerRecord& listener) {
  const std::string_view mode = cookie_mode_name(listener.cookie_mode);
  if (static_cast<tcp::CookieMode>(listener.cookie_mode) != tcp::CookieMode::kAuto)
    return std::string(mode);
  return fmt::format("{}, {}", mode, are_cookies_on(listener) ? "on" : "off");
}

std::string address_text(const tcp::ListenerRecord& listener) {
  if (listener.address.is_unspecified()) return fmt::format("*:{}", listener.port);
  return to_string(Endpoint{listener.address, Port{listener.port}});
}

void add_row(Table& table, const Instance& instance, const GateRow& row) {
  const tcp::GateRecord& gate = row.gate;
  const tcp::ListenerRecord& listener = row.listener;
  const std::string since =
      gate.state_since == 0
          ? "-"
          : remaining_text(instance.now_of(row.worker) - Instant::from_ns(gate.state_since));
  table.add({address_text(listener),
             std::string(text_of(gate.state)) + (row.is_torn ? " torn" : ""), since,
             fmt::format("{}", gate.syns),
             gate.syns == 0 ? "-" : fmt::format("{}%", gate.complete_percent()),
             fmt::format("{}", gate.prefixes),
             fmt::format("{}/{}", listener.half_open, listener.syn_backlog),
             fmt::format("{}", gate.refused), fmt::format("{}", gate.strays),
             cookies_text(listener), fmt::format("{}", listener.cookies_sent_total),
             fmt::format("{}", listener.cookies_accepted_total),
             fmt::format("{}", listener.cookies_rejected_total),
             fmt::format("{}/{}", instance.name, row.worker)});
  if (const std::string reason = tcp::describe(gate); !reason.empty()) table.add_note(reason);
}

Json row_json(const Instance& instance, const GateRow& row) {
  const tcp::GateRecord& gate = row.gate;
  const tcp::ListenerRecord& listener = row.listener;
  Json json = {{"instance", instance.name},
               {"worker", row.worker},
               {"address", to_string(listener.address)},
               {"port", listener.port},
               {"state", text_of(gate.state)},
               {"reason", name_of(gate.reason)},
               {"reason_text", tcp::describe(gate)},
               {"state_since_ns", gate.state_since},
               {"second_end_ns", gate.second_end},
               {"syns_per_s", gate.syns},
               {"refused_per_s", gate.refused},
               {"completed_by_entry_per_s", gate.by_entry},
               {"completed_by_cookie_per_s", gate.by_cookie},
               {"complete_percent", gate.complete_percent()},
               {"unaccepted_per_s", gate.unaccepted},
               {"strays_per_s", gate.strays},
               {"source_prefixes", gate.prefixes},
               {"half_open", listener.half_open},
               {"syn_backlog", listener.syn_backlog},
               {"accept_queued", listener.accept_queued},
               {"accept_backlog", listener.accept_backlog},
               {"cookie_mode", cookie_mode_name(listener.cookie_mode)},
               {"cookies_on", are_cookies_on(listener)},
               {"cookies_sent_total", listener.cookies_sent_total},
               {"cookies_accepted_total", listener.cookies_accepted_total},
               {"cookies_rejected_total", listener.cookies_rejected_total},
               {"state_changes", gate.state_changes},
               {"attacks", gate.attacks}};
  if (row.is_torn) json["torn"] = true;
  return json;
}

// --- source prefixes ---

/// Below one in a hundred an entry is chance, not a sender to look at.
bool is_worth_showing(const tcp::TopPrefixes::Entry& entry, const tcp::TopPrefixList& list) {
  return entry.count > 0 && list.total > 0 && std::uint64_t{entry.count} * 100 >= list.total;
}

struct TopSection {
  std::uint32_t worker;
  std::string_view what;
  const tcp::TopPrefixList& list;
  bool is_torn;
};

std::string top_text(const Instance& instance, const TopSection& section) {
  const tcp::TopPrefixList& list = section.list;
  if (list.second_end == 0) return {};
  const Duration age = instance.now_of(section.worker) - Instant::from_ns(list.second_end);
  std::string text =
      fmt::format("\n{} by source prefix, {}/{}: {} in the second that ended {} ago{}\n",
                  section.what, instance.name, section.worker, list.total, remaining_text(age),
                  section.is_torn ? "; torn" : "");
  Table table({{"Prefix", Align::kLeft},
               {"At least", Align::kRight},
               {"At most", Align::kRight},
               {"Share", Align::kRight}});
  bool has_rows = false;
  for (const auto& entry : list.entries) {
    if (!is_worth_showing(entry, list)) continue;
    has_rows = true;
    table.add({to_string(tcp::readable_prefix(entry.prefix)), fmt::format("{}", entry.count),
               fmt::format("{}", std::uint64_t{entry.count} + list.error),
               fmt::format("{}%", std::uint64_t{entry.count} * 100 / list.total)});
  }
  if (!has_rows)
    return text + fmt::format("  none stands out: no prefix has more than {}\n",
                              std::uint64_t{list.entries[0].count} + list.error);
  return text + table.text();
}

Json top_json(const Instance& instance, const TopSection& section) {
  const tcp::TopPrefixList& list = section.list;
  Json entries = Json::array();
  for (const auto& entry : list.entries)
    if (entry.count > 0)
      entries.push_back({{"prefix", to_string(tcp::readable_prefix(entry.prefix))},
                         {"at_least", entry.count},
                         {"at_most", std::uint64_t{entry.count} + list.error}});
  Json json = {{"instance", instance.name}, {"worker", section.worker},
               {"what", section.what},      {"second_end_ns", list.second_end},
               {"total", list.total},       {"prefixes", std::move(entries)}};
  if (section.is_torn) json["torn"] = true;
  return json;
}

template <class Visit>
void for_each_top(const Instance& instance, Visit&& visit) {
  for_each_record<tcp::TopPrefixesRecord>(
      instance, SectionKind::kTopPrefixes,
      [&](std::uint32_t worker, const tcp::TopPrefixesRecord& record, bool is_torn) {
        visit(TopSection{worker, "SYNs", record.syns, is_torn});
        visit(TopSection{worker, "Strays", record.strays, is_torn});
      });
}

std::string text_of_all(const std::vector<Instance>& instances) {
  Table table({{"Listener", Align::kLeft},
               {"State", Align::kLeft},
               {"Since", Align::kRight},
               {"SYN/s", Align::kRight},
               {"Complete", Align::kRight},
               {"Prefixes", Align::kRight},
               {"Half-open", Align::kRight},
               {"Refused/s", Align::kRight},
               {"Strays/s", Align::kRight},
               {"Cookies", Align::kLeft},
               {"Sent", Align::kRight},
               {"Accepted", Align::kRight},
               {"Rejected", Align::kRight},
               {"Instance/Worker", Align::kLeft}});
  std::string tops;
  for (const Instance& instance : instances) {
    for (const GateRow& row : read_rows(instance)) add_row(table, instance, row);
    for_each_top(instance, [&](const TopSection& section) { tops += top_text(instance, section); });
  }
  return table.text() + tops;
}

Json json_of_all(const std::vector<Instance>& instances) {
  Json listeners = Json::array(), tops = Json::array();
  for (const Instance& instance : instances) {
    for (const GateRow& row : read_rows(instance)) listeners.push_back(row_json(instance, row));
    for_each_top(instance, [&](const TopSection& section) {
      if (section.list.second_end != 0) tops.push_back(top_json(instance, section));
    });
  }
  return {{"listeners", std::move(listeners)}, {"top_prefixes", std::move(tops)}};
}

}  // namespace

int run_gate(Arguments arguments, Streams streams) {
  auto options = make_options(
      "gate",
      "Listeners of each worker: calm, pressed or under attack, and why; SYNs of the last second,\n"
      "how many became connections, from how many source prefixes (/24, /64); cookies. Half-open "
      "is\n"
      "entries of how many may be: this worker's share of the backlog. Below, who sends the most "
      "SYNs\n"
      "and the most segments of no connection.\n"
      "deny, allow, forget: changes the list of sources of a running server; prefixes: shows it.",
      "[deny PREFIX... | allow PREFIX... | forget PREFIX... | prefixes]");
  options.add_options()("watch", "again every so many seconds, until interrupted",
                        cxxopts::value<std::uint16_t>()->implicit_value("1"), "SECONDS");
  options.add_options("words")("words", "", cxxopts::value<std::vector<std::string>>());
  options.parse_positional({"words"});
  const auto parsed = parse(options, "gate", arguments, streams);
  if (!parsed) return 0;
  if (parsed->count("words") != 0)
    return run_gate_words((*parsed)["words"].as<std::vector<std::string>>(), *parsed, streams);
  const bool is_watching = parsed->count("watch") != 0;
  const auto pause = std::chrono::seconds(is_watching ? (*parsed)["watch"].as<std::uint16_t>() : 0);
  const bool is_screen = is_watching && ::isatty(STDOUT_FILENO) != 0;
  for (;;) {
    const auto instances = open_instances(chosen_instance(*parsed), streams);
    if (is_screen) streams.out << "\x1b[H\x1b[2J";
    streams.out << (parsed->count("json") != 0 ? json_text(json_of_all(instances))
                                               : text_of_all(instances));
    if (!is_watching) return 0;
    streams.out << (is_screen ? "" : "\n") << std::flush;
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace sluice::ctl
