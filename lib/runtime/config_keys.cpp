// The key table. Adding a knob is one entry here and `--help-config > config/sluice.toml`.

#include <algorithm>

#include "ip/route_table.hpp"
#include "link/neighbor_table.hpp"
#include "runtime/config_fields.hpp"
#include "runtime/config_values.hpp"
#include "telemetry/region.hpp"

namespace sluice::runtime {
namespace {

void add_runtime_keys(std::vector<Key>& table) {
  const auto print_number = [](std::uint32_t n) { return std::to_string(n); };
  table.insert(
      table.end(),
      {{"runtime.instance", "name", kRestart,
        "Names the state region that sluicectl reads (--instance), and DPDK's file prefix.",
        text(AT(instance), telemetry::is_valid_instance_name,
             "1 to 48 of A-Z a-z 0-9 . _ -, the first neither . nor -")},
       {"runtime.workers", "threads", kRestart,
        "Shards, each with its own tables and pools, and a queue pair of each device that has so "
        "many. Flows find their worker by the device's RSS or in software (sluicectl ports). "
        "Totals below are divided among them.",
        count(AT(workers), 1, 64)},
       {"runtime.cpus", "CPU numbers", kRestart,
        "Where the workers are pinned, one each. Empty: one worker floats, more take the first "
        "CPUs.",
        list(
            AT(cpus), [](std::string_view t) { return parse_number(t, 0, 1023); }, print_number,
            "CPU numbers from 0 to 1023", true)},
       {"runtime.listen", "TCP ports", kRestart, "Empty: the program's own ports.",
        list(
            AT(listen), parse_port, [](Port p) { return std::to_string(p.value); },
            "ports from 1 to 65535", true)},
       {"runtime.drain_timeout", "time", kReload,
        "After SIGINT or SIGTERM: how long connections may end by themselves before RST.",
        duration(AT_MUTABLE(drain_timeout), ms(0), s(86400))},
       {"runtime.exit_when_idle", "time", kRestart,
        "Drains and ends when no frame came for so long; ends a replay. 0s: never.",
        duration(AT_MUTABLE(exit_when_idle), ms(0), s(86400))},
       {"runtime.replay_seed", "number", kRestart,
        "Not 0: keys come from this number and time is virtual, so that a capture gives the same "
        "answers each time. Never for real traffic: the keys can be guessed.",
        count(AT(replay_seed), 0, 0x7fffffffffffffff)},
       {"runtime.idle", "mode", kRestart,
        "What a worker without work does. auto sleeps if every device is virtual.",
        choice(
            AT(idle),
            std::vector<std::pair<std::string_view, IdleMode>>{
                {"auto", IdleMode::kAuto}, {"spin", IdleMode::kSpin}, {"sleep", IdleMode::kSleep}},
            "auto, spin or sleep")},
       {"runtime.idle_spin_rounds", "rounds", kReload,
        "Poll rounds without work before the worker yields its CPU between them.",
        count(AT(idle_spin_rounds), 0, 1'000'000'000)},
       {"runtime.idle_yield_rounds", "rounds", kReload,
        "Rounds with a yield before it sleeps, at first 10us, then twice as long each round.",
        count(AT(idle_yield_rounds), 0, 1'000'000'000)},
       {"runtime.idle_max_sleep", "time", kReload,
        "Longest such sleep, which is what a frame may wait; until 100ms have passed without work "
        "at "
        "most 200us. Never past the next deadline.",
        duration(AT_MUTABLE(idle_max_sleep), us(10), ms(100))}});
}

void add_device_keys(std::vector<Key>& table) {
  table.insert(
      table.end(),
      {{"device.devices", "DPDK devices", kRestart,
        "PCI addresses (0000:01:00.0) or vdevs with their arguments. All belong to one interface.",
        list(
            AT(devices), parse_device, [](const std::string& d) { return d; },
            "PCI addresses or vdev strings without blanks")},
       {"device.mac", "MAC address", kRestart,
        "Empty: the device's own; on net_tap one made from the instance's name.",
        optional_text(AT(mac), parse_unicast_mac, "a unicast MAC such as 02:00:00:00:00:01")},
       {"device.mtu", "octets", kRestart, "Largest IP packet.", count(AT(mtu), 576, 9000)},
       {"device.rx_descriptors", "frames", kRestart, "Receive ring of each queue, if the port can.",
        count(AT(rx_descriptors), 32, 32768)},
       {"device.tx_descriptors", "frames", kRestart,
        "Transmit ring of each queue, if the port can.", count(AT(tx_descriptors), 32, 32768)},
       {"device.checksum_offload", "", kRestart, "Let the port do checksums where it can.",
        flag(AT_MUTABLE(checksum_offload))},
       {"device.pcap", "file", kRestart,
        "Writes every frame, both directions, to this capture (a worker after the first: FILE.1, "
        "...). "
        "Empty: none.",
        text(AT(pcap), is_any_text, "a file name")},
       {"dpdk.memory_mb", "MiB", kRestart, "Memory for mbufs (-m). 0: what the pools need.",
        count(AT(memory_mb), 0, 1 << 20)},
       {"dpdk.huge_pages", "mode", kRestart, "auto uses them if enough are free.",
        choice(AT(huge_pages),
               std::vector<std::pair<std::string_view, HugePageMode>>{{"auto", HugePageMode::kAuto},
                                                                      {"on", HugePageMode::kOn},
                                                                      {"off", HugePageMode::kOff}},
               "auto, on or off")},
       {"dpdk.telemetry", "", kRestart, "DPDK's own telemetry socket (dpdk-telemetry.py).",
        flag(AT_MUTABLE(telemetry))},
       {"dpdk.eal_args", "arguments", kRestart,
        "Appended to EAL's; with --log-level DPDK's messages are shown.",
        text(AT(eal_args), is_eal_text, "EAL arguments, -h and --help not among them")},
       {"pools.receive_pkts", "mbufs per worker", kRestart,
        "Buffers for received frames and copies of payload.", count(AT(receive_pkts), 1024, kMany)},
       {"pools.control_pkts", "mbufs per worker", kRestart,
        "Reserved for headers, ACKs, RSTs, ARP and ICMP.", count(AT(control_pkts), 512, kMany)},
       {"pools.indirect_pkts", "mbufs per worker", kRestart,
        "Views of payload that somebody else holds.", count(AT(indirect_pkts), 512, kMany)},
       {"pools.receive_low_watermark_pkts", "mbufs per worker", kReload,
        "With fewer free, payload is dropped unacknowledged, so that receive rings always refill.",
        count(AT(stack.receive_low_watermark_pkts), 0, kMany)}});
}

void add_interface_keys(std::vector<Key>& table) {
  table.insert(
      table.end(),
      {{"interface.addresses", "address/prefix length", kRestart,
        "Our IPv4 addresses; a range \"10.0.0.2-10.0.0.65/24\" gives each of it.",
        list(
            AT(addresses), parse_interface_prefixes,
            [](const Prefix& p) { return sluice::to_string(p); },
            "addresses that a host may have, such as 10.0.0.2/24 (not a subnet's first or last), "
            "or a range of up to 4096")},
       {"interface.gateway", "address", kRestart, "Next hop of the default route. Empty: none.",
        optional_text(AT(gateway), parse_gateway, "an IPv4 address")},
       {"interface.routes", "\"prefix via gateway\"", kRestart,
        "More routes; without via: on-link. A congestion control of its own may follow: "
        "\"10.1.0.0/16 via 10.0.0.1 congestion bbr\".",
        list(AT(routes), parse_route, print_route, "routes such as 10.1.0.0/16 via 10.0.0.1")},
       {"interface.neighbors", "\"address=MAC\"", kRestart, "Pinned neighbours, never asked for.",
        list(
            AT(neighbors), parse_neighbor,
            [](const stack::StaticNeighbor& n) {
              return sluice::to_string(n.address) + "=" + sluice::to_string(n.mac);
            },
            "entries such as 10.0.0.1=02:00:00:00:00:01")},
       {"interface.announce", "", kRestart,
        "Tell the link that our addresses are ours, at the start and when one is added (gratuitous "
        "ARP).",
        flag(AT_MUTABLE(announce))},
       {"interface.ttl", "hops", kReload, "TTL of packets sent.", count(AT(stack.ttl), 1, 255)},
       {"interface.max_routes", "routes", kRestart, "Size of the route table.",
        count(AT(stack.max_routes), 1, ip::RouteTable::kMaxRecords)},
       {"neighbor.max_entries", "neighbours", kRestart, "Size of the ARP cache.",
        count(AT(stack.max_neighbors), 8, link::NeighborTable::kMaxRecords)},
       {"neighbor.queue_pkts", "packets", kReload, "That wait for one unresolved neighbour.",
        count(AT(stack.neighbor_queue_packets), 1, 1024)},
       {"neighbor.queue_total_pkts", "packets per worker", kRestart, "That wait for all of them.",
        count(AT(stack.neighbor_pending_total), 1, 65536)},
       {"neighbor.reachable", "time", kReload, "An entry this old is asked for again.",
        duration(AT_MUTABLE(stack.neighbor_reachable), s(1), s(86400))},
       {"neighbor.retry", "time", kReload, "Between requests.",
        duration(AT_MUTABLE(stack.neighbor_retry), ms(10), s(60))},
       {"neighbor.probes", "requests", kReload, "Without answer before a neighbour is given up.",
        count(AT(stack.neighbor_probes), 1, 20)},
       {"icmp.error_rate", "messages/s", kReload,
        "ICMP errors that strangers can make us send. 0: none.",
        count(AT(stack.icmp_error_limit.rate_per_s), 0, 1'000'000)},
       {"icmp.error_burst", "messages", kReload, "At once.",
        count(AT(stack.icmp_error_limit.burst), 1, 1'000'000)},
       {"icmp.echo_rate", "messages/s", kReload, "Echo replies. 0: none.",
        count(AT(stack.echo_limit.rate_per_s), 0, 10'000'000)},
       {"icmp.echo_burst", "messages", kReload, "At once.",
        count(AT(stack.echo_limit.burst), 1, 1'000'000)}});
}

const std::vector<std::pair<std::string_view, tcp::Algorithm>> kAlgorithms = {
    {"newreno", tcp::Algorithm::kNewReno},
    {"cubic", tcp::Algorithm::kCubic},
    {"dctcp", tcp::Algorithm::kDctcp},
    {"bbr", tcp::Algorithm::kBbr}};
const std::vector<std::pair<std::string_view, tcp::EcnMode>> kEcnModes = {
    {"off", tcp::EcnMode::kOff},
    {"accept", tcp::EcnMode::kAccept},
    {"offer", tcp::EcnMode::kOffer}};
const std::vector<std::pair<std::string_view, tcp::CookieMode>> kCookieModes = {
    {"off", tcp::CookieMode::kOff},
    {"auto", tcp::CookieMode::kAuto},
    {"always", tcp::CookieMode::kAlways}};
const std::vector<std::pair<std::string_view, Profile>> kProfiles = {
    {"wan", Profile::kWan},
    {"datacenter", Profile::kDatacenter},
    {"latency", Profile::kLatency},
    {"capacity", Profile::kCapacity}};

/// The name of a profile; naming one sets its knobs.
Field profile_field() {
  return TextField{[](const Config& config) {
                     for (const auto& [name, value] : kProfiles)
                       if (value == config.profile) return std::string(name);
                     return std::string();
                   },
                   [](Config& config, const std::string& text) {
                     for (const auto& [name, value] : kProfiles) {
                       if (name != text) continue;
                       apply_profile(config, value);
                       return true;
                     }
                     return false;
                   },
                   "wan, datacenter, latency or capacity"};
}

void add_tcp_size_keys(std::vector<Key>& table) {
  table.insert(
      table.end(),
      {{"tcp.profile", "", kRestart,
        "Sets a family of keys at once: wan (the defaults), datacenter (DCTCP, ECN, RTO from 10 "
        "ms), "
        "latency (no Nagle, ACKs at once, RTO from 50 ms), capacity (a million connections, small "
        "buffers). Keys that stand beside it, and flags, win.",
        profile_field()},
       {"tcp.max_connections", "connections, total", kRestart, "Established and closing ones.",
        count(AT(stack.tcp.max_connections), 16, kMany)},
       {"tcp.max_half_open", "entries, total", kRestart, "Cap over all listeners' SYN backlogs.",
        count(AT(stack.tcp.max_half_open), 16, kMany)},
       {"tcp.max_accept_queue", "connections, total", kReload, "Cap over all accept backlogs.",
        count(AT(stack.tcp.max_accept_queue), 1, kMany)},
       {"tcp.max_time_wait", "entries, total", kRestart, "IPv4; IPv6 has a quarter of it.",
        count(AT(stack.tcp.max_time_wait), 16, kMany)},
       {"tcp.max_listeners", "listeners", kRestart, "Ports that are listened on.",
        count(AT(stack.tcp.max_listeners), 1, 4096)},
       {"tcp.max_in_flight", "connections, total", kRestart,
        "With data queued or in flight, for each direction.",
        count(AT(stack.tcp.max_in_flight), 16, kMany)},
       {"tcp.max_orphans", "connections, total", kReload,
        "Closed by the application and not yet by the peer.",
        count(AT(stack.tcp.max_orphans), 0, kMany)},
       {"tcp.recorder_events", "events per worker", kRestart,
        "Of the flight recorder (sluicectl trace). 0: off.",
        count(AT(stack.tcp.recorder_events), 0, kMany)},
       {"tcp.receive_buffer_bytes", "octets per connection", kRestart,
        "At first, and the largest window then.",
        count(AT(stack.tcp.receive_buffer_bytes), 2048, 1 << 28)},
       {"tcp.receive_buffer_max_bytes", "octets per connection", kRestart,
        "A receive buffer grows up to here while its sender fills it in a round trip. 0: it does "
        "not.",
        count(AT(stack.tcp.receive_buffer_max_bytes), 0, 1 << 28)},
       {"tcp.receive_growth_bytes", "octets, total", kRestart,
        "What all receive buffers together may have grown by.",
        count(AT(stack.tcp.receive_growth_bytes), 0, 0xffffffffu)},
       {"tcp.send_buffer_bytes", "octets per connection", kReload, "At first.",
        count(AT(stack.tcp.send_buffer_bytes), 2048, 1 << 30)},
       {"tcp.send_buffer_max_bytes", "octets per connection", kReload,
        "A send buffer is twice the congestion window, up to here.",
        count(AT(stack.tcp.send_buffer_max_bytes), 0, 1 << 30)},
       {"tcp.reassembly_segments", "segments per connection", kReload,
        "Out-of-order segments kept.", count(AT(stack.tcp.reassembly_segments), 1, 65536)},
       {"tcp.reassembly_worker_segments", "segments per worker", kReload, "The same, for all.",
        count(AT(stack.tcp.reassembly_worker_segments), 1, kMany)},
       {"tcp.copy_break_bytes", "octets", kReload,
        "Smaller payloads are copied together instead of pinning a buffer each.",
        count(AT(stack.tcp.copy_break_bytes), 0, 2048)}});
}

void add_tcp_handshake_keys(std::vector<Key>& table) {
  table.insert(
      table.end(),
      {{"tcp.syn_retries", "segments", kReload, "Sent again after 1, 2, 4, ... s; then timed out.",
        count(AT(stack.tcp.syn_retries), 0, 10)},
       {"tcp.syn_ack_retries", "segments", kReload, "The same for SYN-ACKs.",
        count(AT(stack.tcp.syn_ack_retries), 0, 10)},
       {"tcp.half_open_lifetime", "time", kReload, "Of an entry without its last ACK.",
        duration(AT_MUTABLE(stack.tcp.half_open_lifetime), s(1), s(3600))},
       {"tcp.ephemeral_first", "TCP port", kRestart, "Range of local ports of connect().",
        count(AT(stack.tcp.ephemeral_first), 1024, 65535)},
       {"tcp.ephemeral_last", "TCP port", kRestart, "",
        count(AT(stack.tcp.ephemeral_last), 1024, 65535)},
       {"tcp.timestamps", "", kRestart, "Offer timestamps (RFC 7323).",
        flag(AT_MUTABLE(stack.tcp.timestamps))},
       {"tcp.sack", "", kRestart, "Offer selective acknowledgement (RFC 2018).",
        flag(AT_MUTABLE(stack.tcp.sack))},
       {"tcp.window_scaling", "", kRestart, "Offer window scaling (RFC 7323).",
        flag(AT_MUTABLE(stack.tcp.window_scaling))},
       {"tcp.max_mss", "octets", kRestart, "Largest MSS we announce. 0: what the MTU gives.",
        count(AT(stack.tcp.max_mss), 0, 8960)}});
}

void add_tcp_timer_keys(std::vector<Key>& table) {
  table.insert(
      table.end(),
      {{"tcp.rto_initial", "time", kReload,
        "Retransmission timeout before the first RTT (RFC 6298).",
        duration(AT_MUTABLE(stack.tcp.rto_initial), ms(10), s(60))},
       {"tcp.rto_min", "time", kReload, "", duration(AT_MUTABLE(stack.tcp.rto_min), ms(1), s(60))},
       {"tcp.rto_max", "time", kReload, "", duration(AT_MUTABLE(stack.tcp.rto_max), s(1), s(3600))},
       {"tcp.congestion", "", kReload,
        "Congestion control, unless listener, route or stream name another. dctcp is for networks "
        "that "
        "mark early (RFC 8257); bbr is experimental.",
        choice<>(AT(stack.tcp.congestion), kAlgorithms, "newreno, cubic, dctcp or bbr")},
       {"tcp.ecn", "", kReload,
        "Explicit congestion notification (RFC 3168): accept answers peers that ask, offer asks, "
        "too.",
        choice<>(AT(stack.tcp.ecn), kEcnModes, "off, accept or offer")},
       {"tcp.pacing", "", Reload::kStream,
        "Spread segments over the round trip. bbr does so in any case.",
        flag(AT_MUTABLE(stack.tcp.pacing))},
       {"tcp.black_hole_detection", "", kReload,
        "Smaller segments after three timeouts of a full one (RFC 4821 7.7).",
        flag(AT_MUTABLE(stack.tcp.black_hole_detection))},
       {"tcp.initial_window_segments", "segments", kReload, "Initial congestion window (RFC 6928).",
        count(AT(stack.tcp.initial_window_segments), 1, 64)},
       {"tcp.user_timeout", "time", Reload::kStream,
        "A connection whose octets stay unacknowledged so long is given up.",
        duration(AT_MUTABLE(stack.tcp.user_timeout), s(1), s(86400))},
       {"tcp.delayed_ack", "time", kReload, "Longest delay of an ACK.",
        duration(AT_MUTABLE(stack.tcp.delayed_ack), ms(0), ms(500))},
       {"tcp.quick_acks", "segments", kReload,
        "Full segments acknowledged at once at a connection's start.",
        count(AT(stack.tcp.quick_acks), 0, 255)},
       {"tcp.nodelay", "", Reload::kStream, "true switches Nagle's algorithm off.",
        flag(AT_MUTABLE(stack.tcp.nodelay))},
       {"tcp.time_wait", "time", kRestart,
        "2 MSL: how long a closed connection stays in TIME-WAIT.",
        duration(AT_MUTABLE(stack.tcp.time_wait), ms(1), s(480))},
       {"tcp.fin_wait_2", "time", kRestart,
        "How long a connection closed here waits for the peer's FIN.",
        duration(AT_MUTABLE(stack.tcp.fin_wait_2), ms(1), s(3600))},
       {"tcp.keepalive", "", Reload::kStream, "Probe idle connections.",
        flag(AT_MUTABLE(stack.tcp.keepalive))},
       {"tcp.keepalive_idle", "time", kReload, "Silence before the first probe.",
        duration(AT_MUTABLE(stack.tcp.keepalive_idle), s(1), s(604800))},
       {"tcp.keepalive_interval", "time", kReload, "Between probes.",
        duration(AT_MUTABLE(stack.tcp.keepalive_interval), s(1), s(3600))},
       {"tcp.keepalive_count", "probes", kReload,
        "Without answer before the connection is given up.",
        count(AT(stack.tcp.keepalive_count), 1, 100)},
       {"tcp.reset_rate", "segments/s", kReload,
        "RSTs that strangers can make us send, on average; five a second to one 4-tuple. 0: none.",
        count(AT(stack.tcp.reset_limit.rate_per_s), 0, 10'000'000)},
       {"tcp.reset_burst", "segments", kReload,
        "At once, between half of it and one and a half: drawn anew whenever the rate has given "
        "one burst. The larger, the less is learnt by counting RSTs.",
        count(AT(stack.tcp.reset_limit.burst), 1, 1'000'000)},
       {"tcp.challenge_rate", "segments/s", kReload,
        "Challenge ACKs (RFC 5961), on average; five a second of one connection. 0: none.",
        count(AT(stack.tcp.challenge_limit.rate_per_s), 0, 10'000'000)},
       {"tcp.challenge_burst", "segments", kReload, "At once, drawn as tcp.reset_burst is.",
        count(AT(stack.tcp.challenge_limit.burst), 1, 1'000'000)}});
}

const std::vector<std::pair<std::string_view, ip::SourceAction>> kSourceActions = {
    {"allow", ip::SourceAction::kAllow}, {"deny", ip::SourceAction::kDeny}};

template <class At>
Field source_prefixes(At at) {
  return list(
      at, ip::parse_source_prefix, [](const Prefix& p) { return sluice::to_string(p); },
      "prefixes such as 203.0.113.0/24 or 2001:db8::/32, no bits set beyond the length");
}

void add_gate_keys(std::vector<Key>& table) {
  table.insert(
      table.end(),
      {{"gate.deny", "", kRestart,
        "Sources whose packets are dropped in silence. Of these and gate.allow the longest prefix "
        "that holds a source decides. `sluicectl gate deny|allow|forget` changes both lists while "
        "the server runs, until its end.",
        source_prefixes(AT(denied_sources))},
       {"gate.allow", "", kRestart, "Sources that are served though a shorter prefix is denied.",
        source_prefixes(AT(allowed_sources))},
       {"gate.other_sources", "", kRestart, "What becomes of sources that neither list holds.",
        choice<>(AT(other_sources), kSourceActions, "allow or deny")},
       {"gate.syn_cookies", "", kRestart,
        "auto answers SYNs by cookies while a listener's SYN backlog is full to three quarters, "
        "until "
        "it is down to one; always keeps no half-open entries at all. A listener can have its own.",
        choice<>(AT(stack.tcp.syn_cookies), kCookieModes, "off, auto or always")},
       {"gate.syn_ack_prefix_rate", "SYN-ACKs/s", kRestart,
        "Unanswered ones to each /24 (IPv6: /64), so that nobody is flooded through us. Handshakes "
        "that complete do not count. 0: no cap.",
        count(AT(stack.tcp.syn_ack_prefix_limit.rate_per_s), 0, 100'000'000)},
       {"gate.syn_ack_prefix_burst", "SYN-ACKs", kRestart, "At once.",
        count(AT(stack.tcp.syn_ack_prefix_limit.burst), 1, 100'000'000)},
       {"gate.fleet_key", "", kRestart,
        "Secret that servers behind one address share, so that they take each other's cookies. "
        "Makes "
        "cookies and timestamps follow the wall clock: keep it synchronized. Empty: a key of our "
        "own.",
        fleet_key_field()},
       {"gate.fleet_clock_error", "time", kRestart,
        "How far the clocks of the fleet may lie apart. A cookie lives 32 s less twice this.",
        duration(AT_MUTABLE(stack.tcp.cookie_clock_error), ms(0), s(10))}});
}

void add_overload_keys(std::vector<Key>& table) {
  table.insert(
      table.end(),
      {{"overload.idle_age", "time", kReload,
        "When the connection table is full, connections idle for so long are reset, the longest "
        "first. 0: none.",
        duration(AT_MUTABLE(stack.tcp.overload_idle_age), ms(0), s(604800))},
       {"overload.slow_rate", "octets/s", kReload,
        "What a peer must take of what is queued for it, or it is a slow reader: when buffers or "
        "connections are short, it is reset, the one that holds most first.",
        count(AT(stack.tcp.overload_slow_rate), 1, 1 << 20)},
       {"overload.slow_grace", "time", kRestart,
        "Over so long. 0: no connection is reset for its slowness.",
        duration(AT_MUTABLE(stack.tcp.overload_slow_grace), ms(0), s(3600))}});
}

std::vector<Key> make_table() {
  std::vector<Key> table;
  add_runtime_keys(table);
  add_device_keys(table);
  add_interface_keys(table);
  add_tcp_size_keys(table);
  add_tcp_handshake_keys(table);
  add_tcp_timer_keys(table);
  add_gate_keys(table);
  add_overload_keys(table);
  return table;
}

}  // namespace

std::span<const Key> keys() {
  static const std::vector<Key> table = make_table();
  return table;
}

const Key* find_key(std::string_view name) {
  const auto table = keys();
  const auto found =
      std::find_if(table.begin(), table.end(), [&](const Key& key) { return key.name == name; });
  return found == table.end() ? nullptr : &*found;
}

}  // namespace sluice::runtime
