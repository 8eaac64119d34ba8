#include "tests/sim/parameters.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace sluice::sim {
namespace {

using drivers::LinkOptions;
using drivers::Ratio;

constexpr Duration us(std::int64_t n) {
  return Duration::from_us(n);
}
constexpr Duration ms(std::int64_t n) {
  return Duration::from_ms(n);
}
constexpr Duration s(std::int64_t n) {
  return Duration::from_s(n);
}

/// Draws with names: everything below comes from one generator, in one fixed order.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : rng_(seed) {}
  bool one_in(std::uint64_t n) { return rng_.chance(1, n); }
  std::uint64_t between(std::uint64_t low, std::uint64_t high) {
    return low + rng_.below(high - low + 1);
  }
  Duration between(Duration low, Duration high) {
    return Duration::from_ns(low.ns() + static_cast<std::int64_t>(rng_.below(
                                            static_cast<std::uint64_t>((high - low).ns()) + 1)));
  }
  /// Up to `percent` per cent, in steps of a thousandth.
  Ratio up_to_percent(std::uint32_t percent) {
    return {static_cast<std::uint32_t>(rng_.below(percent * 10 + 1)), 1000};
  }
  template <class T>
  T pick(std::initializer_list<T> choices) {
    return *(choices.begin() + static_cast<std::ptrdiff_t>(rng_.below(choices.size())));
  }

 private:
  Rng rng_;
};

enum class Weather : std::uint8_t { kClear, kMild, kRough, kStorm };

Weather draw_weather(Dice& dice) {
  const std::uint64_t roll = dice.between(1, 20);
  return roll <= 4    ? Weather::kClear
         : roll <= 11 ? Weather::kMild
         : roll <= 17 ? Weather::kRough
                      : Weather::kStorm;
}

