// The operator's changes to a worker's addresses, routes and neighbours. Everything that remembers
// a way (PathHint, known paths, ways to gateways) goes by the tables' generations, which they move.

#include "stack/network_change.hpp"

#include "base/assert.hpp"
#include "stack/network.hpp"

namespace sluice::stack {

using Kind = NetworkChange::Kind;

namespace {

ip::Route route_of(const NetworkChange& change) {
  return {.destination = change.prefix,
          .gateway = change.gateway,
          .interface = change.interface,
          .transport_hint = change.transport_hint};
}

/// The same network: host bits apart.
bool is_same_network(const ip::RouteRecord& record, const Prefix& prefix) {
  return record.prefix_length == prefix.length &&
         record.destination.is_v4() == prefix.address.is_v4() &&
         prefix.contains(record.destination);
}

/// The interface whose subnet holds `address`, by the longest prefix.
std::uint8_t interface_towards(const IpAddr& address, const ip::AddressTable& addresses) {
  const ip::AddressRecord* best = nullptr;
  for (const ip::AddressRecord& own : addresses.addresses())
    if (Prefix{own.address, own.prefix_length}.contains(address) &&
        (best == nullptr || own.prefix_length > best->prefix_length))
      best = &own;
  return best == nullptr ? NetworkChange::kAnyInterface : best->interface;
}

}  // namespace

bool is_other_host(const IpAddr& address, const ip::AddressTable& addresses,
                   std::uint8_t interface) {
  return address.is_v4() &&
         addresses.classify(interface, address.v4()) == ip::AddressKind::kUnicast;
}

Result<void, ChangeError> add_route(const ip::Route& route, const ip::AddressTable& addresses,
                                    ip::RouteTable& routes) {
  if (!route.gateway.is_unspecified() &&
      (interface_towards(route.gateway, addresses) != route.interface ||
       !is_other_host(route.gateway, addresses, route.interface)))
    return fail(ChangeError::kBadGateway);
  for (const ip::RouteRecord& record : routes.routes())
    if (record.interface == route.interface && is_same_network(record, route.destination))
      return fail(ChangeError::kExists);
  if (routes.add(route) != ip::RouteTable::AddResult::kAdded) return fail(ChangeError::kFull);
  return {};
}

Result<void, ChangeError> Network::change(const NetworkChange& wanted, ChangeUndo& undo,
                                          link::NeighborSink& sink, Instant now) {
  NetworkChange change = wanted;
  if (const auto found = find_interface(change); !found) return found;
  undo = {};
  undo.change = change;
  switch (change.kind) {
    case Kind::kAddAddress:
      return add_address(change, undo);
    case Kind::kRemoveAddress:
      return remove_address(change, undo);
    case Kind::kAddRoute:
      return add_route(route_of(change), addresses_, routes_);
    case Kind::kRemoveRoute:
      return remove_route(change, undo);
    case Kind::kPinNeighbor:
      return pin_neighbor(change, sink, now);
    case Kind::kForgetNeighbor:
      return forget_neighbor(change, undo, sink, now);
  }
  return fail(ChangeError::kNoSuch);
}

void Network::revert(const ChangeUndo& undo, link::NeighborSink& sink, Instant now) {
  const NetworkChange& change = undo.change;
  const link::NeighborKey neighbor{change.interface, change.prefix.address};
  switch (change.kind) {
    case Kind::kAddAddress:
      addresses_.remove(change.interface, change.prefix.address);
      if (undo.made_route) routes_.remove(connected_route(change.interface, change.prefix));
      list_prefixes(change.interface);
      break;
    case Kind::kRemoveAddress: {
      const auto added = addresses_.add(change.interface, change.prefix, undo.place);
      SLUICE_ASSERT(added == ip::AddressTable::AddResult::kAdded);
      list_prefixes(change.interface);
      if (undo.had_route) routes_.put_back(undo.route_place, undo.route);
      break;
    }
    case Kind::kAddRoute:
      routes_.remove(route_of(change));
      break;
    case Kind::kRemoveRoute:
      routes_.put_back(undo.route_place, undo.route);
      break;
    case Kind::kPinNeighbor:
      neighbors_.remove(neighbor, sink, now);
      break;
    case Kind::kForgetNeighbor:
      if (!change.mac.is_zero())
        static_cast<void>(neighbors_.add_static(neighbor, change.mac, sink, now));
      break;
  }
}

Result<void, ChangeError> Network::find_interface(NetworkChange& change) const {
  if (change.interface == NetworkChange::kAnyInterface) {
    const bool is_neighbor =
        change.kind == Kind::kPinNeighbor || change.kind == Kind::kForgetNeighbor;
    if (is_neighbor)
      change.interface = interface_towards(change.prefix.address, addresses_);
    else if (change.kind == Kind::kAddRoute && !change.gateway.is_unspecified())
      change.interface = interface_towards(change.gateway, addresses_);
  }
  const bool is_removal = change.kind == Kind::kRemoveRoute || change.kind == Kind::kRemoveAddress;
  if (change.interface == NetworkChange::kAnyInterface && !is_removal && interfaces_.size() == 1)
    change.interface = 0;
  const bool is_open = change.interface == NetworkChange::kAnyInterface && is_removal;
  if (!is_open && change.interface >= interfaces_.size()) return fail(ChangeError::kNoInterface);
  return {};
}

void Network::list_prefixes(std::uint8_t interface) {
  std::vector<Prefix>& prefixes = interfaces_[interface].prefixes;
  prefixes.clear();
  for (const ip::AddressRecord& own : addresses_.addresses())
    if (own.interface == interface) prefixes.push_back({own.address, own.prefix_length});
}

Result<void, ChangeError> Network::add_address(const NetworkChange& change, ChangeUndo& undo) {
  switch (addresses_.add(change.interface, change.prefix)) {
    case ip::AddressTable::AddResult::kDuplicate:
      return fail(ChangeError::kExists);
    case ip::AddressTable::AddResult::kFull:
      return fail(ChangeError::kFull);
    case ip::AddressTable::AddResult::kAdded:
      break;
  }
  if (!is_host(change.prefix)) {
    const auto added = routes_.add(connected_route(change.interface, change.prefix));
    if (added == ip::RouteTable::AddResult::kFull) {
      addresses_.remove(change.interface, change.prefix.address);
      return fail(ChangeError::kFull);
    }
    undo.made_route = added == ip::RouteTable::AddResult::kAdded;
  }
  list_prefixes(change.interface);
  return {};
}

Result<void, ChangeError> Network::remove_address(const NetworkChange& wanted, ChangeUndo& undo) {
  const ip::AddressRecord* const own = addresses_.find(wanted.prefix.address);
  if (own == nullptr || own->prefix_length != wanted.prefix.length ||
      (wanted.interface != NetworkChange::kAnyInterface && own->interface != wanted.interface))
    return fail(ChangeError::kNoSuch);
  NetworkChange& change = undo.change;
  change.interface = own->interface;
  undo.place = addresses_.place_of(change.interface, change.prefix.address);
  addresses_.remove(change.interface, change.prefix.address);
  list_prefixes(change.interface);
  // The subnet's route goes with the last address that lies there.
  for (const Prefix& other : interfaces_[change.interface].prefixes)
    if (other.length == change.prefix.length && change.prefix.contains(other.address)) return {};
  const std::span<const ip::RouteRecord> routes = routes_.routes();
  for (std::size_t i = 0; i < routes.size(); ++i) {
    if (!routes[i].is_connected || routes[i].interface != change.interface ||
        !is_same_network(routes[i], change.prefix))
      continue;
    undo.had_route = true;
    undo.route_place = i;
    undo.route = routes[i];
    routes_.remove_at(i);
    break;
  }
  return {};
}

Result<void, ChangeError> Network::remove_route(const NetworkChange& wanted, ChangeUndo& undo) {
  const std::span<const ip::RouteRecord> routes = routes_.routes();
  for (std::size_t i = 0; i < routes.size(); ++i) {
    const bool is_wanted =
        is_same_network(routes[i], wanted.prefix) &&
        (wanted.gateway.is_unspecified() || routes[i].gateway == wanted.gateway) &&
        (wanted.interface == NetworkChange::kAnyInterface ||
         routes[i].interface == wanted.interface);
    if (!is_wanted) continue;
    undo.route_place = i;
    undo.route = routes[i];
    routes_.remove_at(i);
    return {};
  }
  return fail(ChangeError::kNoSuch);
}

Result<void, ChangeError> Network::pin_neighbor(const NetworkChange& change,
                                                link::NeighborSink& sink, Instant now) {
  const IpAddr& address = change.prefix.address;
  if (!is_other_host(address, addresses_, change.interface)) return fail(ChangeError::kBadNeighbor);
  const link::NeighborKey key{change.interface, address};
  const link::NeighborRecord* const record = neighbors_.find(key);
  if (record != nullptr && record->state == link::NeighborState::kStatic)
    return fail(ChangeError::kExists);
  if (!neighbors_.add_static(key, change.mac, sink, now)) return fail(ChangeError::kFull);
  return {};
}

Result<void, ChangeError> Network::forget_neighbor(const NetworkChange& change, ChangeUndo& undo,
                                                   link::NeighborSink& sink, Instant now) {
  const link::NeighborKey key{change.interface, change.prefix.address};
  const link::NeighborRecord* const record = neighbors_.find(key);
  if (record == nullptr) return fail(ChangeError::kNoSuch);
  undo.change.mac = record->state == link::NeighborState::kStatic ? record->mac : MacAddr{};
  neighbors_.remove(key, sink, now);
  return {};
}

}  // namespace sluice::stack
