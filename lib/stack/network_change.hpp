#pragma once

// What an operator may change of a running worker's addresses, routes and neighbours, and what
// takes it back when another worker could not follow.

#include <cstddef>
#include <cstdint>

#include "base/address.hpp"
#include "base/result.hpp"
#include "ip/address_table.hpp"
#include "ip/route_table.hpp"

namespace sluice::stack {

struct NetworkChange {
  enum class Kind : std::uint8_t {
    kAddAddress,
    kRemoveAddress,
    kAddRoute,
    kRemoveRoute,
    kPinNeighbor,
    kForgetNeighbor,
  };
  /// The one in whose subnet gateway or neighbour lie, else the only one that there is.
  static constexpr std::uint8_t kAnyInterface = 0xff;

  Kind kind = Kind::kAddAddress;
  std::uint8_t interface = kAnyInterface;
  Prefix prefix =
      {};  ///< Our address with its length; a route's destination; a neighbour's address.
  IpAddr gateway = {};  ///< Of a route; unspecified: on-link, or (kRemoveRoute) whatever it is.
  MacAddr mac = {};     ///< kPinNeighbor.
  std::uint8_t transport_hint = ip::kNoHint;  ///< kAddRoute.
};

/// A prefix of one address: it has no subnet and brings no route along.
inline bool is_host(const Prefix& prefix) {
  return prefix.length == (prefix.address.is_v4() ? 32 : 128);
}

/// The route to its subnet that an address brings along, unless is_host().
inline ip::Route connected_route(std::uint8_t interface, const Prefix& address) {
  return {.destination = address, .gateway = {}, .interface = interface, .is_connected = true};
}

/// Why a change was refused.
enum class ChangeError : std::uint8_t {
  kExists,       ///< The address, a route to that prefix, or a pinned entry.
  kNoSuch,       ///< Nothing to remove.
  kFull,         ///< The table.
  kNoInterface,  ///< None has that number, or several are there and none was named.
  kBadGateway,   ///< No other host in a subnet of the interface.
  kBadNeighbor,  ///< An address of ours, a broadcast or multicast address, or none at all.
};

// The rules for what an operator wants, at the start as while the server runs:

/// Whether `address` can be another host's, seen from `interface`.
bool is_other_host(const IpAddr& address, const ip::AddressTable& addresses,
                   std::uint8_t interface);
/// kBadGateway, kExists or kFull, and nothing has changed.
Result<void, ChangeError> add_route(const ip::Route& route, const ip::AddressTable& addresses,
                                    ip::RouteTable& routes);

/// What Network::change() leaves for Network::revert().
struct ChangeUndo {
  NetworkChange change;         ///< With its interface; of a neighbour with the MAC it had.
  std::size_t place = 0;        ///< Of the address that was removed.
  bool made_route = false;      ///< The new address brought its subnet's route along.
  bool had_route = false;       ///< `route` was removed, ...
  std::size_t route_place = 0;  ///< ... from here.
  ip::RouteRecord route{};
};

}  // namespace sluice::stack
