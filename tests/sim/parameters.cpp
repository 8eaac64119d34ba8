#include "tests/sim/parameters.hpp"

#include <algorithm>

#include "tests/sim/content.hpp"
#include "tests/sim/dice.hpp"

namespace sluice::sim {
namespace {

using drivers::LinkOptions;

Weather draw_weather(Dice& dice) {
  const std::uint64_t roll = dice.between(1, 20);
  return roll <= 4    ? Weather::kClear
         : roll <= 11 ? Weather::kMild
         : roll <= 17 ? Weather::kRough
                      : Weather::kStorm;
}

void draw_tcp(Dice& dice, tcp::EngineConfig& tcp) {
  tcp.max_connections = 64;
  tcp.max_half_open = 64;
  tcp.max_accept_queue = 64;
  tcp.max_time_wait = static_cast<std::uint32_t>(dice.pick<std::uint64_t>({64, 64, 64, 4}));
  tcp.max_listeners = 4;
  tcp.max_in_flight = 64;
  tcp.recorder_events = dice.one_in(4) ? 256 : 0;
  tcp.receive_buffer_bytes = static_cast<std::uint32_t>(
      dice.pick<std::uint64_t>({4096, 16384, 65536, 65536, 262144, 1 << 20}));
  tcp.send_buffer_bytes = static_cast<std::uint32_t>(
      dice.pick<std::uint64_t>({4096, 16384, 65536, 65536, 262144, 1 << 20}));
  tcp.reassembly_segments = static_cast<std::uint32_t>(dice.pick<std::uint64_t>({2, 8, 256, 256}));
  tcp.reassembly_worker_segments = 1024;
  tcp.copy_break_bytes = static_cast<std::uint32_t>(dice.pick<std::uint64_t>({0, 64, 256, 256}));
  tcp.ephemeral_first = 40000;
  tcp.ephemeral_last = 40999;
  tcp.timestamps = !dice.one_in(4);
  tcp.sack = !dice.one_in(4);
  tcp.window_scaling = !dice.one_in(4);
  tcp.max_mss =
      dice.one_in(6) ? static_cast<std::uint16_t>(dice.between(100, 1200)) : std::uint16_t{0};
  tcp.rto_max = dice.pick({s(120), s(120), s(10)});
  tcp.initial_window_segments =
      static_cast<std::uint32_t>(dice.pick<std::uint64_t>({10, 10, 2, 1}));
  tcp.delayed_ack = dice.pick({ms(40), ms(40), ms(10), ms(100)});
  tcp.quick_acks = static_cast<std::uint8_t>(dice.pick<std::uint64_t>({16, 16, 0, 1}));
  tcp.nodelay = dice.one_in(2);
  tcp.congestion =
      dice.pick({tcp::Algorithm::kCubic, tcp::Algorithm::kCubic, tcp::Algorithm::kNewReno,
                 tcp::Algorithm::kDctcp, tcp::Algorithm::kBbr});
  tcp.ecn = dice.pick({tcp::EcnMode::kOff, tcp::EcnMode::kAccept, tcp::EcnMode::kOffer});
  tcp.pacing = dice.one_in(4);
  tcp.receive_buffer_max_bytes = dice.one_in(2) ? 1 << 20 : 0;
  tcp.receive_growth_bytes = dice.one_in(4) ? 65536 : 64 << 20;
  tcp.send_buffer_max_bytes = dice.one_in(2) ? 1 << 20 : 0;
  tcp.time_wait = dice.pick({s(1), s(4), s(60)});
  tcp.fin_wait_2 = dice.pick({s(60), s(2)});
  if (dice.one_in(6)) tcp.reset_limit = {1, 1};
  if (dice.one_in(6)) tcp.challenge_limit = {1, 1};
}

HostPlan draw_host(Dice& dice, unsigned index) {
  HostPlan host;
  stack::InterfaceConfig interface;
  interface.name = "sim0";
  interface.addresses = {Prefix{Plan::kHost[index], 24}};
  host.stack.interfaces = {interface};
  host.stack.max_neighbors = 16;
  host.stack.max_routes = 16;
  host.stack.neighbor_queue_packets =
      static_cast<std::uint32_t>(dice.pick<std::uint64_t>({8, 8, 1}));
  host.stack.neighbor_reachable = dice.pick({s(60), s(5)});
  if (dice.one_in(6)) host.stack.echo_limit = {1, 1};
  if (dice.one_in(6)) host.stack.icmp_error_limit = {1, 1};
  host.stack.receive_low_watermark_pkts = 64;
  draw_tcp(dice, host.stack.tcp);
  host.port.tx_ipv4_checksum = dice.one_in(2);
  host.port.tx_tcp_checksum = host.port.tx_ipv4_checksum && dice.one_in(2);
  host.port.rx_checksum = dice.one_in(3);
  host.port.tx_multi_segment = !dice.one_in(3);
  host.port.tx_indirect = !dice.one_in(4);
  host.rx_ring = static_cast<std::uint32_t>(dice.pick<std::uint64_t>({1024, 1024, 64}));
  host.tx_ring = static_cast<std::uint32_t>(dice.pick<std::uint64_t>({1024, 32, 4}));
  host.burst = static_cast<std::uint16_t>(dice.pick<std::uint64_t>({32, 32, 64, 1, 3}));
  host.poll_interval = dice.pick({Duration::zero(), Duration::zero(), us(20), ms(1)});
  // By what is drawn already: of ports that can, some cut trains and some have them cut.
  host.port.tx_tso = host.port.tx_tcp_checksum && host.port.tx_multi_segment &&
                     host.port.tx_indirect && host.tx_ring != 32;
  return host;
}

EndPlan draw_end(Dice& dice, Weather weather) {
  EndPlan end;
  const bool is_large = weather <= Weather::kMild && dice.one_in(10);
  end.send_bytes = static_cast<std::uint32_t>(is_large ? dice.between(200'000, 1 << 20)
                                                       : dice.between(65'536, 100'000));
  end.chunk_bytes =
      static_cast<std::uint32_t>(dice.pick<std::uint64_t>({16384, 16384, 4096, 65536, 700}));
  // A pause between chunks stretches the stream over two seconds or so, whatever the chunk.
  if (dice.one_in(4))
    end.send_pause = Duration::from_us(
        std::max<std::int64_t>(1000, std::int64_t{2'000'000} * end.chunk_bytes / end.send_bytes));
  end.finish = dice.one_in(4) ? Finish::kLast : Finish::kShutdown;
  end.reading = dice.pick(
      {Reading::kPush, Reading::kPush, Reading::kPartial, Reading::kKeep, Reading::kPull});
  end.hold = dice.pick({ms(1), ms(10), ms(300)});
  if (dice.one_in(5)) {
    end.pause_at = dice.between(ms(1), s(1));
    end.pause_for = dice.pick({ms(300), s(3), s(20)});
  }
  end.closes_at_end = dice.one_in(2);
  end.misuses = dice.one_in(4);
  end.has_keepalive = dice.one_in(8);
  return end;
}

/// One or both ends stop before they are done.
void draw_interruption(Dice& dice, ConnectionPlan& connection) {
  EndPlan& end = connection.ends[dice.between(0, 1)];
  switch (dice.between(0, 3)) {
    case 0:
      end.abort_at = dice.between(Duration::zero(), s(2));
      break;
    case 1:
      end.close_at = dice.between(Duration::zero(), s(2));
      break;
    case 2:
      end.finish = Finish::kClose;
      break;
    case 3:
      end.finish = Finish::kAbort;
      break;
  }
  if (dice.one_in(3)) {  // the other end never reads again, or is just as rude
    EndPlan& other = connection.ends[dice.between(0, 1)];
    other.close_at = dice.between(Duration::zero(), s(2));
  }
}

ConnectionPlan draw_connection(Dice& dice, Weather weather, unsigned index) {
  ConnectionPlan connection;
  connection.client = static_cast<unsigned>(dice.between(0, 1));
  connection.pulls = dice.one_in(3);
  connection.start = dice.one_in(2) ? Duration::zero() : dice.between(Duration::zero(), s(3));
  for (EndPlan& end : connection.ends) end = draw_end(dice, weather);
  const std::uint64_t roll = dice.between(1, 24);
  if (roll == 1) connection.opening = Opening::kRefused;
  if (roll == 2) connection.opening = Opening::kUnreachable;
  if (roll == 3 || roll == 4) connection.opening = Opening::kSimultaneous;
  if (connection.ends[0].finish == Finish::kLast) connection.ends[1].finish = Finish::kShutdown;
  if (connection.opening == Opening::kConnect) {
    if (roll >= 5 && roll <= 7) {
      connection.ends[1].reading = Reading::kEcho;
      connection.ends[1].finish = dice.pick({Finish::kShutdown, Finish::kClose});
      connection.ends[0].finish = Finish::kShutdown;
    } else if (roll >= 8 && roll <= 12) {
      draw_interruption(dice, connection);
    } else if (roll == 13 || roll == 14) {  // both FINs cross
      const Duration together = dice.between(s(3), s(6));
      for (EndPlan& end : connection.ends) {
        end.finish = Finish::kShutdown;
        end.finish_at = together;
      }
    } else if (roll == 16) {  // one closes and is left in FIN-WAIT-2 by a peer that lingers
      connection.ends[0].finish = connection.ends[1].finish = Finish::kShutdown;
      connection.ends[0].close_at = s(8);
      connection.ends[1].finish_at = s(80);
    } else if (roll == 15) {
      connection.repetitions = 3;
      connection.fixed_port = Port{static_cast<std::uint16_t>(20000 + index)};
      connection.ends[1].finish = Finish::kShutdown;  // the server closes first, and waits 2 MSL
      connection.ends[0].finish = Finish::kLast;
    }
  }
  if (dice.one_in(connection.opening == Opening::kSimultaneous ? 3 : 24))
    connection.ends[0].abort_opening_at = dice.between(Duration::zero(), ms(300));
  if (connection.opening == Opening::kSimultaneous)
    connection.fixed_port = Port{static_cast<std::uint16_t>(30000 + index)};
  return connection;
}

/// Tables and pools so small that things are refused.
void draw_scarcity(Dice& dice, WorldPlan& world) {
  HostPlan& host = world.hosts[dice.between(0, 1)];
  switch (dice.between(0, 5)) {
    case 0:
      host.syn_backlog = 1;
      break;
    case 1:
      host.accept_backlog = 1;
      host.accept_pause_at = Duration::zero();
      host.accept_pause_for = dice.between(s(1), s(20));
      break;
    case 2:
      host.stack.tcp.max_connections = 2;
      break;
    case 3:
      host.receive_pkts = static_cast<std::uint32_t>(dice.between(96, 256));
      break;
    case 4:
      host.stack.tcp.max_in_flight = 2;
      break;
    case 5:
      host.stack.tcp.syn_retries = 2;
      host.stack.tcp.syn_ack_retries = 1;
      host.stack.tcp.half_open_lifetime = s(4);
      break;
  }
  world.is_scarce = true;
  world.may_fail = true;
}

void draw_outage(Dice& dice, WorldPlan& world) {
  world.outage_at = dice.between(Duration::zero(), s(4));
  world.outage_for = dice.one_in(2) ? Duration::infinite() : dice.between(ms(100), s(30));
  world.may_fail_handshake = true;
  if (!world.outage_for.is_infinite() && world.outage_for < s(20)) return;
  world.may_fail = true;
  for (HostPlan& host : world.hosts) {
    tcp::EngineConfig& tcp = host.stack.tcp;
    tcp.user_timeout = dice.between(s(10), s(90));
    tcp.keepalive = true;
    tcp.keepalive_idle = s(10);
    tcp.keepalive_interval = s(3);
    tcp.keepalive_count = 3;
  }
}

/// What happens to the paths over time, and who misbehaves. Single faults are drawn already.
void draw_network(Dice& dice, Weather weather, std::uint16_t mtu, WorldPlan& world) {
  world.heal_at = dice.pick({s(30), s(120), s(300)});
  for (LinkOptions& direction : world.link) draw_features(dice, weather, mtu, direction);
  if (world.is_static_arp && dice.one_in(3))  // bloat that ARP's patience need not outlast
    for (LinkOptions& direction : world.link) direction.queue_bytes *= 8;
  if (dice.one_in(8)) {
    PathChangePlan change;
    change.at = dice.pick({dice.between(ms(10), s(2)), dice.between(s(1), s(20))});
    for (LinkOptions& direction : change.link) {
      direction = draw_link(dice, weather);
      draw_features(dice, weather, mtu, direction);
    }
    world.path_change = change;
  }
  if (dice.one_in(5)) world.mischief = draw_mischief(dice, world.heal_at);
  // What never arrived and is acknowledged is lost; a clock that runs back is an old duplicate's.
  world.may_fail =
      world.mischief.kind == Mischief::kOptimistic || world.mischief.kind == Mischief::kClockBack;
  const auto is_rough = [](const auto& link) { return !is_gentle(link[0]) || !is_gentle(link[1]); };
  world.may_fail_handshake =
      is_rough(world.link) || (world.path_change && is_rough(world.path_change->link));
}

/// Tens of small connections at once through one bottleneck.
void draw_crowd(Dice& dice, Weather weather, WorldPlan& world) {
  const std::uint64_t rate = dice.pick<std::uint64_t>({2'000'000, 10'000'000, 100'000'000});
  for (LinkOptions& direction : world.link) direction.bits_per_second = rate;
  world.connections.clear();
  const auto count = static_cast<unsigned>(dice.between(16, 48));
  for (unsigned index = 0; index < count; ++index) {
    ConnectionPlan connection = draw_connection(dice, weather, index);
    connection.start = dice.between(Duration::zero(), s(1));
    for (EndPlan& end : connection.ends)
      end.send_bytes = static_cast<std::uint32_t>(dice.between(2'000, 20'000));
    world.connections.push_back(connection);
  }
  for (HostPlan& host : world.hosts) {
    tcp::EngineConfig& tcp = host.stack.tcp;
    tcp.max_connections = tcp.max_in_flight = tcp.max_time_wait = 128;
  }
  world.may_fail_handshake = true;  // the queue drops SYNs as it drops everything
}

/// Small honest connections to a server that is being flooded, one after the other.
void draw_visitors(Dice& dice, const AttackPlan& attack, WorldPlan& world) {
  const auto count = static_cast<unsigned>(dice.between(2, 4));
  for (unsigned i = 0; i < count; ++i) {
    ConnectionPlan visitor;
    visitor.client = 1 - attack.victim;
    visitor.pulls = dice.one_in(2);
    visitor.start =
        attack.from + Duration::from_ns((attack.until - attack.from).ns() * (i + 1) / count);
    for (EndPlan& end : visitor.ends)
      end.send_bytes = static_cast<std::uint32_t>(dice.between(500, 8'000));
    world.connections.push_back(visitor);
  }
}

/// Connections that begin while attackers are at it; and in half of these worlds paths that do no
/// harm: what fails there is the attackers' doing, and nothing excuses it.
void meet_attackers(Dice& dice, WorldPlan& world) {
  for (ConnectionPlan& connection : world.connections)
    if (dice.one_in(2))
      connection.start = dice.between(world.attacks[0].from, world.attacks[0].until);
  const bool is_crowded = world.connections.size() > 6;
  if (!dice.one_in(2) || is_crowded || !world.outage_at.is_infinite()) return;
  for (LinkOptions& direction : world.link) direction = healed(direction);
  world.path_change.reset();
  world.may_fail_handshake = false;
  for (const AttackPlan& attack : world.attacks)
    if (attack.kind == Attack::kFlooder) draw_visitors(dice, attack, world);
}

/// A gateway to where attackers are, and what even a good gate does not promise while they are.
void prepare_for_attacks(Dice& dice, WorldPlan& world) {
  for (HostPlan& host : world.hosts) {
    stack::InterfaceConfig& interface = host.stack.interfaces[0];
    interface.routes.push_back({.destination = Prefix{Ipv4Addr{}, 0}, .gateway = Plan::kGateway});
    interface.neighbors.push_back({Plan::kGateway, Plan::kGatewayMac});
  }
  for (const AttackPlan& attack : world.attacks) {
    if (attack.kind != Attack::kFlooder) continue;
    tcp::EngineConfig& tcp = world.hosts[attack.victim].stack.tcp;
    if (dice.one_in(3)) {
      tcp.syn_ack_prefix_limit = {.rate_per_s = 5, .burst = 16};
      // The segment's prefix pays for what is sent in its name.
      if (attack.uses_neighbors) world.may_fail_handshake = true;
    }
    // Without cookies a full queue turns honest SYNs away, as long as its entries live.
    if (tcp.syn_cookies == tcp::CookieMode::kOff) world.may_fail_handshake = true;
  }
}

/// What one connection needs when nothing hinders it, its applications' own waiting included.
Duration life_of(const WorldPlan& world, const ConnectionPlan& connection, Duration round_trip) {
  constexpr Duration kHandshake = s(64);
  std::uint64_t least_mss = world.hosts[0].port.mtu - 40u;
  std::uint64_t least_window = least_mss;
  Duration lingering;
  for (const HostPlan& host : world.hosts) {
    const tcp::EngineConfig& tcp = host.stack.tcp;
    if (tcp.max_mss != 0) least_mss = std::min<std::uint64_t>(least_mss, tcp.max_mss);
    // A peer that is wrong about the shift count may see an eighth of the window.
    least_window = std::min<std::uint64_t>(
        least_window, std::min(tcp.receive_buffer_bytes / 8, tcp.send_buffer_bytes));
    lingering = std::max(lingering, tcp.time_wait + tcp.fin_wait_2);
  }
  Duration life = kHandshake + lingering;
  for (const EndPlan& end : connection.ends) {
    // Slow start needs a few rounds; then a window goes each.
    const auto rounds = static_cast<std::int64_t>(64 + end.send_bytes / least_window);
    const auto chunks = static_cast<std::int64_t>(1 + end.send_bytes / end.chunk_bytes);
    // kPartial takes half of what there is, which may be one segment, between two pauses.
    const auto halves = static_cast<std::int64_t>(32 + 2 * end.send_bytes / least_mss);
    life = life + round_trip * rounds + end.send_pause * chunks + end.finish_at + end.pause_for;
    if (end.reading == Reading::kPartial || end.reading == Reading::kKeep)
      life = life + end.hold * halves;
    for (const Duration when : {end.abort_at, end.close_at})
      if (!when.is_infinite()) life = life + when;
  }
  return life * connection.repetitions;
}

}  // namespace

Duration longest_round_trip(const WorldPlan& world) {
  const auto of_path = [](const std::array<LinkOptions, 2>& path) {
    Duration trip = ms(200);  // delayed ACKs and poll loops
    for (const LinkOptions& link : path) {
      trip = trip + link.delay + link.jitter + link.reorder_delay;
      if (link.bits_per_second == 0) continue;
      trip = trip + Duration::from_us(static_cast<std::int64_t>(std::uint64_t{link.queue_bytes} *
                                                                8'000'000 / link.bits_per_second));
    }
    return trip;
  };
  const Duration first = of_path(world.link);
  return world.path_change ? std::max(first, of_path(world.path_change->link)) : first;
}

Duration liveness_bound(const WorldPlan& world) {
  std::uint64_t slowest = ~std::uint64_t{0};
  const auto add_rates = [&](const std::array<LinkOptions, 2>& path) {
    for (const LinkOptions& link : path)
      if (link.bits_per_second != 0) slowest = std::min(slowest, link.bits_per_second);
  };
  add_rates(world.link);
  if (world.path_change) add_rates(world.path_change->link);
  const Duration round_trip = longest_round_trip(world);

  Duration calm = world.heal_at;
  if (!world.outage_at.is_infinite() && !world.outage_for.is_infinite())
    calm = std::max(calm, world.outage_at + world.outage_for);
  Duration longest;
  std::uint64_t octets = 0;
  for (const ConnectionPlan& connection : world.connections) {
    calm = std::max(calm, connection.start);
    longest = std::max(longest, life_of(world, connection, round_trip));
    for (const EndPlan& end : connection.ends)
      octets += std::uint64_t{end.send_bytes} * connection.repetitions;
  }
  // Each octet may go twice over the slowest path, under as much again for headers.
  const auto on_the_wire = Duration::from_us(static_cast<std::int64_t>(
      slowest == ~std::uint64_t{0} ? 0 : 4 * octets * 8'000'000 / slowest));
  Duration rto_max;
  for (const HostPlan& host : world.hosts) rto_max = std::max(rto_max, host.stack.tcp.rto_max);
  return calm + longest + on_the_wire + rto_max * 2;
}

WorldPlan draw_world(std::uint64_t seed) {
  Dice dice(seed);
  WorldPlan world;
  world.seed = seed;
  // Ticks wrap at 2^31 and 2^32 ms; microsecond clocks at 2^32 us.
  const std::int64_t wrap_ms = dice.pick<std::int64_t>({1LL << 31, 1LL << 32, 3LL << 32});
  world.begin = Instant::from_ns(wrap_ms * 1'000'000) - dice.between(Duration::zero(), s(10));
  const Weather weather = draw_weather(dice);
  for (LinkOptions& direction : world.link) direction = draw_link(dice, weather);
  if (dice.one_in(2)) world.link[1] = world.link[0];
  const std::uint16_t mtu =
      static_cast<std::uint16_t>(dice.pick<std::uint64_t>({1500, 1500, 1500, 1492, 1280, 576}));
  for (unsigned index = 0; index < kHosts; ++index) {
    world.hosts[index] = draw_host(dice, index);
    world.hosts[index].port.mtu = mtu;
  }
  world.is_static_arp = dice.one_in(4);
  if (world.is_static_arp)
    for (unsigned index = 0; index < kHosts; ++index)
      world.hosts[index].stack.interfaces[0].neighbors = {
          {Plan::kHost[1 - index], Plan::kHostMac[1 - index]}};

  // Its own generator: what was there before features came keeps its numbers.
  Dice network(mix(seed, 0x9e7));
  draw_network(network, weather, mtu, world);
  Dice cutting(mix(seed, 0xc07));
  for (LinkOptions& direction : world.link) draw_cutting(cutting, direction);
  if (world.path_change)
    for (LinkOptions& direction : world.path_change->link) draw_cutting(cutting, direction);
  const std::uint64_t connections = dice.between(1, weather == Weather::kClear ? 6 : 4);
  for (unsigned index = 0; index < connections; ++index)
    world.connections.push_back(draw_connection(dice, weather, index));
  if (network.one_in(32)) draw_crowd(network, weather, world);
  if (dice.one_in(6)) draw_scarcity(dice, world);
  if (dice.one_in(8)) draw_outage(dice, world);
  if (dice.one_in(16)) {
    const auto index = static_cast<unsigned>(dice.between(0, 1));
    HostPlan& host = world.hosts[index];
    host.drain_at = dice.between(ms(10), s(3));
    host.drain_for = dice.between(ms(10), s(10));
    world.may_fail = true;
    for (ConnectionPlan& connection : world.connections)
      connection.ends[connection.client == index ? 0 : 1].may_be_drained = true;
  }
  if (dice.one_in(2)) world.stranger_frames = static_cast<std::uint32_t>(dice.between(10, 60));
  Dice attackers(mix(seed, 0xa77ac));
  world.attacks = draw_attacks(attackers);
  if (!world.attacks.empty()) meet_attackers(attackers, world);
  Dice gate(mix(seed, 0x9a7e));
  for (HostPlan& host : world.hosts)
    host.stack.tcp.syn_cookies =
        gate.pick({tcp::CookieMode::kOff, tcp::CookieMode::kAuto, tcp::CookieMode::kAlways});
  if (gate.one_in(16)) {
    for (HostPlan& host : world.hosts)
      host.stack.tcp.syn_ack_prefix_limit = {.rate_per_s = 2, .burst = 3};
    world.may_fail_handshake = true;
  }
  if (!world.attacks.empty()) prepare_for_attacks(attackers, world);
  return world;
}

}  // namespace sluice::sim
