#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/address.hpp"

namespace sluice::wire {

/// The Internet checksum (RFC 1071) as a running sum. Values are as if the octets were read as
/// big-endian 16-bit words: `finish()` is ready for store_be16.
class Checksum {
 public:
  /// Adds octets; every call but the last must add an even number of them.
  void add(std::span<const std::byte> octets);
  void add_u16(std::uint16_t value) { sum_ += value; }
  void add_u32(std::uint32_t value) { sum_ += value; }
  /// The IPv4 or IPv6 pseudo header (RFC 9293 3.1): addresses, protocol, length of the segment.
  void add_pseudo_header(const IpAddr& source, const IpAddr& destination, std::uint8_t protocol,
                         std::uint32_t length);
  void add_pseudo_header(Ipv4Addr source, Ipv4Addr destination, std::uint8_t protocol,
                         std::uint32_t length) {
    sum_ += std::uint64_t{source.value} + destination.value + protocol + length;
  }
  /// The complement of the folded sum.
  std::uint16_t finish() const { return static_cast<std::uint16_t>(~fold(sum_)); }

  static constexpr std::uint16_t fold(std::uint64_t sum) {
    sum = (sum >> 32) + (sum & 0xffffffff);
    sum = (sum >> 32) + (sum & 0xffffffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    return static_cast<std::uint16_t>(sum);
  }

 private:
  std::uint64_t sum_ = 0;
};

/// Checksum of one run of octets.
std::uint16_t checksum(std::span<const std::byte> octets);

}  // namespace sluice::wire
