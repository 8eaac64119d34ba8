#pragma once

// The addresses of our interfaces, and what a destination or source address means to us.

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

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
  explicit AddressTable(std::span<AddressRecord> records) : records_(records) {}

  enum class AddResult : std::uint8_t { kAdded, kDuplicate, kFull };
  [[nodiscard]] AddResult add(std::uint8_t interface, const Prefix& prefix);
  bool remove(std::uint8_t interface, const IpAddr& address);

  AddressKind classify(std::uint8_t interface, Ipv4Addr address) const;
  bool is_ours(const IpAddr& address) const { return find(address) != nullptr; }
  /// The record of an address of ours, or null.
  const AddressRecord* find(const IpAddr& address) const;
  /// The address of ours to use towards `next_hop`: one whose prefix holds it (the longest), else
  /// the interface's first of that family. Null: the interface has none.
  const AddressRecord* source_for(std::uint8_t interface, const IpAddr& next_hop) const;

  std::uint32_t generation() const { return generation_; }  ///< Counts changes.
  std::span<const AddressRecord> addresses() const { return records_.first(size_); }

 private:
  std::span<AddressRecord> records_;
  std::size_t size_ = 0;
  std::uint32_t generation_ = 0;
};

}  // namespace sluice::ip
