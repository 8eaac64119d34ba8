#include <fmt/format.h>

#include "tests/sim/parameters.hpp"

namespace sluice::sim {
namespace {

std::string describe_host(const HostPlan& host) {
  static constexpr const char* kCookies[] = {"off", "auto", "always"};
  const tcp::EngineConfig& tcp = host.stack.tcp;
  return fmt::format(
      "buffers rx {} tx {}, reassembly {}, copy-break {}, timestamps {} sack {} wscale {} nodelay "
      "{}, "
      "max mss {}, iw {}, delayed ack {}, quick {}, 2MSL {}, fin-wait-2 {}, user timeout {}, "
      "keepalive {}, tables: {} TCBs {} in flight {} TIME-WAIT, backlogs {}/{}, pool {}, burst {}, "
      "poll {}, rings {}/{}, tx offload {}{}{} rx {}, chains {}, indirect {}, drain at {}, "
      "accept paused at {} for {}, cookies {}",
      tcp.receive_buffer_bytes, tcp.send_buffer_bytes, tcp.reassembly_segments,
      tcp.copy_break_bytes, tcp.timestamps, tcp.sack, tcp.window_scaling, tcp.nodelay, tcp.max_mss,
      tcp.initial_window_segments, text(tcp.delayed_ack), tcp.quick_acks, text(tcp.time_wait),
      text(tcp.fin_wait_2), text(tcp.user_timeout), tcp.keepalive, tcp.max_connections,
      tcp.max_in_flight, tcp.max_time_wait, host.syn_backlog, host.accept_backlog,
      host.receive_pkts, host.burst, text(host.poll_interval), host.rx_ring, host.tx_ring,
      host.port.tx_ipv4_checksum, host.port.tx_tcp_checksum, host.port.tx_tso,
      host.port.rx_checksum, host.port.tx_multi_segment, host.port.tx_indirect, text(host.drain_at),
      text(host.accept_pause_at), text(host.accept_pause_for),
      kCookies[static_cast<std::size_t>(tcp.syn_cookies)]);
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
      "world {}: mtu {}, outage at {} for {}, heals at {}, must end by {}, {} stranger's frames, "
      "static ARP {}, may fail {}, "
      "handshakes may fail {}\n",
      plan.seed, plan.hosts[0].port.mtu, text(plan.outage_at), text(plan.outage_for),
      text(plan.heal_at), text(liveness_bound(plan)), plan.stranger_frames, plan.is_static_arp,
      plan.may_fail, plan.may_fail_handshake);
  for (unsigned d = 0; d < 2; ++d)
    out += fmt::format("  link {} to {}: {}\n", d, 1 - d, describe(plan.link[d]));
  if (plan.path_change)
    for (unsigned d = 0; d < 2; ++d)
      out += fmt::format("  from {} on {} to {}: {}\n", text(plan.path_change->at), d, 1 - d,
                         describe(plan.path_change->link[d]));
  if (plan.mischief.kind != Mischief::kNone)
    out += fmt::format("  mischief: {}\n", describe(plan.mischief));
  for (const AttackPlan& attack : plan.attacks)
    out += fmt::format("  attack: {}\n", describe(attack));
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
