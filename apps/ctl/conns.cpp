// sluicectl conns: what ss -natp shows of the kernel's connections.

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <iterator>
#include <ostream>
#include <set>
#include <sstream>

#include "apps/ctl/connections.hpp"
#include "apps/ctl/names.hpp"
#include "apps/ctl/options.hpp"
#include "apps/ctl/table.hpp"
#include "tcp/congestion/controller.hpp"
#include "tcp/recovery/rack.hpp"

namespace sluice::ctl {
namespace {

using Json = nlohmann::ordered_json;

struct Filter {
  std::set<std::string> states;  ///< As in the State column; empty: all.
  std::optional<Prefix> prefix;  ///< Of the local or the foreign address.
  std::optional<std::uint16_t> port;
  bool listeners_only = false;

  bool admits(const ConnectionRow& row) const {
    if (listeners_only && !row.is_listener) return false;
    if (!states.empty() && !states.contains(row.state)) return false;
    if (port && row.local.port.value != *port && row.foreign.port.value != *port) return false;
    if (!prefix || prefix->contains(row.local.address)) return true;
    return !row.is_listener && prefix->contains(row.foreign.address);
  }
};

/// "fin_wait_1", "Estab" -> as in the State column. Throws UsageError for what is no state.
std::string state_from(std::string text) {
  for (char& c : text)
    c = c == '_' ? '-' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  if (text == "ESTAB") return "ESTABLISHED";
  if (text == "SYN-RECV") return text;
  std::string known;
  for (std::uint8_t state = 1; state < tcp::kStateCount; ++state) {
    if (text == state_name(state)) return text;
    known += fmt::format(", {}", state_name(state));
  }
  throw UsageError(fmt::format("conns: no state '{}'; there are SYN-RECV{}", text, known));
}

Filter filter_from(const cxxopts::ParseResult& parsed) {
  Filter filter;
  if (parsed.count("state") != 0)
    for (std::istringstream list(parsed["state"].as<std::string>()); !list.eof();) {
      std::string text;
      std::getline(list, text, ',');
      filter.states.insert(state_from(text));
    }
  if (parsed.count("address") != 0) {
    const std::string text = parsed["address"].as<std::string>();
    filter.prefix = parse_prefix(text);
    if (const auto address = parse_ip(text); !filter.prefix && address)
      filter.prefix = Prefix{*address, static_cast<std::uint8_t>(address->is_v4() ? 32 : 128)};
    if (!filter.prefix)
      throw UsageError(fmt::format("conns: '{}' is no address and no prefix", text));
  }
  if (parsed.count("port") != 0) filter.port = parsed["port"].as<std::uint16_t>();
  if (filter.port == 0) throw UsageError("conns: --port is 1 to 65535");
  filter.listeners_only = parsed.count("listeners") != 0;
  return filter;
}

std::string local_text(const ConnectionRow& row) {
  if (row.is_listener && row.local.address.is_unspecified())
    return fmt::format("*:{}", row.local.port.value);
  return to_string(row.local);
}

/// What ss -o shows for connections, the half-open queue for listeners.
std::string info_text(const ConnectionRow& row) {
  std::string text = row.is_torn ? "torn " : "";
  if (row.listener) {
    text += fmt::format("syn:{}/{}", row.listener->half_open, row.listener->syn_backlog);
    if (row.listener->is_paused != 0) text += " paused";
  } else if (!row.timers.empty()) {
    const RunningTimer& first = row.timers.front();
    text += fmt::format("timer:({},{},{})", first.name, remaining_text(first.left), first.tries);
  }
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

std::string ms_text(std::uint32_t us) {
  return fmt::format("{:.3f}", us / 1000.0);
}

std::string tcb_details(const ConnectionRow& row) {
  const tcp::Tcb& tcb = *row.tcb;
  std::string text = fmt::format("conn:{}.{} {}", *row.index, tcb.generation,
                                 tcb.has(tcp::kActiveOpen) ? "active" : "passive");
  if (tcb.has(tcp::kTimestampsOk)) text += " ts";
  if (tcb.has(tcp::kSackOk)) text += " sack";
  if (tcb.ecn & tcp::kEcnOk) text += " ecn";
  text += fmt::format(" {}", tcp::controller_of(tcb).name());
  if (tcb.has(tcp::kWindowScaleOk))
    text += fmt::format(" wscale:{},{}", tcb.snd_wscale(), tcb.rcv_wscale());
  if (tcb.srtt_us8 != 0)
    text += fmt::format(" rtt:{}/{}ms", ms_text(tcb.srtt_us8 / 8), ms_text(tcb.rttvar_us4 / 4));
  if (tcb.min_rtt_us != 0 && tcb.min_rtt_us != 0xffffffffu)
    text += fmt::format(" minrtt:{}ms", ms_text(tcb.min_rtt_us));
  text += fmt::format(" rto:{}ms", ms_text(tcb.rto_us));
  if (tcb.backoff != 0) text += fmt::format(" backoff:{}", tcb.backoff);
  text += fmt::format(" mss:{} cwnd:{}", tcb.snd_mss, tcb.cwnd);
  if (tcb.ssthresh < 0x7fffffffu) text += fmt::format(" ssthresh:{}", tcb.ssthresh);
  text +=
      fmt::format(" snd_wnd:{} rcv_wnd:{} unacked:{} retrans:{}", tcb.snd.wnd,
                  wire::seq_distance(tcb.rcv.nxt, tcb.rcv.adv),
                  wire::seq_distance(tcb.snd.una, tcb.snd.nxt), row.totals.retransmitted_segments);
  if (row.totals.lost_segments != 0) text += fmt::format(" lost:{}", row.totals.lost_segments);
  if (tcb.undone != 0) text += fmt::format(" undone:{}", tcb.undone);
  if (tcb.has(tcp::kReorderingSeen))
    text += fmt::format(" reordering:{}ms", ms_text(tcp::reorder_window_us(tcb)));
  if (tcb.delivery_rate != 0)
    text += fmt::format(" delivery:{}bit/s", 8 * tcp::unpack_float16(tcb.delivery_rate));
  if (tcb.pacing_rate != 0)
    text += fmt::format(" pacing:{}bit/s", 8 * tcp::unpack_float16(tcb.pacing_rate));
  text += fmt::format(" bytes_acked:{} bytes_received:{}", row.totals.bytes_acked,
                      row.totals.bytes_received);
  text += fmt::format(" age:{} lastrcv:{}",
                      remaining_text(Duration::from_ms(row.tick - row.totals.opened_at)),
                      remaining_text(Duration::from_ms(row.tick - row.totals.last_received_at)));
  return text;
}

std::string details(const ConnectionRow& row) {
  std::string text;
  if (row.listener) {
    text = fmt::format("accepted:{} syn_dropped:{} accept_dropped:{}", row.listener->accepted_total,
                       row.listener->syn_dropped_total, row.listener->accept_dropped_total);
  } else if (row.half_open) {
    const tcp::HalfOpen& entry = *row.half_open;
    text = fmt::format("mss:{} window:{} retrans:{} age:{}", entry.peer_mss, entry.peer_window,
                       entry.retransmits,
                       remaining_text(Duration::from_ms(row.tick - entry.created_at)));
    if (entry.peer_wscale != 0xff) text += fmt::format(" wscale:{}", entry.peer_wscale);
    if ((entry.flags & tcp::kHalfOpenTimestamps) != 0) text += " ts";
    if ((entry.flags & tcp::kHalfOpenSack) != 0) text += " sack";
  } else if (row.tcb) {
    text = tcb_details(row);
  }
  for (const RunningTimer& timer : row.timers)
    text += fmt::format("{}timer:({},{},{})", text.empty() ? "" : " ", timer.name,
                        remaining_text(timer.left), timer.tries);
  return text;
}

Json endpoint_json(const Endpoint& endpoint) {
  return {{"address", to_string(endpoint.address)}, {"port", endpoint.port.value}};
}

Json tcb_json(const ConnectionRow& row) {
  const tcp::Tcb& tcb = *row.tcb;
  return {{"index", *row.index},
          {"generation", tcb.generation},
          {"is_active_open", tcb.has(tcp::kActiveOpen)},
          {"timestamps", tcb.has(tcp::kTimestampsOk)},
          {"sack", tcb.has(tcp::kSackOk)},
          {"window_scale", tcb.has(tcp::kWindowScaleOk)},
          {"snd_wscale", tcb.snd_wscale()},
          {"rcv_wscale", tcb.rcv_wscale()},
          {"rtt_us", tcb.srtt_us8 / 8},
          {"rttvar_us", tcb.rttvar_us4 / 4},
          {"min_rtt_us", tcb.min_rtt_us},
          {"rto_us", tcb.rto_us},
          {"backoff", tcb.backoff},
          {"mss_bytes", tcb.snd_mss},
          {"cwnd_bytes", tcb.cwnd},
          {"ssthresh_bytes", tcb.ssthresh},
          {"snd_wnd_bytes", tcb.snd.wnd},
          {"rcv_wnd_bytes", wire::seq_distance(tcb.rcv.nxt, tcb.rcv.adv)},
          {"unacked_bytes", wire::seq_distance(tcb.snd.una, tcb.snd.nxt)},
          {"retransmitted_segments", row.totals.retransmitted_segments},
          {"lost_segments", row.totals.lost_segments},
          {"undone_reductions", tcb.undone},
          {"has_reordering", tcb.has(tcp::kReorderingSeen)},
          {"reordering_window_us", tcp::reorder_window_us(tcb)},
          {"congestion", tcp::controller_of(tcb).name()},
          {"ecn", (tcb.ecn & tcp::kEcnOk) != 0},
          {"delivery_rate_bytes_per_s", tcp::unpack_float16(tcb.delivery_rate)},
          {"pacing_rate_bytes_per_s", tcp::unpack_float16(tcb.pacing_rate)},
          {"bytes_acked", row.totals.bytes_acked},
          {"bytes_received", row.totals.bytes_received},
          {"age_ms", row.tick - row.totals.opened_at},
          {"last_received_ms", row.tick - row.totals.last_received_at}};
}

Json row_json(const ConnectionRow& row) {
  Json json = {{"instance", row.instance}, {"worker", row.worker},
               {"state", row.state},       {"recv_q", row.receive_queue},
               {"send_q", row.send_queue}, {"local", endpoint_json(row.local)}};
  if (!row.is_listener) json["foreign"] = endpoint_json(row.foreign);
  if (row.is_torn) json["torn"] = true;
  if (row.listener) {
    json["listener"] = {{"accept_queued", row.listener->accept_queued},
                        {"accept_backlog", row.listener->accept_backlog},
                        {"half_open", row.listener->half_open},
                        {"syn_backlog", row.listener->syn_backlog},
                        {"is_paused", row.listener->is_paused != 0},
                        {"accepted_total", row.listener->accepted_total},
                        {"syn_dropped_total", row.listener->syn_dropped_total},
                        {"accept_dropped_total", row.listener->accept_dropped_total}};
  }
  if (row.half_open)
    json["half_open"] = {{"peer_mss_bytes", row.half_open->peer_mss},
                         {"peer_window_bytes", row.half_open->peer_window},
                         {"retransmits", row.half_open->retransmits},
                         {"age_ms", row.tick - row.half_open->created_at}};
  if (row.tcb) json["connection"] = tcb_json(row);
  if (!row.timers.empty()) {
    json["timers"] = Json::array();
    for (const RunningTimer& timer : row.timers)
      json["timers"].push_back(
          {{"name", timer.name}, {"remaining_ms", timer.left.ms()}, {"tries", timer.tries}});
  }
  return json;
}

std::string rows_text(const std::vector<ConnectionRow>& rows, bool with_details) {
  Table table({{"Recv-Q", Align::kRight},
               {"Send-Q", Align::kRight},
               {"Local Address:Port", Align::kLeft},
               {"Foreign Address:Port", Align::kLeft},
               {"State", Align::kLeft},
               {"Instance/Worker", Align::kLeft},
               {"Conn", Align::kRight},
               {"Info", Align::kLeft}});
  for (const ConnectionRow& row : rows) {
    table.add({fmt::format("{}", row.receive_queue), fmt::format("{}", row.send_queue),
               local_text(row), row.is_listener ? "*:*" : to_string(row.foreign), row.state,
               fmt::format("{}/{}", row.instance, row.worker),
               row.index ? fmt::format("{}", *row.index) : "-", info_text(row)});
    if (with_details) table.add_note(details(row));
  }
  return table.text();
}

}  // namespace

int run_conns(Arguments arguments, Streams streams) {
  auto options = make_options(
      "conns",
      "Listeners, half-open entries, connections and TIME-WAIT entries, as ss -natp shows the\n"
      "kernel's. Recv-Q and Send-Q are octets: received and not yet released by the application;\n"
      "sent and not yet acknowledged. Of a LISTEN row they are connections: waiting for accept(),\n"
      "and how many may; syn:N/LIMIT is its half-open queue. Conn is what `trace` takes. Times "
      "are\n"
      "what is left of a timer. Addresses and ports are always numeric.",
      "");
  options.add_options()("i,info", "a second line: RTT, RTO, windows, retransmissions, timers");
  options.add_options()("l,listeners", "LISTEN rows only");
  options.add_options()("state",
                        "only these states, by comma (ESTABLISHED, SYN-RECV, TIME-WAIT, ...)",
                        cxxopts::value<std::string>(), "STATE");
  options.add_options()("address", "only this local or foreign address or prefix (10.0.0.0/24)",
                        cxxopts::value<std::string>(), "PREFIX");
  options.add_options()("port", "only this local or foreign port", cxxopts::value<std::uint16_t>(),
                        "PORT");
  const auto parsed = parse(options, "conns", arguments, streams);
  if (!parsed) return 0;
  const Filter filter = filter_from(*parsed);

  std::vector<ConnectionRow> rows, others;
  for (const Instance& instance : open_instances(chosen_instance(*parsed), streams))
    for (std::uint32_t worker = 0; worker < instance.view.workers(); ++worker)
      for (ConnectionRow& row : read_connections(instance, worker))
        if (filter.admits(row)) (row.is_listener ? rows : others).push_back(std::move(row));
  std::move(others.begin(), others.end(), std::back_inserter(rows));

  if (parsed->count("json") != 0) {
    Json list = Json::array();
    for (const ConnectionRow& row : rows) list.push_back(row_json(row));
    streams.out << json_text(list);
  } else {
    streams.out << rows_text(rows, parsed->count("info") != 0);
  }
  return 0;
}

}  // namespace sluice::ctl
