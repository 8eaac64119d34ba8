#include "tests/sim/trace_line.hpp"

#include <fmt/format.h>

#include "tests/support/packet_builder.hpp"

namespace sluice::sim {
namespace {

std::string describe_tcp(const wire::TcpHeader& tcp, std::size_t payload) {
  std::string flags;
  static constexpr std::pair<std::uint8_t, char> kLetters[] = {
      {wire::kSyn, 'S'}, {wire::kFin, 'F'}, {wire::kRst, 'R'},
      {wire::kPsh, 'P'}, {wire::kUrg, 'U'}, {wire::kAck, '.'}};
  for (const auto& [flag, letter] : kLetters)
    if (tcp.has(flag)) flags += letter;
  std::string out = fmt::format("{} > {} [{}] seq {} ack {} win {} len {}", tcp.source.value,
                                tcp.destination.value, flags, tcp.seq.value(), tcp.ack.value(),
                                tcp.window, payload);
  if (tcp.options.has_mss) out += fmt::format(" mss {}", tcp.options.mss);
  if (tcp.options.has_window_scale) out += fmt::format(" wscale {}", tcp.options.window_scale);
  if (tcp.options.has_timestamps)
    out += fmt::format(" ts {}/{}", tcp.options.ts_val, tcp.options.ts_ecr);
  for (unsigned i = 0; i < tcp.options.sack_count; ++i)
    out += fmt::format(" sack {}..{}", tcp.options.sack[i].left.value(),
                       tcp.options.sack[i].right.value());
  return out;
}

}  // namespace

std::string_view name_of(drivers::FrameFate fate) {
  static constexpr std::string_view kNames[] = {
      "sent",       "injected",  "lost",       "queue full", "too long",
      "fragmented", "policed",   "early drop", "marked",     "corrupt",
      "duplicated", "reordered", "arrived",    "ring full",  "no buffer"};
  static_assert(std::size(kNames) == static_cast<std::size_t>(drivers::FrameFate::kCount));
  return kNames[static_cast<std::size_t>(fate)];
}

std::string trace_line(drivers::FrameFate fate, unsigned direction,
                       std::span<const std::byte> octets, Duration since_begin) {
  std::string out =
      fmt::format("{:>6}.{:06} {}>{} {:<10} {:>4} ", since_begin.s(), since_begin.us() % 1'000'000,
                  direction, 1 - direction, name_of(fate), octets.size());
  const auto frame = support::parse_frame(octets);
  if (!frame) return out + "(not parsed)";
  if (frame->arp)
    return out +
           fmt::format("arp {} {} is {}, to {}",
                       frame->arp->operation == wire::ArpOperation::kRequest ? "request" : "reply",
                       to_string(frame->arp->sender_ip), to_string(frame->arp->sender_mac),
                       to_string(frame->arp->target_ip));
  if (!frame->ip) return out + fmt::format("type {:#06x}", frame->ethernet.ether_type);
  if (!frame->is_ip_checksum_right) out += "(IP checksum) ";
  if (frame->tcp) {
    if (!frame->is_payload_checksum_right) out += "(TCP checksum) ";
    return out + describe_tcp(*frame->tcp, frame->payload.size());
  }
  if (frame->icmp)
    return out + fmt::format("icmp type {} code {} from {} to {}", frame->icmp->type,
                             frame->icmp->code, to_string(frame->ip->source),
                             to_string(frame->ip->destination));
  return out + fmt::format("ip protocol {} from {} to {}", frame->ip->protocol,
                           to_string(frame->ip->source), to_string(frame->ip->destination));
}

}  // namespace sluice::sim
