#pragma once

#include "tcp/context.hpp"

namespace sluice::tcp {

/// Checks everything that must hold of a TCB between two events; asserts, so it never returns
/// false. For debug builds, the simulator and the fuzzers: SLUICE_CHECK(check_tcb(ctx, index)).
bool check_tcb(Context& ctx, std::uint32_t index);

/// After a drain: no connection, no half-open entry, no record, no timer, nothing to send.
bool check_empty(Context& ctx);

}  // namespace sluice::tcp
