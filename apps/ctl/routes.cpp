// sluicectl addr and route: our addresses, and the routes in order of lookup.

#include <fmt/format.h>

#include <ostream>

#include "apps/ctl/network_words.hpp"
#include "apps/ctl/options.hpp"
#include "apps/ctl/sections.hpp"
#include "apps/ctl/table.hpp"
#include "ip/address_table.hpp"
#include "ip/route_table.hpp"

namespace sluice::ctl {
namespace {

using Json = nlohmann::ordered_json;

Table address_table() {
  return Table(
      {{"Address", Align::kLeft}, {"Interface", Align::kRight}, {"Instance/Worker", Align::kLeft}});
}

void add_addresses(const Instance& instance, Table& table, Json& list) {
  for_each_record<ip::AddressRecord>(
      instance, telemetry::SectionKind::kAddresses,
      [&](std::uint32_t worker, const ip::AddressRecord& record, bool is_torn) {
        if (record.in_use == 0) return;
        const std::string address = to_string(Prefix{record.address, record.prefix_length});
        table.add(
            {address, fmt::format("{}", record.interface),
             fmt::format("{}/{}{}", instance.name, owner_text(worker), is_torn ? " torn" : "")});
        list.push_back({{"instance", instance.name},
                        {"worker", owner_text(worker)},
                        {"interface", record.interface},
                        {"address", address}});
        if (is_torn) list.back()["torn"] = true;
      });
}

void add_routes(const Instance& instance, Table& table, Json& list) {
  for_each_record<ip::RouteRecord>(
      instance, telemetry::SectionKind::kRoutes,
      [&](std::uint32_t worker, const ip::RouteRecord& record, bool is_torn) {
        if (record.in_use == 0) return;
        const std::string destination =
            record.prefix_length == 0 ? "default"
                                      : to_string(Prefix{record.destination, record.prefix_length});
        const bool is_on_link = record.gateway.is_unspecified();
        const char* origin = record.is_connected != 0 ? "connected" : "configured";
        table.add(
            {destination, is_on_link ? "on-link" : to_string(record.gateway), origin,
             fmt::format("{}", record.interface),
             fmt::format("{}/{}{}", instance.name, owner_text(worker), is_torn ? " torn" : "")});
        list.push_back({{"instance", instance.name},
                        {"worker", owner_text(worker)},
                        {"interface", record.interface},
                        {"destination", destination},
                        {"gateway", is_on_link ? Json(nullptr) : Json(to_string(record.gateway))},
                        {"origin", origin}});
        if (is_torn) list.back()["torn"] = true;
      });
}

}  // namespace

int run_addr(Arguments arguments, Streams streams) {
  auto options = make_options(
      "addr",
      "Our addresses.\n"
      "add, del: one of a running server, with the route to its subnet. Connections of an address "
      "that\n"
      "is deleted send and receive nothing any more: they end when their timers do, or go on if it "
      "comes\n"
      "back before; listeners stay.",
      "[add ADDRESS/LENGTH [dev N] | del ADDRESS/LENGTH [dev N]]");
  add_words(options);
  const auto parsed = parse(options, "addr", arguments, streams);
  if (!parsed) return 0;
  if (has_words(*parsed)) return run_network_words("addr", *parsed, streams);
  Table addresses = address_table();
  Json json = Json::array();
  for (const Instance& instance : open_instances(chosen_instance(*parsed), streams))
    add_addresses(instance, addresses, json);
  streams.out << (parsed->count("json") != 0 ? json_text(json) : addresses.text());
  return 0;
}

int run_route(Arguments arguments, Streams streams) {
  auto options = make_options(
      "route",
      "Our addresses, and the routes: the first one that contains a destination is taken.\n"
      "add, del: one of a running server, for the next packet on.",
      "[add PREFIX [via GATEWAY] [dev N] [congctl NAME] | del PREFIX [via GATEWAY] [dev N]]");
  add_words(options);
  const auto parsed = parse(options, "route", arguments, streams);
  if (!parsed) return 0;
  if (has_words(*parsed)) return run_network_words("route", *parsed, streams);
  Table addresses = address_table();
  Table routes({{"Destination", Align::kLeft},
                {"Gateway", Align::kLeft},
                {"Origin", Align::kLeft},
                {"Interface", Align::kRight},
                {"Instance/Worker", Align::kLeft}});
  Json json = {{"addresses", Json::array()}, {"routes", Json::array()}};
  for (const Instance& instance : open_instances(chosen_instance(*parsed), streams)) {
    add_addresses(instance, addresses, json["addresses"]);
    add_routes(instance, routes, json["routes"]);
  }
  streams.out << (parsed->count("json") != 0 ? json_text(json)
                                             : addresses.text() + "\n" + routes.text());
  return 0;
}

}  // namespace sluice::ctl
