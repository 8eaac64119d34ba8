#pragma once

#include <algorithm>

#include "tcp/context.hpp"

namespace sluice::tcp {

/// What both SYNs agreed on.
struct Agreement {
  std::uint16_t peer_mss = 536;     ///< Octets; RFC 9293 3.7.1's default if the SYN had none.
  std::uint8_t peer_wscale = 0xff;  ///< 0..14, or 0xff: not offered.
  bool timestamps = false;
  bool sack = false;
  std::uint16_t path_mtu = 1500;
};

/// Reads a SYN's options against what we are configured to offer.
inline Agreement agree(const EngineConfig& config, const wire::TcpOptions& options,
                       std::uint16_t path_mtu) {
  Agreement agreement;
  agreement.path_mtu = path_mtu;
  //= rfc9293#3.7.1 MUST-15, MUST-16
  constexpr std::uint16_t kLeastMss = 64;  // a peer that says less wants us to drown in headers
  if (options.has_mss) agreement.peer_mss = std::max(options.mss, kLeastMss);
  //= rfc7323#2.3 MUST-8, MUST-2
  if (config.window_scaling && options.has_window_scale)
    agreement.peer_wscale = std::min(options.window_scale, wire::kMaxWindowScale);
  agreement.timestamps = config.timestamps && options.has_timestamps;
  //= rfc2018#4 MUST-1
  agreement.sack = config.sack && options.has_sack_permitted;
  return agreement;
}

/// Writes flags, scales and MSS of the agreement into the TCB.
void apply_agreement(Context& ctx, Tcb& block, const Agreement& agreement);

/// Octets of payload that a segment to a peer of `peer_mss` may have (Eff.snd.MSS, RFC 9293 3.7.1).
std::uint16_t effective_send_mss(const EngineConfig& config, const FlowKey& flow,
                                 const Agreement& agreement);

/// Makes `algorithm` that of the connection from now on; cwnd and ssthresh stay.
void use_algorithm(Context& ctx, Tcb& block, Algorithm algorithm);
/// Paced or not: what the stream says, else what its algorithm needs or the config wishes.
void settle_pacing(Context& ctx, Tcb& block);

/// cwnd and quick ACKs of a connection that has just been established; `had_loss`: a SYN or SYN-ACK
/// was sent more than once.
void start_sending(Context& ctx, Tcb& block, bool had_loss);

/// A TCB in SYN-SENT or SYN-RECEIVED whose SYN was acknowledged by `segment`: ESTABLISHED, or
/// FIN-WAIT-1 if the application closed already.
void become_established(Context& ctx, std::uint32_t index, const Segment& segment);

}  // namespace sluice::tcp
