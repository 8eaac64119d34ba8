#pragma once

// Who is who in a world.

#include "base/address.hpp"

namespace sluice::sim {

inline constexpr unsigned kHosts = 2;
inline constexpr Port kListenPort{7};
inline constexpr Port kPullListenPort{8};
inline constexpr Port kRefusingPort{99};

/// Addresses of a world. The dead one answers nothing; the stranger has no stack; the router speaks
/// when a packet is too long for the path; the gateway leads to all other addresses.
struct Plan {
  static constexpr Ipv4Addr kHost[kHosts] = {Ipv4Addr::from_octets(10, 0, 0, 1),
                                             Ipv4Addr::from_octets(10, 0, 0, 2)};
  static constexpr Ipv4Addr kDead = Ipv4Addr::from_octets(10, 0, 0, 50);
  static constexpr Ipv4Addr kStranger = Ipv4Addr::from_octets(10, 0, 0, 66);
  static constexpr Ipv4Addr kNobody = Ipv4Addr::from_octets(10, 0, 0, 99);
  static constexpr Ipv4Addr kRouter = Ipv4Addr::from_octets(10, 0, 0, 254);
  static constexpr MacAddr kHostMac[kHosts] = {{{0x02, 0, 0, 0, 0, 0x01}},
                                               {{0x02, 0, 0, 0, 0, 0x02}}};
  static constexpr MacAddr kStrangerMac{{0x02, 0, 0, 0, 0, 0x66}};

  // Of worlds with attackers: off-path ones come in by the gateway, and what the one on the path
  // sends again is marked by its source, the frames of earlier connections apart.
  static constexpr Ipv4Addr kGateway = Ipv4Addr::from_octets(10, 0, 0, 253);
  static constexpr Ipv4Addr kSlowReader = Ipv4Addr::from_octets(198, 51, 100, 77);
  static constexpr MacAddr kGatewayMac{{0x02, 0, 0, 0, 0, 0xfd}};
  static constexpr MacAddr kTapMac{{0x02, 0, 0, 0, 0, 0xf0}};
  static constexpr MacAddr kTapMacForOld{{0x02, 0, 0, 0, 0, 0xf1}};
};

}  // namespace sluice::sim
