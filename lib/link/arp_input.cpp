#include "link/arp_input.hpp"

#include <algorithm>

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
  if (std::find(context.macs.begin(), context.macs.end(), packet.sender_mac) != context.macs.end())
    return true;
  if (is_probe) return false;
  return ip.value >> 24 == 0 || ip.is_loopback() || ip.value >> 28 >= 0xe ||
         is_subnet_broadcast(context, ip);
}

}  // namespace

Outcome on_arp(const ArpPacket& packet, const ArpContext& context, NeighborTable& table,
               NeighborSink& sink, Instant now, std::optional<ArpPacket>& reply) {
  reply.reset();
  if (is_impossible_sender(packet, context)) return Outcome::kArpSpoofed;
  if (is_ours(context, packet.sender_ip)) return Outcome::kArpConflict;

  const NeighborKey sender{context.interface, packet.sender_ip};
  const bool is_to_us = is_ours(context, packet.target_ip);
  NeighborTable::Learnt learnt;
  if (!is_to_us) {
    //= rfc826#packet-reception
    // Unlike RFC 826, packets for others do not update an entry that we have: they prove no
    // interest in us, and anybody can send them.
    learnt = table.on_claim(sender, packet.sender_mac, sink, now);
  } else if (packet.operation == ArpOperation::kReply) {
    learnt = table.on_answer(sender, packet.sender_mac, sink, now);
  } else if (is_on_link(context, packet.sender_ip)) {
    learnt = table.on_request(sender, packet.sender_mac, sink, now);
  } else {
    learnt = NeighborTable::Learnt::kUnasked;  // a probe, or of a subnet that we never send to
  }
  if (learnt == NeighborTable::Learnt::kPinned) return Outcome::kArpPinned;
  // Who asks from another MAC than the known one is answered all the same: it may have two, or have
  // moved, and to tell who has our address teaches us nothing.
  if (is_to_us && packet.operation == ArpOperation::kRequest)
    reply = ArpPacket{ArpOperation::kReply, context.mac, packet.target_ip, packet.sender_mac,
                      packet.sender_ip};
  if (learnt == NeighborTable::Learnt::kOtherMac) return Outcome::kArpOtherMac;
  if (reply) return Outcome::kArpRequestAnswered;
  if (packet.operation == ArpOperation::kRequest) return Outcome::kArpRequestOther;
  return learnt == NeighborTable::Learnt::kYes ? Outcome::kArpReplyLearnt
                                               : Outcome::kArpReplyUnsolicited;
}

void note_alarm(Outcome outcome, const ArpPacket& packet, const ArpContext& context,
                const NeighborTable& table, std::span<NeighborAlarmRecord> alarms, Instant now) {
  NeighborAlarm alarm;
  const NeighborRecord* const entry = table.find({context.interface, packet.sender_ip});
  if (outcome == Outcome::kArpConflict) {
    alarm = NeighborAlarm::kOurAddress;
  } else if (outcome == Outcome::kArpPinned) {
    alarm = NeighborAlarm::kPinned;
  } else if (outcome == Outcome::kArpOtherMac) {
    alarm = NeighborAlarm::kOtherMac;
  } else if (outcome == Outcome::kArpReplyUnsolicited && entry == nullptr) {
    alarm = NeighborAlarm::kUnsolicited;  // a second answer that agrees with the first is none
  } else {
    return;
  }
  NeighborAlarmRecord& record = alarms[static_cast<std::size_t>(alarm)];
  record.version.begin_write();
  record.interface = context.interface;
  record.address = packet.sender_ip;
  record.known = alarm == NeighborAlarm::kOurAddress ? context.mac
                 : entry != nullptr                  ? entry->mac
                                                     : MacAddr{};
  record.claimed = packet.sender_mac;
  ++record.count;
  record.at = now.ns();
  record.version.end_write();
}

}  // namespace sluice::link
