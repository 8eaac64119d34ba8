// The whole shard, from Ethernet to the application's callbacks, under programs of operations:
// segments aimed at the edges of the connections that there are, calls of the application (on stale
// handles too), time, bursts of any size, pools that run dry.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tests/fuzz/engine_world.hpp"
#include "tests/fuzz/input.hpp"
#include "tests/support/eal.hpp"
#include "tests/support/packet_builder.hpp"
#include "wire/checksum.hpp"
#include "wire/ethernet.hpp"
#include "wire/icmp.hpp"
#include "wire/tcp.hpp"

using namespace sluice;  // NOLINT

namespace {

using fuzz::Input;
using fuzz::World;
using support::Octets;
using wire::SeqNum;

/// What a segment is aimed at, and the sequence numbers that matter there.
struct Target {
  tcp::FlowKey flow;
  SeqNum rcv_nxt, rcv_adv, una, nxt;
  std::uint32_t ts_recent = 0;
  std::uint32_t ts_offset = 0;  ///< Of our clock, as the peer has seen it.
  std::uint32_t mss = 100;
};

Target fresh_target(std::uint8_t choice) {
  constexpr std::array<std::uint8_t, 4> kHosts = {1, 3, 4,
                                                  5};  // the last one has no neighbour entry
  constexpr std::array kPorts = {fuzz::kPushPort, fuzz::kPullPort, fuzz::kPushPort,
                                 fuzz::kClosedPort};
  Target target;
  target.flow = {fuzz::kOurAddress, Ipv4Addr::from_octets(10, 0, 0, kHosts[choice & 3]),
                 kPorts[choice >> 2 & 3],
                 Port{static_cast<std::uint16_t>(1000 + (choice >> 4 & 3))}};
  constexpr std::array<std::uint32_t, 4> kStarts = {1000, 0xfffffff0u, 0x7ffffff0u, 0};
  target.rcv_nxt = target.rcv_adv = SeqNum(kStarts[choice >> 6]);
  return target;
}

/// Bits 0-1 what, the others which: connections twice, then half-open and TIME-WAIT entries.
Target choose_target(World& world, Input& input) {
  tcp::Context& ctx = world.context();
  const std::uint8_t choice = input.u8();
  const std::uint32_t which = choice >> 3;
  if ((choice & 4) != 0) return fresh_target(input.u8());
  if ((choice & 3) < 2 && ctx.tcbs.high_water() > 0) {
    const std::uint32_t index = which % ctx.tcbs.high_water();
    const tcp::Tcb& block = ctx.tcb(index);
    if (block.state != tcp::State::kClosed && !block.has(tcp::kDetached))
      return {ctx.flow_of(block), block.rcv.nxt,   block.rcv.adv,   block.snd.una,
              block.snd.nxt,      block.ts_recent, block.ts_offset, block.snd_mss};
  }
  if ((choice & 3) == 2) {
    for (std::uint32_t index = 0; index < ctx.half_opens.high_water(); ++index) {
      const tcp::HalfOpen& entry = ctx.half_opens[(index + which) % ctx.half_opens.high_water()];
      if (entry.listener == ListenerHandle::kNone) continue;
      return {ctx.flow_of(entry), entry.irs + 1, entry.irs + 1 + 2048,
              entry.iss + 1,      entry.iss + 1, entry.ts_recent};
    }
  }
  for (std::uint32_t index = 0; index < 3; ++index) {
    const tcp::TimeWait4& entry = ctx.time_wait4[(index + which) % 3];
    if ((entry.flags & tcp::kTimeWaitInUse) == 0) continue;
    return {ctx.flow_of_time_wait(tcp::FlowRef(tcp::FlowRef::kTimeWait4, (index + which) % 3)),
            entry.rcv_nxt,
            entry.rcv_nxt + entry.rcv_wnd,
            entry.snd_nxt,
            entry.snd_nxt,
            entry.ts_recent};
  }
  return fresh_target(choice);
}

/// A number near an edge, or across the circle.
std::uint32_t near(std::uint8_t choice) {
  constexpr std::array<std::uint32_t, 8> kFar = {64,    536,      1460,     4096,
                                                 65535, 1u << 20, 1u << 30, 1u << 31};
  const auto small = static_cast<std::uint32_t>(std::int32_t{choice & 15} - 8);
  if ((choice & 0x80) == 0) return small;
  const std::uint32_t far = kFar[choice >> 4 & 7];
  return (choice & 8) != 0 ? far + small : small - far;
}

SeqNum choose_seq(const Target& target, std::uint8_t edge, std::uint8_t delta) {
  const SeqNum base = (edge & 3) == 1 ? target.rcv_adv : target.rcv_nxt;
  return (edge & 3) == 0 ? base : base + near(delta);
}

SeqNum choose_ack(const Target& target, std::uint8_t edge, std::uint8_t delta) {
  switch (edge >> 2 & 3) {
    case 0:
      return target.nxt;
    case 1:
      return target.nxt + near(delta);
    case 2:
      return target.una + near(delta);
    default:
      return target.una;
  }
}

void append_u16(Octets& out, std::uint32_t value) {
  out.push_back(static_cast<std::byte>(value >> 8));
  out.push_back(static_cast<std::byte>(value));
}
void append_u32(Octets& out, std::uint32_t value) {
  append_u16(out, value >> 16);
  append_u16(out, value);
}

/// The edge of a segment of ours, counted from SND.UNA; never beyond SND.NXT.
SeqNum edge_in_flight(const Target& target, std::uint32_t segments) {
  return wire::seq_min(target.una + segments * target.mss, target.nxt);
}

/// SACK blocks by segments of what is in flight: valid, duplicates of what was acknowledged, partly
/// either, or cut anywhere.
void append_sacks(Octets& options, const Target& target, Input& input) {
  const std::uint8_t how = input.u8();
  const std::size_t room = (wire::kTcpMaxOptions - options.size() - 2) / 8;
  const std::size_t count = std::min<std::size_t>((how & 3) + 1u, room);
  options.push_back(std::byte{5});
  options.push_back(static_cast<std::byte>(2 + count * 8));
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint8_t where = input.u8();
    SeqNum left = edge_in_flight(target, where & 15);
    SeqNum right = edge_in_flight(target, (where & 15u) + (where >> 4 & 7u) + 1);
    if ((where & 0x80) != 0) {
      const std::uint8_t off = input.u8();
      if (i == 0 && (off & 0x80) == 0) {  // a duplicate, below SND.UNA
        left = left - (off & 15u) * target.mss;
        right = left + target.mss;
      } else {
        left += near(off & 0x0f);
        right += near(off >> 4 & 0x07);
      }
    }
    append_u32(options, left.value());
    append_u32(options, right.value());
  }
}

