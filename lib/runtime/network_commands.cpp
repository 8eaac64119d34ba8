#include "runtime/network_commands.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "runtime/config_values.hpp"
#include "stack/network_change.hpp"
#include "tcp/congestion/controller.hpp"

namespace sluice::runtime {
namespace {

using stack::ChangeError;
using stack::NetworkChange;
using Kind = NetworkChange::Kind;

class NetworkOrder final : public Order {
 public:
  NetworkOrder(const NetworkChange& change, std::size_t workers)
      : change_(change), shares_(workers) {}

  bool carry_out(const OrderSite& site) override {
    Share& share = shares_[site.worker];
    const auto result = site.stack.change(change_, share.undo, site.now);
    share.has_changed = result.has_value();
    if (result) return true;
    share.error = result.error();
    // Each worker has its own neighbours: whom it does not know it need not forget.
    return change_.kind == Kind::kForgetNeighbor && share.error == ChangeError::kNoSuch;
  }
  void undo(const OrderSite& site) override {
    const Share& share = shares_[site.worker];
    if (share.has_changed) site.stack.revert(share.undo, site.now);
  }

  // Of workers that have answered:
  bool has_changed(std::size_t worker) const { return shares_[worker].has_changed; }
  ChangeError error(std::size_t worker) const { return shares_[worker].error; }

