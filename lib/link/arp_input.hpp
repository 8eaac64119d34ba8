#pragma once

// ARP as a host receives it (RFC 826), distrustful: only answers that were asked for, and requests
// that we answer, teach anything.

#include <optional>
#include <span>

#include "base/address.hpp"
#include "base/time.hpp"
#include "link/neighbor_table.hpp"
#include "telemetry/metrics.hpp"
#include "wire/arp.hpp"

namespace sluice::link {

/// The side of the interface that heard the packet.
struct ArpContext {
  std::uint8_t interface = 0;
  MacAddr mac;                        ///< Ours.
  std::span<const MacAddr> macs;      ///< Of all ports of the interface: a link may join them.
  std::span<const Prefix> addresses;  ///< Ours, with their prefix lengths.
};

/// Takes one parsed ARP packet; teaches `table` what may be learnt. Gives the packet's outcome; a
/// `reply` is to be sent to its target_mac.
telemetry::Outcome on_arp(const wire::ArpPacket& packet, const ArpContext& context,
                          NeighborTable& table, NeighborSink& sink, Instant now,
                          std::optional<wire::ArpPacket>& reply);

/// Writes down for the operator what on_arp() refused, if it was a claim to somebody's address:
/// `alarms` has a record for each NeighborAlarm, in the state region.
void note_alarm(telemetry::Outcome outcome, const wire::ArpPacket& packet,
                const ArpContext& context, const NeighborTable& table,
                std::span<NeighborAlarmRecord> alarms, Instant now);

}  // namespace sluice::link
