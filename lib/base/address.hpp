#pragma once

// Addresses as values. All numeric accessors are in host byte order; wire/ alone knows network
// byte order.

#include <array>
#include <bit>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice {

/// An Ethernet address, octets in transmission order.
struct MacAddr {
  std::array<std::uint8_t, 6> octets{};

  static constexpr MacAddr broadcast() { return {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}; }
  constexpr bool is_multicast() const { return (octets[0] & 1) != 0; }
  constexpr bool is_zero() const { return *this == MacAddr{}; }
  constexpr auto operator<=>(const MacAddr&) const = default;
};

/// An IPv4 address. `value` is in host byte order: 10.0.0.2 is 0x0a000002.
struct Ipv4Addr {
  std::uint32_t value = 0;

  static constexpr Ipv4Addr from_octets(std::uint8_t a, std::uint8_t b, std::uint8_t c,
                                        std::uint8_t d) {
    return {static_cast<std::uint32_t>(a) << 24 | static_cast<std::uint32_t>(b) << 16 |
            static_cast<std::uint32_t>(c) << 8 | d};
  }
  constexpr bool is_unspecified() const { return value == 0; }
  constexpr bool is_broadcast() const { return value == 0xffffffffu; }
  constexpr bool is_multicast() const { return (value >> 28) == 0xe; }
  /// Multicast or broadcast: no single host.
  constexpr bool is_group() const { return is_multicast() || is_broadcast(); }
  constexpr bool is_loopback() const { return (value >> 24) == 127; }
  constexpr auto operator<=>(const Ipv4Addr&) const = default;
};

/// An IPv4 or IPv6 address in 16 octets; IPv4 is held mapped (::ffff:a.b.c.d).
class IpAddr {
 public:
  constexpr IpAddr() = default;  ///< The unspecified IPv6 address `::`.
  constexpr IpAddr(Ipv4Addr v4)  // NOLINT: every Ipv4Addr is an IpAddr
      : octets_(std::bit_cast<std::array<std::uint8_t, 16>>(std::array<std::uint64_t, 2>{
            0, kV4Mapped | std::uint64_t{__builtin_bswap32(v4.value)} << 32})) {}
  static constexpr IpAddr from_v6_octets(const std::array<std::uint8_t, 16>& octets) {
    IpAddr address;
    address.octets_ = octets;
    return address;
  }

  constexpr bool is_v4() const {
    const auto own = words();
    return own[0] == 0 && static_cast<std::uint32_t>(own[1]) == kV4Mapped;
  }
  /// The IPv4 address held. Precondition: is_v4().
  constexpr Ipv4Addr v4() const {
    return {__builtin_bswap32(static_cast<std::uint32_t>(words()[1] >> 32))};
  }
  constexpr const std::array<std::uint8_t, 16>& octets() const { return octets_; }
  constexpr bool is_unspecified() const {
    const auto own = words();
    return own[0] == 0 && (own[1] == 0 || own[1] == kV4Mapped);
  }
  constexpr auto operator<=>(const IpAddr&) const = default;
  constexpr bool operator==(const IpAddr& other) const { return words() == other.words(); }
  /// True if the first `bits` (0..128, of an IPv4 address 96 more than its prefix) are the same.
  constexpr bool shares(unsigned bits, const IpAddr& other) const {
    const auto own = words(), others = other.words();
    const std::uint64_t first = __builtin_bswap64(own[0] ^ others[0]);
    if (bits <= 64) return bits == 0 || first >> (64 - bits) == 0;
    return first == 0 && __builtin_bswap64(own[1] ^ others[1]) >> (128 - bits) == 0;
  }

  /// The octets as two words, for comparing and hashing: every packet does so several times. An
  /// IPv4 address is the upper half of the second.
  constexpr std::array<std::uint64_t, 2> words() const {
    static_assert(std::endian::native == std::endian::little);
    return std::bit_cast<std::array<std::uint64_t, 2>>(octets_);
  }

 private:
  static constexpr std::uint32_t kV4Mapped = 0xffff0000;  // octets 8..11, little-endian
  std::array<std::uint8_t, 16> octets_{};
};

/// A TCP port number in host byte order.
struct Port {
  std::uint16_t value = 0;
  constexpr auto operator<=>(const Port&) const = default;
};

/// An address and a port.
struct Endpoint {
  IpAddr address;
  Port port;
  constexpr auto operator<=>(const Endpoint&) const = default;
};

/// An address and the length of its network prefix (0..32 for IPv4, 0..128 for IPv6).
struct Prefix {
  IpAddr address;
  std::uint8_t length = 0;

  /// True if `other` is of the same family and shares the first `length` bits.
  constexpr bool contains(const IpAddr& other) const {
    const bool is_v4 = address.is_v4();
    return is_v4 == other.is_v4() && address.shares(length + (is_v4 ? 96u : 0u), other);
  }
  constexpr auto operator<=>(const Prefix&) const = default;
};

/// Parsers give nullopt for anything but the whole text: no blanks, no names, no octal.
std::optional<MacAddr> parse_mac(std::string_view text);    ///< "02:00:00:00:00:01"
std::optional<IpAddr> parse_ip(std::string_view text);      ///< "10.0.0.2" or "2001:db8::1"
std::optional<Prefix> parse_prefix(std::string_view text);  ///< "10.0.0.2/24", "2001:db8::1/64"
/// "10.0.0.2:80" or "[2001:db8::1]:80".
std::optional<Endpoint> parse_endpoint(std::string_view text);

std::string to_string(const MacAddr& mac);
std::string to_string(Ipv4Addr address);
std::string to_string(const IpAddr& address);
std::string to_string(const Prefix& prefix);
std::string to_string(const Endpoint& endpoint);

}  // namespace sluice
