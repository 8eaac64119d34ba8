#pragma once

// The addresses of our interfaces, and what a destination or source address means to us.

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "base/address.hpp"
#include "base/seqlock.hpp"

namespace sluice::ip {

/// An address of ours as it lies in the state region.
struct AddressRecord {
  SeqVersion version;
  std::uint8_t in_use;
  std::uint8_t interface;
  std::uint8_t prefix_length;
  std::uint8_t reserved;
  IpAddr address;
};
static_assert(std::is_trivially_copyable_v<AddressRecord> && sizeof(AddressRecord) == 24);

/// What an IPv4 address is, seen from an interface.
enum class AddressKind : std::uint8_t {
  kOurs,              ///< An address of this interface.
  kOtherInterface,    ///< An address of another interface of ours.
  kSubnetBroadcast,   ///< All-ones or all-zero host part in a subnet of the interface.
  kLimitedBroadcast,  ///< 255.255.255.255
  kMulticast,         ///< 224.0.0.0/4
  kMartian,           ///< 0.0.0.0/8, 127.0.0.0/8, 240.0.0.0/4: no packet on a network has it.
  kUnicast,           ///< Some other host.
};

/// Multicast, limited broadcast or martian: no host has it, whatever its subnet.
constexpr bool is_special(Ipv4Addr address) {
  return address.value >> 28 >= 0xe || address.value >> 24 == 0 || address.is_loopback();
}
/// Whether a host may have the IPv4 address in its subnet, of which a length of 31 or 32 takes
/// nothing away.
bool may_be_host(const Prefix& prefix);

/// Bounded list. One writer.
class AddressTable {
 public:
  explicit AddressTable(std::span<AddressRecord> records);

  enum class AddResult : std::uint8_t { kAdded, kDuplicate, kFull };
  static constexpr std::size_t kNone = ~std::size_t{0};
  /// Behind the others, or in front of the one that is at `place`.
  [[nodiscard]] AddResult add(std::uint8_t interface, const Prefix& prefix,
                              std::size_t place = kNone);
  /// Which of addresses() it is; kNone: not one of the interface.
  std::size_t place_of(std::uint8_t interface, const IpAddr& address) const;
  bool remove(std::uint8_t interface, const IpAddr& address);

  /// A few cycles, and a few more for each subnet of ours.
  AddressKind classify(std::uint8_t interface, Ipv4Addr address) const {
    const std::uint32_t value = address.value;
    if (is_special(address)) return classify_special(address);
    if (const Own4& own = own4(value); own.address != 0)
      return own.interface == interface ? AddressKind::kOurs : AddressKind::kOtherInterface;
    for (const Subnet4& subnet : subnets4_) {
      // In it, and all ones or all zeros there.
      const std::uint32_t differs = subnet.network ^ value, host = value & subnet.host_mask;
      if ((differs & ~subnet.host_mask) == 0 && (host == subnet.host_mask || host == 0) &&
          subnet.interface == interface)
        return AddressKind::kSubnetBroadcast;
    }
    return AddressKind::kUnicast;
  }
  bool is_ours(const IpAddr& address) const { return find(address) != nullptr; }
  /// The record of an address of ours, or null.
  const AddressRecord* find(const IpAddr& address) const {
    if (!address.is_v4()) return find6(address);
    const Own4& own = own4(address.v4().value);
    return own.address != 0 ? &records_[own.place] : nullptr;
  }
  /// The interface of an IPv4 address of ours; kNoInterface if it is none.
  static constexpr std::uint32_t kNoInterface = 0xffffffffu;
  std::uint32_t interface_of(Ipv4Addr address) const {
    const Own4& own = own4(address.value);
    return own.address != 0 ? own.interface : kNoInterface;
  }
  /// The address of ours to use towards `next_hop`: one whose prefix holds it (the longest), else
  /// the interface's first of that family. Null: the interface has none.
  const AddressRecord* source_for(std::uint8_t interface, const IpAddr& next_hop) const;

  std::uint32_t generation() const { return generation_; }  ///< Counts changes.
  std::span<const AddressRecord> addresses() const { return records_.first(size_); }

 private:
  /// What every packet asks of a record: a slot of a hash table with open addressing.
  struct Own4 {
    std::uint32_t address;  ///< 0: a free slot.
    std::uint32_t interface;
    std::uint32_t place;  ///< In records_.
  };
  /// One whose broadcast addresses there are.
  struct Subnet4 {
    std::uint32_t network;
    std::uint32_t host_mask;
    std::uint32_t interface;
  };
  std::uint32_t slot_of(std::uint32_t address) const { return address * 0x9e3779b1u >> shift_; }
  /// The slot of the address, or a free one. 0 finds none.
  const Own4& own4(std::uint32_t address) const {
    std::uint32_t at = slot_of(address);
    while (own4_[at].address != address && own4_[at].address != 0)
      at = (at + 1) & (static_cast<std::uint32_t>(own4_.size()) - 1);
    return own4_[at];
  }
  void store(std::size_t index, const AddressRecord& record);
  void rebuild();
  void add_subnet(const AddressRecord& record);
  static AddressKind classify_special(Ipv4Addr address);
  const AddressRecord* find6(const IpAddr& address) const;

  std::span<AddressRecord> records_;
  std::vector<Own4> own4_;  ///< A power of two, at most half full.
  std::vector<Subnet4> subnets4_;
  unsigned shift_ = 0;  ///< 32 less the bits of a slot.
  std::size_t size_ = 0;
  std::uint32_t generation_ = 0;
};

}  // namespace sluice::ip
