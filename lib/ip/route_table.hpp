#pragma once

// Routes by longest prefix, and our addresses. See README.md for why this is no rte_fib.

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "base/address.hpp"
#include "base/seqlock.hpp"

namespace sluice::ip {

/// A route as it lies in the state region. The records are in order of lookup.
struct RouteRecord {
  SeqVersion version;
  std::uint8_t in_use;
  std::uint8_t interface;
  std::uint8_t is_connected;  ///< Made by an address of the interface.
  std::uint8_t prefix_length;
  IpAddr destination;            ///< Host bits are zero.
  IpAddr gateway;                ///< Unspecified: the destination itself is the next hop.
  std::uint32_t transport_hint;  ///< Opaque here, the transport's: kNoHint: none.
};
static_assert(std::is_trivially_copyable_v<RouteRecord> && sizeof(RouteRecord) == 44);

inline constexpr std::uint8_t kNoHint = 0xff;

/// A route to add.
struct Route {
  Prefix destination;  ///< Host bits are ignored.
  IpAddr gateway;      ///< Unspecified (of either family): on-link.
  std::uint8_t interface = 0;
  bool is_connected = false;
  std::uint8_t transport_hint = kNoHint;
};

/// Where a packet goes next.
struct NextHop {
  IpAddr address;
  std::uint8_t interface = 0;
  std::uint8_t transport_hint = kNoHint;
  bool is_gateway = false;  ///< Of all packets of the route.
  std::uint16_t route = 0;  ///< Index of the record, as long as generation() stays.
};

/// Bounded table, sorted by prefix length, longest first; lookup is a scan that ends at the first
/// match. Among routes of the same prefix the one added first wins. One writer.
class RouteTable {
 public:
  static constexpr std::uint32_t kMaxRecords = 0xffff;

  explicit RouteTable(std::span<RouteRecord> records);  ///< At most kMaxRecords.

  enum class AddResult : std::uint8_t { kAdded, kDuplicate, kFull };
  [[nodiscard]] AddResult add(const Route& route);
  /// Removes the route of this very prefix, gateway and interface. False: no such.
  bool remove(const Route& route);
  /// Removes the route of this index.
  void remove_at(std::size_t index);
  /// Puts a route back where remove_at(index) took it, before anything else has changed.
  void put_back(std::size_t index, const RouteRecord& record);

  static constexpr std::size_t kNone = ~std::size_t{0};
  /// Index of the route to an IPv4 destination, kNone if there is none. Among the longest matching
  /// ones one of `interface` goes first: packets from an address of ours leave by its interface
  /// where that is a way (RFC 1122 3.3.4.2). A few cycles a route.
  std::size_t find(Ipv4Addr destination, std::uint8_t interface) const {
    const auto matches = [&](std::size_t i) {
      return (destination.value & match4_[i].mask) == match4_[i].network;
    };
    std::size_t first = 0;
    while (first < match4_.size() && !matches(first)) ++first;
    if (first == match4_.size()) return kNone;
    if (match4_[first].interface == interface) return first;
    for (std::size_t i = first + 1; i < match4_.size() && match4_[i].mask == match4_[first].mask;
         ++i)
      if (match4_[i].interface == interface && matches(i)) return i;
    return first;
  }
  /// Of find()'s routes: whether all its packets go to one gateway.
  bool has_gateway(std::size_t index) const { return match4_[index].is_gateway; }
  std::uint8_t interface_of(std::size_t index) const {
    return static_cast<std::uint8_t>(match4_[index].interface);
  }
  /// Where a packet to `destination` goes by the route of this index.
  NextHop next_hop_of(std::size_t index, const IpAddr& destination) const {
    const RouteRecord& record = records_[index];
    const bool is_gateway = !record.gateway.is_unspecified();
    return {is_gateway ? record.gateway : destination, record.interface,
            static_cast<std::uint8_t>(record.transport_hint), is_gateway,
            static_cast<std::uint16_t>(index)};
  }

  /// False: no route.
  [[nodiscard]] bool lookup(const IpAddr& destination, NextHop& next_hop) const;
  /// The same, with a preference for routes of `interface`, as find() has it.
  [[nodiscard]] bool lookup(const IpAddr& destination, std::uint8_t interface,
                            NextHop& next_hop) const;

  std::uint32_t generation() const { return generation_; }  ///< Counts changes.
  std::size_t size() const { return size_; }
  std::size_t capacity() const { return records_.size(); }
  std::span<const RouteRecord> routes() const { return records_.first(size_); }

 private:
  /// What a lookup asks of a record, close together. At the same index; IPv6's matches no address
  /// of IPv4.
  struct Match4 {
    std::uint32_t network;
    std::uint32_t mask;
    std::uint16_t interface;
    bool is_gateway;
  };
  std::size_t find6(const IpAddr& destination, std::uint8_t interface) const;
  void store(std::size_t index, const RouteRecord& record);
  void rebuild();

  std::span<RouteRecord> records_;
  std::vector<Match4> match4_;
  std::size_t size_ = 0;
  std::uint32_t generation_ = 0;
};

}  // namespace sluice::ip
