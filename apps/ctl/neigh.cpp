// sluicectl neigh: the neighbour table, as `ip neigh` shows the kernel's.

#include <fmt/format.h>

#include <ostream>

#include "apps/ctl/names.hpp"
#include "apps/ctl/network_words.hpp"
#include "apps/ctl/options.hpp"
#include "apps/ctl/sections.hpp"
#include "apps/ctl/table.hpp"
#include "link/neighbor_record.hpp"

namespace sluice::ctl {
namespace {

std::string age_text(const Instance& instance, std::uint32_t worker, std::int64_t since) {
  if (since == 0) return "-";
  const std::uint32_t clock = worker == telemetry::kSharedSection ? 0 : worker;
  return remaining_text(instance.now_of(clock) - Instant::from_ns(since));
}

/// Claims that were refused, of one kind and worker.
void add_claim(Table& table, nlohmann::ordered_json& list, const Instance& instance,
               std::uint32_t worker, link::NeighborAlarm alarm) {
  const auto records = instance.view.section<link::NeighborAlarmRecord>(
      telemetry::SectionKind::kNeighborAlarms, worker);
  if (records.size() != link::kNeighborAlarms) return;
  link::NeighborAlarmRecord record;
  const bool is_torn =
      read_record(records[static_cast<std::size_t>(alarm)], record) == ReadOutcome::kTorn;
  if (record.count == 0) return;
  const std::string known = record.known.is_zero() ? "-" : to_string(record.known);
  table.add({to_string(record.address), known, to_string(record.claimed),
             std::string(name_of(alarm)) + (is_torn ? " torn" : ""),
             fmt::format("{}", record.count), age_text(instance, worker, record.at),
             fmt::format("{}", record.interface),
             fmt::format("{}/{}", instance.name, owner_text(worker))});
  list.push_back({{"instance", instance.name},
                  {"worker", owner_text(worker)},
                  {"interface", record.interface},
                  {"kind", name_of(alarm)},
                  {"address", to_string(record.address)},
                  {"known_mac", known},
                  {"claimed_mac", to_string(record.claimed)},
                  {"count", record.count},
                  {"at_ns", record.at}});
  if (is_torn) list.back()["torn"] = true;
}

}  // namespace

int run_neigh(Arguments arguments, Streams streams) {
  auto options = make_options(
      "neigh",
      "Neighbours: their addresses, states, and how long ago they last "
      "answered. Queued is packets\n"
      "that wait for an answer. Below, what ARP claimed and was refused: the last "
      "of each kind.\n"
      "add pins a neighbour of a running server, over what was learnt; del forgets one "
      "of either kind.",
      "[add ADDRESS lladdr MAC [dev N] [permanent] | del ADDRESS [dev N]]");
  options.add_options()("refused", "only the claims that were refused");
  add_words(options);
  const auto parsed = parse(options, "neigh", arguments, streams);
  if (!parsed) return 0;
  if (has_words(*parsed)) return run_network_words("neigh", *parsed, streams);
  nlohmann::ordered_json list = nlohmann::ordered_json::array(), claim_list = list;
  Table claims({{"Address", Align::kLeft},
                {"Known MAC", Align::kLeft},
                {"Claimed by", Align::kLeft},
                {"Refused", Align::kLeft},
                {"Times", Align::kRight},
                {"Last", Align::kRight},
                {"Interface", Align::kRight},
                {"Instance/Worker", Align::kLeft}});
  Table table({{"Address", Align::kLeft},
               {"MAC", Align::kLeft},
               {"State", Align::kLeft},
               {"In state", Align::kRight},
               {"Confirmed", Align::kRight},
               {"Probes", Align::kRight},
               {"Queued", Align::kRight},
               {"Interface", Align::kRight},
               {"Instance/Worker", Align::kLeft}});
  for (const Instance& instance : open_instances(chosen_instance(*parsed), streams)) {
    for_each_record<link::NeighborRecord>(
        instance, telemetry::SectionKind::kNeighbors,
        [&](std::uint32_t worker, const link::NeighborRecord& record, bool is_torn) {
          if (record.state == link::NeighborState::kFree) return;
          const std::string mac = record.mac.is_zero() ? "-" : to_string(record.mac);
          const std::string state(neighbor_state_name(static_cast<std::uint8_t>(record.state)));
          table.add({to_string(record.address), mac, state + (is_torn ? " torn" : ""),
                     age_text(instance, worker, record.state_since),
                     age_text(instance, worker, record.confirmed_at),
                     fmt::format("{}", record.probes), fmt::format("{}", record.queued),
                     fmt::format("{}", record.interface),
                     fmt::format("{}/{}", instance.name, owner_text(worker))});
          list.push_back({{"instance", instance.name},
                          {"worker", owner_text(worker)},
                          {"interface", record.interface},
                          {"address", to_string(record.address)},
                          {"mac", mac},
                          {"state", state},
                          {"probes", record.probes},
                          {"queued_packets", record.queued},
                          {"state_since_ns", record.state_since},
                          {"confirmed_at_ns", record.confirmed_at}});
          if (is_torn) list.back()["torn"] = true;
        });
    for (std::uint32_t worker = 0; worker < instance.view.workers(); ++worker)
      for (std::uint32_t kind = 0; kind < link::kNeighborAlarms; ++kind)
        add_claim(claims, claim_list, instance, worker, static_cast<link::NeighborAlarm>(kind));
  }
  const bool is_refused_only = parsed->count("refused") != 0;
  if (parsed->count("json") != 0) {
    streams.out << json_text(is_refused_only ? claim_list : list);
    return 0;
  }
  if (!is_refused_only) streams.out << table.text();
  if (!claim_list.empty()) streams.out << (is_refused_only ? "" : "\n") << claims.text();
  return 0;
}

}  // namespace sluice::ctl
