#include "stack/network.hpp"

#include <algorithm>
#include <cstring>

#include "base/assert.hpp"

namespace sluice::stack {
namespace {

using telemetry::SectionKind;

constexpr std::uint32_t kSpareAddresses =
    16;  ///< Beside the configured ones, for the operator to add.

std::uint32_t neighbor_count(const StackConfig& config) {
  return std::clamp(config.max_neighbors, 1u, link::NeighborTable::kMaxRecords);
}
std::uint32_t route_count(const StackConfig& config) {
  return std::max(config.max_routes, 1u);
}
std::uint32_t address_count(const StackConfig& config) {
  std::size_t count = 0;
  for (const InterfaceConfig& interface : config.interfaces) count += interface.addresses.size();
  return static_cast<std::uint32_t>(count) + kSpareAddresses;
}

HashKey make_key(Rng& rng) {
  HashKey key;
  const std::uint64_t words[2] = {rng.next(), rng.next()};
  std::memcpy(key.octets.data(), words, sizeof words);
  return key;
}

/// Static entries are added before anything can wait for them.
class NoSink final : public link::NeighborSink {
  void on_solicit(const link::NeighborRecord&, const MacAddr&, Instant) override {}
  void on_resolved(const link::NeighborRecord&, link::WaitingPacket, Instant) override {}
  void on_unreachable(const link::NeighborRecord&, link::WaitingPacket, Instant) override {}
};

}  // namespace

link::NeighborTable::Options neighbor_options(const StackConfig& config) {
  link::NeighborTable::Options options;
  options.reachable = config.neighbor_reachable;
  options.stale = config.neighbor_reachable * 10;
  options.retry = config.neighbor_retry;
  options.probes = config.neighbor_probes;
  options.queue_packets = config.neighbor_queue_packets;
  options.pending_total = config.neighbor_pending_total;
  return options;
}

void Network::plan(const StackConfig& config, unsigned worker,
                   std::vector<telemetry::SectionPlan>& plan) {
  plan.push_back(
      {SectionKind::kNeighbors, worker, sizeof(link::NeighborRecord), neighbor_count(config)});
  plan.push_back({SectionKind::kNeighborAlarms, worker, sizeof(link::NeighborAlarmRecord),
                  link::kNeighborAlarms});
  plan.push_back({SectionKind::kRoutes, worker, sizeof(ip::RouteRecord), route_count(config)});
  plan.push_back(
      {SectionKind::kAddresses, worker, sizeof(ip::AddressRecord), address_count(config)});
}

Network::Network(const StackConfig& config, telemetry::StateRegion& region, unsigned worker,
                 Rng& rng, Instant now)
    : interfaces_(config.interfaces.size()),
      addresses_(region.section<ip::AddressRecord>(SectionKind::kAddresses, worker)),
      routes_(region.section<ip::RouteRecord>(SectionKind::kRoutes, worker)),
      known_paths_(routes_.capacity()),
      neighbors_(region.section<link::NeighborRecord>(SectionKind::kNeighbors, worker),
                 neighbor_options(config), make_key(rng), now),
      neighbor_alarms_(
          region.section<link::NeighborAlarmRecord>(SectionKind::kNeighborAlarms, worker)) {
  SLUICE_ASSERT(config.interfaces.size() < 256);
  NoSink sink;
  for (std::size_t i = 0; i < config.interfaces.size(); ++i) {
    const auto index = static_cast<std::uint8_t>(i);
    const InterfaceConfig& interface = config.interfaces[i];
    interfaces_[i].prefixes.reserve(address_count(config));  // as many as there can ever be
    for (const Prefix& prefix : interface.addresses) {
      const auto added = addresses_.add(index, prefix);
      SLUICE_ASSERT(added == ip::AddressTable::AddResult::kAdded);
      if (is_host(prefix)) continue;
      const auto connected = routes_.add(connected_route(index, prefix));
      SLUICE_ASSERT(connected != ip::RouteTable::AddResult::kFull);
    }
    list_prefixes(index);
    for (const RouteConfig& route : interface.routes) {
      const auto added = routes_.add(
          {.destination = route.destination,
           .gateway = route.gateway,
           .interface = index,
           .transport_hint =
               route.congestion ? static_cast<std::uint8_t>(*route.congestion) : ip::kNoHint});
      SLUICE_ASSERT(added != ip::RouteTable::AddResult::kFull);
    }
    for (const StaticNeighbor& neighbor : interface.neighbors) {
      const bool added = neighbors_.add_static({index, neighbor.address}, neighbor.mac, sink, now);
      SLUICE_ASSERT(added);
    }
  }
}

unsigned Network::attach(const packet::PortCapabilities& capabilities, const MacAddr& mac,
                         unsigned interface_index) {
  SLUICE_ASSERT(interface_index < interfaces_.size() && ports_.size() < 0xffff);
  const auto number = static_cast<std::uint16_t>(ports_.size());
  ++port_generation_;
  ports_.push_back({capabilities, mac, static_cast<std::uint8_t>(interface_index)});
  Interface& interface = interfaces_[interface_index];
  interface.ports.push_back(number);
  if (std::find(interface.macs.begin(), interface.macs.end(), mac) == interface.macs.end())
    interface.macs.push_back(mac);
  return number;
}

bool Network::find_route(const IpAddr& source, const IpAddr& destination,
                         ip::NextHop& next_hop) const {
  const ip::AddressRecord* const own = addresses_.find(source);
  //= rfc1122#3.2.1.3 MUST  an address may have been taken from us while connections have it
  if (own == nullptr && !source.is_unspecified()) return false;
  const bool is_found = own == nullptr ? routes_.lookup(destination, next_hop)
                                       : routes_.lookup(destination, own->interface, next_hop);
  if (!is_found || interfaces_[next_hop.interface].ports.empty()) return false;
  //= rfc9293#3.9.1.1 MUST-46
  return !destination.is_v4() ||
         addresses_.classify(next_hop.interface, destination.v4()) == ip::AddressKind::kUnicast;
}

Result<tcp::PathInfo, tcp::PathError> Network::path_to(const IpAddr& destination,
                                                       const IpAddr& preferred_source) const {
  if (const tcp::PathInfo* const known = known_path(destination, preferred_source)) {
    tcp::PathInfo path = *known;
    path.source = preferred_source;
    return path;
  }
  const bool has_preference = !preferred_source.is_unspecified();
  if (has_preference && !addresses_.is_ours(preferred_source))
    return fail(tcp::PathError::kNoAddress);
  ip::NextHop next_hop;
  if (!find_route(preferred_source, destination, next_hop)) return fail(tcp::PathError::kNoRoute);

  tcp::PathInfo path;
  path.source = preferred_source;
  //= rfc9293#3.9.1.1 MUST-44
  if (!has_preference) {
    const ip::AddressRecord* const own =
        addresses_.source_for(next_hop.interface, next_hop.address);
    if (own == nullptr) return fail(tcp::PathError::kNoAddress);
    path.source = own->address;
  }
  //= rfc9293#3.7.1 MUST-67  what a frame holds; more could be received, but only in fragments
  path.mtu = 0xffff;
  for (const std::uint16_t port : interfaces_[next_hop.interface].ports)
    path.mtu = std::min(path.mtu, ports_[port].capabilities.mtu);
  if (next_hop.transport_hint != ip::kNoHint)
    path.congestion = static_cast<tcp::Algorithm>(next_hop.transport_hint);
  if (has_preference && destination.is_v4())
    known_paths_[next_hop.route] = {way_generation(),
                                    addresses_.interface_of(preferred_source.v4()), path};
  return path;
}

/// What path_to() said of the last way by this route from this interface: nearly always the same
/// way is asked for again.
const tcp::PathInfo* Network::known_path(const IpAddr& destination, const IpAddr& source) const {
  if (!source.is_v4() || !destination.is_v4()) return nullptr;
  const std::uint32_t own = addresses_.interface_of(source.v4());
  if (own == ip::AddressTable::kNoInterface) return nullptr;
  const std::size_t route = routes_.find(destination.v4(), static_cast<std::uint8_t>(own));
  if (route == ip::RouteTable::kNone) return nullptr;
  const KnownPath& known = known_paths_[route];
  const std::uint8_t interface = routes_.interface_of(route);
  const bool stands = known.generation == way_generation() && known.interface == own &&
                      addresses_.classify(interface, destination.v4()) == ip::AddressKind::kUnicast;
  return stands ? &known.path : nullptr;
}

}  // namespace sluice::stack
