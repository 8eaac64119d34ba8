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
};

/// Bounded table, sorted by prefix length, longest first; lookup is a scan that ends at the first
/// match. Among routes of the same prefix the one added first wins. One writer.
class RouteTable {
 public:
  explicit RouteTable(std::span<RouteRecord> records);

  enum class AddResult : std::uint8_t { kAdded, kDuplicate, kFull };
  [[nodiscard]] AddResult add(const Route& route);
  /// Removes the route of this very prefix, gateway and interface. False: no such.
  bool remove(const Route& route);

  /// False: no route.
  [[nodiscard]] bool lookup(const IpAddr& destination, NextHop& next_hop) const;
  /// The same, but among the longest matching routes one of `interface` goes first: packets from
  /// an address of ours leave by its interface where that is a way (RFC 1122 3.3.4.2).
  [[nodiscard]] bool lookup(const IpAddr& destination, std::uint8_t interface,
                            NextHop& next_hop) const;

  std::uint32_t generation() const { return generation_; }  ///< Counts changes.
  std::size_t size() const { return size_; }
  std::span<const RouteRecord> routes() const { return records_.first(size_); }

 private:
  static NextHop next_hop_of(const RouteRecord& record, const IpAddr& destination);
  void store(std::size_t index, const RouteRecord& record);

  std::span<RouteRecord> records_;
  std::size_t size_ = 0;
  std::uint32_t generation_ = 0;
};

}  // namespace sluice::ip
