#include "ip/route_table.hpp"

#include <array>

#include "base/assert.hpp"

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

}  // namespace

RouteTable::RouteTable(std::span<RouteRecord> records) : records_(records) {
  SLUICE_ASSERT(records.size() <= kMaxRecords);
  match4_.reserve(records.size());
}

void RouteTable::store(std::size_t index, const RouteRecord& record) {
  RouteRecord& at = records_[index];
  at.version.begin_write();
  overwrite_record(at, record);
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
  rebuild();
  return AddResult::kAdded;
}

bool RouteTable::remove(const Route& route) {
  const IpAddr network = network_of(route.destination);
  for (std::size_t i = 0; i < size_; ++i) {
    if (!is_same(records_[i], route, network)) continue;
    remove_at(i);
    return true;
  }
  return false;
}

void RouteTable::remove_at(std::size_t index) {
  SLUICE_ASSERT(index < size_);
  for (std::size_t i = index; i < size_; ++i)
    store(i, i + 1 < size_ ? records_[i + 1] : RouteRecord{});
  --size_;
  rebuild();
}

void RouteTable::put_back(std::size_t index, const RouteRecord& record) {
  SLUICE_ASSERT(index <= size_ && size_ < records_.size());
  for (std::size_t i = size_; i > index; --i) store(i, records_[i - 1]);
  store(index, record);
  ++size_;
  rebuild();
}

void RouteTable::rebuild() {
  ++generation_;
  match4_.clear();
  for (const RouteRecord& record : routes()) {
    const bool is_v4 = record.destination.is_v4();
    const std::uint32_t mask =
        !is_v4 || record.prefix_length == 0 ? 0 : 0xffffffffu << (32 - record.prefix_length);
    match4_.push_back({.network = is_v4 ? record.destination.v4().value & mask : 1,
                       .mask = mask,
                       .interface = record.interface,
                       .is_gateway = !record.gateway.is_unspecified()});
  }
}

bool RouteTable::lookup(const IpAddr& destination, NextHop& next_hop) const {
  constexpr std::uint8_t kAny = 0xff;  // no interface has this number
  return lookup(destination, kAny, next_hop);
}

bool RouteTable::lookup(const IpAddr& destination, std::uint8_t interface,
                        NextHop& next_hop) const {
  const std::size_t at =
      destination.is_v4() ? find(destination.v4(), interface) : find6(destination, interface);
  if (at == kNone) return false;
  next_hop = next_hop_of(at, destination);
  return true;
}

std::size_t RouteTable::find6(const IpAddr& destination, std::uint8_t interface) const {
  std::size_t first = kNone;
  for (std::size_t i = 0; i < size_; ++i) {
    if (first != kNone && records_[i].prefix_length < records_[first].prefix_length) break;
    if (!Prefix{records_[i].destination, records_[i].prefix_length}.contains(destination)) continue;
    if (records_[i].interface == interface) return i;
    if (first == kNone) first = i;
  }
  return first;
}

}  // namespace sluice::ip
