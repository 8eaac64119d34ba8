#include "ip/address_table.hpp"

namespace sluice::ip {
namespace {

/// All-ones, or the all-zeros of old systems (RFC 1122 3.3.6), after the prefix. Prefixes of 31 and
/// 32 bits have no broadcast address (RFC 3021).
bool is_broadcast_in(const AddressRecord& record, Ipv4Addr address) {
  if (!record.address.is_v4() || record.prefix_length > 30) return false;
  if (record.prefix_length == 0) return false;
  const std::uint32_t host_mask = 0xffffffffu >> record.prefix_length;
  if (((address.value ^ record.address.v4().value) & ~host_mask) != 0) return false;
  const std::uint32_t host = address.value & host_mask;
  return host == host_mask || host == 0;
}

}  // namespace

AddressTable::AddResult AddressTable::add(std::uint8_t interface, const Prefix& prefix) {
  if (is_ours(prefix.address)) return AddResult::kDuplicate;
  if (size_ == records_.size()) return AddResult::kFull;
  AddressRecord& record = records_[size_++];
  record.version.begin_write();
  record.in_use = 1;
  record.interface = interface;
  record.prefix_length = prefix.length;
  record.address = prefix.address;
  record.version.end_write();
  ++generation_;
  return AddResult::kAdded;
}

bool AddressTable::remove(std::uint8_t interface, const IpAddr& address) {
  for (std::size_t i = 0; i < size_; ++i) {
    if (records_[i].interface != interface || records_[i].address != address) continue;
    // The order of the others decides about source addresses: it stays.
    for (std::size_t j = i; j < size_; ++j) {
      AddressRecord next = j + 1 < size_ ? records_[j + 1] : AddressRecord{};
      records_[j].version.begin_write();
      next.version = records_[j].version;
      records_[j] = next;
      records_[j].version.end_write();
    }
    --size_;
    ++generation_;
    return true;
  }
  return false;
}

AddressKind AddressTable::classify(std::uint8_t interface, Ipv4Addr address) const {
  if (address.is_broadcast()) return AddressKind::kLimitedBroadcast;
  if (address.is_multicast()) return AddressKind::kMulticast;
  if (address.value >> 24 == 0 || address.is_loopback() || address.value >> 28 == 0xf)
    return AddressKind::kMartian;
  AddressKind kind = AddressKind::kUnicast;
  for (const AddressRecord& record : addresses()) {
    if (record.address == IpAddr(address))
      return record.interface == interface ? AddressKind::kOurs : AddressKind::kOtherInterface;
    if (record.interface == interface && is_broadcast_in(record, address))
      kind = AddressKind::kSubnetBroadcast;
  }
  return kind;
}

const AddressRecord* AddressTable::find(const IpAddr& address) const {
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
