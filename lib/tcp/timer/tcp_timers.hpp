#pragma once

#include "tcp/context.hpp"

namespace sluice::tcp {

/// Fires what is due at ctx.tick, at most `budget` steps on each wheel.
void advance_timers(Context& ctx, std::uint32_t budget);

/// When advance_timers has something to do next; never() if nothing is armed.
Instant next_timer(const Context& ctx);

/// Keepalive counts from the last segment received: arms it if the connection wants it.
void restart_keepalive(Context& ctx, std::uint32_t index);

}  // namespace sluice::tcp