/// Options: those that a peer would send here, or any octets.
Octets choose_options(const Target& target, Input& input, std::uint32_t now_ms, bool is_syn) {
  const std::uint8_t kind = input.u8();
  Octets options;
  if ((kind & 0xc0) == 0xc0) {  // as they come, malformed as a rule
    for (const std::uint8_t octet : input.take(kind & 0x3f))
      options.push_back(static_cast<std::byte>(octet));
  } else {
    if (is_syn) {
      constexpr std::array<std::uint32_t, 4> kMss = {1460, 536, 0, 65535};
      options = support::octets({2, 4});
      append_u16(options, kMss[kind & 3]);
      if (kind & 4) options.insert(options.end(), {std::byte{4}, std::byte{2}});
      if (kind & 8)
        options.insert(options.end(),
                       {std::byte{3}, std::byte{3}, static_cast<std::byte>(kind >> 2 & 15)});
    }
    if (kind & 16) {
      options.insert(options.end(), {std::byte{8}, std::byte{10}});
      append_u32(options, (target.ts_recent == 0 ? now_ms : target.ts_recent) +
                              ((kind & 1) ? near(kind) : 0));
      append_u32(options, now_ms + target.ts_offset - ((kind & 0x80) ? 100 : 0));
    }
    if (kind & 32) {  // a SACK block of what we have in flight
      options.insert(options.end(), {std::byte{5}, std::byte{10}});
      append_u32(options, target.una.value() + 1);
      append_u32(options, target.nxt.value());
    } else if (kind & 64) {
      append_sacks(options, target, input);
    }
  }
  options.resize(std::min(options.size(), wire::kTcpMaxOptions));
  while (options.size() % 4 != 0) options.push_back(std::byte{1});
  return options;
}

