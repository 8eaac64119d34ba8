#include "tests/packetdrill/tcp_info.hpp"

#include <linux/sock_diag.h>
#include <linux/tcp.h>

#include <algorithm>
#include <cstring>

#include "tcp/recovery/loss_recovery.hpp"

namespace sluice::packetdrill {
namespace {

/// Linux's numbers of the states.
std::uint8_t linux_state(tcp::State state) {
  switch (state) {
    case tcp::State::kEstablished:
      return 1;
    case tcp::State::kSynSent:
      return 2;
    case tcp::State::kSynReceived:
      return 3;
    case tcp::State::kFinWait1:
      return 4;
    case tcp::State::kFinWait2:
      return 5;
    case tcp::State::kTimeWait:
      return 6;
    case tcp::State::kClosed:
      return 7;
    case tcp::State::kCloseWait:
      return 8;
    case tcp::State::kLastAck:
      return 9;
    case tcp::State::kListen:
      return 10;
    case tcp::State::kClosing:
      return 11;
  }
  return 7;
}

std::uint8_t ca_state(const tcp::SendRecord* record) {
  if (record == nullptr) return TCP_CA_Open;
  switch (record->phase) {
    case tcp::RecoveryPhase::kOpen:
      return record->sacked > 0 ? TCP_CA_Disorder : TCP_CA_Open;
    case tcp::RecoveryPhase::kReducing:
      return TCP_CA_CWR;
    case tcp::RecoveryPhase::kFastRecovery:
      return TCP_CA_Recovery;
    case tcp::RecoveryPhase::kTimeout:
      return TCP_CA_Loss;
  }
  return TCP_CA_Open;
}

std::uint32_t segments_in(std::uint32_t bytes, std::uint32_t mss) {
  return mss == 0 ? 0 : (bytes + mss - 1) / mss;
}

/// What only the records know.
void add_from_records(tcp::Context& context, const Stream& stream, tcp_info& out) {
  tcp::Tcb* const block = tcp::find_tcb(context, stream.handle());
  if (block == nullptr) return;
  out.tcpi_state = linux_state(block->state);
  const tcp::SendRecord* const record = context.send_record(*block);
  out.tcpi_ca_state = ca_state(record);
  if (record != nullptr) {
    out.tcpi_sacked = segments_in(record->sacked, block->snd_mss);
    out.tcpi_lost = segments_in(record->lost, block->snd_mss);
    out.tcpi_retrans = segments_in(record->resent, block->snd_mss);
  }
  out.tcpi_backoff = block->backoff;
  out.tcpi_retransmits = block->backoff;
  const int options = (block->has(tcp::kTimestampsOk) ? TCPI_OPT_TIMESTAMPS : 0) |
                      (block->has(tcp::kSackOk) ? TCPI_OPT_SACK : 0) |
                      (block->has(tcp::kWindowScaleOk) ? TCPI_OPT_WSCALE : 0);
  out.tcpi_options = static_cast<std::uint8_t>(options);
  out.tcpi_snd_wscale = block->snd_wscale() & 0x0f;
  out.tcpi_rcv_wscale = block->rcv_wscale() & 0x0f;
  out.tcpi_rcv_mss = block->rcv_mss;
}

}  // namespace

Answer fill_tcp_info(VirtualStack& stack, const Stream& stream, void* out, unsigned& length) {
  tcp_info filled{};
  filled.tcpi_state = linux_state(tcp::State::kClosed);
  if (const auto info = stream.info()) {
    add_from_records(stack.context(), stream, filled);
    filled.tcpi_rto = static_cast<std::uint32_t>(info->rto.us());
    filled.tcpi_rtt = static_cast<std::uint32_t>(info->srtt.us());
    filled.tcpi_rttvar = static_cast<std::uint32_t>(info->rttvar.us());
    filled.tcpi_min_rtt = static_cast<std::uint32_t>(info->min_rtt.us());
    filled.tcpi_snd_mss = info->mss;
    filled.tcpi_advmss = info->mss;
    filled.tcpi_unacked = segments_in(info->unacked_bytes, info->mss);
    filled.tcpi_snd_cwnd = info->mss == 0 ? 0 : info->cwnd_bytes / info->mss;
    filled.tcpi_snd_ssthresh =
        info->ssthresh_bytes >= 0x7fffffff ? 0x7fffffff : info->ssthresh_bytes / info->mss;
    filled.tcpi_total_retrans = info->retransmitted_segments;
    filled.tcpi_bytes_acked = info->bytes_acked;
    filled.tcpi_bytes_received = info->bytes_received;
    filled.tcpi_notsent_bytes =
        info->send_queued_bytes - std::min(info->unacked_bytes, info->send_queued_bytes);
    filled.tcpi_rcv_space = info->receive_window_bytes;
  }
  std::memset(out, 0, length);
  std::memcpy(out, &filled, std::min<std::size_t>(length, sizeof filled));
  return {};
}

std::array<std::uint32_t, 9> memory_info(const Stream& stream) {
  std::array<std::uint32_t, SK_MEMINFO_VARS> figures{};
  if (const auto info = stream.info()) {
    figures[SK_MEMINFO_RMEM_ALLOC] = info->receive_queued_bytes;
    figures[SK_MEMINFO_WMEM_QUEUED] = info->send_queued_bytes;
  }
  return figures;
}

}  // namespace sluice::packetdrill
