#include "ip/route_table.hpp"

#include <array>

namespace sluice::ip {
namespace {

/// `prefix` with its host bits zero.
IpAddr network_of(const Prefix& prefix) {
  std::array<std::uint8_t, 16> octets = prefix.address.octets();
  const unsigned bits = prefix.address.is_v4() ? 96u + prefix.length : prefix.length;
  for (unsigned i = 0; i < octets.size(); ++i) {
    const unsigned kept = bits <= 8 * i ? 0 : bits - 8 * i;
    if (kept < 8) octets[i] = static_cast<std::uint8_t>(octets[i] & (0xff00u >> kept));
  }
  return IpAddr::from_v6_octets(octets);
}

bool is_same(const RouteRecord& record, const Route& route, const IpAddr& network) {
  return record.interface == route.interface && record.prefix_length == route.destination.length &&
         record.destination == network && record.gateway == route.gateway;
}

bool matches(const RouteRecord& record, const IpAddr& destination) {
  return Prefix{record.destination, record.prefix_length}.contains(destination);
}

}  // namespace

RouteTable::RouteTable(std::span<RouteRecord> records) : records_(records) {}

void RouteTable::store(std::size_t index, const RouteRecord& record) {
  RouteRecord& at = records_[index];
  at.version.begin_write();
  const SeqVersion version = at.version;
  at = record;
  at.version = version;
  at.version.end_write();
}

RouteTable::AddResult RouteTable::add(const Route& route) {
  const IpAddr network = network_of(route.destination);
  for (const RouteRecord& record : routes())
    if (is_same(record, route, network)) return AddResult::kDuplicate;
  if (size_ == records_.size()) return AddResult::kFull;
  std::size_t at = size_;
  while (at > 0 && records_[at - 1].prefix_length < route.destination.length) {
    store(at, records_[at - 1]);
    --at;
  }
  RouteRecord record{};
  record.in_use = 1;
  record.interface = route.interface;
  record.is_connected = route.is_connected ? 1 : 0;
  record.prefix_length = route.destination.length;
  record.destination = network;
  record.gateway = route.gateway;
  record.transport_hint = route.transport_hint;
  store(at, record);
  ++size_;
  ++generation_;
  return AddResult::kAdded;
}

bool RouteTable::remove(const Route& route) {
  const IpAddr network = network_of(route.destination);
  for (std::size_t i = 0; i < size_; ++i) {
    if (!is_same(records_[i], route, network)) continue;
    for (std::size_t j = i; j < size_; ++j)
      store(j, j + 1 < size_ ? records_[j + 1] : RouteRecord{});
    --size_;
    ++generation_;
    return true;
  }
  return false;
}

NextHop RouteTable::next_hop_of(const RouteRecord& record, const IpAddr& destination) {
  return {record.gateway.is_unspecified() ? destination : record.gateway, record.interface,
          static_cast<std::uint8_t>(record.transport_hint)};
}

bool RouteTable::lookup(const IpAddr& destination, NextHop& next_hop) const {
  for (const RouteRecord& record : routes()) {
    if (!matches(record, destination)) continue;
    next_hop = next_hop_of(record, destination);
    return true;
  }
  return false;
}

bool RouteTable::lookup(const IpAddr& destination, std::uint8_t interface,
                        NextHop& next_hop) const {
  const RouteRecord* first = nullptr;
  for (const RouteRecord& record : routes()) {
    if (first != nullptr && record.prefix_length < first->prefix_length) break;
    if (!matches(record, destination)) continue;
    if (first == nullptr) first = &record;
    if (record.interface == interface) {
      first = &record;
      break;
    }
  }
  if (first == nullptr) return false;
  next_hop = next_hop_of(*first, destination);
  return true;
}

}  // namespace sluice::ip