Octets tcp_octets(const Target& target, SeqNum seq, SeqNum ack, std::uint8_t flags,
                  std::uint16_t window, const Octets& options, std::uint32_t payload) {
  Octets out;
  append_u16(out, target.flow.remote_port.value);
  append_u16(out, target.flow.local_port.value);
  append_u32(out, seq.value());
  append_u32(out, ack.value());
  out.push_back(static_cast<std::byte>((5 + options.size() / 4) << 4));
  out.push_back(static_cast<std::byte>(flags));
  append_u16(out, window);
  append_u16(out, 0);
  append_u16(out, (flags & wire::kUrg) ? payload : 0);
  out.insert(out.end(), options.begin(), options.end());
  const SeqNum first = seq + ((flags & wire::kSyn) ? 1 : 0);
  for (std::uint32_t i = 0; i < payload; ++i) out.push_back(fuzz::peer_octet(first + i));
  return out;
}

void set_checksum(Octets& segment, const tcp::FlowKey& flow) {
  segment[16] = segment[17] = std::byte{0};
  wire::Checksum sum;
  sum.add_pseudo_header(flow.remote, flow.local, wire::ip_protocol::kTcp,
                        static_cast<std::uint32_t>(segment.size()));
  sum.add(segment);
  wire::set_tcp_checksum(segment, sum.finish());
}

support::Endpoints ends_of(const tcp::FlowKey& flow) {
  return {.source_mac = fuzz::kPeerMac,
          .destination_mac = fuzz::kOurMac,
          .source_ip = flow.remote.v4(),
          .destination_ip = flow.local.v4()};
}

/// Hands a frame over in one piece, or cut in two.
void deliver(World& world, const Octets& frame, std::uint8_t cut) {
  if (frame.empty()) return;
  std::vector<Octets> pieces{frame};
  const std::size_t at = std::size_t{cut} * 4;
  if (cut != 0 && at < frame.size()) {
    const auto middle = frame.begin() + static_cast<std::ptrdiff_t>(at);
    pieces = {Octets(frame.begin(), middle), Octets(middle, frame.end())};
  }
  world.receive(pieces);
}

void segment_arrives(World& world, Input& input, std::uint8_t ecn) {
  const Target target = choose_target(world, input);
  const std::uint8_t flags = input.u8(), edge = input.u8();
  const SeqNum seq = choose_seq(target, edge, (edge & 3) != 0 ? input.u8() : 0);
  const bool needs_delta = (edge & 0x0c) == 4 || (edge & 0x0c) == 8;
  SeqNum ack = choose_ack(target, edge, needs_delta ? input.u8() : 0);
  if ((edge & 0x80) != 0) ack = edge_in_flight(target, input.u8() & 15);
  constexpr std::array<std::uint16_t, 4> kWindows = {65535, 0, 1, 600};
  constexpr std::array<std::uint32_t, 4> kPayloads = {0, 1, 100, 1400};
  const auto now_ms = static_cast<std::uint32_t>(world.context().tick);
  const std::uint8_t size = input.u8();
  const std::uint32_t payload = kPayloads[size & 3] + (size >> 2) * ((size & 3) == 0 ? 0u : 1u);
  const Octets options = choose_options(target, input, now_ms, (flags & wire::kSyn) != 0);
  Octets segment = tcp_octets(target, seq, ack, flags, kWindows[edge >> 4 & 3], options, payload);
  std::uint8_t cut = 0;
  if (edge & 0x40) {
    cut = input.u8();
    if (cut & 0x80) {  // some octets change, under a right checksum or not
      world.taint();
      for (unsigned count = (cut & 3) + 1u; count > 0; --count)
        segment[input.u8() % segment.size()] ^= static_cast<std::byte>(input.u8());
    }
  }
  if ((cut & 0xc0) != 0xc0) set_checksum(segment, target.flow);
  support::Ipv4Frame ip(ends_of(target.flow));
  ip.ip.traffic_class = ecn;
  deliver(world, support::build_ipv4(ip, wire::ip_protocol::kTcp, segment), cut & 0x3f);
}

