#pragma once

// Passive opens: LISTEN (RFC 9293 3.10.7.2), and SYN-RECEIVED as a half-open entry.

#include "tcp/context.hpp"

namespace sluice::tcp {

/// Backlogs in force: 0 stands for the global cap, which bounds every value.
std::uint32_t syn_backlog_of(const Context& ctx, const ListenerRecord& listener);
std::uint32_t accept_backlog_of(const Context& ctx, const ListenerRecord& listener);

/// Whether SYNs to the listener are answered by cookies now. In CookieMode::kAuto they begin above
/// one watermark of its SYN backlog and end below another; each change is counted.
bool settle_cookies(Context& ctx, ListenerRecord& listener);

/// A segment to a listener that belongs to no connection. `time_wait`, if not none, is the entry
/// that gives way to this SYN (RFC 6191). An ACK that is a cookie completes a handshake:
/// `connection` is then as below, else kNoIndex.
Outcome listen_arrives(Context& ctx, std::uint16_t listener, Segment& segment, FlowRef time_wait,
                       std::uint32_t& connection);

/// A segment of a half-open entry. If it completes the handshake `connection` is the new TCB, in
/// ESTABLISHED, on the accept queue; what else the segment brings is not processed yet.
Outcome half_open_arrives(Context& ctx, std::uint32_t index, Segment& segment,
                          std::uint32_t& connection);

}  // namespace sluice::tcp
