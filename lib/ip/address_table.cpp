#include "ip/address_table.hpp"

namespace sluice::ip {
namespace {

/// The bits that are all ones, or the all-zeros of old systems (RFC 1122 3.3.6), in a broadcast
/// address. Prefixes of 31 and 32 bits have none (RFC 3021).
std::uint32_t broadcast_mask(unsigned prefix_length) {
  return prefix_length == 0 || prefix_length > 30 ? 0 : 0xffffffffu >> prefix_length;
}

}  // namespace

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
  own4_.clear();
  for (const AddressRecord& record : addresses())
    own4_.push_back(record.address.is_v4()
                        ? Own4{record.address.v4().value, broadcast_mask(record.prefix_length),
                               record.interface}
                        : Own4{0, 0, record.interface});
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