 private:
  struct Share {
    stack::ChangeUndo undo;
    bool has_changed = false;
    ChangeError error = ChangeError::kNoSuch;
  };
  NetworkChange change_;
  std::vector<Share> shares_;
};

/// What is spoken of: "address 10.0.0.3/24", "route 10.9.0.0/16 via 10.0.0.1", ...
std::string name_of(const NetworkChange& change) {
  switch (change.kind) {
    case Kind::kAddAddress:
    case Kind::kRemoveAddress:
      return fmt::format("address {}", sluice::to_string(change.prefix));
    case Kind::kAddRoute:
    case Kind::kRemoveRoute:
      return fmt::format("route {}{}", sluice::to_string(change.prefix),
                         change.gateway.is_unspecified()
                             ? std::string()
                             : " via " + sluice::to_string(change.gateway));
    case Kind::kPinNeighbor:
    case Kind::kForgetNeighbor:
      return fmt::format(
          "neighbour {}{}", sluice::to_string(change.prefix.address),
          change.mac.is_zero() ? std::string() : " at " + sluice::to_string(change.mac));
  }
  return {};
}

bool is_addition(Kind kind) {
  return kind == Kind::kAddAddress || kind == Kind::kAddRoute || kind == Kind::kPinNeighbor;
}

std::string reason_of(const NetworkChange& change, ChangeError error) {
  std::string name = name_of(change);
  switch (error) {
    case ChangeError::kExists:
      return change.kind == Kind::kAddAddress ? fmt::format("{} is ours already", name)
             : change.kind == Kind::kAddRoute
                 ? fmt::format("a route to {} is there already: delete it first",
                               sluice::to_string(change.prefix))
                 : fmt::format("{} is pinned already: delete it first",
                               sluice::to_string(change.prefix.address));
    case ChangeError::kNoSuch:
      return fmt::format("no {} here", name);
    case ChangeError::kFull:
      return fmt::format("no room for {}: the table is full", name);
    case ChangeError::kNoInterface:
      return fmt::format("{}: no such interface, or several and none was named", name);
    case ChangeError::kBadGateway:
      return fmt::format("{}: the gateway is no other host in a subnet of ours", name);
    case ChangeError::kBadNeighbor:
      return fmt::format("{} is no other host's address", name);
  }
  return name;
}

Json carry_out(const NetworkCommandDeps& deps, const NetworkChange& change) {
  const std::size_t workers = deps.orders.workers();
  const auto order = std::make_shared<NetworkOrder>(change, workers);
  const std::vector<OrderFate> fates = deps.orders.give(order);
  for (std::size_t worker = 0; worker < workers; ++worker)
    if (fates[worker] == OrderFate::kRefused)
      throw CommandError(reason_of(change, order->error(worker)));
  if (!is_done(fates)) throw CommandError(explain(fates));
  std::size_t changed = 0;
  for (std::size_t worker = 0; worker < workers; ++worker)
    if (order->has_changed(worker)) ++changed;
  if (changed == 0) throw CommandError(reason_of(change, ChangeError::kNoSuch));
  deps.log(fmt::format("{} {}", is_addition(change.kind) ? "added" : "deleted", name_of(change)));
  return {{"workers", workers}, {"changed", changed}};
}

// --- requests ---

std::optional<std::string> text_in(const Json& request, const char* name) {
  const auto found = request.find(name);
  if (found == request.end()) return std::nullopt;
  if (!found->is_string()) throw CommandError(fmt::format("\"{}\" is a text", name));
  return found->get<std::string>();
}

template <class Parse>
auto needed(const Json& request, const char* name, Parse parse, std::string_view expects) {
  const auto text = text_in(request, name);
  const auto value = text ? parse(*text) : decltype(parse(*text)){};
  if (!value)
    throw CommandError(fmt::format("\"{}\" {}: expected {}", name,
                                   text ? fmt::format("'{}'", *text) : "is missing", expects));
  return *value;
}

NetworkChange change_of(Kind kind, const Json& request) {
  NetworkChange change;
  change.kind = kind;
  if (const auto number = request.find("interface"); number != request.end()) {
    if (!number->is_number_unsigned() || number->get<std::uint64_t>() >= 255)
      throw CommandError("\"interface\" is a number from 0 on");
    change.interface = number->get<std::uint8_t>();
  }
  return change;
}

Json change_address(const NetworkCommandDeps& deps, Kind kind, const Json& request) {
  NetworkChange change = change_of(kind, request);
  change.prefix =
      needed(request, "address", parse_interface_prefix,
             "an address that a host may have with its length, such as 10.0.0.3/24 (not its "
             "subnet's first or last)");
  return carry_out(deps, change);
}

std::optional<Prefix> parse_destination(const std::string& text) {
  if (text == "default") return Prefix{Ipv4Addr{}, 0};
  const auto prefix = parse_prefix(text);
  return prefix && prefix->address.is_v4() ? prefix : std::nullopt;
}

Json change_route(const NetworkCommandDeps& deps, Kind kind, const Json& request) {
  NetworkChange change = change_of(kind, request);
  change.prefix = needed(request, "destination", parse_destination,
                         "an IPv4 prefix such as 10.9.0.0/16, or default");
  if (request.contains("gateway"))
    change.gateway = needed(request, "gateway", parse_gateway, "an IPv4 address");
  if (const auto name = text_in(request, "congestion")) {
    const auto algorithm = tcp::algorithm_of(*name);
    if (!algorithm) throw CommandError("\"congestion\": newreno, cubic, dctcp or bbr");
    change.transport_hint = static_cast<std::uint8_t>(*algorithm);
  }
  return carry_out(deps, change);
}

Json change_neighbor(const NetworkCommandDeps& deps, Kind kind, const Json& request) {
  NetworkChange change = change_of(kind, request);
  change.prefix = {needed(request, "address", parse_gateway, "an IPv4 address"), 32};
  if (kind == Kind::kPinNeighbor)
    change.mac =
        needed(request, "mac", parse_unicast_mac, "a unicast MAC such as 02:00:00:00:00:01");
  return carry_out(deps, change);
}

}  // namespace

std::vector<ControlCommand> network_commands(const NetworkCommandDeps& deps) {
  using Change = Json (*)(const NetworkCommandDeps&, Kind, const Json&);
  const auto command = [&](std::string_view name, Change change, Kind kind) -> ControlCommand {
    return {name,
            [deps, change, kind](const Json& request) { return change(deps, kind, request); }};
  };
  return {command("addr.add", change_address, Kind::kAddAddress),
          command("addr.del", change_address, Kind::kRemoveAddress),
          command("route.add", change_route, Kind::kAddRoute),
          command("route.del", change_route, Kind::kRemoveRoute),
          command("neigh.add", change_neighbor, Kind::kPinNeighbor),
          command("neigh.del", change_neighbor, Kind::kForgetNeighbor)};
}

}  // namespace sluice::runtime
