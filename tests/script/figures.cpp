#include "tests/script/figures.hpp"

#include <algorithm>
#include <array>

#include "tcp/output/output.hpp"
#include "tcp/recovery/loss_recovery.hpp"
#include "tcp/recovery/rtt.hpp"

namespace sluice::script {
namespace {

using tcp::Context;
using tcp::State;
using tcp::Tcb;

/// <linux/tcp.h>'s numbers, for scripts that name them.
enum CaState : std::uint8_t { kCaOpen, kCaDisorder, kCaCwr, kCaRecovery, kCaLoss };

struct Named {
  std::string_view name;
  std::int64_t value;
};
constexpr std::array kConstants = {
    Named{"TCP_CA_Open", kCaOpen},
    Named{"TCP_CA_Disorder", kCaDisorder},
    Named{"TCP_CA_CWR", kCaCwr},
    Named{"TCP_CA_Recovery", kCaRecovery},
    Named{"TCP_CA_Loss", kCaLoss},
    Named{"TCP_ESTABLISHED", 1},
    Named{"TCP_SYN_SENT", 2},
    Named{"TCP_SYN_RECV", 3},
    Named{"TCP_FIN_WAIT1", 4},
    Named{"TCP_FIN_WAIT2", 5},
    Named{"TCP_TIME_WAIT", 6},
    Named{"TCP_CLOSE", 7},
    Named{"TCP_CLOSE_WAIT", 8},
    Named{"TCP_LAST_ACK", 9},
    Named{"TCP_LISTEN", 10},
    Named{"TCP_CLOSING", 11},
    Named{"TCP_INFINITE_SSTHRESH", 0x7fffffff},
};

std::int64_t linux_state(State state) {
  switch (state) {
    case State::kEstablished:
      return 1;
    case State::kSynSent:
      return 2;
    case State::kSynReceived:
      return 3;
    case State::kFinWait1:
      return 4;
    case State::kFinWait2:
      return 5;
    case State::kTimeWait:
      return 6;
    case State::kClosed:
      return 7;
    case State::kCloseWait:
      return 8;
    case State::kLastAck:
      return 9;
    case State::kListen:
      return 10;
    case State::kClosing:
      return 11;
  }
  return 0;
}

std::int64_t in_segments(std::uint64_t octets, const Tcb& block) {
  const std::uint64_t mss = std::max<std::uint64_t>(block.snd_mss, 1);
  return static_cast<std::int64_t>((octets + mss - 1) / mss);
}

std::int64_t ca_state(Context& ctx, Tcb& block) {
  const tcp::SendRecord* const record = ctx.send_record(block);
  if (record == nullptr) return kCaOpen;
  switch (record->phase) {
    case tcp::RecoveryPhase::kOpen:
      return record->sacked > 0 || record->duplicate_acks > 0 ? kCaDisorder : kCaOpen;
    case tcp::RecoveryPhase::kReducing:
      return kCaCwr;
    case tcp::RecoveryPhase::kFastRecovery:
      return kCaRecovery;
    case tcp::RecoveryPhase::kTimeout:
      return kCaLoss;
  }
  return kCaOpen;
}

/// A sum of the scoreboard, in segments; 0 while nothing is queued or in flight.
std::int64_t marked(Context& ctx, Tcb& block, std::uint32_t tcp::SendRecord::*sum) {
  const tcp::SendRecord* const record = ctx.send_record(block);
  return record == nullptr ? 0 : in_segments(record->*sum, block);
}

/// TCPI_OPT_TIMESTAMPS, _SACK, _WSCALE, _ECN.
std::int64_t options_of(const Tcb& block) {
  return (block.has(tcp::kTimestampsOk) ? 1 : 0) | (block.has(tcp::kSackOk) ? 2 : 0) |
         (block.has(tcp::kWindowScaleOk) ? 4 : 0) | ((block.ecn & tcp::kEcnOk) ? 8 : 0);
}

std::int64_t ssthresh_of(const Tcb& block) {
  constexpr std::uint32_t kInfinite = 0x7fffffff;
  return block.ssthresh >= kInfinite ? kInfinite
                                     : block.ssthresh / std::max<std::uint32_t>(block.snd_mss, 1);
}

using Reader = std::int64_t (*)(Context&, std::uint32_t index, Tcb&);
struct Entry {
  std::string_view name;
  Reader read;
};

// One row a figure. Segments are of snd_mss octets, times in microseconds, as in Linux's tcp_info.
constexpr std::array kFigures = {
    Entry{"tcpi_state", [](Context&, std::uint32_t, Tcb& t) { return linux_state(t.state); }},
    Entry{"tcpi_ca_state", [](Context& ctx, std::uint32_t, Tcb& t) { return ca_state(ctx, t); }},
    Entry{"tcpi_options", [](Context&, std::uint32_t, Tcb& t) { return options_of(t); }},
    Entry{"tcpi_snd_cwnd",
          [](Context&, std::uint32_t, Tcb& t) {
            return std::int64_t{t.cwnd / std::max<std::uint32_t>(t.snd_mss, 1)};
          }},
    Entry{"cwnd_bytes", [](Context&, std::uint32_t, Tcb& t) { return std::int64_t{t.cwnd}; }},
    Entry{"tcpi_snd_ssthresh", [](Context&, std::uint32_t, Tcb& t) { return ssthresh_of(t); }},
    Entry{"ssthresh_bytes",
          [](Context&, std::uint32_t, Tcb& t) { return std::int64_t{t.ssthresh}; }},
    Entry{"tcpi_unacked",
          [](Context&, std::uint32_t, Tcb& t) { return in_segments(tcp::flight_size(t), t); }},
    Entry{"tcpi_sacked", [](Context& ctx, std::uint32_t,
                            Tcb& t) { return marked(ctx, t, &tcp::SendRecord::sacked); }},
    Entry{"tcpi_lost", [](Context& ctx, std::uint32_t,
                          Tcb& t) { return marked(ctx, t, &tcp::SendRecord::lost); }},
    Entry{"tcpi_retrans", [](Context& ctx, std::uint32_t,
                             Tcb& t) { return marked(ctx, t, &tcp::SendRecord::resent); }},
    Entry{"tcpi_notsent_bytes", [](Context& ctx, std::uint32_t,
                                   Tcb& t) { return std::int64_t{tcp::unsent_bytes(ctx, t)}; }},
    Entry{"tcpi_rto", [](Context& ctx, std::uint32_t,
                         Tcb& t) { return tcp::retransmission_timeout(t, ctx.config).us(); }},
    Entry{"tcpi_rtt", [](Context&, std::uint32_t, Tcb& t) { return std::int64_t{t.srtt_us8 / 8}; }},
    Entry{"tcpi_rttvar",
          [](Context&, std::uint32_t, Tcb& t) { return std::int64_t{t.rttvar_us4 / 4}; }},
    Entry{"tcpi_min_rtt",
          [](Context&, std::uint32_t, Tcb& t) { return std::int64_t{t.min_rtt_us}; }},
    Entry{"tcpi_snd_mss", [](Context&, std::uint32_t, Tcb& t) { return std::int64_t{t.snd_mss}; }},
    Entry{"tcpi_rcv_mss", [](Context&, std::uint32_t, Tcb& t) { return std::int64_t{t.rcv_mss}; }},
    Entry{"tcpi_snd_wnd", [](Context&, std::uint32_t, Tcb& t) { return std::int64_t{t.snd.wnd}; }},
    Entry{"tcpi_snd_wscale",
          [](Context&, std::uint32_t, Tcb& t) { return std::int64_t{t.snd_wscale()}; }},
    Entry{"tcpi_rcv_wscale",
          [](Context&, std::uint32_t, Tcb& t) { return std::int64_t{t.rcv_wscale()}; }},
    Entry{"tcpi_backoff", [](Context&, std::uint32_t, Tcb& t) { return std::int64_t{t.backoff}; }},
    Entry{"tcpi_total_retrans",
          [](Context& ctx, std::uint32_t index,
             Tcb&) { return std::int64_t{ctx.totals[index].retransmitted_segments}; }},
    Entry{"tcpi_bytes_acked",
          [](Context& ctx, std::uint32_t index,
             Tcb&) { return static_cast<std::int64_t>(ctx.totals[index].bytes_acked); }},
    Entry{"tcpi_bytes_received",
          [](Context& ctx, std::uint32_t index,
             Tcb&) { return static_cast<std::int64_t>(ctx.totals[index].bytes_received); }},
};

}  // namespace

std::optional<std::int64_t> constant(std::string_view name) {
  for (const Named& named : kConstants)
    if (named.name == name) return named.value;
  return std::nullopt;
}

std::optional<std::int64_t> figure(Context& ctx, std::uint32_t index, std::string_view name) {
  for (const Entry& entry : kFigures)
    if (entry.name == name) return entry.read(ctx, index, ctx.tcb(index));
  return std::nullopt;
}

}  // namespace sluice::script
