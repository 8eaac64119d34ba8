#pragma once

// What crosses the engine's border: segments with their IP facts, and ICMP's word about them.

#include <cstdint>
#include <optional>
#include <utility>

#include "base/address.hpp"
#include "base/handle.hpp"
#include "base/result.hpp"
#include "packet/packet.hpp"
#include "tcp/config.hpp"
#include "wire/tcp.hpp"

namespace sluice::tcp {

/// The four-tuple as the engine sees it: local first.
struct FlowKey {
  IpAddr local;
  IpAddr remote;
  Port local_port;
  Port remote_port;
  constexpr bool operator==(const FlowKey&) const = default;
  constexpr bool is_v4() const { return local.is_v4(); }
};

/// A received segment. `packet` starts at the TCP header, ends with the IP payload (link padding
/// trimmed), its first mbuf holds the whole TCP header, and the checksum has been verified.
struct InboundSegment {
  packet::PacketPtr packet;
  IpAddr source;
  IpAddr destination;
  std::uint8_t ecn = 0;  ///< The two ECN bits of the IP header.
};

/// Where egress remembers the way to a connection's peer, so that it need not look it up again.
/// Opaque to the engine; all zero means unknown.
struct PathHint {
  std::uint32_t route_generation = 0;
  std::uint16_t neighbor = 0;
  std::uint16_t port = 0;
};

/// A segment to send: TCP header at the front of the first mbuf with at least the headroom for IP
/// and Ethernet, payload behind it (chained, possibly indirect and shared: its octets are never
/// edited). Its l4_len says how long the header is. The checksum field is zero: egress fills it, in
/// hardware or software. If its tso_segsz is not zero it is a train: segments of so many octets of
/// payload each that follow each other; no mbuf of payload reaches across the end of one. Egress
/// cuts it, or the port. PSH and FIN are the last one's.
struct OutboundSegment {
  packet::PacketPtr packet;
  IpAddr source;
  IpAddr destination;
  std::uint8_t traffic_class = 0;  ///< DSCP and ECN bits for the IP header.
  PathHint* hint = nullptr;        ///< Valid until the engine's next verb; null: none.
};

enum class IcmpErrorKind : std::uint8_t {
  kNetUnreachable,
  kHostUnreachable,
  kProtocolUnreachable,
  kPortUnreachable,
  kFragmentationNeeded,  ///< `mtu` is set (RFC 1191), 0 from an old router.
  kProhibited,           ///< Codes 9, 10, 13: administratively prohibited.
  kTimeExceeded,
  kParameterProblem,
  kNoNeighbor,  ///< Our own: address resolution failed.
  kNoRoute,     ///< Our own: no route to the destination.
};

/// An error about a segment that we sent, from ICMP's embedded header or from our own lower layers.
struct IcmpError {
  IcmpErrorKind kind = IcmpErrorKind::kNetUnreachable;
  FlowKey flow;
  wire::SeqNum seq;
  std::uint16_t mtu = 0;
};

/// What the engine must know of the way to a peer when a connection begins.
struct PathInfo {
  IpAddr source;                             ///< The address of ours to use.
  std::uint16_t mtu = 1500;                  ///< Octets of the largest IP packet.
  std::optional<Algorithm> congestion = {};  ///< The route's, if it has one of its own.
};
enum class PathError : std::uint8_t { kNoRoute, kNoAddress };

/// Of several engines behind one port, whose segments are whose: a connection that is opened here
/// must be among the flows that come here. Implemented by runtime/.
class FlowHome {
 public:
  virtual ~FlowHome() = default;
  virtual bool is_home(const FlowKey& flow) const = 0;
};

/// Asked once per connection, implemented by stack/.
class PathProvider {
 public:
  virtual ~PathProvider() = default;
  /// The way to `destination`; `preferred_source`, if not unspecified, must be an address of ours.
  virtual Result<PathInfo, PathError> path_to(const IpAddr& destination,
                                              const IpAddr& preferred_source) const = 0;
  /// The flow's segments come to this engine.
  virtual bool is_home(const FlowKey&) const { return true; }
};

}  // namespace sluice::tcp
