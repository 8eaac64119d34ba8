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

/// Bounded list. One writer.
class AddressTable {
 public:
  explicit AddressTable(std::span<AddressRecord> records) : records_(records) {
    own4_.reserve(records.size());
  }

  enum class AddResult : std::uint8_t { kAdded, kDuplicate, kFull };
  static constexpr std::size_t kNone = ~std::size_t{0};
  /// Behind the others, or in front of the one that is at `place`.
  [[nodiscard]] AddResult add(std::uint8_t interface, const Prefix& prefix,
                              std::size_t place = kNone);
  /// Which of addresses() it is; kNone: not one of the interface.
  std::size_t place_of(std::uint8_t interface, const IpAddr& address) const;
  bool remove(std::uint8_t interface, const IpAddr& address);

  /// A few cycles an address of ours.
  AddressKind classify(std::uint8_t interface, Ipv4Addr address) const {
    const std::uint32_t value = address.value;
    if (value >> 28 >= 0xe || value >> 24 == 0 || value >> 24 == 127)
      return classify_special(address);
    AddressKind kind = AddressKind::kUnicast;
    for (const Own4& own : own4_) {
      if (own.address == value)
        return own.interface == interface ? AddressKind::kOurs : AddressKind::kOtherInterface;
      // In its subnet, and all ones or all zeros there.
      const std::uint32_t differs = own.address ^ value, host = value & own.host_mask;
      if ((differs & ~own.host_mask) == 0 && (host == own.host_mask || host == 0) &&
          own.interface == interface && own.host_mask != 0)
        kind = AddressKind::kSubnetBroadcast;
    }
    return kind;
  }
  bool is_ours(const IpAddr& address) const { return find(address) != nullptr; }
  /// The record of an address of ours, or null.
  const AddressRecord* find(const IpAddr& address) const {
    if (!address.is_v4()) return find6(address);
    const std::uint32_t value = address.v4().value;
    if (value == 0) return nullptr;
    for (std::size_t i = 0; i < own4_.size(); ++i)
      if (own4_[i].address == value) return &records_[i];
    return nullptr;
  }
  /// The interface of an IPv4 address of ours; kNoInterface if it is none.
  static constexpr std::uint32_t kNoInterface = 0xffffffffu;
  std::uint32_t interface_of(Ipv4Addr address) const {
    for (const Own4& own : own4_)
      if (own.address == address.value && address.value != 0) return own.interface;
    return kNoInterface;
  }
  /// The address of ours to use towards `next_hop`: one whose prefix holds it (the longest), else
  /// the interface's first of that family. Null: the interface has none.
  const AddressRecord* source_for(std::uint8_t interface, const IpAddr& next_hop) const;

  std::uint32_t generation() const { return generation_; }  ///< Counts changes.
  std::span<const AddressRecord> addresses() const { return records_.first(size_); }

 private:
  /// What every packet asks of a record, close together. At the same index; of IPv6: matches none.
  struct Own4 {
    std::uint32_t address;    ///< 0: not IPv4.
    std::uint32_t host_mask;  ///< 0: no broadcast address.
    std::uint32_t interface;
  };
  void store(std::size_t index, const AddressRecord& record);
  void rebuild();
  static AddressKind classify_special(Ipv4Addr address);
  const AddressRecord* find6(const IpAddr& address) const;

  std::span<AddressRecord> records_;
  std::vector<Own4> own4_;
  std::size_t size_ = 0;
  std::uint32_t generation_ = 0;
};

}  // namespace sluice::ip