/// An ICMP error about something of ours, with sequence numbers in flight or not.
void icmp_arrives(World& world, Input& input) {
  const Target target = choose_target(world, input);
  const std::uint8_t kind = input.u8();
  support::TcpFrame quoted({.source_mac = fuzz::kOurMac,
                            .destination_mac = fuzz::kPeerMac,
                            .source_ip = target.flow.local.v4(),
                            .destination_ip = target.flow.remote.v4()});
  quoted.tcp.source = target.flow.local_port;
  quoted.tcp.destination = target.flow.remote_port;
  quoted.tcp.seq = (kind & 0x10) ? target.una + near(input.u8()) : target.una;
  support::IcmpFrame frame(ends_of(target.flow));
  frame.icmp.type = (kind & 0x20) ? 11 : 3;
  frame.icmp.code = kind & 15;
  constexpr std::array<std::uint32_t, 4> kMtus = {0, 68, 600, 1400};
  frame.icmp.rest = kMtus[kind >> 6];
  frame.data = support::ip_packet_of(support::build(quoted));
  deliver(world, support::build(frame), 0);
}

void raw_arrives(World& world, Input& input) {
  world.taint();
  Octets frame;
  for (const std::uint8_t octet : fuzz::kOurMac.octets)
    frame.push_back(static_cast<std::byte>(octet));
  for (const std::uint8_t octet : input.take(input.u8()))
    frame.push_back(static_cast<std::byte>(octet));
  deliver(world, frame, 0);
}

/// A piece of `whole`, where and as long as the input says.
Octets piece_of(const Octets& whole, std::size_t offset, std::uint8_t length) {
  const std::size_t left = std::min(offset, whole.size());
  const std::size_t right = std::min(left + std::size_t{length} * 8, whole.size());
  return {whole.begin() + static_cast<std::ptrdiff_t>(left),
          whole.begin() + static_cast<std::ptrdiff_t>(right)};
}

/// An IPv4 packet with a right header checksum: whole or a fragment, with options or none, of a
/// segment, a ping, a datagram or anything.
void packet_arrives(World& world, Input& input) {
  world.taint();
  const std::uint8_t kind = input.u8(), where = input.u8(), length = input.u8();
  const Target target = choose_target(world, input);
  support::Ipv4Frame ip(ends_of(target.flow));
  constexpr std::array<std::uint8_t, 4> kProtocols = {
      wire::ip_protocol::kTcp, wire::ip_protocol::kIcmp, wire::ip_protocol::kUdp, 99};
  const std::uint8_t protocol = kProtocols[kind & 3];
  ip.ip.dont_fragment = false;
  ip.ip.identification = kind >> 2 & 3;
  ip.ip.fragment_offset = static_cast<std::uint16_t>((where & 0x1f) * 8);
  ip.ip.more_fragments = (where & 0x20) != 0;
  ip.ip.ttl = (where & 0x40) != 0 ? 0 : 64;
  if ((kind & 0x10) != 0)
    for (const std::uint8_t octet : input.take((kind >> 5) * 4u))
      ip.ip_options.push_back(static_cast<std::byte>(octet));
  ip.ip_options.resize(ip.ip_options.size() / 4 * 4);
  Octets whole;
  if (protocol == wire::ip_protocol::kTcp) {
    whole = tcp_octets(target, target.rcv_nxt, target.nxt, wire::kAck, 65535, {}, 200);
    set_checksum(whole, target.flow);
  } else if (protocol == wire::ip_protocol::kIcmp) {
    whole = support::octets({8, 0, 0, 0, 0, 1, 0, 1});
    whole.resize(240, std::byte{0x5a});
    wire::set_icmp_checksum(whole);
  } else {
    for (const std::uint8_t octet : input.take(input.u8()))
      whole.push_back(static_cast<std::byte>(octet));
  }
  const bool is_cut = ip.ip.is_fragment() || (where & 0x80) != 0;
  const Octets payload = is_cut ? piece_of(whole, ip.ip.fragment_offset, length) : whole;
  deliver(world, support::build_ipv4(ip, protocol, payload), is_cut ? 0 : length & 0x3f);
}

