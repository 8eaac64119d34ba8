#include "tests/sim/stranger.hpp"

#include <algorithm>

#include "tests/sim/content.hpp"
#include "wire/checksum.hpp"

namespace sluice::sim {
namespace {

using support::ArpFrame;
using support::build;
using support::build_ipv4;
using support::ChecksumField;
using support::IcmpFrame;
using support::Ipv4Frame;
using support::Octets;
using support::TcpFrame;
using support::UdpFrame;

constexpr std::uint32_t kFar = 1u << 30;  // beyond any window
constexpr unsigned kForgeriesPerFlow = 12;

Octets zeros(std::size_t count) {
  return Octets(count, std::byte{0});
}

void put(Octets& octets, std::size_t at, unsigned value) {
  octets[at] = static_cast<std::byte>(value);
}

Octets ethernet(const MacAddr& destination, const MacAddr& source, std::uint16_t type,
                const Octets& payload) {
  Octets frame(wire::kEthernetHeader);
  wire::emit_ethernet({.destination = destination, .source = source, .ether_type = type}, frame);
  frame.insert(frame.end(), payload.begin(), payload.end());
  if (frame.size() < wire::kEthernetMinFrame) frame.resize(wire::kEthernetMinFrame);
  return frame;
}

constexpr Ipv4Addr ip(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) {
  return Ipv4Addr::from_octets(a, b, c, d);
}

}  // namespace

Stranger::Stranger(drivers::SimClock& clock, drivers::SimLink& link, const WorldPlan& plan)
    : clock_(clock), link_(link), plan_(plan), rng_(mix(plan.seed, 0x5712a)) {
  for (std::uint32_t i = 0; i < plan.stranger_frames; ++i)
    clock.schedule(
        plan.begin + Duration::from_ns(static_cast<std::int64_t>(rng_.below(8'000'000'000))), *this,
        0);
}

void Stranger::send(unsigned to, const Octets& frame) {
  link_.inject(to, frame, clock_.now());
}

support::Endpoints Stranger::to_host(unsigned host) const {
  return {Plan::kStrangerMac, Plan::kHostMac[host], Plan::kStranger, Plan::kHost[host]};
}

void Stranger::on_event(std::uint64_t, Instant) {
  const auto to = static_cast<unsigned>(rng_.below(kHosts));
  switch (rng_.below(6)) {
    case 0:
      ethernet_frame(to);
      break;
    case 1:
      arp_frame(to);
      break;
    case 2:
      ip_packet(to);
      break;
    case 3:
      icmp_message(to);
      break;
    case 4:
      tcp_segment(to);
      break;
    case 5:
      handshake(to);
      break;
  }
}

void Stranger::ethernet_frame(unsigned to) {
  const MacAddr host = Plan::kHostMac[to], self = Plan::kStrangerMac;
  const MacAddr multicast{{0x01, 0x80, 0xc2, 0, 0, 0x0e}};
  Octets frame;
  switch (rng_.below(8)) {
    case 0:
      frame = zeros(1 + rng_.below(13));
      break;
    case 1:
      frame = ethernet({{0x02, 0, 0, 0, 0, 0x77}}, self, 0x0800, zeros(46));
      break;
    case 2:
      frame = ethernet(multicast, self, 0x88cc, zeros(46));
      break;
    case 3:
      frame = ethernet(host, self, 0x88b5, zeros(46));
      break;
    case 4:
      frame = ethernet(host, multicast, 0x0800, zeros(46));
      break;
    case 5:
      frame = ethernet(host, host, 0x0800, zeros(46));
      break;
    case 6:
      frame = ethernet(host, self, wire::ether_type::kVlan, support::octets({0, 5, 8, 0, 0x45}));
      break;
    case 7:
      frame = ethernet(host, self, wire::ether_type::kIpv6, zeros(46));
      break;
  }
  send(to, frame);
}

// Never a claim to a host's address that the other could believe: plain ARP has no defence there,
// so that is tried only against static entries and against the owner.
void Stranger::arp_frame(unsigned to) {
  ArpFrame frame;
  frame.ethernet = {.destination = Plan::kHostMac[to], .source = Plan::kStrangerMac};
  frame.arp = {.operation = wire::ArpOperation::kRequest,
               .sender_mac = Plan::kStrangerMac,
               .sender_ip = Plan::kStranger,
               .target_ip = Plan::kHost[to]};
  std::optional<std::size_t> broken;
  switch (rng_.below(7)) {
    case 0:
      break;  // answered
    case 1:
      frame.arp.target_ip = Plan::kNobody;
      break;
    case 2:
      frame.arp.operation = wire::ArpOperation::kReply;
      frame.arp.sender_ip = Plan::kNobody;
      break;
    case 3:
      frame.arp.sender_ip = Plan::kHost[to];
      break;  // conflict
    case 4:
      frame.arp.sender_mac = MacAddr::broadcast();
      frame.arp.sender_ip = Plan::kNobody;
      break;
    case 5:
      broken = wire::kEthernetHeader + rng_.below(8);
      break;  // hardware, protocol, operation
    case 6:
      if (plan_.is_static_arp) frame.arp.sender_ip = Plan::kHost[1 - to];
      break;
  }
  Octets octets = build(frame);
  if (broken) octets[*broken] ^= std::byte{0x40};
  send(to, octets);
}

void Stranger::ip_packet(unsigned to) {
  Ipv4Frame frame(to_host(to));
  std::uint8_t protocol = wire::ip_protocol::kTcp;
  Octets payload = zeros(24);
  Octets octets;
  switch (rng_.below(13)) {
    case 0:
      frame.ip.source = ip(127, 0, 0, 1);
      break;
    case 1:
      frame.ip.source = ip(224, 0, 0, 1);
      break;
    case 2:
      frame.ip.destination = ip(127, 0, 0, 1);
      break;
    case 3:
      frame.ip.destination = ip(240, 0, 0, 1);
      break;
    case 4:
      frame.ip.destination = Plan::kNobody;
      break;
    case 5:
      frame.ip_options = support::octets({131, 7, 4, 10, 0, 0, 9, 0});
      break;
    case 6:
      frame.ip_options = support::octets({7, 1, 0, 0});
      break;
    case 7:
      frame.ip.more_fragments = true;
      frame.ip.dont_fragment = false;
      break;
    case 8:
      protocol = 253;
      break;
    case 9: {
      UdpFrame datagram(to_host(to));
      datagram.data = std::move(payload);
      if (rng_.chance(1, 2)) datagram.udp_checksum = ChecksumField::kWrong;
      octets = build(datagram);
      break;
    }
    case 10:
      frame.ip_checksum = ChecksumField::kWrong;
      break;
    case 11:
      octets = build_ipv4(frame, protocol, payload);
      put(octets, wire::kEthernetHeader, rng_.chance(1, 2) ? 0x65 : 0x43);  // version, or IHL
      break;
    case 12:
      octets = build_ipv4(frame, protocol, payload);
      octets.resize(wire::kEthernetHeader + rng_.below(40));
      break;
  }
  send(to, octets.empty() ? build_ipv4(frame, protocol, payload) : octets);
}

void Stranger::icmp_message(unsigned to) {
  IcmpFrame frame(to_host(to));
  frame.icmp = {.type = wire::icmp_type::kEchoRequest, .code = 0, .checksum = 0, .rest = any32()};
  frame.data = zeros(rng_.below(200));
  switch (rng_.below(6)) {
    case 0:
    case 1:
      send(to, build(frame));
      break;  // two: the second may be above the cap
    case 2:
      frame.icmp_checksum = ChecksumField::kWrong;
      break;
    case 3:
      frame.icmp.type = 13;
      break;
    case 4: {  // an error about a segment that nobody sent
      TcpFrame quoted(support::Endpoints{Plan::kHostMac[to], Plan::kStrangerMac, Plan::kHost[to],
                                         Plan::kStranger});
      quoted.tcp.source = any_port();
      quoted.tcp.destination = any_port();
      frame.icmp = {.type = wire::icmp_type::kUnreachable, .code = 1, .checksum = 0, .rest = 0};
      frame.data = support::ip_packet_of(build(quoted));
      break;
    }
    case 5: {
      const Ipv4Frame header(to_host(to));
      send(to, build_ipv4(header, wire::ip_protocol::kIcmp, zeros(rng_.below(8))));
      return;
    }
  }
  send(to, build(frame));
}

TcpFrame Stranger::own_segment(unsigned to, Port destination, std::uint8_t flags) {
  TcpFrame frame(to_host(to));
  frame.tcp.source = any_port();
  frame.tcp.destination = destination;
  frame.tcp.seq = wire::SeqNum(any32());
  frame.tcp.ack = wire::SeqNum(any32());
  frame.tcp.flags = flags;
  frame.tcp.window = 1000;
  return frame;
}

void Stranger::tcp_segment(unsigned to) {
  TcpFrame frame = own_segment(to, kRefusingPort, wire::kAck);
  std::size_t repeats = 1;
  switch (rng_.below(11)) {
    case 0:
      repeats = 3;
      break;  // answered by RST, some above the cap
    case 1:
      frame.tcp.flags = wire::kSyn;
      break;
    case 2:
      frame.tcp.flags = wire::kRst;
      break;
    case 3:
      frame.tcp.flags = wire::kFin | wire::kPsh;
      break;
    case 4:
      frame.tcp_checksum = ChecksumField::kWrong;
      break;
    case 5:
      frame.tcp.source = Port{0};
      break;
    case 6:
      frame.ip.destination = ip(10, 0, 0, 255);
      frame.ethernet.destination = MacAddr::broadcast();
      break;
    case 7:
      frame.tcp.destination = kListenPort;
      break;  // ACK to a listener
    case 8:
      frame.tcp.destination = kListenPort;
      frame.tcp.flags = wire::kFin;
      break;
    case 9: {
      Octets segment = zeros(20);
      put(segment, 12, rng_.chance(1, 2) ? 0x40 : 0xf0);  // data offset 4, or 15
      wire::Checksum sum;
      sum.add_pseudo_header(Plan::kStranger, Plan::kHost[to], wire::ip_protocol::kTcp, 20);
      sum.add(segment);
      const std::uint16_t value = sum.finish();
      put(segment, 16, value >> 8);
      put(segment, 17, value & 0xff);
      send(to, build_ipv4(frame, wire::ip_protocol::kTcp, segment));
      return;
    }
    case 10:
      send(to, build_ipv4(frame, wire::ip_protocol::kTcp, zeros(1 + rng_.below(19))));
      return;
  }
  for (std::size_t i = 0; i < repeats; ++i) send(to, build(frame));
}

/// A half-open entry, and what may come after its SYN.
void Stranger::handshake(unsigned to) {
  TcpFrame syn = own_segment(to, listen_port(), wire::kSyn);
  syn.tcp.ack = wire::SeqNum(0);
  if (rng_.chance(1, 4)) {
    syn.tcp.flags = wire::kSyn | wire::kFin;
    send(to, build(syn));
    return;
  }
  if (handshakes_left_ == 0) return;
  --handshakes_left_;
  send(to, build(syn));
  TcpFrame next = syn;
  next.tcp.seq = syn.tcp.seq + 1;
  switch (rng_.below(5)) {
    case 0:
      return;
    case 1:
      next = syn;
      break;
    case 2:
      next.tcp.flags = wire::kRst;
      break;
    case 3:
      next.tcp.flags = wire::kAck;
      next.tcp.ack = wire::SeqNum(any32());
      break;
    case 4:
      next.tcp.flags = wire::kAck;
      next.tcp.seq = syn.tcp.seq + kFar;
      next.tcp.ack = wire::SeqNum(any32());
      break;
  }
  send(to, build(next));
}

void Stranger::answer_arp(unsigned from, const wire::ArpPacket& request) {
  ArpFrame frame;
  frame.ethernet = {.destination = Plan::kHostMac[from], .source = Plan::kStrangerMac};
  frame.arp = {.operation = wire::ArpOperation::kReply,
               .sender_mac = Plan::kStrangerMac,
               .sender_ip = Plan::kStranger,
               .target_mac = request.sender_mac,
               .target_ip = request.sender_ip};
  send(from, build(frame));
}

void Stranger::on_sent(unsigned from, std::span<const std::byte> octets, Instant) {
  if (plan_.stranger_frames == 0) return;
  const auto frame = support::parse_frame(octets);
  if (!frame) return;
  if (frame->arp && frame->arp->operation == wire::ArpOperation::kRequest &&
      frame->arp->target_ip == Plan::kStranger && rng_.chance(3, 4))
    answer_arp(from, *frame->arp);
  if (frame->tcp && frame->ip->destination == Plan::kHost[1 - from]) on_segment(from, *frame);
}

void Stranger::on_segment(unsigned from, const support::ParsedFrame& frame) {
  const wire::TcpHeader& tcp = *frame.tcp;
  FlowId id;
  id[from] = tcp.source.value;
  id[1 - from] = tcp.destination.value;
  if (tcp.has(wire::kSyn) && !tcp.has(wire::kAck)) {
    flows_[id].sides[from] = Side{};
    flows_[id].is_reset = false;
    meddle_with_syn(from, frame);
  }
  Flow& flow = flows_[id];
  Side& side = flow.sides[from];
  const auto length = static_cast<std::uint32_t>(frame.payload.size()) +
                      (tcp.has(wire::kSyn) ? 1u : 0u) + (tcp.has(wire::kFin) ? 1u : 0u);
  const bool is_first = !side.has_syn;
  if (is_first || wire::seq_gt(tcp.seq + length, side.next)) side.next = tcp.seq + length;
  const std::uint8_t scale = side.last.options.window_scale;
  const bool has_scale = side.last.options.has_window_scale;
  side.last = tcp;
  if (!tcp.has(wire::kSyn)) {
    side.last.options.window_scale = scale;
    side.last.options.has_window_scale = has_scale;
  }
  side.has_syn |= tcp.has(wire::kSyn);
  side.has_fin |= tcp.has(wire::kFin);
  flow.is_reset |= tcp.has(wire::kRst);
  if (flow.is_reset || !flow.sides[0].has_syn || !flow.sides[1].has_syn) return;
  if (!flow.sides[0].last.has(wire::kAck) || !flow.sides[1].last.has(wire::kAck)) return;
  if (flow.sides[0].last.has(wire::kSyn) || flow.sides[1].last.has(wire::kSyn)) return;
  if (flow.forgeries >= kForgeriesPerFlow || !rng_.chance(1, 16)) return;
  ++flow.forgeries;
  forge(id, flow, static_cast<unsigned>(rng_.below(kHosts)));
}

/// Answers a SYN before the one that it was meant for can.
void Stranger::meddle_with_syn(unsigned from, const support::ParsedFrame& frame) {
  if (!rng_.chance(1, 6)) return;
  TcpFrame answer(support::Endpoints{Plan::kHostMac[1 - from], Plan::kHostMac[from],
                                     frame.ip->destination, frame.ip->source});
  answer.tcp.source = frame.tcp->destination;
  answer.tcp.destination = frame.tcp->source;
  answer.tcp.seq = wire::SeqNum(any32());
  answer.tcp.ack = frame.tcp->seq + kFar;
  answer.tcp.window = 1000;
  switch (rng_.below(4)) {
    case 0:
      answer.tcp.flags = wire::kSyn | wire::kAck;
      break;
    case 1:
      answer.tcp.flags = wire::kRst;
      break;
    case 2:
      answer.tcp.flags = wire::kRst | wire::kAck;
      break;
    case 3:
      answer.tcp.flags = wire::kPsh;
      break;
  }
  send(from, build(answer));
}

/// An empty ACK as the other side would send it now.
TcpFrame Stranger::forged_segment(const FlowId& id, const Flow& flow, unsigned to) {
  const Side& claimed = flow.sides[1 - to];
  const Side& victim = flow.sides[to];
  TcpFrame frame(support::Endpoints{Plan::kHostMac[1 - to], Plan::kHostMac[to], Plan::kHost[1 - to],
                                    Plan::kHost[to]});
  frame.tcp = claimed.last;
  frame.tcp.source = Port{id[1 - to]};
  frame.tcp.destination = Port{id[to]};
  frame.tcp.flags = wire::kAck;
  frame.tcp.seq = victim.last.ack;
  frame.tcp.urgent_pointer = 0;
  frame.tcp.options.has_mss = frame.tcp.options.has_window_scale = false;
  frame.tcp.options.has_sack_permitted = false;
  frame.tcp.options.sack_count = 0;
  return frame;
}

void Stranger::forge(const FlowId& id, Flow& flow, unsigned to) {
  TcpFrame frame = forged_segment(id, flow, to);
  wire::TcpHeader& tcp = frame.tcp;
  const bool has_timestamps = tcp.options.has_timestamps;
  switch (rng_.below(13)) {
    case 0: {  // in the window, but next to nowhere that RCV.NXT will ever be
      // Not into a window that looks shut: an octet that probes it may be taken, if that is a lie.
      const std::uint32_t window = std::uint32_t{flow.sides[to].last.window};
      if (window <= 3) return;
      tcp.flags = wire::kRst;
      tcp.seq += window / 2 + 1;
      break;
    }
    case 1:
      tcp.flags = wire::kRst;
      tcp.seq = tcp.seq + kFar;
      break;
    case 2:
      tcp.flags = wire::kSyn;
      tcp.seq = wire::SeqNum(any32());
      break;
    case 3:
      tcp.ack = flow.sides[to].next + kFar;
      break;
    case 4:
      tcp.ack = flow.sides[1 - to].last.ack - kFar;
      break;
    case 5:
      tcp.flags = wire::kPsh;
      break;
    case 6:
      tcp.options.has_timestamps = false;
      if (has_timestamps) frame.payload = zeros(10);
      break;
    case 7:
      // A clock that jumps ahead makes a timestamp of 2^20 ago a new one.
      if (!has_timestamps || plan_.mischief.kind == Mischief::kClockForward) return;
      tcp.options.ts_val -= 1u << 20;
      frame.payload = zeros(10);
      break;
    case 8:
      tcp.seq = tcp.seq + kFar;
      frame.payload = zeros(100);
      break;
    case 9:
      tcp.seq = tcp.seq - 5u;
      frame.payload = zeros(5);
      break;
    case 10:
      tcp.flags = wire::kAck | wire::kUrg;
      tcp.urgent_pointer = 100;
      break;
    case 11:
    case 12:
      forge_icmp(id, flow, to);
      return;
  }
  send(to, build(frame));
}

/// A true quote in an error that a connection survives.
void Stranger::forge_icmp(const FlowId& id, const Flow& flow, unsigned to) {
  TcpFrame quoted(support::Endpoints{Plan::kHostMac[to], Plan::kHostMac[1 - to], Plan::kHost[to],
                                     Plan::kHost[1 - to]});
  quoted.tcp = flow.sides[to].last;
  quoted.tcp.source = Port{id[to]};
  quoted.tcp.destination = Port{id[1 - to]};
  IcmpFrame frame(to_host(to));
  frame.data = support::ip_packet_of(build(quoted));
  frame.icmp = {.type = wire::icmp_type::kUnreachable, .code = 0, .checksum = 0, .rest = 0};
  switch (rng_.below(5)) {
    case 0:
      frame.icmp.code = wire::icmp_unreachable::kHost;
      break;
    case 1:
      frame.icmp.code = wire::icmp_unreachable::kPort;
      break;
    case 2:
      frame.icmp.code = wire::icmp_unreachable::kAdministrativelyProhibited;
      break;
    case 3:
      frame.icmp.type = wire::icmp_type::kTimeExceeded;
      break;
    case 4:
      frame.icmp.code = wire::icmp_unreachable::kFragmentationNeeded;
      frame.icmp.rest = 576;
      break;
  }
  send(to, build(frame));
}

}  // namespace sluice::sim
