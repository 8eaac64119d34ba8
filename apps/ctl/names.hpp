#pragma once

// Words for the numbers of the state region. A region may be another version's, or damaged: every
// function here takes any number.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/address.hpp"
#include "base/time.hpp"

namespace sluice::ctl {

std::string_view state_name(std::uint8_t state);       ///< "FIN-WAIT-1"; "?" beyond the last.
std::string_view outcome_name(std::uint16_t outcome);  ///< "SynQueued"
std::string_view outcome_text(
    std::uint16_t outcome);                          ///< "SYN to a listener, half-open entry made"
std::string_view timer_name(std::uint8_t timer);     ///< "retransmit"
std::string_view user_call_name(std::uint8_t call);  ///< "close()"
std::string_view close_reason_text(std::uint8_t reason);  ///< "reset by the peer"

std::string_view neighbor_state_name(std::uint8_t state);    ///< "REACHABLE"
std::string_view port_steering_name(std::uint8_t steering);  ///< "software"
std::string_view port_verdict_name(std::uint8_t verdict);    ///< "verified"; "-" for none.

std::string flags_text(std::uint8_t flags);   ///< "SYN,ACK"; "-" for none.
std::string remaining_text(Duration left);    ///< "180ms", "1.42s", "7199s"; "0ms" once it is over.
std::string seconds_text(Duration duration);  ///< "0.000312"
/// "2026-11-20 23:01:02.123456 UTC"
std::string wall_text(std::int64_t realtime_ns);

}  // namespace sluice::ctl
