#pragma once

// Frames from values, and values from frames. Lengths, protocol numbers, EtherTypes and checksums
// are filled in; what a test wants wrong it says, or overwrites in the octets that come out.

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "wire/arp.hpp"
#include "wire/ethernet.hpp"
#include "wire/icmp.hpp"
#include "wire/ipv4.hpp"
#include "wire/tcp.hpp"

namespace sluice::support {

using Octets = std::vector<std::byte>;

enum class ChecksumField : std::uint8_t {
  kRight,
  kWrong,  ///< One more than right.
  kZero,   ///< As a sender leaves it for its hardware to fill in.
};

/// A peer of the stack under test and the link between them. The defaults of every frame.
struct Endpoints {
  MacAddr source_mac{{0x02, 0, 0, 0, 0, 0x01}};
  MacAddr destination_mac{{0x02, 0, 0, 0, 0, 0x02}};
  Ipv4Addr source_ip = Ipv4Addr::from_octets(10, 0, 0, 1);
  Ipv4Addr destination_ip = Ipv4Addr::from_octets(10, 0, 0, 2);
};

/// Headers of an IPv4 frame; the builders fill in what follows from the payload.
struct Ipv4Frame {
  wire::EthernetHeader ethernet{};
  wire::Ipv4Header ip{.ttl = 64, .dont_fragment = true};
  Octets ip_options{};  ///< Whole words; header_length follows.
  ChecksumField ip_checksum = ChecksumField::kRight;
  std::size_t padding = 0;  ///< Octets behind the packet, as in a short frame.

  Ipv4Frame() : Ipv4Frame(Endpoints{}) {}
  explicit Ipv4Frame(const Endpoints& ends) {
    ethernet = {.destination = ends.destination_mac, .source = ends.source_mac};
    ip.source = ends.source_ip;
    ip.destination = ends.destination_ip;
  }
};

struct TcpFrame : Ipv4Frame {
  using Ipv4Frame::Ipv4Frame;
  wire::TcpHeader tcp{};
  Octets payload{};
  ChecksumField tcp_checksum = ChecksumField::kRight;
};

struct IcmpFrame : Ipv4Frame {
  using Ipv4Frame::Ipv4Frame;
  wire::IcmpHeader icmp{};
  Octets data{};
  ChecksumField icmp_checksum = ChecksumField::kRight;
};

struct UdpFrame : Ipv4Frame {
  using Ipv4Frame::Ipv4Frame;
  std::uint16_t length = 0;  ///< 0: what header and data have.
  Octets data{};
  ChecksumField udp_checksum = ChecksumField::kRight;  ///< kZero: the sender made none.
};

struct ArpFrame {
  wire::EthernetHeader ethernet{};
  wire::ArpPacket arp{};
};

/// Complete frames, Ethernet header first.
Octets build(const TcpFrame& frame);
Octets build(const IcmpFrame& frame);
Octets build(const UdpFrame& frame);
Octets build(const ArpFrame& frame);  ///< Padded to the least length of a frame.
/// An IPv4 frame of any `protocol` with `payload` behind the header.
Octets build_ipv4(const Ipv4Frame& frame, std::uint8_t protocol,
                  std::span<const std::byte> payload);

/// The IP packet of a frame: what an ICMP error quotes the front of.
Octets ip_packet_of(std::span<const std::byte> frame);

/// A frame read back. What it does not hold is nullopt; `payload` is what follows the last header
/// read, without padding.
struct ParsedFrame {
  wire::EthernetHeader ethernet{};
  std::optional<wire::ArpPacket> arp;
  std::optional<wire::Ipv4Header> ip;
  std::optional<wire::TcpHeader> tcp;
  std::optional<wire::IcmpHeader> icmp;
  bool is_ip_checksum_right = false;
  bool is_payload_checksum_right = false;  ///< TCP's or ICMP's.
  Octets payload{};
};

/// nullopt if a header cannot be parsed.
std::optional<ParsedFrame> parse_frame(std::span<const std::byte> frame);

Octets octets(std::initializer_list<unsigned> values);
Octets octets(std::string_view text);

}  // namespace sluice::support