/// Any host of the link says or asks anything.
void claim_arrives(World& world, Input& input) {
  const std::uint8_t kind = input.u8(), who = input.u8();
  const auto host = [](unsigned number) {
    return Ipv4Addr::from_octets(10, 0, 0, static_cast<std::uint8_t>(number));
  };
  const MacAddr other{{0x02, 0, 0, 0, 0, static_cast<std::uint8_t>(0x10 + (kind >> 5))}};
  support::ArpFrame frame;
  frame.arp.operation = (kind & 1) != 0 ? wire::ArpOperation::kReply : wire::ArpOperation::kRequest;
  frame.arp.sender_mac = (kind & 2) != 0 ? other : fuzz::kPeerMac;
  frame.arp.sender_ip = host(who & 15);
  frame.arp.target_mac = (kind & 4) != 0 ? fuzz::kOurMac : MacAddr{};
  frame.arp.target_ip = (kind & 8) != 0 ? host(who >> 4) : fuzz::kOurAddress;
  frame.ethernet = {.destination = (kind & 16) != 0 ? MacAddr::broadcast() : fuzz::kOurMac,
                    .source = frame.arp.sender_mac,
                    .ether_type = wire::ether_type::kArp};
  deliver(world, support::build(frame), 0);
}

/// Somebody answers for the host that has no neighbour entry.
void arp_arrives(World& world) {
  support::ArpFrame frame;
  frame.ethernet = {.destination = fuzz::kOurMac, .source = fuzz::kPeerMac};
  frame.ethernet.ether_type = wire::ether_type::kArp;
  frame.arp.operation = wire::ArpOperation::kReply;
  frame.arp.sender_mac = fuzz::kPeerMac;
  frame.arp.sender_ip = Ipv4Addr::from_octets(10, 0, 0, 5);
  frame.arp.target_mac = fuzz::kOurMac;
  frame.arp.target_ip = fuzz::kOurAddress;
  deliver(world, support::build(frame), 0);
}

