#pragma once

// SYNs of a flood: one frame made once, then per SYN a source, a port and a sequence number, with
// the checksums that they give. A stamp costs about what a copy of the frame costs.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/address.hpp"
#include "base/rng.hpp"

namespace sluice::bench {

/// Sources are of 11.0.0.0 to 90.255.255.255: five million /24s, so that no cap for one prefix
/// and no table by source ever stands in the way of the flood.
inline constexpr std::uint32_t kSpoofedFirst = 0x0b000000u;
inline constexpr std::uint32_t kSpoofedCount = 0x50000000u;

class SpoofedSyn {
 public:
  struct Target {
    MacAddr destination_mac;
    MacAddr source_mac;  ///< The gateway's.
    Ipv4Addr address;
    Port port;
  };

  /// With the options that a Linux client sends (MSS, SACK, timestamps, window scale): 74 octets.
  explicit SpoofedSyn(const Target& target);

  std::size_t size() const { return size_; }
  /// Writes one SYN of a random source to `out`, which must hold size() octets.
  void stamp(Rng& rng, std::span<std::byte> out) const;

 private:
  std::array<std::byte, 128> frame_{};
  std::size_t size_ = 0;
  std::uint32_t ip_sum_ = 0;   ///< Of all 16-bit words but those that a stamp writes.
  std::uint32_t tcp_sum_ = 0;  ///< The same, pseudo header included.
};

}  // namespace sluice::bench
