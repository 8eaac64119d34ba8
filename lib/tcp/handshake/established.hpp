#pragma once

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
Agreement agree(const EngineConfig& config, const wire::TcpOptions& options,
                std::uint16_t path_mtu);

/// Writes flags, scales and MSS of the agreement into the TCB.
void apply_agreement(Context& ctx, Tcb& block, const Agreement& agreement);

/// Octets of payload that a segment to a peer of `peer_mss` may have (Eff.snd.MSS, RFC 9293 3.7.1).
std::uint16_t effective_send_mss(const EngineConfig& config, const FlowKey& flow,
                                 const Agreement& agreement);

/// The congestion algorithm of a new connection: `own`, if not 0xff, else the route's, else the
/// config's.
Algorithm algorithm_for(Context& ctx, std::uint8_t own, const FlowKey& flow);

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