LinkOptions draw_link(Dice& dice, Weather weather) {
  LinkOptions link;
  link.delay =
      dice.pick({Duration::zero(), us(50), ms(1), ms(10), ms(50), dice.between(us(1), ms(200))});
  link.jitter = dice.one_in(3) ? dice.between(us(1), ms(20)) : Duration::zero();
  link.bits_per_second = dice.pick<std::uint64_t>(
      {0, 0, 0, 0, 64'000, 512'000, 1'000'000, 10'000'000, 100'000'000, 1'000'000'000});
  link.queue_bytes =
      static_cast<std::uint32_t>(1514 * dice.pick<std::uint64_t>({8, 16, 64, 256, 1024}));
  // A queue of more than a second would outlast the patience of ARP, and no link has one for long.
  if (link.bits_per_second != 0)
    link.queue_bytes = static_cast<std::uint32_t>(std::min<std::uint64_t>(
        link.queue_bytes, std::max<std::uint64_t>(link.bits_per_second / 8, 4 * 1514)));
  const std::uint32_t loss = weather == Weather::kClear   ? 0
                             : weather == Weather::kMild  ? 3
                             : weather == Weather::kRough ? 10
                                                          : 20;
  link.loss = dice.up_to_percent(loss);
  link.duplicate = dice.up_to_percent(loss / 2);
  link.reorder = dice.up_to_percent(loss);
  link.corrupt = dice.up_to_percent(loss / 4);
  link.reorder_delay = dice.pick({us(500), ms(5), ms(50), ms(400)});
  return link;
}

/// Losses of one frame in a hundred or fewer, corruption included.
bool is_gentle(const LinkOptions& link) {
  return link.loss.numerator + link.corrupt.numerator <= 10;
}
/// One in ten or fewer: a connection survives that, if its ends are patient.
bool is_bearable(const LinkOptions& link) {
  return link.loss.numerator + link.corrupt.numerator <= 100;
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

}  // namespace

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

  world.may_fail_handshake = !is_gentle(world.link[0]) || !is_gentle(world.link[1]);
  world.may_fail = !is_bearable(world.link[0]) || !is_bearable(world.link[1]);
  const std::uint64_t connections = dice.between(1, weather == Weather::kClear ? 6 : 4);
  for (unsigned index = 0; index < connections; ++index)
    world.connections.push_back(draw_connection(dice, weather, index));
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
  return world;
}

namespace {

std::string text(Duration d) {
  return d.is_infinite() ? "never" : fmt::format("{}.{:03} ms", d.us() / 1000, d.us() % 1000);
}

std::string describe_link(const LinkOptions& link) {
  return fmt::format(
      "delay {} jitter {} rate {} bit/s queue {} octets; per mille: loss {} duplicate {} reorder "
      "{} "
      "(by {}) corrupt {}",
      text(link.delay), text(link.jitter), link.bits_per_second, link.queue_bytes,
      link.loss.numerator, link.duplicate.numerator, link.reorder.numerator,
      text(link.reorder_delay), link.corrupt.numerator);
}

std::string describe_host(const HostPlan& host) {
  const tcp::EngineConfig& tcp = host.stack.tcp;
  return fmt::format(
      "buffers rx {} tx {}, reassembly {}, copy-break {}, timestamps {} sack {} wscale {} nodelay "
      "{}, "
      "max mss {}, iw {}, delayed ack {}, quick {}, 2MSL {}, fin-wait-2 {}, user timeout {}, "
      "keepalive {}, tables: {} TCBs {} in flight {} TIME-WAIT, backlogs {}/{}, pool {}, burst {}, "
      "poll {}, rings {}/{}, tx offload {}{} rx {}, chains {}, indirect {}, drain at {}, "
      "accept paused at {} for {}",
      tcp.receive_buffer_bytes, tcp.send_buffer_bytes, tcp.reassembly_segments,
      tcp.copy_break_bytes, tcp.timestamps, tcp.sack, tcp.window_scaling, tcp.nodelay, tcp.max_mss,
      tcp.initial_window_segments, text(tcp.delayed_ack), tcp.quick_acks, text(tcp.time_wait),
      text(tcp.fin_wait_2), text(tcp.user_timeout), tcp.keepalive, tcp.max_connections,
      tcp.max_in_flight, tcp.max_time_wait, host.syn_backlog, host.accept_backlog,
      host.receive_pkts, host.burst, text(host.poll_interval), host.rx_ring, host.tx_ring,
      host.port.tx_ipv4_checksum, host.port.tx_tcp_checksum, host.port.rx_checksum,
      host.port.tx_multi_segment, host.port.tx_indirect, text(host.drain_at),
      text(host.accept_pause_at), text(host.accept_pause_for));
}

std::string describe_end(const EndPlan& end) {
  static constexpr const char* kFinishes[] = {"shutdown", "last", "close", "abort"};
  static constexpr const char* kReadings[] = {"push", "partial", "keep", "pull", "echo"};
  return fmt::format(
      "{} octets by {} every {}, {} not before {}, reads {} (hold {}), pause {} for "
      "{}, abort at {}, close at {}",
      end.send_bytes, end.chunk_bytes, text(end.send_pause),
      kFinishes[static_cast<int>(end.finish)], text(end.finish_at),
      kReadings[static_cast<int>(end.reading)], text(end.hold), text(end.pause_at),
      text(end.pause_for), text(end.abort_at), text(end.close_at));
}

}  // namespace

std::string describe(const WorldPlan& plan) {
  static constexpr const char* kOpenings[] = {"connect", "simultaneous open", "closed port",
                                              "dead address"};
  std::string out = fmt::format(
      "world {}: mtu {}, outage at {} for {}, {} stranger's frames, static ARP {}, may fail {}, "
      "handshakes may fail {}\n",
      plan.seed, plan.hosts[0].port.mtu, text(plan.outage_at), text(plan.outage_for),
      plan.stranger_frames, plan.is_static_arp, plan.may_fail, plan.may_fail_handshake);
  for (unsigned d = 0; d < 2; ++d)
    out += fmt::format("  link {} to {}: {}\n", d, 1 - d, describe_link(plan.link[d]));
  for (unsigned h = 0; h < kHosts; ++h)
    out += fmt::format("  host {}: {}\n", h, describe_host(plan.hosts[h]));
  for (std::size_t c = 0; c < plan.connections.size(); ++c) {
    const ConnectionPlan& connection = plan.connections[c];
    out += fmt::format("  connection {}: {} from host {} at {}, {} times, {}\n", c,
                       kOpenings[static_cast<int>(connection.opening)], connection.client,
                       text(connection.start), connection.repetitions,
                       connection.pulls ? "pull listener" : "push listener");
    for (unsigned e = 0; e < 2; ++e)
      out += fmt::format("    {}: {}\n", e == 0 ? "client" : "server",
                         describe_end(connection.ends[e]));
  }
  return out;
}

}  // namespace sluice::sim