void time_passes(World& world, std::uint8_t choice) {
  constexpr std::array<std::int64_t, 16> kMicroseconds = {
      0,          1,           1'000,       10'000,        40'000,     100'000,
      200'000,    1'000'000,   2'000'000,   5'000'000,     10'000'000, 32'000'000,
      60'000'000, 130'000'000, 600'000'000, 86'400'000'000};
  world.advance(Duration::from_us(kMicroseconds[choice & 15]));
}

void stream_call(World& world, Input& input) {
  const std::uint8_t choice = input.u8(), value = input.u8();
  Stream stream = world.remembered(choice >> 4);
  switch (choice & 15) {
    case 0:
      return world.send(stream, value);
    case 1:
      return world.send(stream, value * 32u);
    case 2:
      return world.echo(stream, world.kept(value));
    case 3:
      if (auto data = stream.read()) {
        world.judge_received(stream, *data);
        if (value & 1) world.keep(std::move(*data));
      }
      return;
    case 4:
      return static_cast<void>(stream.shutdown());
    case 5:
      return static_cast<void>(stream.close());
    case 6:
      return static_cast<void>(stream.abort());
    case 7:
      return static_cast<void>(stream.pause_reading());
    case 8:
      return static_cast<void>(stream.resume_reading());
    case 9:
      return static_cast<void>(stream.set_nodelay((value & 1) != 0));
    case 10:
      return static_cast<void>(stream.set_user_timeout(Duration::from_ms(value * 100)));
    case 11:
      return static_cast<void>(stream.set_keepalive((value & 1) != 0));
    case 12:
      return static_cast<void>(stream.set_timer(Duration::from_ms(value)));
    case 13:
      return static_cast<void>(stream.set_trace((value & 1) != 0));
    case 14:
      return static_cast<void>(stream.set_handler((value & 1) != 0 ? &world.borrowed() : nullptr));
    default:
      static_cast<void>(stream.info());
      return world.kept(value).consume(value);
  }
}

void listener_call(World& world, Input& input) {
  const std::uint8_t choice = input.u8();
  Listener& listener = world.listener(choice & 1);
  switch (choice >> 1 & 7) {
    case 0:
      if (const auto stream = listener.accept(&world.borrowed())) world.remember(*stream);
      return;
    case 1:
      return static_cast<void>(listener.pause_accepting());
    case 2:
    case 3:
      return static_cast<void>(listener.resume_accepting());
    case 4:
      return static_cast<void>(listener.close());
    case 5:
      return world.listen(fuzz::kPushPort);
    case 6:
      return world.listen(fuzz::kPullPort);
    default:
      return static_cast<void>(listener.info());
  }
}

void connect(World& world, Input& input) {
  const std::uint8_t choice = input.u8();
  const Target target = fresh_target(choice);
  const auto stream = world.worker().connect(
      {.remote = {target.flow.remote, target.flow.remote_port},
       .local_port = Port{static_cast<std::uint16_t>((choice & 4) ? 5000 : 0)},
       .trace = (choice & 8) != 0},
      (choice & 0xc0) == 0xc0 ? nullptr : &world.borrowed());
  if (stream) world.remember(*stream);
}

void resources(World& world, std::uint8_t choice) {
  const packet::Pools pools = world.stack().impl().pools;
  switch (choice & 7) {
    case 0:
      return world.withhold(*pools.receive);
    case 1:
      return world.withhold(*pools.control);
    case 2:
      return world.withhold(*pools.indirect);
    case 3:
      return world.stack().begin_drain(world.context().now);
    default:
      return world.give_back();
  }
}

/// One operation. Bits 4-5: a segment's ECN bits, a burst's size. Bit 7: then everything settles,
/// as a worker's poll loop would have it.
void step(World& world, Input& input) {
  const std::uint8_t operation = input.u8();
  switch (operation & 15) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
    case 5:
      segment_arrives(world, input, operation >> 4 & 3);
      break;
    case 6:
      icmp_arrives(world, input);
      break;
    case 7:
      if ((operation & 0x10) != 0)
        packet_arrives(world, input);
      else if ((operation & 0x20) != 0)
        claim_arrives(world, input);
      else
        raw_arrives(world, input);
      break;
    case 8:
      time_passes(world, input.u8());
      break;
    case 9:
      world.transmit((operation >> 4 & 7) + 1u);
      break;
    case 10:
    case 11:
      stream_call(world, input);
      break;
    case 12:
      listener_call(world, input);
      break;
    case 13:
      connect(world, input);
      break;
    case 14:
      resources(world, input.u8());
      break;
    default:
      arp_arrives(world);
      break;
  }
  world.check();
  if ((operation & 0x80) == 0) return;
  world.settle();
  world.check();
}

fuzz::FuzzPools& pools() {
  static fuzz::FuzzPools made;
  return made;
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  support::start_eal();
  pools();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t count) {
  constexpr int kMostSteps = 200;
  Input input(std::span(data, count));
  const auto config = input.array<World::kConfigOctets>();
  const auto script = input.array<World::kScriptOctets>();
  World world(pools(), config, script);
  for (int steps = 0; steps < kMostSteps && !input.is_empty(); ++steps) step(world, input);
  if ((config[2] & 0x80) == 0) world.fall_silent();
  world.end();
  return 0;
}
