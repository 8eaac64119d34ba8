// sluicectl neigh: the neighbour table, as `ip neigh` shows the kernel's.

#include <fmt/format.h>

#include <ostream>

#include "apps/ctl/names.hpp"
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

}  // namespace

int run_neigh(Arguments arguments, Streams streams) {
  auto options = make_options("neigh",
                              "Neighbours: their addresses, states, and how long ago they last "
                              "answered. Queued is packets\n"
                              "that wait for an answer.",
                              "");
  const auto parsed = parse(options, "neigh", arguments, streams);
  if (!parsed) return 0;
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
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
  }
  streams.out << (parsed->count("json") != 0 ? json_text(list) : table.text());
  return 0;
}

}  // namespace sluice::ctl
