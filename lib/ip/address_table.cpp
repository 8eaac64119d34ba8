#include "ip/address_table.hpp"

#include <algorithm>
#include <bit>

namespace sluice::ip {
namespace {

/// The bits that are all ones, or the all-zeros of old systems (RFC 1122 3.3.6), in a broadcast
/// address. Prefixes of 31 and 32 bits have none (RFC 3021).
std::uint32_t broadcast_mask(unsigned prefix_length) {
  return prefix_length == 0 || prefix_length > 30 ? 0 : 0xffffffffu >> prefix_length;
}

}  // namespace

bool may_be_host(const Prefix& prefix) {
  const std::uint32_t mask = broadcast_mask(prefix.length);
  const std::uint32_t host = prefix.address.v4().value & mask;
  return !is_special(prefix.address.v4()) && (mask == 0 || (host != mask && host != 0));
}

AddressTable::AddressTable(std::span<AddressRecord> records)
    : records_(records), own4_(std::bit_ceil(std::max<std::size_t>(2 * records.size(), 4))) {
  shift_ = 32u - static_cast<unsigned>(std::countr_zero(own4_.size()));
  subnets4_.reserve(records.size());
}

void AddressTable::store(std::size_t index, const AddressRecord& record) {
  AddressRecord& at = records_[index];
  at.version.begin_write();
  overwrite_record(at, record);
  at.version.end_write();
}

AddressTable::AddResult AddressTable::add(std::uint8_t interface, const Prefix& prefix,
                                          std::size_t place) {
  if (is_ours(prefix.address)) return AddResult::kDuplicate;
  if (size_ == records_.size()) return AddResult::kFull;
  std::size_t at = size_++;
  for (; at > place; --at) store(at, records_[at - 1]);
  AddressRecord record{};
  record.in_use = 1;
  record.interface = interface;
  record.prefix_length = prefix.length;
  record.address = prefix.address;
  store(at, record);
  rebuild();
  return AddResult::kAdded;
}

std::size_t AddressTable::place_of(std::uint8_t interface, const IpAddr& address) const {
  for (std::size_t i = 0; i < size_; ++i)
    if (records_[i].interface == interface && records_[i].address == address) return i;
  return kNone;
}

bool AddressTable::remove(std::uint8_t interface, const IpAddr& address) {
  const std::size_t place = place_of(interface, address);
  if (place == kNone) return false;
  // The order of the others decides about source addresses: it stays.
  for (std::size_t i = place; i < size_; ++i)
    store(i, i + 1 < size_ ? records_[i + 1] : AddressRecord{});
  --size_;
  rebuild();
  return true;
}

void AddressTable::rebuild() {
  ++generation_;
  std::fill(own4_.begin(), own4_.end(), Own4{});
  subnets4_.clear();
  for (std::size_t place = 0; place < size_; ++place) {
    const AddressRecord& record = records_[place];
    if (!record.address.is_v4()) continue;
    const std::uint32_t address = record.address.v4().value;
    std::uint32_t at = slot_of(address);
    while (own4_[at].address != 0) at = (at + 1) & (static_cast<std::uint32_t>(own4_.size()) - 1);
    own4_[at] = {address, record.interface, static_cast<std::uint32_t>(place)};
    add_subnet(record);
  }
}

void AddressTable::add_subnet(const AddressRecord& record) {
  const std::uint32_t host_mask = broadcast_mask(record.prefix_length);
  if (host_mask == 0) return;
  const Subnet4 subnet{record.address.v4().value & ~host_mask, host_mask, record.interface};
  for (const Subnet4& other : subnets4_)
    if (other.network == subnet.network && other.host_mask == host_mask &&
        other.interface == subnet.interface)
      return;
  subnets4_.push_back(subnet);
}

AddressKind AddressTable::classify_special(Ipv4Addr address) {
  if (address.is_broadcast()) return AddressKind::kLimitedBroadcast;
  return address.is_multicast() ? AddressKind::kMulticast : AddressKind::kMartian;
}

const AddressRecord* AddressTable::find6(const IpAddr& address) const {
  for (const AddressRecord& record : addresses())
    if (record.address == address) return &record;
  return nullptr;
}

const AddressRecord* AddressTable::source_for(std::uint8_t interface,
                                              const IpAddr& next_hop) const {
  const AddressRecord* best = nullptr;
  bool best_holds = false;
  for (const AddressRecord& record : addresses()) {
    if (record.interface != interface || record.address.is_v4() != next_hop.is_v4()) continue;
    const bool holds = Prefix{record.address, record.prefix_length}.contains(next_hop);
    const bool is_better =
        best == nullptr || (holds && (!best_holds || record.prefix_length > best->prefix_length));
    if (!is_better) continue;
    best = &record;
    best_holds = holds;
  }
  return best;
}

}  // namespace sluice::ip
