#pragma once

// What ingress and egress share: interfaces, their (port, queue) pairs, addresses, routes and
// neighbours. Also tells the engine the way to a peer.

#include <cstdint>
#include <span>
#include <vector>

#include "base/rng.hpp"
#include "ip/address_table.hpp"
#include "ip/route_table.hpp"
#include "link/neighbor_table.hpp"
#include "packet/port.hpp"
#include "stack/network_change.hpp"
#include "stack/stack.hpp"
#include "tcp/segment.hpp"
#include "telemetry/region.hpp"

namespace sluice::stack {

/// A (port, queue) pair, bound to an interface.
struct PortBinding {
  packet::PortCapabilities capabilities;
  MacAddr mac;
  std::uint8_t interface = 0;
};

/// An interface's ports and IPv4 addresses; the rest lies in the tables.
struct Interface {
  std::vector<std::uint16_t> ports;
  std::vector<MacAddr> macs;     ///< Theirs, each once.
  std::vector<Prefix> prefixes;  ///< Our addresses with their prefix lengths.
};

/// What of `config` is the neighbour table's.
link::NeighborTable::Options neighbor_options(const StackConfig& config);

class Network final : public tcp::PathProvider {
 public:
  /// Appends the sections of neighbours, routes and addresses.
  static void plan(const StackConfig& config, unsigned worker,
                   std::vector<telemetry::SectionPlan>& plan);

  /// Fills the tables from `config`, whose interfaces are numbered in order (at most 255), whose
  /// addresses are distinct. `rng` keys the neighbour table's hash.
  Network(const StackConfig& config, telemetry::StateRegion& region, unsigned worker, Rng& rng,
          Instant now);

  /// Whose flows come here. Null: all. Borrowed; before the first connection.
  void set_home(const tcp::FlowHome* home) { home_ = home; }
  bool is_home(const tcp::FlowKey& flow) const override {
    return home_ == nullptr || home_->is_home(flow);
  }

  /// Binds a pair to an interface; gives the pair's number.
  unsigned attach(const packet::PortCapabilities& capabilities, const MacAddr& mac,
                  unsigned interface_index);

  /// Carries out what the operator asks for, or refuses it and changes nothing. `undo` is for
  /// revert().
  Result<void, ChangeError> change(const NetworkChange& change, ChangeUndo& undo,
                                   link::NeighborSink& sink, Instant now);
  /// Takes the last change back. What was learnt of a neighbour that was pinned or forgotten is
  /// learnt anew.
  void revert(const ChangeUndo& undo, link::NeighborSink& sink, Instant now);

  /// The way to `destination`. kNoAddress: `preferred_source` is not ours, or the interface has no
  /// address of that family.
  Result<tcp::PathInfo, tcp::PathError> path_to(const IpAddr& destination,
                                                const IpAddr& preferred_source) const override;

  /// The next hop of a packet from `source` (unspecified: none chosen yet) to `destination`. False:
  /// no route, none that has a port, a destination that is no other host, or a source that is not
  /// ours (any more).
  [[nodiscard]] bool find_route(const IpAddr& source, const IpAddr& destination,
                                ip::NextHop& next_hop) const;

  /// The same for IPv4, if all packets of the route go to one gateway: its index in routes(), else
  /// RouteTable::kNone. A few cycles.
  std::size_t gateway_route(Ipv4Addr source, Ipv4Addr destination) const {
    const std::uint32_t own = addresses_.interface_of(source);
    if (own == ip::AddressTable::kNoInterface) return ip::RouteTable::kNone;
    const std::size_t route = routes_.find(destination, static_cast<std::uint8_t>(own));
    if (route == ip::RouteTable::kNone || !routes_.has_gateway(route)) return ip::RouteTable::kNone;
    const std::uint8_t interface = routes_.interface_of(route);
    return !interfaces_[interface].ports.empty() &&
                   addresses_.classify(interface, destination) == ip::AddressKind::kUnicast
               ? route
               : ip::RouteTable::kNone;
  }

  std::span<const PortBinding> ports() const { return ports_; }
  const PortBinding& port(unsigned number) const { return ports_[number]; }
  const Interface& interface(unsigned index) const { return interfaces_[index]; }
  std::size_t interface_count() const { return interfaces_.size(); }

  ip::AddressTable& addresses() { return addresses_; }
  ip::RouteTable& routes() { return routes_; }
  link::NeighborTable& neighbors() { return neighbors_; }
  std::span<link::NeighborAlarmRecord> neighbor_alarms() { return neighbor_alarms_; }
  const ip::AddressTable& addresses() const { return addresses_; }
  const ip::RouteTable& routes() const { return routes_; }
  const link::NeighborTable& neighbors() const { return neighbors_; }

  /// Changes whenever a PathHint taken before may mislead. Never 0.
  std::uint32_t path_generation() const {
    return 1 + routes_.generation() + addresses_.generation() + neighbors_.generation_of_slots();
  }

 private:
  Result<void, ChangeError> find_interface(NetworkChange& change) const;
  Result<void, ChangeError> add_address(const NetworkChange& change, ChangeUndo& undo);
  Result<void, ChangeError> remove_address(const NetworkChange& change, ChangeUndo& undo);
  Result<void, ChangeError> remove_route(const NetworkChange& change, ChangeUndo& undo);
  Result<void, ChangeError> pin_neighbor(const NetworkChange& change, link::NeighborSink& sink,
                                         Instant now);
  Result<void, ChangeError> forget_neighbor(const NetworkChange& change, ChangeUndo& undo,
                                            link::NeighborSink& sink, Instant now);
  void list_prefixes(std::uint8_t interface);

  struct KnownPath {
    std::uint32_t generation = 0;  ///< way_generation() when it was found; 0: none.
    std::uint32_t interface = 0;   ///< The source's: all addresses of it have the same way.
    tcp::PathInfo path;            ///< Whatever its source says.
  };
  const tcp::PathInfo* known_path(const IpAddr& destination, const IpAddr& source) const;
  /// Changes whenever path_to() may answer otherwise. Never 0.
  std::uint32_t way_generation() const {
    return 1 + routes_.generation() + addresses_.generation() + port_generation_;
  }

  const tcp::FlowHome* home_ = nullptr;
  std::vector<PortBinding> ports_;
  std::vector<Interface> interfaces_;
  ip::AddressTable addresses_;
  ip::RouteTable routes_;
  mutable std::vector<KnownPath> known_paths_;  ///< By route: a memory of path_to().
  std::uint32_t port_generation_ = 0;
  link::NeighborTable neighbors_;
  std::span<link::NeighborAlarmRecord> neighbor_alarms_;
};

}  // namespace sluice::stack
