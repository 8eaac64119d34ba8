// sluicectl ports: devices, their queues, and how their frames find the worker that owns the flow.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <ostream>
#include <string_view>

#include "apps/ctl/names.hpp"
#include "apps/ctl/options.hpp"
#include "apps/ctl/sections.hpp"
#include "apps/ctl/table.hpp"
#include "stack/port_record.hpp"

namespace sluice::ctl {
namespace {

using Json = nlohmann::ordered_json;
using stack::PortCounts;
using stack::PortRecord;
using telemetry::SectionKind;

std::string_view steering_of(const PortRecord& record) {
  return port_steering_name(static_cast<std::uint8_t>(record.steering));
}
std::string_view verdict_of(const PortRecord& record) {
  return port_verdict_name(static_cast<std::uint8_t>(record.verdict));
}

/// A text of the region, ended at its array's end should its zero be missing.
template <std::size_t size>
std::string text_of(const std::array<char, size>& octets) {
  return {octets.begin(), std::find(octets.begin(), octets.end(), '\0')};
}

/// Counters move while they are read; each word is whole.
std::uint64_t load(const std::uint64_t& word) {
  return std::atomic_ref<std::uint64_t>(const_cast<std::uint64_t&>(word))
      .load(std::memory_order_relaxed);
}

std::vector<PortCounts> counts_of(const Instance& instance, std::size_t port) {
  std::vector<PortCounts> counts;
  for (std::uint32_t worker = 0; worker < instance.view.workers(); ++worker) {
    const auto section = instance.view.section<PortCounts>(SectionKind::kPortCounts, worker);
    if (port >= section.size()) continue;
    const PortCounts& at = section[port];
    counts.push_back({load(at.received), load(at.handed_on), load(at.lost), load(at.as_predicted),
                      load(at.not_predicted)});
  }
  return counts;
}

Json counts_json(const PortCounts& counts) {
  return {{"received", counts.received},
          {"handed_on", counts.handed_on},
          {"lost", counts.lost},
          {"as_predicted", counts.as_predicted},
          {"not_predicted", counts.not_predicted}};
}

void add_port(const Instance& instance, std::size_t number, const PortRecord& record, bool is_torn,
              Table& table, Json& list) {
  PortCounts total{};
  Json workers = Json::array();
  for (const PortCounts& counts : counts_of(instance, number)) {
    total.received += counts.received;
    total.handed_on += counts.handed_on;
    total.lost += counts.lost;
    total.as_predicted += counts.as_predicted;
    total.not_predicted += counts.not_predicted;
    workers.push_back(counts_json(counts));
  }
  const std::string queues =
      record.tx_queues == record.rx_queues
          ? fmt::format("{}", record.rx_queues)
          : fmt::format("{}+{}", record.rx_queues, record.tx_queues - record.rx_queues);
  const std::string interface = text_of(record.interface);
  table.add({text_of(record.device), text_of(record.driver), interface.empty() ? "-" : interface,
             to_string(record.mac), queues, std::string(steering_of(record)),
             std::string(verdict_of(record)) + (is_torn ? " torn" : ""),
             fmt::format("{}", total.received), fmt::format("{}", total.not_predicted),
             fmt::format("{}", total.handed_on), fmt::format("{}", total.lost), instance.name});
  Json json = {{"instance", instance.name},
               {"device", text_of(record.device)},
               {"driver", text_of(record.driver)},
               {"interface", interface.empty() ? Json(nullptr) : Json(interface)},
               {"mac", to_string(record.mac)},
               {"rx_queues", record.rx_queues},
               {"tx_queues", record.tx_queues},
               {"reta_entries", record.reta_entries},
               {"steering", steering_of(record)},
               {"verdict", record.verdict == stack::PortVerdict::kNone ? Json(nullptr)
                                                                       : Json(verdict_of(record))}};
  json.update(counts_json(total));
  json["workers"] = std::move(workers);
  if (is_torn) json["torn"] = true;
  list.push_back(std::move(json));
}

}  // namespace

int run_ports(Arguments arguments, Streams streams) {
  auto options = make_options(
      "ports",
      "Devices: their queues (and how many more only transmit), how a frame finds the worker that "
      "owns\n"
      "its flow, and what the start-up test of the port's own spreading says. Misdirected: flows "
      "that it saw\n"
      "on another queue than key and table say. Handed on: frames that another worker's queue "
      "brought.\n"
      "Lost: of these, those whose worker's mailbox was full.",
      "");
  const auto parsed = parse(options, "ports", arguments, streams);
  if (!parsed) return 0;
  Json list = Json::array();
  Table table({{"Device", Align::kLeft},
               {"Driver", Align::kLeft},
               {"Interface", Align::kLeft},
               {"MAC", Align::kLeft},
               {"Queues", Align::kRight},
               {"Steering", Align::kLeft},
               {"Verdict", Align::kLeft},
               {"Received", Align::kRight},
               {"Misdirected", Align::kRight},
               {"Handed on", Align::kRight},
               {"Lost", Align::kRight},
               {"Instance", Align::kLeft}});
  for (const Instance& instance : open_instances(chosen_instance(*parsed), streams)) {
    std::size_t number = 0;
    for_each_record<PortRecord>(instance, SectionKind::kPorts,
                                [&](std::uint32_t, const PortRecord& record, bool is_torn) {
                                  if (record.is_in_use != 0)
                                    add_port(instance, number, record, is_torn, table, list);
                                  ++number;
                                });
  }
  streams.out << (parsed->count("json") != 0 ? json_text(list) : table.text());
  return 0;
}

}  // namespace sluice::ctl
