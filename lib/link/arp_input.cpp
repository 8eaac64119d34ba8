#include "link/arp_input.hpp"

namespace sluice::link {
namespace {

using telemetry::Outcome;
using wire::ArpOperation;
using wire::ArpPacket;

bool is_ours(const ArpContext& context, Ipv4Addr address) {
  for (const Prefix& prefix : context.addresses)
    if (prefix.address == IpAddr(address)) return true;
  return false;
}

/// In one of our subnets: the only senders that we shall ever send to directly.
bool is_on_link(const ArpContext& context, Ipv4Addr address) {
  for (const Prefix& prefix : context.addresses)
    if (prefix.contains(address)) return true;
  return false;
}

bool is_subnet_broadcast(const ArpContext& context, Ipv4Addr address) {
  for (const Prefix& prefix : context.addresses) {
    if (prefix.length > 30 || !prefix.contains(address)) continue;
    const std::uint32_t host_mask = 0xffffffffu >> prefix.length;
    if ((address.value & host_mask) == host_mask) return true;
  }
  return false;
}

/// A sender that no host can be. 0.0.0.0 is none, but may ask (RFC 5227 2.1.1: an ARP probe).
bool is_impossible_sender(const ArpPacket& packet, const ArpContext& context) {
  const Ipv4Addr ip = packet.sender_ip;
  const bool is_probe = packet.operation == ArpOperation::kRequest && ip.is_unspecified();
  if (packet.sender_mac.is_multicast() || packet.sender_mac.is_zero()) return true;
  if (packet.sender_mac == context.mac) return true;
  if (is_probe) return false;
  return ip.value >> 24 == 0 || ip.is_loopback() || ip.value >> 28 >= 0xe ||
         is_subnet_broadcast(context, ip);
}

}  // namespace

Outcome on_arp(const ArpPacket& packet, const ArpContext& context, NeighborTable& table,
               NeighborSink& sink, Instant now, ArpPacket& reply) {
  if (is_impossible_sender(packet, context)) return Outcome::kArpSpoofed;
  if (is_ours(context, packet.sender_ip)) return Outcome::kArpConflict;

  const NeighborKey sender{context.interface, packet.sender_ip};
  if (packet.operation == ArpOperation::kReply) {
    if (!is_ours(context, packet.target_ip)) return Outcome::kArpReplyUnsolicited;
    switch (table.on_answer(sender, packet.sender_mac, sink, now)) {
      case NeighborTable::Learnt::kYes:
        return Outcome::kArpReplyLearnt;
      case NeighborTable::Learnt::kStatic:
        return Outcome::kArpSpoofed;
      case NeighborTable::Learnt::kUnasked:
      case NeighborTable::Learnt::kNoRoom:
        return Outcome::kArpReplyUnsolicited;
    }
  }

  //= rfc826#packet-reception
  // Unlike RFC 826, requests for others do not update an entry that we have: they prove no interest
  // in us, and anybody can send them.
  if (!is_ours(context, packet.target_ip)) return Outcome::kArpRequestOther;
  if (!packet.sender_ip.is_unspecified() && is_on_link(context, packet.sender_ip) &&
      table.on_request(sender, packet.sender_mac, sink, now) == NeighborTable::Learnt::kStatic)
    return Outcome::kArpSpoofed;
  reply.operation = ArpOperation::kReply;
  reply.sender_mac = context.mac;
  reply.sender_ip = packet.target_ip;
  reply.target_mac = packet.sender_mac;
  reply.target_ip = packet.sender_ip;
  return Outcome::kArpRequestAnswered;
}

}  // namespace sluice::link
